"""Wrong settings are refused before anything is read, each in one sentence."""

import dask.array as da
import numpy as np
import pytest

from dem import PPCA, Engine, GaussianMixture

K, D = 3, 2


def unread(*_):
    raise AssertionError("the data were read")


DATA = da.from_array(np.zeros((50, D)), chunks=25).map_blocks(unread, dtype=float, meta=np.empty((0, 0)))
EYE = np.array([np.eye(D)] * K)
INDEFINITE = np.array([np.eye(D), np.eye(D), [[1.0, 2], [2, 1]]])
LOPSIDED = np.array([np.eye(D), np.eye(D), [[1.0, 0.5], [0, 1]]])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_components": 0}, "n_components must be an integer >= 1, got 0"),
        ({"n_components": 2.5}, "n_components must be an integer >= 1, got 2.5"),
        ({"n_components": True}, "n_components must be an integer"),
        ({"n_components": 51}, "50 rows are too few for n_components=51"),
        (
            {"covariance_type": "round"},
            "covariance_type must be one of full, tied, diag, spherical, got 'round'",
        ),
        ({"init_params": "luck"}, "init_params must be one of kmeans, .* got 'luck'"),
        ({"tol": -1e-3}, "tol must be a number >= 0"),
        ({"tol": np.nan}, "tol must be a number >= 0"),
        ({"reg_covar": -1.0}, "reg_covar must be a number >= 0"),
        ({"reg_covar": np.inf}, "reg_covar must be"),
        ({"max_iter": -1}, "max_iter must be an integer >= 0"),
        ({"n_init": 0}, "n_init must be an integer >= 1"),
        ({"sample_size": 0}, "sample_size must be an integer >= 1"),
        ({"verbose_interval": 0, "verbose": 1}, "verbose_interval must be an integer >= 1"),
        ({"verbose": "loud"}, "verbose must be an integer >= 0, got 'loud'"),
        ({"random_state": "luck"}, "random_state must be"),
        ({"engine": Engine(memory="lots")}, "memory must be a size"),
        ({"engine": Engine(workers=0)}, "workers must be an integer >= 1"),
        ({"weights_init": [0.5, 0.5]}, r"weights_init should have the shape \(3,\), but got \(2,\)"),
        ({"weights_init": [0.5, 0.6, -0.1]}, "weights_init should be between 0 and 1"),
        ({"weights_init": [0.5, 0.2, 0.2]}, "weights_init should sum to 1, but got the sum 0.9"),
        ({"means_init": np.zeros((2, D))}, r"means_init should have the shape \(3, 2\)"),
        ({"means_init": np.full((K, D), np.nan)}, "means_init has values that are not finite"),
        ({"precisions_init": EYE[0]}, r"precisions_init should have the shape \(3, 2, 2\)"),
        ({"precisions_init": INDEFINITE}, "precisions_init should be symmetric and positive definite"),
        ({"precisions_init": LOPSIDED}, "precisions_init should be symmetric"),
        ({"precisions_init": -EYE[0], "covariance_type": "tied"}, "precisions_init should be .*positive"),
        (
            {"precisions_init": np.zeros((K, D)), "covariance_type": "diag"},
            "precisions_init should be positive",
        ),
        (
            {"precisions_init": [1.0, -1, 1], "covariance_type": "spherical"},
            "precisions_init should be positive",
        ),
    ],
)
def test_mixture(settings, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixture(**{"n_components": K, **settings}).fit(DATA)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_components": 0}, "n_components must be an integer >= 1, a share"),
        ({"n_components": 1.5}, "n_components must be an integer >= 1, a share"),
        ({"n_components": "most"}, "n_components must be an integer >= 1, a share"),
        ({"n_components": 3}, r"n_components=3 must be between 1 and min\(n_samples, n_features\)=2"),
        ({"solver": "svd"}, "solver must be one of auto, closed_form, em, got 'svd'"),
        ({"tol": -1}, "tol must be a number >= 0"),
        ({"max_iter": -1}, "max_iter must be an integer >= 0"),
        ({"sample_size": 0}, "sample_size must be an integer >= 1"),
    ],
)
def test_ppca(settings, message):
    with pytest.raises(ValueError, match=message):
        PPCA(**settings).fit(DATA)


