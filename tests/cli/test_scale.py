"""`--scale` on the command line: fitted, saved, shown and used."""

import json

import numpy as np
import pytest
import zarr

import dem
from command_line import done, failed, run
from crosses import mostly_slow

COMMANDS = {
    "gmm": ["gmm", "-k", 2, "--covariance", "spherical"],
    "bgmm": ["bgmm", "-k", 2],
    "kmeans": ["kmeans", "-k", 2],
    "mppca": ["mppca", "-k", 2, "-q", 1],
    "ppca": ["ppca", "-q", 1],
    "bpca": ["bpca", "-q", 1],
    "fa": ["fa", "-q", 1],
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(300, 3)) + 3 * rng.integers(0, 2, (300, 1))) * [1.0, 1e5, 1e-3] + [0.0, 3.0, 35.0]
    path = tmp_path_factory.mktemp("scale") / "x.zarr"
    zarr.save(path, x)
    return path


@mostly_slow("kind", COMMANDS, quick=["kmeans", "ppca"])
def test_fit_show_and_draw(store, tmp_path, kind):
    model = tmp_path / "m.zarr"
    result = run("fit", *kind, store, "--scale", "standard", "-o", model)
    assert result.exit_code == 0, result.output
    assert "differ in spread" not in result.stderr
    fitted = dem.load(model)
    np.testing.assert_allclose(fitted.scale_, zarr.open(store)[:].std(axis=0))
    assert "scale=standard" in done("info", model)
    done("plot", model, "--data", store, "-o", tmp_path / "m.png")
    what = "label" if kind[0] in ("gmm", "bgmm", "kmeans", "mppca") else "latent"
    done("predict" if what == "label" else "transform", model, store, "-o", tmp_path / "rows.zarr")
    np.testing.assert_allclose(zarr.open(tmp_path / "rows.zarr")[:], fitted._rows(store, what).compute(), rtol=1e-12)


def test_the_likelihood_is_that_of_the_data(store, tmp_path):
    """It can be compared with that of a fit without scaling: full covariances give the same."""
    values = []
    for scale in ([], ["--scale", "robust"]):
        words = ["fit", "gmm", "-k", 1, store, *scale, "-o", tmp_path / "m.zarr", "--overwrite", "--json"]
        record = json.loads(done(*words))
        values.append((record["log_likelihood"], record["bic"]))
        assert record["passes"] == 3
    np.testing.assert_allclose(values[1], values[0], rtol=1e-6)


def test_a_warning_where_it_is_missing(store, tmp_path):
    result = run("fit", "kmeans", "-k", 2, store, "-o", tmp_path / "m.zarr")
    assert result.stderr.count("differ in spread by a factor of 1e+08") == 1
    assert "No such option" in failed("fit", "mixture", "-k", 2, "--family", "gamma", store, "--scale", "x", status=2)
