"""Fits of Gaussians to rows with missing values, against published maxima and direct maximisation by SciPy."""

import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from dem.core.block import Block
from dem.em import loop
from dem.em.seeding import Seeding
from dem.families import FullGaussian, TiedGaussian
from dem.models.mixture.mixture import MixtureModel
from laws import begin, bind, run
from shared import CSV

FAMILIES = {"full": FullGaussian(), "tied": TiedGaussian()}
KINDS = pytest.mark.parametrize("kind", FAMILIES)


def log_likelihood(x, mean, covariance):
    """Return the observed rows' log-likelihood by SciPy, row by row."""
    total = 0.0
    for row in x:
        o = ~np.isnan(row)
        if o.any():
            total += scipy.stats.multivariate_normal.logpdf(row[o], mean[o], covariance[np.ix_(o, o)])
    return total


def fitted(x, kind="full", k=1, **settings):
    model = bind(MixtureModel(k, FAMILIES[kind], Seeding("kmeans")), x)
    return loop.fit(model, begin(model, x), loop.OneBlock(Block(x)), tol=0, max_iter=20_000, **settings)


PUBLISHED = {
    # R's mvnmle 0.1-11.2 by quasi-Newton steps, as the tests of pymvnmle give it: log-likelihood without the terms in
    # log 2 pi, means, variances.
    "apple": (-74.217476133, [14.7222656, 49.3332484], [89.5341497, 114.6947003]),
    "missvals": (
        -86.978323785,
        [6.6551660, 49.9652580, 11.7692305, 27.0470905, 95.4230768],
        [21.8255688, 238.0124105, 37.8698245, 294.1830327, 208.9048713],
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_maxima(name):
    path = CSV / f"{name}.csv"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    x = np.genfromtxt(path, delimiter=",", skip_header=1)
    value, means, variances = PUBLISHED[name]
    state = fitted(x)
    theta = state.params.theta
    value -= (~np.isnan(x)).sum() * np.log(2 * np.pi) / 2
    assert state.objective * len(x) == pytest.approx(value, abs=2e-8)
    np.testing.assert_allclose(theta.means[0], means, rtol=1e-4)
    np.testing.assert_allclose(np.diag(theta.covariances[0]), variances, rtol=1e-3)
    assert log_likelihood(x, theta.means[0], theta.covariances[0]) == pytest.approx(value, abs=1e-6)


def vector(weights, means, covariances):
    """Return the parameters as a vector without bounds: log-weights, means, log-Cholesky factors."""
    lower = np.linalg.cholesky(covariances)
    i = np.arange(lower.shape[-1])
    lower[..., i, i] = np.log(lower[..., i, i])
    row, column = np.tril_indices(lower.shape[-1])
    return np.concatenate([np.log(weights), means.ravel(), lower[..., row, column].ravel()])


def minus_log_likelihood(free, x, k, shared):
    d = x.shape[1]
    log_weights = free[:k] - np.logaddexp.reduce(free[:k])
    means, rest = free[k : k + k * d].reshape(k, d), free[k + k * d :].reshape(1 if shared else k, -1)
    lower = np.zeros((len(rest), d, d))
    lower[:, *np.tril_indices(d)] = rest
    i = np.arange(d)
    lower[:, i, i] = np.exp(lower[:, i, i])
    covariances = np.broadcast_to(lower @ np.swapaxes(lower, 1, 2), (k, d, d))
    joint = np.zeros((k, len(x)))
    for key in np.unique(np.isnan(x), axis=0):
        rows, o = (np.isnan(x) == key).all(axis=1), ~key
        for j in range(k if o.any() else 0):
            joint[j, rows] = scipy.stats.multivariate_normal.logpdf(
                x[rows][:, o], means[j, o], covariances[j][np.ix_(o, o)]
            )
    return -np.logaddexp.reduce(joint + log_weights[:, None]).mean()


@KINDS
def test_em_reaches_the_maximum_that_scipy_finds(kind, rng):
    x = rng.normal(size=(150, 2)) @ [[1, 0.8], [0, 0.6]]
    x[80:] += [4, -2]
    x[rng.random(x.shape) < 0.25] = np.nan
    state = fitted(x, kind, 2)
    theta, weights = state.params.theta, state.params.weights
    free = vector(weights, theta.means, theta.covariances)
    found = (x, 2, kind == "tied")
    assert -minus_log_likelihood(free, *found) == pytest.approx(state.objective, abs=1e-12)
    slope = scipy.optimize.approx_fprime(free, minus_log_likelihood, 1e-6, *found)
    assert np.abs(slope).max() < 1e-5
    best = scipy.optimize.minimize(minus_log_likelihood, free + 0.05, found, method="BFGS", options={"gtol": 1e-6})
    assert state.objective == pytest.approx(-best.fun, abs=1e-9)


@pytest.mark.slow
def test_only_the_conditional_covariance_keeps_em_from_overconfidence(rng):
    """Filling in by conditional means alone would shrink the variances: the fit recovers those of the data."""
    truth = np.array([[2.0, 1.2, 0.5], [1.2, 1.5, -0.3], [0.5, -0.3, 1.0]])
    x = rng.multivariate_normal([1, 2, 3], truth, size=20_000)
    x[rng.random(x.shape) < 0.4] = np.nan
    model = bind(MixtureModel(1, FullGaussian(), Seeding("kmeans")), x)
    theta = run(model, begin(model, x), x, n_iter=40).params.theta
    np.testing.assert_allclose(theta.covariances[0], truth, atol=0.08)
    np.testing.assert_allclose(theta.means[0], [1, 2, 3], atol=0.06)
