"""Fits of factor analysers against closed forms, scikit-learn, the full Gaussian mixture, and the gradient."""

import tracemalloc
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.decomposition import FactorAnalysis
from sklearn.metrics import adjusted_rand_score

from dem.core.blas import single_threaded_blas
from dem.core.block import Block
from dem.em import loop
from dem.families import NOISE, FactorAnalysers, FullGaussian
from dem.families.factors.algebra import ResidualSums, canonical_rotation, latent_moments
from dem.families.factors.missing_algebra import ColumnwiseSums
from dem.models.latent.closed_form import closed_form, closed_form_log_likelihood
from dem.models.mixture.factors import FactorMixtureModel
from dem.models.mixture.mixture import MixtureModel
from dem.models.mixture.prior import WEAK
from dem.scan.scanner import Scanner
from laws import rows_of
from shared import CSV

K, D, Q = 3, 6, 2
KINDS = pytest.mark.parametrize("noise", NOISE)


def planted(noise, rng, n=400):
    """Return a family, and rows (n, D) of K of its components."""
    family = NOISE[noise](Q)
    variances = 0.2 * (1 + rng.random((K, family.n_noise(D))))
    theta = FactorAnalysers(rng.normal(0, 6, (K, D)), rng.normal(size=(K, D, Q)), variances)
    return family, np.concatenate([family.draw(theta, k, n // K + 1, rng) for k in range(K)])[:n]


def dense(theta):
    """Return the covariances (K, d, d)."""
    w = theta.loadings
    d = w.shape[1]
    noise = np.broadcast_to(theta.noise_variances, (len(w), d))
    return w @ w.swapaxes(1, 2) + noise[:, :, None] * np.eye(d)


def fitted(model, x, n_iter=2000, tol=1e-13, params=None):
    block = Block(x)
    bound = model.bind(Scanner(x.shape[1], False, len(x), 0, None)()(block))
    start = bound.start(block, np.random.default_rng(0)) if params is None else params
    return bound, loop.fit(bound, start, loop.OneBlock(block), tol=tol, max_iter=n_iter)


@pytest.mark.parametrize("q", [1, 2, 4])
def test_a_single_ppca_is_the_closed_form(q, rng):
    x = rng.standard_normal((500, D)) @ rng.normal(size=(D, D)) + 5
    _, state = fitted(MixtureModel(1, NOISE["isotropic"](q)), x)
    scan = Scanner(D, True, 10, 0, None)()(Block(x))
    expected, variances, _ = closed_form(scan.moments, q)
    best = closed_form_log_likelihood(variances, q, expected.noise_variance)
    assert abs(state.objective - best) < 1e-8
    theta = canonical_rotation(state.params.theta)
    np.testing.assert_allclose(theta.means[0], x.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(theta.noise_variances[0, 0], expected.noise_variance, rtol=1e-5)
    np.testing.assert_allclose((theta.loadings[0] ** 2).sum(axis=0), variances[:q] - expected.noise_variance, rtol=1e-3)


def test_a_single_factor_analyser_is_scikit_learns(rng):
    x = rng.standard_normal((600, 2)) @ rng.normal(size=(2, 8)) + rng.standard_normal((600, 8)) * np.linspace(0.5, 2, 8)
    _, state = fitted(MixtureModel(1, NOISE["diagonal"](2)), x)
    theirs = FactorAnalysis(2, tol=1e-12, max_iter=20_000, svd_method="lapack").fit(x)
    assert abs(state.objective - theirs.score(x)) < 1e-8
    np.testing.assert_allclose(state.params.theta.noise_variances[0], theirs.noise_variance_, rtol=1e-3)


def test_with_all_but_one_factor_it_is_the_full_gaussian_mixture(rng):
    """W W' + s^2 I is any covariance if q = d - 1   (PRML, after 12.58)."""
    x = np.concatenate([rng.standard_normal((300, 3)) @ rng.normal(size=(3, 3)) + c for c in (0, 6)])
    _, full = fitted(MixtureModel(2, FullGaussian()), x, 500)
    bound, ours = fitted(MixtureModel(2, NOISE["isotropic"](2)), x)
    assert abs(ours.objective - full.objective) < 1e-7
    assert bound.n_parameters(3) == MixtureModel(2, FullGaussian()).n_parameters(3)


@pytest.mark.parametrize("noise", ["isotropic", pytest.param("diagonal", marks=pytest.mark.slow)])
def test_the_gradient_of_the_log_likelihood_is_zero_at_a_fit(noise, rng):
    family, x = planted(noise, rng)
    _, state = fitted(MixtureModel(K, family), x, 2000, 0.0)
    theta, weights = state.params.theta, state.params.weights
    parts = (theta.means, theta.loadings, np.log(theta.noise_variances))
    at = np.concatenate([a.ravel() for a in parts])
    cuts = np.cumsum([a.size for a in parts])[:-1]

    def log_likelihood(v):
        means, w, noise = (p.reshape(a.shape) for p, a in zip(np.split(v, cuts), parts, strict=True))
        covariances = dense(FactorAnalysers(means, w, np.exp(noise)))
        each = [multivariate_normal(m, c).logpdf(x) for m, c in zip(means, covariances, strict=True)]
        return np.logaddexp.reduce(np.log(weights)[:, None] + np.array(each), axis=0).mean()

    def slope(v, i):
        step = 1e-5 * np.eye(1, len(v), i)[0]
        return (log_likelihood(v + step) - log_likelihood(v - step)) / 2e-5

    chosen = rng.choice(len(at), 24, replace=False)
    assert max(abs(slope(at, i)) for i in chosen) < 1e-5
    assert max(abs(slope(at + 0.05 * rng.standard_normal(len(at)), i)) for i in chosen) > 1e-3  # elsewhere it is not


@KINDS
def test_wide_data_in_little_memory(noise, rng):
    d, n, q = 5000, 400, 3
    family = NOISE[noise](q, 1e-6)
    variances = np.full((2, family.n_noise(d)), 0.5)
    theta = FactorAnalysers(rng.normal(size=(2, d)), rng.normal(size=(2, d, q)), variances)
    x = np.concatenate([family.draw(theta, k, n // 2, rng) for k in range(2)])
    tracemalloc.start()
    with single_threaded_blas():
        bound, state = fitted(FactorMixtureModel(2, family), x, 30, 1e-3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * d * d / 1.5  # two thirds of one covariance; the rows themselves are 16 MB
    labels = rows_of(bound, state.params, "label")(Block(x))
    assert adjusted_rand_score(np.arange(n) >= n // 2, labels) == 1
    k = labels[0]
    found, planted = state.params.theta.loadings[k], theta.loadings[0]
    angles = np.linalg.svd(np.linalg.qr(found)[0].T @ np.linalg.qr(planted)[0])[1]
    assert angles.min() > 0.99
    assert state.params.theta.noise_variances.mean() == pytest.approx(0.5, rel=0.05)


@KINDS
def test_the_floor_lets_nothing_fall(noise, rng):
    family, x = planted(noise, rng)
    _, state = fitted(MixtureModel(K, type(family)(Q, 0.5)), x, 60, 0.0)
    assert state.params.theta.noise_variances.min() == 0.5
    objectives = [p.objective for p in state.history]
    assert all(new >= old - 1e-12 * abs(new) for old, new in pairwise(objectives))


@KINDS
def test_a_prior_is_part_of_the_objective(noise, rng):
    family, x = planted(noise, rng)
    _, state = fitted(MixtureModel(K, family, prior=WEAK), x, 60, 0.0)
    for old, new in pairwise(state.history):
        assert old.objective - 1e-11 <= old.bound <= new.objective + 1e-11


@pytest.mark.skipif(not (CSV / "oilflow.csv").exists(), reason="the data are not here")
def test_oil_flow():
    """PRML's example (figure 12.21 uses the same data): three flow regimes, each in a subspace of its own."""
    x = np.loadtxt(CSV / "oilflow.csv", delimiter=",", skiprows=1)
    regime = np.loadtxt(CSV / "oilflow_labels.csv", delimiter=",", skiprows=1)
    bound, state = fitted(MixtureModel(3, NOISE["isotropic"](2, 1e-6)), x, 300, 1e-6)
    labels = rows_of(bound, state.params, "label")(Block(x))
    assert adjusted_rand_score(regime, labels) > 0.4


def test_latents_far_from_zero_have_a_covariance_all_the_same():
    """E[z z'] - E[z] E[z]' cancels where the start is far from the rows: what is left may be below 0."""
    mean, variance = -76924192.49968395, -1.0  # as a fit met them
    moments = np.array([[[1.0, mean], [mean, mean * mean + variance]]])
    theta = FactorAnalysers(np.zeros((1, 3)), np.ones((1, 3, 1)), np.ones((1, 3)))
    terms = replace(theta.posterior_terms, posterior=np.zeros((1, 1, 1)))
    average = ResidualSums(moments, np.zeros((1, 3, 2)), np.zeros((1, 3)))
    observed = ColumnwiseSums(moments, np.zeros((1, 3, 2, 2)), np.zeros((1, 3, 2)), np.zeros((1, 3)), np.zeros(1))
    for found in (latent_moments(average, terms, theta.loadings, theta.noise_variances), observed.latent_moments()):
        assert found[0].item() == mean
        assert 0 < abs(found[1].item()) < 1e-7 * abs(mean)
