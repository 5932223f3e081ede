"""Small fitted models of every kind, with rows to draw, for tests of pictures."""

from functools import cache

import numpy as np
import pytest

import dem

LEVELS = (5.0, 20.0, 50.0, 100.0, 200.0, 400.0)


def clusters(k, d, n=600, seed=0):
    """Return n rows of k clusters in d columns."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % k
    return rng.normal(size=(k, d))[labels] * 5 + rng.normal(size=(n, d)) * rng.uniform(0.4, 1.2, (k, d))[labels]


def ocean(n=300, holes=0.0):
    """Return profiles of two variables with places, as a Dataset."""
    xr = pytest.importorskip("xarray")
    rng = np.random.default_rng(3)
    warm = (np.arange(n) % 3)[:, None]
    depth = np.array(LEVELS)
    t = 4 + 8 * warm * np.exp(-depth / 150) + rng.normal(size=(n, len(depth)))
    s = 34 + 0.5 * warm + 0.1 * rng.normal(size=(n, len(depth)))
    t[rng.random(t.shape) < holes] = np.nan
    dims, units = ("profile", "depth"), {"units": "degree_Celsius"}
    return xr.Dataset(
        {"temperature": (dims, t, units), "salinity": (dims, s, {"units": "1"})},
        {
            "depth": depth,
            "latitude": ("profile", 20.0 * warm[:, 0] - 40 + rng.normal(size=n)),
            "longitude": ("profile", rng.uniform(-70, 20, n)),
        },
    )


def codes(d=5, holes=0.0):
    """Return rows of codes 0 to 2 in d columns."""
    rng = np.random.default_rng(1)
    x = rng.integers(0, 3, (300, d)) * (np.arange(300) % 2)[:, None] * 1.0
    x[rng.random(x.shape) < holes] = np.nan
    return x


def gaps(d=4):
    x = clusters(2, d, 200)
    x[np.random.default_rng(2).random(x.shape) < 0.1] = np.nan
    return x


def houses():
    """Return a data frame with names that are long, and columns in large and in small units."""
    pd = pytest.importorskip("pandas")
    x = clusters(3, 4, 300) * [1, 1e4, 1e-5, 30] + [0, 3e5, 0, 0]
    return pd.DataFrame(x, columns=["rooms", "median_house_value_in_the_whole_block", "crime", "age_of_house"])


def mixed():
    rng = np.random.default_rng(4)
    z = np.arange(400) % 2
    return np.c_[rng.gamma(2 + 5 * z), rng.poisson(3 + 9 * z), rng.integers(0, 2 + z), rng.normal(size=400)]


def directions():
    x = np.random.default_rng(5).normal(size=(300, 3)) * 0.3 + np.eye(3)[np.arange(300) % 2]
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def shares_of_a_total():
    p = np.array([[0.5, 0.3, 0.2], [0.1, 0.3, 0.6]])
    return np.random.default_rng(6).multinomial(30, p[np.arange(300) % 2]).astype(float)


QUICK = {"n_init": 1}
MIXED = {0: "gamma", 1: "poisson", 2: "categorical", 3: "gaussian"}
IN_SAMPLE_DIMS = {"sample_dims": "profile"}

MODELS = {
    "2 components": lambda: (dem.GaussianMixture(2, **QUICK), clusters(2, 2)),
    "10 components": lambda: (dem.GaussianMixture(10, **QUICK), clusters(10, 4)),
    "25 components": lambda: (dem.GaussianMixture(25, covariance_type="diag", **QUICK), clusters(25, 3, 2000)),
    "one column": lambda: (dem.GaussianMixture(3, covariance_type="spherical", **QUICK), clusters(3, 1)),
    "named columns": lambda: (dem.GaussianMixture(3, covariance_type="tied", **QUICK), houses()),
    "gaps": lambda: (dem.GaussianMixture(2, **QUICK), gaps()),
    "Bayesian": lambda: (dem.BayesianGaussianMixture(5, **QUICK), clusters(2, 3)),
    "profiles": lambda: (dem.GaussianMixture(3, covariance_type="diag", **QUICK), ocean(holes=0.05), IN_SAMPLE_DIMS),
    "MixturePPCA": lambda: (dem.MixturePPCA(2, n_factors=1, **QUICK), ocean(), IN_SAMPLE_DIMS),
    "MixtureFactorAnalysis": lambda: (dem.MixtureFactorAnalysis(2, n_factors=1, **QUICK), clusters(2, 4)),
    "Student's t": lambda: (dem.Mixture(2, family="studentt", **QUICK), clusters(2, 2)),
    "Poisson": lambda: (dem.PoissonMixture(2, **QUICK), np.round(np.abs(clusters(2, 2)))),
    "Bernoulli": lambda: (dem.BernoulliMixture(2, **QUICK), np.minimum(codes(), 1)),
    "10 Bernoulli": lambda: (dem.BernoulliMixture(10, **QUICK), np.minimum(codes(30), 1)),
    "categorical": lambda: (dem.CategoricalMixture(3, **QUICK), codes(holes=0.05)),
    "product": lambda: (dem.Mixture(2, family=MIXED, **QUICK), mixed()),
    "multinomial": lambda: (dem.Mixture(2, family="multinomial", **QUICK), shares_of_a_total()),
    "von Mises-Fisher": lambda: (dem.Mixture(2, family="vonmisesfisher", **QUICK), directions()),
    "K-means, one column": lambda: (dem.KMeans(3), clusters(3, 1)),
    "K-means, two columns": lambda: (dem.KMeans(2), clusters(2, 2)),
    "K-means of 2": lambda: (dem.KMeans(2), clusters(2, 5)),
    "K-means of 10": lambda: (dem.KMeans(10), clusters(10, 5)),
    "K-means of 25": lambda: (dem.KMeans(25), clusters(25, 6, 2000)),
    "K-means of profiles": lambda: (dem.KMeans(3, scale="variable"), ocean(holes=0.05), IN_SAMPLE_DIMS),
    "PPCA": lambda: (dem.PPCA(2), clusters(3, 6)),
    "PPCA, gaps": lambda: (dem.PPCA(2), gaps(6)),
    "PPCA of one": lambda: (dem.PPCA(1), clusters(3, 6)),
    "PPCA of profiles": lambda: (dem.PPCA(3, scale="variable"), ocean(holes=0.05), IN_SAMPLE_DIMS),
    "BayesianPCA": lambda: (dem.BayesianPCA(), clusters(3, 12)),
    "FactorAnalysis": lambda: (dem.FactorAnalysis(2), clusters(4, 40)),
    "FactorAnalysis, names": lambda: (dem.FactorAnalysis(1), houses()),
}
"""What makes each model and its rows, and how these are fitted."""


@cache
def fitted(name):
    """Return a fitted model, and the rows that it was fitted to."""
    model, rows, *settings = MODELS[name]()
    return model.fit(rows, **(settings[0] if settings else {})), rows
