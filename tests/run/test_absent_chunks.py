"""Of chunks that the store does not hold, every fit, score and row-wise output tells: the data's, and the weights'."""

import dask.array as da
import numpy as np
import pytest
import zarr

import dem
from command_line import run
from dem.run.absent_chunks import describe_absent
from dem.run.fit import scan
from dem.source import open_source

N, D = 600, 3
X = np.random.default_rng(0).normal(size=(N, D)) + 4 * np.repeat([[0], [1]], N // 2, axis=0)
FILLED = "not in the store, and read as the fill value"
HOW = "(to refuse such chunks: --missing-chunks error, or dem.open_source(..., missing_chunks='error'))"
DATA = f"2 chunks of x.zarr are {FILLED}; the first is chunk c/1/0 (rows 100 to 199) of x.zarr {HOW}"
WEIGHTS = f"1 chunk of w.zarr is {FILLED}; the first is chunk c/2 (rows 400 to 599) of w.zarr {HOW}"
REFUSED = r"does not hold chunk c/1/0 \(rows 100 to 199\) of x.zarr"
LAZY = (
    r"^some chunks of x.zarr are not in the store, and read as the fill value "
    r"\(to refuse such chunks: dem.open_source\(..., missing_chunks='error'\)\)$"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Data that lack two chunks of six, weights that lack one of three, and whole ones; a model of each kind."""
    folder = tmp_path_factory.mktemp("absent")
    x = zarr.create_array(folder / "x.zarr", shape=X.shape, chunks=(100, D), dtype="f8")
    for first in (0, 200, 300, 500):
        x[first : first + 100] = X[first : first + 100]
    w = zarr.create_array(folder / "w.zarr", shape=(N,), chunks=(200,), dtype="f8")
    w[:400] = 2
    zarr.create_array(folder / "whole.zarr", data=X, chunks=(100, D))
    for model in (dem.GaussianMixture(2, covariance_type="diag"), dem.KMeans(2), dem.PPCA(1)):
        model.fit(X).save(folder / f"{type(model).__name__}.zarr")
    return folder


def told(caught):
    return sorted(str(warning.message).partition(" (dem.open_source")[0] for warning in caught)


@pytest.mark.parametrize("model", [dem.GaussianMixture(2, max_iter=2), dem.KMeans(2), dem.PPCA(1), dem.BayesianPCA()])
def test_python_fits_warn_once_of_data_and_of_weights(model, folder):
    with pytest.warns(UserWarning, match=FILLED) as caught:
        model.fit(folder / "x.zarr", sample_weight=folder / "w.zarr")
    missing = [text for text in told(caught) if "not in the store" in text]
    assert missing == [WEIGHTS, DATA]
    model.fit(folder / "whole.zarr")  # says nothing


def test_a_fit_that_goes_on_warns_again(folder, tmp_path):
    def fit(**limits):
        dem.GaussianMixture(2, tol=0, max_iter=4).fit(
            folder / "x.zarr", checkpoint=dem.Checkpoint(tmp_path / "c", **limits)
        )

    with pytest.warns(UserWarning, match="2 chunks of x.zarr"), pytest.raises(dem.Stopped):
        fit(max_passes=2)
    with pytest.warns(UserWarning, match="2 chunks of x.zarr"):
        fit()


@pytest.mark.parametrize("data", [X, da.from_array(X, chunks=(250, D))], ids=["memory", "dask"])
def test_weights_of_data_elsewhere_warn_too(data, folder):
    with pytest.warns(
        UserWarning, match=r"^some chunks of the weights w.zarr are not in the store, and read as the fill value$"
    ):
        found = scan(data, folder / "w.zarr")
    assert found.observed.rows == 800


def test_scores_and_writes_warn(folder, tmp_path):
    model = dem.load(folder / "GaussianMixture.zarr")
    calls = {
        "score": lambda data: model.score(data),
        "bic": lambda data: model.bic(data),
        "label": lambda data: model.write(data, tmp_path / "label.zarr", "label", overwrite=True),
        "filled": lambda data: model.write(data, tmp_path / "filled.zarr", "filled", overwrite=True),
        "latent": lambda data: dem.load(folder / "PPCA.zarr").write(
            data, tmp_path / "l.zarr", "latent", overwrite=True
        ),
        "inertia": lambda data: dem.load(folder / "KMeans.zarr").score(data),
    }
    for call in calls.values():
        with pytest.warns(UserWarning, match=FILLED) as caught:
            call(folder / "x.zarr")
        assert told(caught) == [DATA]
        call(folder / "whole.zarr")
        with pytest.raises(OSError, match=REFUSED):
            call(open_source(folder / "x.zarr", missing_chunks="error"))
    np.testing.assert_array_equal(zarr.open(tmp_path / "filled.zarr")[...], X)  # that of the whole store


def test_lazy_outputs_warn_when_they_are_computed(folder):
    mixture, ppca = dem.load(folder / "GaussianMixture.zarr"), dem.load(folder / "PPCA.zarr")
    calls = (mixture.predict, mixture.predict_proba, mixture.score_samples, mixture.impute, ppca.transform)
    for call in calls:
        lazy = call(folder / "x.zarr")
        with pytest.warns(UserWarning, match=LAZY):
            lazy.compute()
        call(folder / "whole.zarr").compute()
        with pytest.raises(OSError, match=REFUSED):
            call(open_source(folder / "x.zarr", missing_chunks="error")).compute()


COMMANDS = {
    "fit": ("fit", "kmeans", "DATA", "-k", "2", "-o", "OUT"),
    "predict": ("predict", "KMeans.zarr", "DATA", "-o", "OUT"),
    "score": ("predict", "GaussianMixture.zarr", "DATA", "--what", "score", "-o", "OUT"),
    "transform": ("transform", "PPCA.zarr", "DATA", "-o", "OUT"),
    "impute": ("impute", "GaussianMixture.zarr", "DATA", "-o", "OUT"),
    "mean": ("score", "GaussianMixture.zarr", "DATA"),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_commands_have_a_note_and_the_option(command, folder, tmp_path):
    words = [str(folder / word) if word.endswith(".zarr") else word for word in command]
    words = [{"DATA": folder / "x.zarr", "OUT": tmp_path / "out.zarr"}.get(word, word) for word in words]
    refused = run(*words, "--missing-chunks", "error")
    assert refused.exit_code == 1
    assert "does not hold chunk c/1/0 (rows 100 to 199) of x.zarr" in refused.stderr
    result = run(*words)  # a Python warning would be an error
    assert result.exit_code == 0, result.output
    (line,) = [line for line in result.stderr.splitlines() if FILLED in line]
    assert line.startswith(f"warning: {DATA}")


def test_commands_tell_of_weights(folder, tmp_path):
    for words in (("fit", "gmm", folder / "whole.zarr", "-k", "1", "-o", tmp_path / "m.zarr"),
                  ("score", folder / "GaussianMixture.zarr", folder / "whole.zarr")):  # fmt: skip
        result = run(*words, "--weights", folder / "w.zarr")
        assert result.exit_code == 0, result.output
        (line,) = [line for line in result.stderr.splitlines() if "not in the store" in line]
        assert line.startswith(f"warning: {WEIGHTS}")


def test_words():
    assert describe_absent([], open_source(X)) == describe_absent([3], open_source(X)) == []


def test_a_missing_value_that_no_entry_can_equal_needs_not_be_told_twice(folder):
    counts = np.random.default_rng(0).integers(0, 9, (50, 2)).astype("u1")
    model = dem.KMeans(2, missing_value=-999).fit(counts)
    np.testing.assert_array_equal(model.predict(open_source(counts, missing_value=-999)), model.predict(counts))
    with pytest.raises(ValueError, match="was opened without missing_value=3"):
        dem.KMeans(2, missing_value=3).fit(open_source(counts))
