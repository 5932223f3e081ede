"""np.seterr(all="raise") in the user's program changes nothing of what dem does."""

import dask
import dask.array as da
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import dem

N, D, K = 120, 4, 3
FAMILIES = ("gaussian", "studentt", "exponential", "gamma", "poisson", "geometric", "bernoulli", "lognormal")
SHORT = {"n_init": 1, "max_iter": 2}


def rows(kind="far"):
    """Return three clusters so far from each other that densities underflow."""
    x = 40.0 * (np.arange(N) % K)[:, None] + np.random.default_rng(0).normal(size=(N, D))
    if kind == "positive":
        return np.exp(x / 20)
    if kind == "counts":
        return np.floor(np.exp(x / 20)) + 1
    return (x > 40).astype(float) if kind == "binary" else x


def models():
    shared = {"n_components": K, **SHORT}
    for covariance_type in ("full", "tied", "diag", "spherical"):
        yield f"gmm {covariance_type}", dem.GaussianMixture(covariance_type=covariance_type, **shared), "far"
        yield f"bgmm {covariance_type}", dem.BayesianGaussianMixture(covariance_type=covariance_type, **shared), "far"
    kinds = {"gaussian": "far", "studentt": "far", "bernoulli": "binary", "poisson": "counts", "geometric": "counts"}
    for family in FAMILIES:
        yield family, dem.Mixture(family=family, **shared), kinds.get(family, "positive")
    yield "map", dem.GaussianMixture(prior="weak", **shared), "far"
    yield "mppca", dem.MixturePPCA(n_factors=1, **shared), "far"
    yield "mfa", dem.MixtureFactorAnalysis(n_factors=1, **shared), "far"
    yield "kmeans", dem.KMeans(K, **SHORT), "far"
    yield "ppca", dem.PPCA(2), "far"
    yield "fa", dem.FactorAnalysis(1), "far"
    yield "bpca", dem.BayesianPCA(max_iter=20), "far"


MODELS = {name: (model, kind) for name, model, kind in models()}
QUICK = {0.0: ("gmm full", "studentt", "mppca", "ppca"), 0.2: ("gmm diag", "poisson", "kmeans", "ppca")}
"""Models that are tried in every run of the tests, by the share of values that is missing."""
CASES = [
    pytest.param(name, missing, marks=[] if name in quick else pytest.mark.slow)
    for missing, quick in QUICK.items()
    for name in MODELS
    if (name, missing) != ("bpca", 0.2)
]


def told(model, x):
    """Return what a model tells of rows, and rows drawn from it."""
    names = ("score", "predict", "predict_proba", "score_samples", "transform", "impute")
    found = [getattr(model, name)(x) for name in names if hasattr(model, name)]
    if hasattr(model, "sample"):
        drawn = model.sample(20)
        found.append(drawn[0] if isinstance(drawn, tuple) else drawn)
    return found


@pytest.mark.parametrize(("name", "missing"), CASES)
def test_an_error_state_that_raises_changes_nothing(name, missing):
    model, kind = MODELS[name]
    x = rows(kind)
    x[np.random.default_rng(1).random(x.shape) < missing] = np.nan
    expected = told(model.fit(x), x)
    with np.errstate(all="raise"):
        found = told(model.fit(x), x)
    for one, other in zip(found, expected, strict=True):
        assert_array_equal(one, other)


def test_nor_in_lazy_rows_whose_threads_raise():
    x = rows()
    model = dem.GaussianMixture(K, **SHORT)
    lazy = da.from_array(x, chunks=(60, D))
    expected = model.fit(lazy).predict_proba(lazy).compute()
    with np.errstate(all="raise"), dask.config.set(scheduler="synchronous"):
        assert_array_equal(model.fit(lazy).predict_proba(lazy).compute(), expected)
        assert np.isfinite(model.sample(50, chunks=10)[0].compute()).all()
        start = dem.GaussianMixture.from_kmeans(dem.KMeans(K, **SHORT).fit(x))
        assert np.isfinite(start.fit(x).means_).all()
