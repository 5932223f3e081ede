"""Bayesian PCA against the textbook, and the gradient of its objective."""

import numpy as np
import pytest
import scipy.stats

from crosses import mostly_slow
from dem.core.block import Block
from dem.em import loop
from dem.models.latent.bayesian_pca import PRUNED_SHARE, BayesianPCAModel, BayesianPCAParams, MomentsBayesianPCAModel
from laws import begin, bind, total

D, Q, N = 6, 4, 400


def rows(rng, n=N):
    return rng.normal(size=(n, D)) * [3.0, 2.0, 1, 1, 1, 1] @ np.linalg.qr(rng.normal(size=(D, D)))[0]


def objective(model, params, x):
    """Return log p(X | W, s^2) + log p(W | alpha) in nats a row, from dense Gaussians."""
    c = params.loadings @ params.loadings.T + params.noise_variance * np.eye(D)
    found = scipy.stats.multivariate_normal(x.mean(axis=0), c).logpdf(x).mean()
    unit = model.unit**0.5
    for w, alpha in zip(params.loadings.T, params.alpha, strict=True):
        found += scipy.stats.norm(0, 1 / (alpha**0.5 * unit)).logpdf(w / unit).sum() / len(x)
    return found


def test_m_step_by_the_textbook(rng):
    """PRML 12.57, 12.62 and 12.63, with the data in full."""
    x = rows(rng)
    model = bind(BayesianPCAModel(Q), x)
    alpha = rng.uniform(0.5, 9, Q)
    old = BayesianPCAParams(x.mean(axis=0), rng.normal(size=(D, Q)), 0.7, alpha)
    y = x - old.mean
    inverse = np.linalg.inv(old.loadings.T @ old.loadings + 0.7 * np.eye(Q))
    z = y @ old.loadings @ inverse
    zz = N * 0.7 * inverse + z.T @ z
    w = y.T @ z @ np.linalg.inv(zz + 0.7 * np.diag(alpha))
    noise = ((y**2).sum() - 2 * (z * (y @ w)).sum() + np.trace(zz @ w.T @ w)) / (N * D)
    stats = total(model, old, x)
    new = model.m_step(old, stats).params
    np.testing.assert_allclose(new.loadings, w, atol=1e-12)
    assert new.noise_variance == pytest.approx(noise, rel=1e-12)
    np.testing.assert_allclose(new.alpha, D / (w**2).sum(axis=0), rtol=1e-11)
    assert model.objective(old, stats) == pytest.approx(objective(model, old, x), rel=1e-12)


@mostly_slow("model", {"wide": BayesianPCAModel(D - 1), "moments": MomentsBayesianPCAModel(D - 1)}, quick=["moments"])
def test_keeps_the_directions_of_larger_variance_and_has_no_gradient_there(model, rng):
    x = rows(rng)
    bound = bind(model, x)
    state = loop.fit(bound, begin(bound, x), loop.OneBlock(Block(x)), tol=0, max_iter=5000)
    found = [p.objective for p in state.history]
    assert (np.diff(found) >= -1e-12 * np.abs(found[1:])).all()
    params, components = bound.canonical(state.params)
    assert components.shape == (2, D)
    # What is left has a stationary point of log p(X) - sum_i (d / 2) log |w_i|^2, alpha being at its best.
    here = np.append(params.loadings.ravel(), np.log(params.noise_variance))

    def profile(flat):
        w, noise = flat[:-1].reshape(D, 2), np.exp(flat[-1])
        c = w @ w.T + noise * np.eye(D)
        likelihood = scipy.stats.multivariate_normal(x.mean(axis=0), c).logpdf(x).mean()
        return likelihood - D / 2 * np.log((w**2).sum(axis=0)).sum() / N

    gradient = [(profile(here + e) - profile(here - e)) / 2e-5 for e in 1e-5 * np.eye(len(here))]
    assert np.abs(gradient).max() < 1e-6


def test_prml_figure_12_14():
    """300 rows of 10 dimensions, standard deviation 1 in three directions and 0.5 in the others: 3 are kept."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(300, 10)) * np.repeat([1.0, 0.5], [3, 7])
        bound = bind(MomentsBayesianPCAModel(9), x)
        state = loop.fit(bound, begin(bound, x), loop.OneBlock(Block(x)), tol=1e-9, max_iter=5000)
        assert len(bound.canonical(state.params)[1]) == 3
        assert state.params.noise_variance == pytest.approx(0.25, rel=0.1)


def test_precisions_have_a_limit_and_one_direction_is_kept(rng):
    """Isotropic data need none: x has unit covariance exactly."""
    x = np.tile(np.concatenate([np.eye(D), -np.eye(D)]) * D**0.5, (20, 1))
    bound = bind(MomentsBayesianPCAModel(3), x)
    state = loop.fit(bound, begin(bound, x), loop.OneBlock(Block(x)), tol=0, max_iter=500)
    np.testing.assert_allclose(state.params.alpha, D / (PRUNED_SHARE * bound.unit))
    assert np.isfinite(state.objective)
    assert bound.canonical(state.params)[1].shape == (1, D)
    assert state.params.noise_variance == pytest.approx(x.var(axis=0).mean(), rel=1e-9)
