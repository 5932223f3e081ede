"""What settings with several values stand for."""

import numpy as np
import pytest

import dem
from dem.selection.grid import candidates_of, chosen_criterion


def test_settings_are_crossed():
    found = candidates_of(dem.GaussianMixture(tol=0.1), {"n_components": np.arange(1, 3), "covariance_type": "diag"})
    assert list(found) == ["n_components=1", "n_components=2"]
    assert [entry.estimator.n_components for entry in found.values()] == [1, 2]
    assert {entry.estimator.tol for entry in found.values()} == {0.1}
    numbers = candidates_of(dem.GaussianMixture(), {"n_components": [np.int64(2), np.int32(3)], "tol": np.float64(0.5)})
    for entry in (*found.values(), *numbers.values()):
        assert type(entry.estimator.n_components) is int
        assert type(entry.estimator.tol) is float


def test_arrays_are_named_by_their_numbers():
    large = np.zeros((2, 3000))
    found = candidates_of(dem.KMeans(2), {"init": [large, large + np.eye(2, 3000, k=1500)]})
    assert list(found) == ["init=array 1", "init=array 2"]
    with pytest.raises(ValueError, match=r"init is one array of shape \(2, 3000\)"):
        candidates_of(dem.KMeans(2), {"init": large})


@pytest.mark.parametrize(
    ("estimator", "default"),
    [
        (dem.GaussianMixture(), "bic"),
        (dem.KMeans(), "bic"),
        (dem.BayesianGaussianMixture(), "bound"),
        (dem.PPCA(), "bic"),
    ],
)
def test_the_default_criterion(estimator, default):
    assert chosen_criterion(estimator, None) == default


def test_icl_is_of_mixtures():
    with pytest.raises(ValueError, match="PPCA has no criterion 'icl'"):
        chosen_criterion(dem.PPCA(), "icl")
