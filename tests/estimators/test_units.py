"""A fit does not depend on the units of the columns, where the model does not."""

import re
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

import dem
from crosses import cross, mostly_slow
from dem.estimators.summary import reg_covar_text
from dem.families import Gamma, Gaussian, StudentT
from shared import ENDS_AT_MAX_ITER, UNLIKE_SPREADS

pytestmark = UNLIKE_SPREADS

D = 3


def clusters(seed=0, n=120):
    """Return the rows of three correlated clusters that overlap a little (n, D), in equal units."""
    rng = np.random.default_rng(seed)
    centres = np.array([[0.0, 0, 0], [5, 1, -2], [-2, 4, 3]])
    shapes = 0.4 * rng.normal(size=(3, D, D)) + np.eye(D)
    label = np.arange(n) % 3
    return centres[label] + np.einsum("nij,nj->ni", shapes[label], rng.normal(size=(n, D)))


def mixtures():
    settings = {"n_init": 1, "tol": 1e-6, "max_iter": 20}
    return {
        "full": dem.GaussianMixture(3, **settings),
        "tied": dem.GaussianMixture(3, covariance_type="tied", **settings),
        "diag": dem.GaussianMixture(3, covariance_type="diag", **settings),
        "studentt": dem.Mixture(3, family=StudentT("full", 5.0), **settings),
        "studentt-diag": dem.Mixture(3, family=StudentT("diag", 5.0), **settings),
        "bayesian": dem.BayesianGaussianMixture(3, **settings),
    }


@cache
def in_equal_units(name):
    """Return the fit of the rows as they are."""
    return mixtures()[name].fit(clusters())


NAMES = mostly_slow("name", list(mixtures()), quick=["full", "studentt-diag"])
SPREADS = st.lists(st.floats(-8, 8), min_size=D, max_size=D).map(lambda e: 10.0 ** np.array(e))


def assert_same_clusters(ours, theirs):
    """Check that two labellings are the same but for the clusters' numbers, which last bits may change."""
    assert adjusted_rand_score(ours, theirs) == 1


def assert_same_fit(ours, theirs, x, units):
    """Check a fit of x * units against that of x: densities differ by the units' Jacobian, that of what is observed."""
    jacobian = ~np.isnan(x) @ np.log(units)
    np.testing.assert_allclose(ours.score_samples(x * units) + jacobian, theirs.score_samples(x), rtol=0, atol=1e-5)
    assert_same_clusters(ours.predict(x * units), theirs.predict(x))
    assert ours.score(x * units) + jacobian.mean() == pytest.approx(theirs.score(x), abs=1e-6)


@ENDS_AT_MAX_ITER
@mostly_slow("name", list(mixtures()), quick=["diag"])
@given(units=SPREADS)
def test_units_of_columns_change_nothing(name, units):
    x = clusters()
    assert_same_fit(mixtures()[name].fit(x * units), in_equal_units(name), x, units)


@ENDS_AT_MAX_ITER
@NAMES
def test_nor_where_values_are_missing(name):
    x, units = clusters(), np.array([1e-8, 1.0, 1e8])
    x[np.random.default_rng(1).random(x.shape) < 0.15] = np.nan
    x = x[~np.isnan(x).all(axis=1)]
    assert_same_fit(mixtures()[name].fit(x * units), mixtures()[name].fit(x), x, units)


@ENDS_AT_MAX_ITER
@cross(
    "model, unit",
    {
        "spherical": dem.GaussianMixture(3, n_init=2, covariance_type="spherical"),
        "bayesian-spherical": dem.BayesianGaussianMixture(3, n_init=2, covariance_type="spherical"),
        "mppca": dem.MixturePPCA(3, n_init=2),
        "kmeans": dem.KMeans(3),
    },
    [1e-8, 1e-4, 1e8],
    one_in=4,
)
def test_one_common_unit_changes_nothing(model, unit):
    x = clusters()
    labels = model.fit(x).predict(x)
    assert_same_clusters(model.fit(x * unit).predict(x * unit), labels)


