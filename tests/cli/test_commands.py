"""The command line: each command does what a Python user would, and fails with one sentence."""

import json
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import zarr
from rich.console import Console

import dem
from command_line import SCORE_CRITERIA, done, run
from dem.engine.cluster import connect
from dem.storage.atomic import SAVED_MODELS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store of two clusters, weights for it, and a model of each kind."""
    folder = tmp_path_factory.mktemp("cli")
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 1, (300, 3)), rng.normal(8, 2, (600, 3))])[rng.permutation(900)]
    zarr.create_array(folder / "x.zarr", data=x, chunks=(200, 3))
    zarr.create_array(folder / "w.zarr", data=rng.integers(1, 4, 900).astype(float), chunks=(200,))
    group = zarr.create_group(folder / "group.zarr")
    group.create_array("inside", data=x, chunks=(200, 3))
    group.create_array("series", data=x[:, 0], chunks=(200,))
    assert run("fit", "gmm", folder / "x.zarr", "-k", 2, "-o", folder / "gmm.zarr").exit_code == 0
    assert run("fit", "ppca", folder / "x.zarr", "-q", 2, "-o", folder / "ppca.zarr").exit_code == 0
    return folder


def failed(*words):
    """Run a command that must fail with one sentence; return it."""
    result = run(*words)
    assert result.exit_code == 1, result.output
    (sentence,) = result.stderr.strip().splitlines()[-1:]
    assert sentence.startswith("dem: ")
    assert result.stdout == ""
    assert "Traceback" not in result.output
    return sentence


def test_fit_gmm_is_the_fit_of_a_python_user(folder, tmp_path):
    words = ["-k", 2, "--covariance", "diag", "--tol", 1e-5, "--reg-covar", 0, "--n-init", 2, "--seed", 3]
    out = done("fit", "gmm", folder / "x.zarr", *words, "--weights", folder / "w.zarr", "-o", tmp_path / "m.zarr")
    assert "Gaussian mixture, 2 components, diag covariances, 3 columns" in out
    assert "converged" in out
    assert "BIC" not in out  # weighted rows are no n rows
    expected = dem.GaussianMixture(2, covariance_type="diag", tol=1e-5, reg_covar=0, n_init=2, random_state=3)
    expected.fit(folder / "x.zarr", sample_weight=folder / "w.zarr")
    model = dem.load(tmp_path / "m.zarr")
    np.testing.assert_array_equal(model.means_, expected.means_)
    np.testing.assert_array_equal(model.weights_, expected.weights_)


def test_a_fit_without_a_density_says_so(tmp_path, rng):
    x = rng.normal(size=(50, 2))
    zarr.create_array(tmp_path / "x.zarr", data=np.c_[x, x.sum(axis=1)])
    for out in (
        done("fit", "ppca", tmp_path / "x.zarr", "-o", tmp_path / "m.zarr"),
        done("info", tmp_path / "m.zarr"),
    ):
        assert "no density, because the noise variance is 0 (the data lie in a subspace): use fewer components" in out
        assert "none: the model has no density" in out
        assert "BIC" not in out
        assert "inf" not in out.replace("info", "")
        assert "nan" not in out
    words = ["fit", "ppca", tmp_path / "x.zarr", "-o", tmp_path / "m.zarr", "--overwrite", "--json"]
    record = json.loads(done(*words))
    assert record["log_likelihood"] is None
    assert "bic" not in record
    assert "no density" in failed("score", tmp_path / "m.zarr", tmp_path / "x.zarr")


def test_the_summary_of_a_fit_fits_on_a_screen(tmp_path, monkeypatch):
    monkeypatch.setattr("dem.cli.commands.session.console_for_results", lambda: Console(file=sys.stdout, width=80))
    rng = np.random.default_rng(0)
    zarr.create_array(tmp_path / "x.zarr", data=rng.normal(size=(400, 2)) + 9 * rng.integers(0, 20, (400, 1)))
    lines = done("fit", "gmm", tmp_path / "x.zarr", "-k", 16, "--n-init", 1, "-o", tmp_path / "m.zarr").splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith("component ") for line in lines) == 9
    assert re.search(r"others +7 more, \d+ % together", lines[-1])


def test_fit_reports_to_machines(folder, tmp_path):
    result = run("fit", "gmm", folder / "x.zarr", "-k", 2, "-o", tmp_path / "m.zarr", "--json")
    record = json.loads(result.stdout)
    assert record["event"] == "result"
    assert record["rows"] == 900
    assert record["stop_reason"] == "converged"
    model = dem.load(tmp_path / "m.zarr")
    assert record["log_likelihood"] == model.lower_bound_
    for name in SCORE_CRITERIA:
        assert record[name] == pytest.approx(getattr(model, name)(folder / "x.zarr"), rel=1e-12)
    said = done("fit", "gmm", folder / "x.zarr", "-k", 2, "-o", tmp_path / "m.zarr", "--overwrite")
    assert f"{', '.join(SCORE_CRITERIA).upper()} " in said
    events = [json.loads(line) for line in result.stderr.splitlines()]
    assert [e["name"] for e in events[:3]] == ["first scan", "start on 900 rows", "pass 1"]
    assert [e["event"] for e in events] == ["step"] * (record["passes"] + 1)


def test_quiet_says_nothing(folder, tmp_path):
    result = run("fit", "gmm", folder / "x.zarr", "-k", 2, "-o", tmp_path / "m.zarr", "--quiet")
    assert result.output == ""


def test_lines_tell_of_the_passes(folder, tmp_path):
    result = run("fit", "gmm", folder / "x.zarr", "-k", 2, "-o", tmp_path / "m.zarr")
    assert result.stderr.splitlines()[0].startswith("first scan")
    assert "nats a row" in result.stderr


def test_an_output_that_exists_is_refused_before_the_work(folder, tmp_path):
    for command in (
        ["fit", "gmm", folder / "x.zarr", "-k", 2, "-o", folder / "gmm.zarr"],
        ["fit", "ppca", folder / "x.zarr", "-q", 1, "-o", folder / "x.zarr"],
    ):
        result = run(*command)
        assert result.exit_code == 1
        assert result.stdout == ""
        assert "first scan" not in result.stderr
    target = tmp_path / "labels.zarr"
    done("predict", folder / "gmm.zarr", folder / "x.zarr", "-o", target)
    said = failed("predict", folder / "gmm.zarr", folder / "x.zarr", "-o", target)
    assert said == f"dem: {target} exists already: choose another name, or use --overwrite."
    said = failed("fit", "gmm", folder / "x.zarr", "-k", 2, "-o", folder / "gmm.zarr")
    assert said.endswith("is already a model: choose another name, or use --overwrite.")
    done("predict", folder / "gmm.zarr", folder / "x.zarr", "-o", target, "--overwrite")


@pytest.mark.parametrize(
    ("what", "method"),
    [("labels", "predict"), ("label", "predict"), ("proba", "predict_proba"), ("score", "score_samples")],
)
def test_predict_writes(folder, tmp_path, what, method):
    done("predict", folder / "gmm.zarr", folder / "x.zarr", "--what", what, "-o", tmp_path / "o.zarr")
    found = zarr.open_array(tmp_path / "o.zarr", mode="r")
    model = dem.load(folder / "gmm.zarr")
    np.testing.assert_array_equal(found[...], getattr(model, method)(folder / "x.zarr").compute())
    assert found.chunks[0] == 200


def test_transform_writes(folder, tmp_path):
    done("transform", folder / "ppca.zarr", folder / "x.zarr", "-o", tmp_path / "z.zarr")
    expected = dem.load(folder / "ppca.zarr").transform(folder / "x.zarr").compute()
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "z.zarr")[...], expected)


def test_models_are_asked_for_what_they_have(folder, tmp_path):
    said = failed("transform", folder / "gmm.zarr", folder / "x.zarr", "-o", tmp_path / "z.zarr")
    assert "GaussianMixture, which does not have latents" in said
    said = failed("predict", folder / "ppca.zarr", folder / "x.zarr", "-o", tmp_path / "z.zarr")
    assert "PPCA, which does not have labels" in said
    assert not (tmp_path / "z.zarr").exists()


def test_score(folder):
    out = done("score", folder / "gmm.zarr", folder / "x.zarr", "--json")
    model = dem.load(folder / "gmm.zarr")
    record = json.loads(out)
    assert record["log_likelihood"] == model.score(folder / "x.zarr")
    for name in SCORE_CRITERIA:
        assert record[name] == getattr(model, name)(folder / "x.zarr")
    assert "nats a row, over 900 rows" in done("score", folder / "ppca.zarr", folder / "x.zarr", "--quiet")
    weighted = done("score", folder / "gmm.zarr", folder / "x.zarr", "--weights", folder / "w.zarr")
    assert "BIC" not in weighted


def test_sample(folder, tmp_path):
    words = ["sample", folder / "gmm.zarr", "-n", 500, "--seed", 7, "--dtype", "float32"]
    done(*words, "-o", tmp_path / "a.zarr")
    done(*words, "-o", tmp_path / "b.zarr")
    a, b = zarr.open_array(tmp_path / "a.zarr"), zarr.open_array(tmp_path / "b.zarr")
    assert (a.shape, a.dtype) == ((500, 3), np.float32)
    np.testing.assert_array_equal(a[...], b[...])


def test_info_of_an_array(folder):
    out = done("info", folder / "x.zarr")
    assert "(900, 3), float64" in out
    assert "NaN" in out
    record = json.loads(done("info", folder / "x.zarr", "--json"))
    x = zarr.open_array(folder / "x.zarr")[...]
    assert record["shape"] == [900, 3]
    assert record["chunks"] == [200, 3]
    assert record["decoded_bytes"] == x.nbytes
    assert 0 < record["stored_bytes"] < 2 * x.nbytes
    for name, value in [("min", x.min(0)), ("max", x.max(0)), ("mean", x.mean(0)), ("sd", x.std(0))]:
        np.testing.assert_allclose([c[name] for c in record["columns"]], value, rtol=1e-12)
    assert "columns" not in json.loads(done("info", folder / "x.zarr", "--json", "--no-scan"))


def test_info_tells_of_missing_values_and_of_wide_arrays(tmp_path):
    x = np.random.default_rng(0).normal(size=(50, 40))
    x[3, 1], x[4, 1], x[5, 2] = np.nan, np.nan, -np.inf
    zarr.create_array(tmp_path / "x.zarr", data=x)
    columns = json.loads(done("info", tmp_path / "x.zarr", "--json"))["columns"]
    assert (columns[1]["missing"], columns[1]["inf"], columns[2]["inf"]) == (2, 0, 1)
    assert columns[1]["missing_share"] == 0.04
    assert columns[1]["mean"] == pytest.approx(np.nanmean(x[:, 1]))
    assert columns[2]["sd"] == pytest.approx(np.delete(x[:, 2], 5).std())
    assert columns[1]["min"] == np.nanmin(x[:, 1])
    out = done("info", tmp_path / "x.zarr")
    assert "the first 30 of 40" in out
    assert "the first" not in done("info", tmp_path / "x.zarr", "--all")


def test_info_of_groups_and_of_other_arrays(folder):
    out = done("info", folder / "group.zarr")
    assert "inside" in out
    assert "(900, 3)" in out
    assert json.loads(done("info", folder / "group.zarr", "--json"))["arrays"]["series"]["shape"] == [900]
    assert "has 1 dimension)" in done("info", folder / "group.zarr" / "series")


def test_factor_analysis_and_bayesian_pca(folder, tmp_path):
    said = done("fit", "fa", folder / "x.zarr", "-q", 1, "--rotation", "varimax", "-o", tmp_path / "fa.zarr")
    assert "factor analysis, 1 factor, varimax, 3 columns" in said
    done("transform", tmp_path / "fa.zarr", folder / "x.zarr", "-o", tmp_path / "z.zarr")
    np.testing.assert_array_equal(
        zarr.open_array(tmp_path / "z.zarr")[:], dem.load(tmp_path / "fa.zarr").transform(folder / "x.zarr").compute()
    )
    said = failed("predict", tmp_path / "fa.zarr", folder / "x.zarr", "-o", tmp_path / "labels.zarr")
    assert "FactorAnalysis, which does not have labels" in said
    assert "Loadings" in done("info", tmp_path / "fa.zarr")
    assert "nats a row, over 900 rows" in done("score", tmp_path / "fa.zarr", folder / "x.zarr", "--quiet")
    done("report", tmp_path / "fa.zarr", folder / "x.zarr", "-o", tmp_path / "fa.json")
    assert json.loads((tmp_path / "fa.json").read_text())["kind"] == "FactorAnalysis"
    assert "kept of 2" in done("fit", "bpca", folder / "x.zarr", "-o", tmp_path / "bpca.zarr")
    done("plot", tmp_path / "bpca.zarr", "-o", tmp_path / "b.png")
    for q in ("mle", "bic"):
        assert "probabilistic PCA" in done("fit", "ppca", folder / "x.zarr", "-q", q, "-o", tmp_path / f"{q}.zarr")
    said = run("fit", "ppca", folder / "x.zarr", "-q", "most", "-o", tmp_path / "m.zarr").output
    assert "mle or bic" in said


def test_info_of_an_output(folder, tmp_path):
    labels = tmp_path / "labels.zarr"
    done("predict", folder / "gmm.zarr", folder / "x.zarr", "-o", labels)
    out = done("info", labels)
    assert "label of GaussianMixture for the rows of x.zarr" in out
    assert "fitted to" not in out
    zarr.open_array(labels, mode="r+").attrs["complete"] = False
    assert "not complete" in done("info", labels)


@pytest.mark.parametrize(("name", "word"), [("gmm.zarr", "weight"), ("ppca.zarr", "Noise variance")])
def test_info_of_a_model(folder, name, word):
    out = done("info", folder / name)
    assert word in out
    assert "x.zarr, shape (900, 3), float64" in out
    record = json.loads(done("info", folder / name, "--json"))
    assert record["kind"] == "model"
    assert record["settings"]["n_components"] == 2


def test_labels_name_the_columns_of_a_picture(folder, tmp_path):
    words = ["plot", folder / "gmm.zarr", "--labels", 'length, "width, mean",height', "-o", tmp_path / "a.svg"]
    done(*words)
    drawn = (tmp_path / "a.svg").read_text()
    assert "<!-- length -->" in drawn
    assert "<!-- width, mean -->" in drawn
    few = ["--labels", "length,width", "-o", tmp_path / "b.png"]
    said = "dem: labels must be a list with a name for each of the 3 columns, got 2 names"
    assert (
        failed("plot", folder / "gmm.zarr", "--data", folder / "nowhere.zarr", *few) == said
    )  # before the store is read
    assert failed("report", folder / "gmm.zarr", folder / "nowhere.zarr", *few) == said


def test_plot(folder, tmp_path):
    done("plot", folder / "gmm.zarr", "--data", folder / "x.zarr", "--columns", "2,0", "-o", tmp_path / "a.png")
    done("plot", folder / "ppca.zarr", "--data", folder / "x.zarr", "-o", tmp_path / "b.svg")
    done("plot", folder / "gmm.zarr", "-o", tmp_path / "c.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert "already exists" in failed("plot", folder / "gmm.zarr", "-o", tmp_path / "a.png")
    assert "give numbers from 0 to 2" in failed(
        "plot", folder / "gmm.zarr", "--columns", "0,3", "-o", tmp_path / "d.png"
    )
    assert "already exists" in failed("plot", "nowhere.zarr", "-o", tmp_path / "a.png")
    for name in ("d.nothing", "d"):
        said = failed("plot", "nowhere.zarr", "-o", tmp_path / name)  # before anything is read
        assert "is not the name of a picture" in said
        assert "png" in said
    assert "The path is empty" in failed("plot", "nowhere.zarr", "-o", "")


def test_plot_by_the_name_of_a_picture(folder, tmp_path):
    rows = ["--data", folder / "x.zarr"]
    done("plot", folder / "gmm.zarr", *rows, "--picture", "pairs", "--columns", "2,0,1", "-o", tmp_path / "a.png")
    said = json.loads(done("plot", folder / "gmm.zarr", "--picture", "sizes", "-o", tmp_path / "b.svg", "--json"))
    assert said["text"].startswith("Sizes of 2 components")
    assert "the picture 'entropy' needs rows" in failed(
        "plot", folder / "gmm.zarr", "--picture", "entropy", "-o", tmp_path / "c.png"
    )
    assert "choose one of figure, mixture, sizes" in failed(
        "plot", folder / "gmm.zarr", "--picture", "scree", "-o", tmp_path / "c.png"
    )


def test_data_that_do_not_fit_the_model(folder, tmp_path):
    zarr.create_array(tmp_path / "y.zarr", data=np.zeros((10, 2)))
    for words in (
        ["score", folder / "gmm.zarr", tmp_path / "y.zarr"],
        ["predict", folder / "gmm.zarr", tmp_path / "y.zarr", "-o", tmp_path / "o.zarr"],
        ["plot", folder / "gmm.zarr", "--data", tmp_path / "y.zarr", "-o", tmp_path / "o.png"],
    ):
        assert "2 columns" in failed(*words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["info", "nowhere.zarr"], "No Zarr store at nowhere.zarr"),
        (["fit", "gmm", "nowhere.zarr", "-k", "2", "-o", "m.zarr"], "No Zarr store at nowhere.zarr"),
        (["score", "nowhere.zarr", "x.zarr"], "No model at nowhere.zarr"),
        (["score", "x.zarr", "x.zarr"], "x.zarr is a Zarr array, not a model"),
        (["fit", "gmm", "group.zarr", "-k", "2", "-o", "m.zarr"], "inside (900, 3)"),
        (["fit", "gmm", "x.zarr", "-k", "2000", "-o", "m.zarr"], "2000"),
        (["fit", "gmm", "x.zarr", "-k", "2", "--memory", "1MB", "-o", "m.zarr"], "1 MB"),
        (
            ["fit", "gmm", "x.zarr", "-k", "2", "--scheduler", "tcp://127.0.0.1:1", "-o", "m.zarr"],
            "scheduler",
        ),
    ],
)
def test_what_cannot_be_done_is_told_in_a_sentence(folder, monkeypatch, words, said):
    monkeypatch.setattr("dem.engine.cluster.choose.connect", partial(connect, timeout=1))
    monkeypatch.chdir(folder)
    assert said in failed(*words)
    assert not (folder / "m.zarr").exists()


def test_a_share_of_the_variance(folder, tmp_path):
    done("fit", "ppca", folder / "x.zarr", "-q", "0.9", "-o", tmp_path / "m.zarr")
    assert SAVED_MODELS.load(tmp_path / "m.zarr").attributes["settings"]["n_components"] == 0.9


@pytest.mark.slow  # Dask imports all its commands
def test_dask_runs_the_command(folder):
    command = [Path(sys.executable).with_name("dask"), "dem", "info", "x.zarr"]
    out = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
    assert "(900, 3), float64" in out


def test_kmeans_from_the_command_line(folder, tmp_path):
    record = json.loads(done("fit", "kmeans", folder / "x.zarr", "-k", 3, "-o", tmp_path / "km.zarr", "--json"))
    model = dem.load(tmp_path / "km.zarr")
    assert record["inertia"] == model.inertia_
    assert "log_likelihood" not in record
    shown = done("info", tmp_path / "km.zarr")
    assert "K-means, 3 clusters, 3 columns" in shown
    assert "rms distance" in shown
    assert "nats" not in shown
    scored = json.loads(done("score", tmp_path / "km.zarr", folder / "x.zarr", "--json"))
    assert scored["inertia"] == pytest.approx(model.inertia_, rel=1e-12)
    done("predict", tmp_path / "km.zarr", folder / "x.zarr", "--what", "distance", "-o", tmp_path / "d.zarr")
    expected = model.transform(folder / "x.zarr").compute()
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "d.zarr", mode="r")[...], expected)
    done("plot", tmp_path / "km.zarr", "--data", folder / "x.zarr", "-o", tmp_path / "km.png")
    said = failed("sample", tmp_path / "km.zarr", "-n", 3, "-o", tmp_path / "no.zarr")
    assert "is a KMeans, which has no density" in said
    done("report", tmp_path / "km.zarr", folder / "x.zarr", "-o", tmp_path / "km.json")
    told = json.loads((tmp_path / "km.json").read_text())
    assert told["inertia"] == pytest.approx(model.inertia_, rel=1e-12)
    assert told["classes"]["rows"] == model.cluster_counts_.tolist()
    said = failed("predict", tmp_path / "km.zarr", folder / "x.zarr", "--what", "proba", "-o", tmp_path / "p.zarr")
    assert "KMeans, which does not have proba: it has labels, distance and score." in said
