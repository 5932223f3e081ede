"""GaussianMixture beside scikit-learn's, from the same start."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as SklearnMixture

from crosses import cross
from dem import GaussianMixture
from shared import ENDS_AT_MAX_ITER

pytestmark = ENDS_AT_MAX_ITER

K, D = 3, 4
TYPES = pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])


def data(rng, n=600):
    centres = rng.normal(0, 2, (K, D))
    shapes = rng.normal(size=(K, D, D)) + np.eye(D)
    label = rng.integers(K, size=n)
    return centres[label] + np.einsum("nij,nj->ni", shapes[label], rng.normal(size=(n, D)))


def begin(kind, x):
    """Return the settings of a start that both have."""
    shapes = {
        "full": np.array([np.eye(D)] * K),
        "tied": np.eye(D),
        "diag": np.ones((K, D)),
        "spherical": np.ones(K),
    }
    return {
        "covariance_type": kind,
        "weights_init": np.array([0.5, 0.3, 0.2]),
        "means_init": x[:K],
        "precisions_init": 0.3 * shapes[kind],
        "reg_covar": 1e-6,
    }


def sklearn_fit(x, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return SklearnMixture(K, **settings).fit(x)


def assert_alike(ours, theirs):
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        a, b = getattr(ours, name), getattr(theirs, name)
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * np.abs(b).max(), err_msg=name)


@cross(
    "kind, max_iter, weighted, reg_covar",
    ["full", "tied", "diag", "spherical"],
    range(1, 7),
    {"plain": False, "weighted": True},
    [0.0, 1e-2],
)
def test_iteration_by_iteration(kind, max_iter, weighted, reg_covar, rng):
    """Weights of the rows against rows repeated so often: scikit-learn's mixture has no sample_weight."""
    x = data(rng)
    weight = rng.integers(0, 4, len(x)) if weighted else np.ones(len(x), int)
    settings = {**begin(kind, x), "max_iter": max_iter, "tol": 0.0, "reg_covar": reg_covar}
    repeated = np.repeat(x, weight, axis=0)
    theirs = sklearn_fit(repeated, **settings)
    ours = GaussianMixture(K, **settings).fit(x, sample_weight=weight if weighted else None)
    assert_alike(ours, theirs)
    assert ours.n_iter_ == theirs.n_iter_ == max_iter
    assert ours.n_passes_ == max_iter + 2
    assert ours.converged_ is theirs.converged_ is False
    assert ours.stop_reason_ == "max_iter"
    np.testing.assert_allclose(ours.lower_bounds_[:-1], theirs.lower_bounds_, rtol=1e-11)
    assert ours.lower_bound_ == pytest.approx(theirs.score(repeated), rel=1e-11)
    assert ours.score(x, sample_weight=weight) == pytest.approx(theirs.score(repeated), rel=1e-11)


@TYPES
def test_row_wise_outputs(kind, rng):
    x = data(rng)
    ours = GaussianMixture(K, **begin(kind, x), max_iter=4, tol=0).fit(x)
    theirs = sklearn_fit(x, **begin(kind, x), max_iter=4, tol=0)
    np.testing.assert_array_equal(ours.predict(x), theirs.predict(x))
    assert ours.predict(x).dtype == np.int64
    np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), atol=1e-10)
    np.testing.assert_allclose(ours.score_samples(x), theirs.score_samples(x), rtol=1e-10)
    again = GaussianMixture(K, **begin(kind, x), max_iter=4, tol=0)
    np.testing.assert_array_equal(again.fit_predict(x), ours.predict(x))


@TYPES
def test_information_criteria(kind, rng):
    x = data(rng)
    ours = GaussianMixture(K, **begin(kind, x), max_iter=3, tol=0).fit(x)
    theirs = sklearn_fit(x, **begin(kind, x), max_iter=3, tol=0)
    assert ours.bic(x) == pytest.approx(theirs.bic(x), rel=1e-11)
    assert ours.aic(x) == pytest.approx(theirs.aic(x), rel=1e-11)
    likelihood = theirs.score(x) * len(x)
    by_hand = -2 * likelihood + 2 * theirs._n_parameters() * np.log(np.log(len(x)))
    assert ours.hqic(x) == pytest.approx(by_hand, rel=1e-11)


@TYPES
def test_convergence_of_both(kind, rng):
    """Ours may stop when the objective rises by less than tol, one pass before scikit-learn's lagging bound.

    It goes on until also less than tol is left to gain.
    """
    x = data(rng)
    ours = GaussianMixture(K, **begin(kind, x), tol=1e-4, max_iter=500).fit(x)
    theirs = sklearn_fit(x, **begin(kind, x), tol=1e-4, max_iter=500)
    assert ours.converged_
    assert theirs.converged_
    assert ours.stop_reason_ == "converged"
    small = np.flatnonzero(np.diff(ours.lower_bounds_) < 1e-4)
    assert small[0] + 1 == theirs.n_iter_ - 1
    assert ours.lower_bounds_[small[0] + 1] == pytest.approx(theirs.lower_bound_, rel=1e-11)
    assert (ours.remaining_gain_ or 0) < 1e-4


@TYPES
def test_to_sklearn(kind, rng):
    x = data(rng)
    ours = GaussianMixture(K, covariance_type=kind, random_state=3, max_iter=20).fit(x)
    theirs = ours.to_sklearn()
    assert type(theirs) is SklearnMixture
    asked = {**ours.get_params(), "reg_covar": theirs.reg_covar}  # its default is a number
    assert theirs.get_params().items() <= asked.items()
    theirs._validate_params()
    np.testing.assert_array_equal(theirs.predict(x), ours.predict(x))
    np.testing.assert_allclose(theirs.score_samples(x), ours.score_samples(x), rtol=1e-10)
    assert theirs.bic(x) == pytest.approx(ours.bic(x), rel=1e-10)
    assert theirs.n_features_in_ == D
    assert theirs.sample(5)[0].shape == (5, D)
    for name in ("converged_", "n_iter_", "lower_bound_"):
        assert getattr(theirs, name) == getattr(ours, name)


@TYPES
def test_attributes_are_those_of_scikit_learn_and_more(kind, rng):
    x = data(rng)
    ours = GaussianMixture(K, **begin(kind, x)).fit(x)
    theirs = sklearn_fit(x, **begin(kind, x))
    public = {name for name in vars(theirs) if name.endswith("_") and not name.startswith("_")}
    assert {name for name in public if not hasattr(ours, name)} == set()
    for name in public:
        assert np.shape(getattr(ours, name)) == np.shape(getattr(theirs, name)) or name == "lower_bounds_"
    for name in ("n_passes_", "stop_reason_", "history_", "source_"):
        assert hasattr(ours, name)
    assert set(theirs.get_params()) <= set(ours.get_params())
    assert len(ours.history_) == len(ours.lower_bounds_) == ours.n_iter_ + 1 == ours.n_passes_ - 1
    assert [h["log_likelihood"] for h in ours.history_] == ours.lower_bounds_
    assert ours.source_["shape"] == [len(x), D]
