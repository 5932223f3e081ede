"""scikit-learn's own checks of estimators; none is expected to fail."""

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

MIXTURES = [GaussianMixture(), Mixture(), BayesianGaussianMixture(), MixtureFactorAnalysis(), MixturePPCA()]


@parametrize_with_checks([*MIXTURES, KMeans(2), PPCA(), PPCA(1), FactorAnalysis(1), BayesianPCA()])
def test_scikit_learn_check(estimator, check):
    check(estimator)
