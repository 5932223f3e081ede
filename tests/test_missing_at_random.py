"""Values missing at random, of 10^6 rows: the parameters are recovered within 4 standard errors.

Whether columns 1 and 2 are missing depends on column 0, which always is there: complete rows are far off. Standard
errors are those of the mean over twenty parts of the rows, each fitted on its own.
"""

import numpy as np
import pytest

import dem

pytestmark = pytest.mark.slow
N, PARTS = 1_000_000, 20
MEANS = np.array([[0.0, 0.0, 0.0], [4.0, -2.0, 1.0]])
ROOTS = np.array([[[1, 0, 0], [0.8, 0.6, 0], [-0.5, 0.2, 0.7]], [[0.7, 0, 0], [-0.4, 1.0, 0], [0.3, 0.3, 0.5]]])
LOADINGS = np.array([[2.0, 0.0], [1.5, 0.5], [-1.0, 1.0], [0.5, -1.2], [0.3, 0.9]])
NOISE = 0.3


def missing_at_random(x, rng):
    """Hide columns 1 and 2, each with a chance that rises with column 0."""
    chance = 1 / (1 + np.exp(1.5 - 0.5 * x[:, :1]))  # 0.18 at 0, 0.62 at 4
    holes = np.zeros(x.shape, bool)
    holes[:, 1:3] = rng.random((len(x), 2)) < chance
    return np.where(holes, np.nan, x)


def mixture(x):
    model = dem.GaussianMixture(2, tol=1e-9, max_iter=1000, n_init=2, reg_covar=0, random_state=0).fit(x)
    order = model.means_[:, 0].argsort()
    parts = model.weights_[order[:1]], model.means_[order], model.covariances_[order]
    return np.concatenate([part.ravel() for part in parts])


def ppca(x):
    model = dem.PPCA(2, tol=1e-9, max_iter=2000).fit(x)
    covariance = model.get_covariance()
    return np.concatenate([model.mean_, covariance[np.triu_indices(5)], [model.noise_variance_]])


def of_mixture(rng):
    label = (rng.random(N) < 0.4).astype(int)
    x = MEANS[label] + np.einsum("nij,nj->ni", ROOTS[label], rng.normal(size=(N, 3)))
    truth = np.concatenate([[0.6], MEANS.ravel(), (ROOTS @ ROOTS.transpose(0, 2, 1)).ravel()])
    return x, truth, mixture


def of_ppca(rng):
    x = 1.0 + rng.normal(size=(N, 2)) @ LOADINGS.T + NOISE**0.5 * rng.normal(size=(N, 5))
    covariance = LOADINGS @ LOADINGS.T + NOISE * np.eye(5)
    return x, np.concatenate([np.ones(5), covariance[np.triu_indices(5)], [NOISE]]), ppca


@pytest.mark.parametrize("case", [of_mixture, of_ppca])
def test_recovered_within_four_standard_errors(case):
    rng = np.random.default_rng(5)
    x, truth, fit = case(rng)
    y = missing_at_random(x, rng)
    found = fit(y)
    error = np.std([fit(part) for part in np.split(y, PARTS)], axis=0, ddof=1) / PARTS**0.5
    assert (np.abs(found - truth) < 4 * error).all()
    dropped = fit(y[~np.isnan(y).any(axis=1)])
    assert (np.abs(dropped - truth) > 20 * error).any()
