"""dem.BayesianGaussianMixture beside scikit-learn's, and PRML's example."""

import warnings

import numpy as np
import pytest
import zarr
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import BayesianGaussianMixture as SklearnMixture

import dem
import laws
from crosses import cross
from dem import BayesianGaussianMixture
from dem.cli.commands.demo import OLD_FAITHFUL
from shared import ENDS_AT_MAX_ITER

X = laws.data()
K = 5
BOTH = cross("kind, mixing", ["full", "tied", "diag", "spherical"], ["dirichlet_process", "dirichlet_distribution"])
SHARED = (
    "weights_",
    "means_",
    "covariances_",
    "precisions_",
    "precisions_cholesky_",
    "weight_concentration_",
    "weight_concentration_prior_",
    "mean_precision_",
    "mean_precision_prior_",
    "mean_prior_",
    "degrees_of_freedom_",
    "degrees_of_freedom_prior_",
    "covariance_prior_",
)


def fitted(kind="full", mixing="dirichlet_process", **settings):
    settings = {"tol": 1e-6, "max_iter": 300, "n_init": 2, "reg_covar": 1e-6, **settings}
    return BayesianGaussianMixture(K, covariance_type=kind, weight_concentration_prior_type=mixing, **settings)


def optimum_of_sklearn(ours, x):
    """Return scikit-learn's mixture, run on from the responsibilities of ours until it settles."""
    names = set(SklearnMixture().get_params())
    settings = {name: value for name, value in ours.get_params(deep=False).items() if name in names}
    other = SklearnMixture(**{**settings, "warm_start": True, "tol": 1e-9})
    other._check_parameters(x)
    other._initialize(x, ours.predict_proba(x))
    other._set_parameters(other._get_parameters())
    other.converged_, other.lower_bound_ = False, -np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return other.fit(x)


@BOTH
def test_the_optimum_is_scikit_learns(kind, mixing):
    ours = fitted(kind, mixing, tol=1e-13, max_iter=2000).fit(X)
    assert ours.stop_reason_ == "converged" or abs(np.diff(ours.lower_bounds_[-2:])[0]) < 1e-12
    theirs = optimum_of_sklearn(ours, X)
    for name in SHARED:
        a, b = np.asarray(getattr(ours, name)), np.asarray(getattr(theirs, name))
        assert a.shape == b.shape, name
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4 * np.abs(b).max(), err_msg=name)


@ENDS_AT_MAX_ITER
@BOTH
def test_rows_as_scikit_learn_computes_them(kind, mixing):
    ours = fitted(kind, mixing, max_iter=5).fit(X)
    theirs = ours.to_sklearn()
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-12)
    np.testing.assert_allclose(ours.score_samples(X), theirs.score_samples(X), rtol=1e-12)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    np.testing.assert_allclose(ours.weights_, theirs.weights_)
    assert type(ours.weight_concentration_) is type(theirs.weight_concentration_)


@ENDS_AT_MAX_ITER
@BOTH
def test_saved_and_loaded_it_says_the_same(kind, mixing, tmp_path):
    ours = fitted(kind, mixing, max_iter=3, covariance_prior=2.0 if kind == "spherical" else None).fit(X)
    ours.save(tmp_path / "model")
    again = dem.load(tmp_path / "model")
    assert isinstance(again, BayesianGaussianMixture)
    for name in (*SHARED, "effective_counts_", "lower_bound_", "n_components_used_"):
        np.testing.assert_array_equal(getattr(again, name), getattr(ours, name), err_msg=name)
    np.testing.assert_array_equal(again.score_samples(X), ours.score_samples(X))
    np.testing.assert_array_equal(again.sample(5)[0], ours.sample(5)[0])
    assert again.warm_start is False
    assert again.set_params(warm_start=True, max_iter=1).fit(X).lower_bounds_[0] >= ours.lower_bound_ - 1e-5


def test_weights_of_rows_are_rows_repeated():
    """scikit-learn's mixture has no sample_weight; ours counts."""
    x = X + 50.0 * (np.arange(len(X)) % 2)[:, None]  # two groups, which ten starts find
    weight = np.arange(len(X)) % 3
    ours = fitted(n_init=10).set_params(n_components=2).fit(x, sample_weight=weight.astype(float))
    repeated = fitted(n_init=10).set_params(n_components=2).fit(np.repeat(x, weight, axis=0))
    assert abs(ours.lower_bound_ - repeated.lower_bound_) < 1e-9
    for name in ("mean_prior_", "covariance_prior_"):
        np.testing.assert_allclose(getattr(ours, name), getattr(repeated, name), rtol=1e-12)
    order, other = np.argsort(ours.means_[:, 0]), np.argsort(repeated.means_[:, 0])
    np.testing.assert_allclose(ours.means_[order], repeated.means_[other], rtol=1e-6)


def test_the_history_has_a_bound_that_never_falls():
    ours = fitted("full", reg_covar=0.0, sample_size=50).fit(X)
    assert [record["log_likelihood"] for record in ours.history_] == [None] * len(ours.history_)
    bounds = [value for r in ours.history_ for value in (r["objective"], r["elbo_m"]) if value is not None]
    assert len(bounds) > 3
    assert (np.diff(bounds) >= -1e-12).all()
    assert all(record["kl"] >= -1e-12 for record in ours.history_[:-1])
    assert ours.lower_bound_ == ours.history_[-1]["objective"]


