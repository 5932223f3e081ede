"""scikit-learn's own checks of estimators; none is expected to fail."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from dem import (
    PPCA,
    BayesianGaussianMixture,
    BayesianPCA,
    FactorAnalysis,
    GaussianMixture,
    KMeans,
    Mixture,
    MixtureFactorAnalysis,
    MixturePPCA,
)

MIXTURES = [GaussianMixture(), Mixture(), BayesianGaussianMixture(), MixturePPCA()]


@parametrize_with_checks([*MIXTURES, KMeans(2), PPCA(1), FactorAnalysis(1), BayesianPCA()])
def test_scikit_learn_check(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([MixtureFactorAnalysis(), PPCA()])
def test_scikit_learn_check_of_near_kin(estimator, check):
    check(estimator)
