import numpy as np
import pytest
import scipy.stats
from sklearn.decomposition import PCA

from dem.models.latent.closed_form import components_by_bic, components_by_evidence, components_by_share


def spectrum(x):
    return np.linalg.eigvalsh(np.cov(x.T, ddof=0))[::-1]


def rows(rng, n, d, q):
    return rng.normal(size=(n, q)) @ rng.normal(size=(q, d)) + rng.uniform(0.5, 1.5) * rng.normal(size=(n, d))


@pytest.mark.parametrize("shape", [(20, 6, 2), (60, 15, 4), (500, 9, 1), (40, 30, 12), (1000, 5, 4), (9, 2, 1)])
def test_the_evidence_chooses_as_scikit_learn_does(shape, rng):
    for _ in range(5):
        x = rows(rng, *shape)
        assert components_by_evidence(spectrum(x), len(x)) == PCA("mle", svd_solver="full").fit(x).n_components_


def test_bic_is_that_of_the_fitted_gaussians(rng):
    x = rows(rng, 100, 7, 3)
    found = []
    for q in range(1, 7):
        pca = PCA(q, svd_solver="full").fit(x)
        covariance = pca.get_covariance() * (99 / 100)
        log_p = scipy.stats.multivariate_normal(x.mean(axis=0), covariance).logpdf(x).sum()
        # mean, noise, and W up to a rotation
        found.append(-2 * log_p + (7 + 1 + 7 * q - q * (q - 1) / 2) * np.log(100))
    assert components_by_bic(spectrum(x), 100) == 1 + np.argmin(found)


def test_data_in_a_subspace_leave_some_variance_to_the_noise(rng):
    x = rng.normal(size=(50, 3)) @ rng.normal(size=(3, 6))
    values = np.where(np.arange(6) < 3, spectrum(x), 0.0)
    assert components_by_evidence(values, 50) in (1, 2)
    assert components_by_bic(values, 50) in (1, 2)


def test_few_columns_and_equal_variances():
    for values in (np.array([2.0]), np.zeros(3), np.array([1.0, 0.0])):
        assert components_by_evidence(values, 10) == components_by_bic(values, 10) == 1
    assert 1 <= components_by_evidence(np.array([3.0, 3.0, 1.0, 1.0]), 100) <= 3


def test_shares():
    assert components_by_share(0.6, np.array([5.0, 3, 2])) == 2
    assert components_by_share(0.5, np.zeros(3)) == 1
