"""scikit-learn's own checks of estimators; none is expected to fail."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from dem import PPCA, BayesianPCA, FactorAnalysis, GaussianMixture


@parametrize_with_checks([GaussianMixture(), PPCA(), PPCA(1), FactorAnalysis(1), BayesianPCA()])
def test_scikit_learn_check(estimator, check):
    check(estimator)
