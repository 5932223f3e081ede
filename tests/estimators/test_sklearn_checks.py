"""scikit-learn's own checks of estimators; none is expected to fail."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from dem import PPCA, BayesianGaussianMixture, GaussianMixture, KMeans


@parametrize_with_checks([GaussianMixture(), BayesianGaussianMixture(), KMeans(2), PPCA(), PPCA(1)])
def test_scikit_learn_check(estimator, check):
    check(estimator)
