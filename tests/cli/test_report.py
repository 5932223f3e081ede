"""dem report: the page, the record for machines, and what is refused."""

import json

import numpy as np
import pytest
import zarr

import dem
from command_line import SCORE_CRITERIA, run


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
    return result


def refused(*words):
    result = run("report", *words)
    assert result.exit_code == 1, result.output
    return result.stderr.splitlines()[-1]


@pytest.mark.parametrize("kind", ["gmm", "ppca"])
def test_the_numbers_are_the_models_and_the_scores(kind, folder, tmp_path):
    report(folder / f"{kind}.zarr", folder / "x.zarr", "-o", tmp_path / "r.json")
    numbers = json.loads((tmp_path / "r.json").read_text())
    model = dem.load(folder / f"{kind}.zarr")
    assert numbers["log_likelihood"] == model.score(folder / "x.zarr")
    for name in SCORE_CRITERIA:
        assert numbers[name] == getattr(model, name)(folder / "x.zarr")
    assert numbers["rows"] == 900
    name = "means_" if kind == "gmm" else "mean_"
    np.testing.assert_array_equal(numbers[name], getattr(model, name))
    if kind == "gmm":
        labels = model.predict(folder / "x.zarr").compute()
        assert numbers["classes"]["rows"] == np.bincount(labels).tolist()


def test_the_page_and_what_machines_read(folder, tmp_path):
    done = report(folder / "gmm.zarr", folder / "x.zarr", "-o", tmp_path / "r.html", "--json")
    steps = [json.loads(line).get("name") for line in done.stderr.splitlines()]
    assert [name for name in steps if name] == ["report"]  # one pass
    record = json.loads(done.stdout)
    assert record["data"] == str(folder / "x.zarr")
    assert record["warnings"] == []
    page = (tmp_path / "r.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert page.count("<img ") == page.count('src="data:image/png;base64,') > 4
    assert "Nothing to warn of" in page


def test_without_a_store_the_page_says_what_it_lacks(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("dem.reports.make.page_pictures", lambda *given: [])
    report(folder / "gmm.zarr", "-o", tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert "The rows were not read" in page
    assert "Score on the store" not in page


def test_a_report_is_replaced_only_where_that_is_said(folder, tmp_path):
    words = [folder / "gmm.zarr", "-o", tmp_path / "r.json"]
    report(*words)
    assert "use --overwrite" in refused(*words)
    (tmp_path / "r.json").write_text("")
    report(*words, "--overwrite")
    assert json.loads((tmp_path / "r.json").read_text())["kind"] == "GaussianMixture"


def test_other_data_are_refused(folder, tmp_path):
    zarr.create_array(tmp_path / "two.zarr", data=np.zeros((9, 2)))
    assert "2 columns" in refused(folder / "gmm.zarr", tmp_path / "two.zarr", "-o", tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


def test_large_arrays_are_left_to_the_model(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("dem.reports.record.LARGEST_ARRAY", 6)
    report(folder / "gmm.zarr", "-o", tmp_path / "r.json")
    numbers = json.loads((tmp_path / "r.json").read_text())
    assert "means_" in numbers  # two by three
    assert "covariances_" not in numbers