def test_old_faithful_keeps_two_of_six_components():
    """PRML figure 10.6: K = 6 and alpha_0 = 1e-3 on the standardised eruptions; four components end at their prior."""
    x = np.asarray(zarr.open_array(OLD_FAITHFUL, mode="r")[:], float)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    ours = BayesianGaussianMixture(
        6,
        weight_concentration_prior_type="dirichlet_distribution",
        weight_concentration_prior=1e-3,
        tol=1e-9,
        max_iter=1000,
    ).fit(x)
    kept = np.sort(ours.weights_)[::-1]
    assert ours.n_components_used_ == 2
    assert kept[2] < 1e-5
    np.testing.assert_allclose(kept[:2], [0.64, 0.36], atol=0.02)  # long eruptions and short ones
    empty = ours.weights_ < 1e-5
    np.testing.assert_allclose(ours.means_[empty], np.zeros((4, 2)), atol=1e-9)
    np.testing.assert_allclose(ours.mean_precision_[empty], 1.0, atol=1e-9)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"weight_concentration_prior": 0.0}, "weight_concentration_prior must be a number > 0"),
        ({"mean_precision_prior": -1.0}, "mean_precision_prior must be a number >= 0"),
        ({"degrees_of_freedom_prior": 2.0}, "degrees_of_freedom_prior should be greater than 2 for 3 columns"),
        ({"mean_prior": [0.0, 1.0]}, r"mean_prior should have the shape \(3,\), but got \(2,\)"),
        ({"covariance_prior": np.eye(2)}, r"covariance_prior should have the shape \(3, 3\), but got \(2, 2\)"),
        ({"covariance_prior": -np.eye(3)}, "covariance_prior should be positive definite"),
        ({"covariance_type": "spherical", "covariance_prior": 0.0}, "covariance_prior should be positive definite"),
        ({"weight_concentration_prior_type": "chinese"}, "must be one of dirichlet_process, dirichlet_distribution"),
        ({"covariance_type": "round"}, "covariance_type must be one of"),
    ],
)
def test_settings_of_no_sense_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        BayesianGaussianMixture(2, **settings).fit(X)


def test_fewer_rows_than_columns_have_a_prior_by_reg_covar():
    """Their covariance is singular, so reg_covar is added to it; without any, one sentence says what to do."""
    x = np.random.default_rng(0).normal(size=(8, 12))
    ours = BayesianGaussianMixture().fit(x)
    np.testing.assert_allclose(ours.covariance_prior_, np.cov(x.T) + 1e-6 * np.diag(x.var(axis=0)), atol=1e-14)
    assert np.isfinite(ours.score_samples(x)).all()
    for constant in (x, np.ones((8, 2))):
        with pytest.raises(ValueError, match=r"covariance of the data is singular.*or covariance_prior"):
            BayesianGaussianMixture(reg_covar=0.0).fit(constant)


def test_given_priors_are_used():
    prior = {
        "mean_prior": [1.0, 2.0, 3.0],
        "mean_precision_prior": 2.0,
        "degrees_of_freedom_prior": 7.5,
        "covariance_prior": 2 * np.eye(3),
        "weight_concentration_prior": 0.25,
    }
    ours = fitted(**prior).fit(X)
    for name, value in prior.items():
        np.testing.assert_array_equal(getattr(ours, f"{name}_"), value)
    np.testing.assert_allclose(ours.mean_precision_, 2.0 + ours.effective_counts_, rtol=0.05)
    np.testing.assert_allclose(ours.degrees_of_freedom_ - ours.mean_precision_, 5.5)


@ENDS_AT_MAX_ITER
def test_a_fit_broken_off_goes_on_with_the_same_bits(tmp_path):
    path = tmp_path / "x.zarr"
    array = zarr.create_array(path, shape=X.shape, chunks=(100, 3), dtype="float32")
    array[:] = X
    whole = fitted(max_iter=6, tol=0.0, sample_size=50).fit(path)
    with pytest.raises(dem.Stopped):
        fitted(max_iter=6, tol=0.0, sample_size=50).fit(
            path, checkpoint=dem.Checkpoint(tmp_path / "kept", max_passes=4)
        )
    again = fitted(max_iter=6, tol=0.0, sample_size=50).fit(path, checkpoint=tmp_path / "kept")
    assert again.lower_bounds_ == whole.lower_bounds_
    np.testing.assert_array_equal(again.means_, whole.means_)


@pytest.mark.parametrize("seed", range(2))
def test_of_twelve_components_six_clusters_use_six(seed):
    """Whatever tol is; benchmarks/variational.py has larger sets, and all types."""
    rng = np.random.default_rng(seed)
    shapes = np.eye(2) + 0.3 * rng.normal(size=(6, 2, 2))
    label = rng.choice(6, size=20_000, p=[0.3, 0.25, 0.2, 0.1, 0.1, 0.05])
    centres = 9.0 * np.array([[0, 0], [1, 0], [0, 1], [1, 1], [2, 0], [0, 2]])
    x = centres[label] + np.einsum("nij,nj->ni", shapes[label], rng.normal(size=(len(label), 2)))
    ours = BayesianGaussianMixture(12, n_init=2, sample_size=5000).fit(x)
    assert ours.n_components_used_ == 6
    assert (np.diff(ours.lower_bounds_) >= 0).all()
    assert ours.n_passes_ <= 8
