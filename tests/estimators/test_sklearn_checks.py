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

NEAR_KIN = [
    KMeans(2),
    Mixture(),
    BayesianGaussianMixture(),
    MixturePPCA(),
    MixtureFactorAnalysis(),
    PPCA(),
    PPCA(1),
    BayesianPCA(),
]


@parametrize_with_checks([GaussianMixture(n_init=2), FactorAnalysis(1)])
def test_scikit_learn_check(estimator, check):
    check(estimator)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::dem.SubspaceWarning")  # some of the checks' data have fewer rows than columns
@parametrize_with_checks(NEAR_KIN)
def test_scikit_learn_check_of_near_kin(estimator, check):
    check(estimator)
