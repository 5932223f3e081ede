"""Normal-Wishart distributions against draws, by SciPy's densities."""

import numpy as np
import pytest
from scipy import stats

import reference
from dem.families import COVARIANCE_TYPES
from dem.models.mixture.normal_wishart import NormalWishart, log_correction

K, D, DRAWS = 3, 2, 5_000
TYPES = pytest.mark.parametrize("kind", COVARIANCE_TYPES)
PRIOR = {
    "full": np.array([[2.0, 0.5], [0.5, 1.0]]),
    "tied": np.array([[2.0, 0.5], [0.5, 1.0]]),
    "diag": np.array([2.0, 1.0]),
    "spherical": np.array(1.5),
}
FOUND = {
    "full": np.array([[[1.0, 0.3], [0.3, 0.5]], [[2.0, 0], [0, 1]], [[1.0, -0.2], [-0.2, 3]]]),
    "tied": np.array([[1.0, 0.3], [0.3, 0.5]]),
    "diag": np.array([[1.0, 0.5], [2, 1], [1, 3]]),
    "spherical": np.array([1.0, 0.5, 2.0]),
}
COUNTS, MEANS = np.array([5.0, 0.0, 20.0]), np.array([[1.0, 2], [9, 9], [-1, 0]])


def posterior(kind):
    family = COVARIANCE_TYPES[kind]()
    prior = NormalWishart(np.array([0.5, -0.5]), 1.5, 3.0, PRIOR[kind], family.factor(PRIOR[kind]))
    return family, prior, *prior.posterior(family, COUNTS, MEANS, FOUND[kind])


def dense(values):
    return {0: lambda v: v * np.eye(D), 1: np.diag, 2: np.asarray}[np.ndim(values)](values)


def distributions(kind):
    """Return of each component the Wishart and the mean of the normal of q, and the prior's."""
    _, _, theta, beta, nu = posterior(kind)
    covariances = reference.dense(theta.covariances, kind, K, theta.means.shape[1]).astype(float)
    nu = np.broadcast_to(nu, K)
    p = stats.wishart(3.0, np.linalg.inv(dense(PRIOR[kind])))
    return p, [(stats.wishart(nu[k], np.linalg.inv(nu[k] * covariances[k])), theta.means[k], beta[k]) for k in range(K)]


def normal_logpdf(mu, mean, precision):
    """Return log N(mu | mean, inv(precision)) for stacks of means and precisions."""
    squares = np.einsum("ni,nij,nj->n", mu - mean, precision, mu - mean)
    return 0.5 * (np.linalg.slogdet(precision)[1] - squares - D * np.log(2 * np.pi))


@pytest.mark.slow
@TYPES
def test_divergence_against_draws(kind, rng):
    family, prior, theta, beta, nu = posterior(kind)
    p, qs = distributions(kind)
    total, variance = 0.0, 0.0
    for q, mean, b in qs:
        precision = q.rvs(DRAWS, random_state=rng)
        root = np.linalg.cholesky(np.linalg.inv(b * precision))
        mu = mean + np.einsum("nij,nj->ni", root, rng.normal(size=(DRAWS, D)))
        stack = np.moveaxis(precision, 0, -1)
        ratio = q.logpdf(stack) - p.logpdf(stack)
        ratio += normal_logpdf(mu, mean, b * precision) - normal_logpdf(mu, prior.mean, 1.5 * precision)
        total, variance = total + ratio.mean(), variance + ratio.var() / DRAWS
    assert abs(total - prior.divergence(family, theta, beta, nu)) < 5 * np.sqrt(variance)


@TYPES
def test_expected_log_density_against_draws(kind, rng):
    family, _, theta, beta, nu = posterior(kind)
    x, out = np.array([0.7, -1.2]), np.empty((K, 1))
    family.log_density(theta, x[:, None], out)
    found = out[:, 0] + log_correction(beta, nu, D)
    for k, (q, mean, b) in enumerate(distributions(kind)[1]):
        precision = q.rvs(DRAWS, random_state=rng)
        root = np.linalg.cholesky(np.linalg.inv(b * precision))
        mu = mean + np.einsum("nij,nj->ni", root, rng.normal(size=(DRAWS, D)))
        logs = normal_logpdf(mu, x, precision)
        assert abs(logs.mean() - found[k]) < 5 * logs.std() / np.sqrt(DRAWS)


@TYPES
def test_without_rows_the_posterior_is_the_prior(kind):
    family, prior, *_ = posterior(kind)
    zeros = np.zeros(K)
    theta, beta, nu = prior.posterior(family, zeros, MEANS, FOUND[kind])
    assert abs(prior.divergence(family, theta, beta, nu)) < 1e-13
    np.testing.assert_array_equal(theta.means, np.tile(prior.mean, (K, 1)))