def spherical_log_likelihood(model, x):
    """Return the mean of log p(x) of spherical components, in long double."""
    x, means, variances, weights = (
        np.asarray(a, np.longdouble) for a in (x, model.means_, model.covariances_, model.weights_)
    )
    squares = ((x[:, None] - means) ** 2).sum(axis=2)
    d = np.longdouble(x.shape[1])
    terms = np.log(weights) - (d * np.log(2 * np.pi * variances) + squares / variances) / 2
    top = terms.max(axis=1)
    return float((top + np.log(np.exp(terms - top[:, None]).sum(axis=1))).mean())


@pytest.mark.slow
@ENDS_AT_MAX_ITER
@given(units=SPREADS)
def test_spherical_components_of_columns_in_any_units(units):
    """They depend on the units by nature: what is reported is that of the parameters kept."""
    x = clusters() * units
    model = dem.GaussianMixture(3, covariance_type="spherical", n_init=1, max_iter=20).fit(x)
    expected = spherical_log_likelihood(model, x)
    assert model.score(x) == pytest.approx(expected, rel=1e-11, abs=1e-11)
    assert model.lower_bound_ == pytest.approx(expected, rel=1e-11, abs=1e-11)


@ENDS_AT_MAX_ITER
@given(units=SPREADS)
def test_clusters_of_columns_in_any_units(units):
    x = clusters() * units
    model = dem.KMeans(3, n_init=1, max_iter=20).fit(x)
    squares = ((x[:, None].astype(np.longdouble) - model.cluster_centers_) ** 2).sum(axis=2)
    assert model.inertia_ == pytest.approx(float(squares.min(axis=1).sum()), rel=1e-11)
    np.testing.assert_array_equal(model.predict(x), squares.argmin(axis=1))


def test_the_default_is_kept_in_the_model(tmp_path):
    x = clusters() * [1e-3, 1, 1e4]
    model = dem.GaussianMixture(2, n_init=1).fit(x)
    np.testing.assert_allclose(model.reg_covar_, 1e-6 * x.var(axis=0))
    model.save(tmp_path / "m.zarr")
    np.testing.assert_array_equal(dem.load(tmp_path / "m.zarr").reg_covar_, model.reg_covar_)
    assert dem.GaussianMixture(2, reg_covar=1e-3, n_init=1).fit(x).reg_covar_ == 1e-3
    spherical = dem.GaussianMixture(2, covariance_type="spherical", n_init=1).fit(x)
    assert spherical.reg_covar_ == pytest.approx(1e-6 * x.var(axis=0).mean())
    spherical.save(tmp_path / "s.zarr")
    assert isinstance(dem.load(tmp_path / "s.zarr").reg_covar_, float)
    narrow = np.sort(x.var(axis=0))[:-1]  # one factor can explain the widest column
    assert dem.MixturePPCA(2, n_init=1).fit(x).reg_covar_ == pytest.approx(1e-6 * narrow.mean())


@pytest.mark.slow
def test_what_was_used_is_told(tmp_path):
    x = np.abs(clusters()) + 1
    spherical = dem.GaussianMixture(2, n_init=2, covariance_type="spherical", reg_covar=0.25).fit(x)
    assert reg_covar_text(spherical) == "0.25"
    product = {0: Gaussian("diag"), 1: Gamma(), 2: StudentT(reg_covar=1e-3)}
    for family, words in {
        "studentt": r"\S+ to \S+, from the columns' variances",
        "gamma": None,
        "lognormal": None,
        tuple(product): r"\S+, from the columns' variances; 0.001",
    }.items():
        model = dem.Mixture(2, family=product if isinstance(family, tuple) else family, n_init=2).fit(x)
        model.save(tmp_path / "m.zarr", overwrite=True)
        for one in (model, dem.load(tmp_path / "m.zarr")):
            told = reg_covar_text(one)
            assert told is None if words is None else re.fullmatch(words, told)


def test_a_loaded_mixture_is_fitted_to_other_data(tmp_path):
    """Its default of `reg_covar` was that of the first data."""
    x = clusters()
    dem.Mixture(2, family="studentt", n_init=1).fit(x * 1e6).save(tmp_path / "m.zarr")
    again = dem.load(tmp_path / "m.zarr").fit(x[:, :2])
    np.testing.assert_allclose(
        again.lower_bound_, dem.Mixture(2, family="studentt", n_init=1).fit(x[:, :2]).lower_bound_, rtol=1e-12
    )
