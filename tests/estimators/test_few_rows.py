"""Few rows of many columns, as in genetics: no fit makes a matrix of the columns by the columns."""

import tracemalloc

import numpy as np
import pytest

import dem

ROWS, COLUMNS, K = 40, 2500, 4
MOST = 6 * 2**20
"""Bytes; a matrix of the columns by the columns has 50 MB, and the data 0.8 MB."""
SETTINGS = {"n_init": 2, "max_iter": 3, "engine": dem.Engine(workers=1)}


def kinds():
    shared = {"n_components": K, **SETTINGS}
    return {
        "diag": dem.GaussianMixture(covariance_type="diag", **shared),
        "spherical": dem.GaussianMixture(covariance_type="spherical", **shared),
        "poisson": dem.PoissonMixture(**shared),
        "bernoulli": dem.BernoulliMixture(**shared),
        "ppca": dem.MixturePPCA(n_factors=2, **shared),
        "factors": dem.MixtureFactorAnalysis(n_factors=2, **shared),
        "kmeans": dem.KMeans(K, **SETTINGS),
    }


@pytest.mark.parametrize(
    ("kind", "missing"),
    [pytest.param(kind, 0.0, marks=[] if kind == "diag" else pytest.mark.slow) for kind in kinds()]
    + [pytest.param(kind, 0.1, marks=pytest.mark.slow) for kind in ("spherical", "bernoulli")],
)
def test_few_rows_of_many_columns_take_a_few_times_what_they_have(kind, missing):
    rng = np.random.default_rng(0)
    x = 2 * rng.normal(size=(K, COLUMNS))[np.arange(ROWS) % K] + rng.normal(size=(ROWS, COLUMNS))
    if kind == "poisson":
        x = rng.poisson(np.exp(0.5 * x)).astype(float)
    if kind == "bernoulli":
        x = (x > 0).astype(float)
    x[rng.random(x.shape) < missing] = np.nan
    model = kinds()[kind]
    tracemalloc.start()
    model.fit(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * MOST
    assert np.isfinite(model.score(x))