@pytest.mark.parametrize(
    ("weights", "means", "covariances", "kind", "message"),
    [
        ([1.0], [[0.0, 0]], [[[1.0, 2], [2, 1]]], "full", "positive definite"),
        ([1.0], [[0.0, 0]], [[[1.0, 0.5], [0, 1]]], "full", "symmetric"),
        ([1.0], [[0.0, 0]], [[0.0, 1.0]], "diag", "covariances should be positive"),
        ([1.0], [[0.0, 0]], np.eye(2), "full", r"covariances should have the shape \(1, 2, 2\)"),
        ([0.5, 0.5], [[0.0, 0]], [np.eye(2)], "full", r"weights should have the shape \(1,\)"),
        ([0.9], [[0.0, 0]], [np.eye(2)], "full", "weights should sum to 1"),
        ([1.0], [[0.0, np.inf]], [np.eye(2)], "full", "means has values that are not finite"),
        ([1.0], [[0.0, 0]], [np.eye(2)], "round", "covariance_type must be one of"),
    ],
)
def test_from_parameters(weights, means, covariances, kind, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixture.from_parameters(weights, means, covariances, kind)


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_a_refused_matrix_of_the_user_is_not_said_to_have_collapsed(kind):
    covariances = {
        "full": [[[1.0, 2], [2, 1]]],
        "tied": [[1.0, 2], [2, 1]],
        "diag": [[-1.0, 1]],
        "spherical": [-1.0],
    }
    with pytest.raises(ValueError, match="covariances") as caught:
        GaussianMixture.from_parameters([1.0], [[0.0, 0]], covariances[kind], kind)
    assert "collapsed" not in str(caught.value)


@pytest.mark.parametrize("method", ["kmeans", "k-means++", "random", "random_from_data"])
def test_more_components_than_rows_that_count(method, rng):
    x = rng.normal(size=(50, D))
    weight = np.r_[np.ones(3), np.zeros(47)]
    message = "n_components=5 is more than the 3 distinct rows"
    with pytest.raises(ValueError, match=message):
        GaussianMixture(5, init_params=method).fit(x, sample_weight=weight)
    with pytest.raises(ValueError, match=message):
        GaussianMixture(5, init_params=method).fit(np.repeat(x[:3], 10, axis=0))


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_a_constant_column_works_by_the_regulariser(kind, rng):
    x = np.column_stack([rng.normal(size=200), np.full(200, 3.0)])
    model = GaussianMixture(2, covariance_type=kind).fit(x)
    np.testing.assert_allclose(model.means_[:, 1], 3, rtol=1e-12)
    assert np.isfinite(model.score(x))
    if kind != "spherical":
        with pytest.raises(ValueError, match=r"not positive definite.*larger reg_covar"):
            GaussianMixture(2, covariance_type=kind, reg_covar=0).fit(x)


@pytest.mark.parametrize("sample_size", [1, 5, 8, 20, 30])
def test_a_small_sample_is_no_obstacle(sample_size, rng):
    """As long as it has as many distinct rows as there are components."""
    x = rng.normal(size=(60, D))
    model = GaussianMixture(1, sample_size=sample_size).fit(x)
    np.testing.assert_allclose(model.means_[0], x.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(model.covariances_[0], np.cov(x.T, ddof=0) + 1e-6 * np.diag(x.var(axis=0)), atol=1e-12)


@pytest.mark.parametrize("model", [GaussianMixture(), PPCA(1)], ids=["mixture", "ppca"])
@pytest.mark.parametrize("value", [0, 2.0, "many"])
def test_sample_sizes(model, value, rng):
    model.fit(rng.normal(size=(20, D)))
    with pytest.raises(ValueError, match="n_samples must be an integer >= 1"):
        model.sample(value)
