"""dem report: what a model's folder holds, and what is refused."""

import json

import numpy as np
import pytest
import zarr

import dem
from command_line import SCORE_CRITERIA, run
from dem.storage.atomic import Generations


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 1, (300, 3)), rng.normal(8, 2, (600, 3))])[rng.permutation(900)]
    zarr.create_array(folder / "x.zarr", data=x, chunks=(200, 3))
    assert run("fit", "gmm", folder / "x.zarr", "-k", 2, "--n-init", 2, "-o", folder / "gmm.zarr").exit_code == 0
    assert run("fit", "ppca", folder / "x.zarr", "-q", 2, "-o", folder / "ppca.zarr").exit_code == 0
    return folder


def report(*words):
    result = run("report", *words)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*words):
    result = run("report", *words)
    assert result.exit_code == 1, result.output
    return result.stderr.splitlines()[-1]


@pytest.mark.parametrize("kind", ["gmm", "ppca"])
def test_the_numbers_are_the_models_and_the_scores(kind, folder, tmp_path):
    report(folder / f"{kind}.zarr", "--data", folder / "x.zarr", "-o", tmp_path / "r")
    numbers = json.loads((tmp_path / "r" / "report.json").read_text())
    model = dem.load(folder / f"{kind}.zarr")
    assert numbers["log_likelihood"] == model.score(folder / "x.zarr")
    for name in SCORE_CRITERIA:
        assert numbers[name] == getattr(model, name)(folder / "x.zarr")
    assert numbers["rows"] == 900
    name = "means_" if kind == "gmm" else "mean_"
    np.testing.assert_array_equal(numbers[name], getattr(model, name))
    assert (tmp_path / "r" / "report.png").read_bytes().startswith(b"\x89PNG")


def test_the_model_is_loaded_once(folder, tmp_path, monkeypatch):
    loaded, load = [], Generations.load

    def counted(self, path):
        loaded.append(path)
        return load(self, path)

    monkeypatch.setattr(Generations, "load", counted)
    report(folder / "gmm.zarr", "--data", folder / "x.zarr", "-o", tmp_path / "r")
    assert loaded == [str(folder / "gmm.zarr")]
    run("info", folder / "gmm.zarr")
    assert len(loaded) == 2


def test_a_score_that_is_known_saves_the_pass(folder, tmp_path):
    words = (folder / "gmm.zarr", folder / "x.zarr")
    (tmp_path / "score.json").write_text(run("score", *words, "--json").stdout)
    both = [words[0], "--data", words[1], "--json"]
    made = [
        run("report", *both, "-o", tmp_path / "a"),
        run("report", *both, "-o", tmp_path / "b", "--score", tmp_path / "score.json"),
    ]
    steps = [[json.loads(line).get("name") for line in result.stderr.splitlines()] for result in made]
    assert ["score" in names for names in steps] == [True, False]
    texts = [(tmp_path / name / "report.json").read_text() for name in "ab"]
    assert texts[0] == texts[1]


def test_a_score_of_something_else_is_refused(folder, tmp_path):
    record = {"model": "other.zarr", "data": str(folder / "x.zarr"), "rows": 900, "log_likelihood": 0.0}
    (tmp_path / "other.json").write_text(json.dumps(record))
    words = [folder / "gmm.zarr", "--data", folder / "x.zarr", "-o", tmp_path / "r"]
    assert "is the score of other.zarr" in refused(*words, "--score", tmp_path / "other.json")
    (tmp_path / "short.json").write_text('{"model": "gmm.zarr"}')
    assert "it lacks data, rows, log_likelihood" in refused(*words, "--score", tmp_path / "short.json")
    (tmp_path / "none.json").write_text("no JSON")
    assert "is not an output of `dem score --json`" in refused(*words, "--score", tmp_path / "none.json")
    assert not (tmp_path / "r").exists()


def test_a_report_is_replaced_only_where_that_is_said(folder, tmp_path):
    words = [folder / "gmm.zarr", "--data", folder / "x.zarr", "-o", tmp_path]
    report(*words)
    assert "use --overwrite" in refused(*words)
    (tmp_path / "report.json").write_text("")
    report(*words, "--overwrite")
    assert json.loads((tmp_path / "report.json").read_text())["rows"] == 900


def test_large_arrays_are_left_to_the_model(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("dem.cli.commands.report.LARGEST_ARRAY", 6)
    report(folder / "gmm.zarr", "--data", folder / "x.zarr", "-o", tmp_path)
    numbers = json.loads((tmp_path / "report.json").read_text())
    assert "means_" in numbers  # two by three
    assert "covariances_" not in numbers
