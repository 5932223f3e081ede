"""MAP estimates against the conjugate priors' closed forms, with SciPy's densities."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

import laws
from dem.core.block import Block
from dem.em import loop
from dem.em.seeding import Seeding
from dem.families import COVARIANCE_TYPES, Exponential
from dem.models.mixture.mixture import MixtureModel, MixtureParams
from dem.models.mixture.precision import Precision
from dem.models.mixture.prior import WEAK, Prior

TYPES = pytest.mark.parametrize("kind", COVARIANCE_TYPES)
X, D = laws.data(), 3
ROWS, WEIGHT_ROWS = 2.5, 1.5
PRIOR = Prior(ROWS, WEIGHT_ROWS)
OTHER = X[:40] * [1.0, 2.0, 0.5] + 3.0
"""Rows unlike those that the prior is made of."""


def bound(family, k=1, x=X, weight=None, prior=PRIOR):
    return laws.bind(MixtureModel(k, family, Seeding("kmeans"), prior=prior), x, weight)


def map_step(model, x):
    """Return the MAP estimate of one component from rows x; the step begins at parameters of no importance."""
    params = model.start(Block(X), np.random.default_rng(0))
    return model.m_step(params, laws.total(model, params, x)).params


def pooled(x, y, rows):
    """Return the mean, and the scatter of the rows x and so many rows spread as y about it, for each row of both."""
    n, mean_x, mean_y = len(x), x.mean(axis=0), y.mean(axis=0)
    mean = (n * mean_x + rows * mean_y) / (n + rows)
    between = n * rows / (n + rows) * np.outer(mean_x - mean_y, mean_x - mean_y)
    return mean, (n * np.cov(x.T, ddof=0) + rows * np.cov(y.T, ddof=0) + between) / (n + rows)


@TYPES
def test_gaussians_reach_the_mode_of_the_normal_wishart(kind):
    """PRML 2.3.6: m_n, and the mode of Lambda at it, inv(W_n) / (nu_n - d) with nu_n = n + rows + d."""
    theta = map_step(bound(COVARIANCE_TYPES[kind]()), OTHER).theta
    mean, covariance = pooled(OTHER, X, ROWS)
    shape = {
        "full": covariance[None],
        "tied": covariance,
        "diag": np.diag(covariance)[None],
        "spherical": np.diag(covariance).mean()[None],
    }[kind]
    np.testing.assert_allclose(theta.means, mean[None], rtol=1e-12)
    np.testing.assert_allclose(theta.covariances, shape, rtol=1e-11)


def log_posterior(mean, precision, x):
    """Return the log of the likelihood times the normal-Wishart prior, by SciPy."""
    m, c = X.mean(axis=0), np.cov(X.T, ddof=0)
    covariance = np.linalg.inv(precision)
    value = stats.multivariate_normal(mean, covariance).logpdf(x).sum()
    value += stats.multivariate_normal(m, covariance / ROWS).logpdf(mean)
    return value + stats.wishart(D + ROWS, np.linalg.inv(ROWS * c)).logpdf(precision)


def test_a_full_gaussian_is_where_scipys_posterior_is_flat():
    theta = map_step(bound(COVARIANCE_TYPES["full"]()), OTHER).theta
    mean, precision = theta.means[0], np.linalg.inv(theta.covariances[0])
    best = log_posterior(mean, precision, OTHER)
    rng = np.random.default_rng(0)
    for _ in range(5):
        step, turn = 1e-4 * rng.normal(size=D), 1e-4 * rng.normal(size=(D, D))
        turn = precision @ (turn + turn.T) @ precision
        ahead, behind = (log_posterior(mean + s * step, precision + s * turn, OTHER) for s in (1, -1))
        assert max(ahead, behind) < best
        assert abs(ahead - behind) < 1e-3 * (2 * best - ahead - behind)  # no slope beside the curvature


def test_the_objective_is_the_likelihood_and_scipys_prior():
    """Between any two parameters; the constant is that of the mode."""
    model = bound(COVARIANCE_TYPES["full"](), 3)
    found = []
    begun = laws.begin(model, X)
    for params in (begun, laws.run(model, begun, X, n_iter=5).params):
        stats_ = laws.total(model, params, X)
        prior = (model.objective(params, stats_) - model.log_likelihood(params, stats_)) * len(X)
        expected = stats.dirichlet(np.full(3, 1 + WEIGHT_ROWS)).logpdf(params.weights)
        for mean, c in zip(params.theta.means, params.theta.covariances, strict=True):
            expected += log_posterior(mean, np.linalg.inv(c), X[:0])
        found.append((prior, expected))
    (a, b), (c, d) = found
    assert abs(a - c) > 0.1
    assert abs((a - c) - (b - d)) < 1e-9


@TYPES
def test_the_log_prior_is_0_at_its_mode_and_less_elsewhere(kind):
    model = bound(COVARIANCE_TYPES[kind](), 2)
    mode = model.family.initial(np.ascontiguousarray(X.T), np.full((2, len(X)), 0.5))
    at = MixtureParams(np.full(2, 0.5), mode)
    assert abs(model.pseudo.log_density(model.family, mode, at.log_weights)) < 1e-9
    params = laws.begin(model, X)
    assert model.pseudo.log_density(model.family, params.theta, params.log_weights) < -0.1


def test_rates_are_gammas():
    x, other = np.abs(X), np.abs(OTHER)
    rate = map_step(bound(Exponential(), x=x), other).theta["rate"][0]
    shape, scale = 1 + ROWS + len(other), 1 / (ROWS * x.mean(axis=0) + other.sum(axis=0))
    np.testing.assert_allclose(rate, (shape - 1) * scale, rtol=1e-12)  # the mode of Gamma(shape, scale)


def test_weights_have_a_dirichlet():
    model = bound(COVARIANCE_TYPES["diag"](), 3)
    params = laws.begin(model, X)
    stats_ = laws.total(model, params, X)
    alpha = 1 + WEIGHT_ROWS + stats_.sums[0]
    mode = (alpha - 1) / (alpha - 1).sum()
    np.testing.assert_allclose(model.m_step(params, stats_).params.weights, mode, rtol=1e-12)


@TYPES
@pytest.mark.parametrize("spread", [0.0, 1e5])
def test_the_objective_never_falls_in_any_arithmetic(kind, spread):
    x = X + spread * (np.arange(len(X)) % 2)[:, None]
    model = bound(COVARIANCE_TYPES[kind](), 3, x)
    seen = []

    def sweep(make_kernel):
        seen.append(make_kernel()(Block(x)))
        return seen[-1]

    state = loop.fit(model, laws.begin(model, x), sweep, tol=0, max_iter=30)
    centred = spread > 0 or kind == "tied"
    assert {s.precision for s in seen} == {Precision.CENTRED if centred else Precision.DOUBLE}
    for old, new in pairwise(state.history):
        assert new.objective >= old.objective - 1e-12 * max(1, abs(old.objective))
    laws.bound_lies_between(state)


@pytest.mark.parametrize("kind", ["full", "diag", "spherical"])
def test_the_linear_and_the_centred_arithmetic_agree(kind):
    model = bound(COVARIANCE_TYPES[kind](), 3)
    params = laws.begin(model, X)
    steps = []
    for floor in (Precision.DOUBLE, Precision.CENTRED):
        marked = replace(params, floor=floor)
        stats_ = laws.total(model, marked, X)
        steps.append((model.m_step(marked, stats_).params, model.objective(marked, stats_)))
    (one, a), (two, b) = steps
    laws.assert_close(one.theta, two.theta, 1e-11)
    assert abs(a - b) < 1e-11


@TYPES
def test_a_component_of_one_row_and_one_of_none_stay_finite(kind):
    x = np.concatenate([X, [[1e3, 1e3, 1e3]]])
    model = bound(COVARIANCE_TYPES[kind](), 3, x, prior=WEAK)
    family = model.family
    ones = {"full": np.array([np.eye(3)] * 3), "tied": np.eye(3), "diag": np.ones((3, 3)), "spherical": np.ones(3)}
    means = np.array([[0.0, 0, 0], [1e3, 1e3, 1e3], [-1e6, 0, 0]])
    params = MixtureParams(np.full(3, 1 / 3), family.from_covariances(means, ones[kind]))
    state = loop.fit(model, params, loop.OneBlock(Block(x)), tol=0, max_iter=20)
    assert all(np.isfinite(values).all() for values in laws.numbers(state.params))
    assert (np.diff([p.objective for p in state.history]) >= -1e-10).all()
    # With nothing but the prior's rows, a component is as they are, and has the weight of one row.
    first = model.m_step(params, laws.total(model, params, x)).params
    np.testing.assert_allclose(first.theta.means[2], x.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(first.weights, np.array([301.0, 2, 1]) / 304, rtol=1e-9)


@pytest.mark.parametrize("kind", ["full", "diag", "spherical"])
def test_what_collapses_without_a_prior_does_not_with_one(kind):
    """The mean of 256 rows of few binary digits is exact, and so are the sums of squares: the variance is exactly 0."""
    x = np.concatenate([np.round(64 * X[:251]) / 64, np.full((5, 3), 40.0)])
    family = COVARIANCE_TYPES[kind]()
    plain, weak = bound(family, 2, x, prior=None), bound(family, 2, x, prior=WEAK)
    one = {"full": np.eye(3), "diag": np.ones(3), "spherical": np.array(1.0)}[kind]
    theta = family.from_covariances(np.array([X.mean(axis=0), x[-1]]), np.array([20 * one, one]))
    params = MixtureParams(np.full(2, 0.5), theta)
    with pytest.raises(ValueError, match="not positive definite"):
        laws.run(plain, params, x)
    first = weak.m_step(params, laws.total(weak, params, x)).params
    np.testing.assert_allclose(first.weights[1], 6 / (256 + 2), rtol=1e-9)
    mean = (5 * 40 + x.mean(axis=0)) / 6
    np.testing.assert_allclose(first.theta.means[1], mean, rtol=1e-9)
    assert np.isfinite(laws.run(weak, params, x).objective)


def test_the_weights_of_the_rows_count_in_the_prior():
    weight = np.arange(len(X)) % 3
    model = bound(COVARIANCE_TYPES["full"](), 1, X, weight.astype(float))
    mean, covariance = pooled(OTHER, np.repeat(X, weight, axis=0), ROWS)
    theta = map_step(model, OTHER).theta
    np.testing.assert_allclose(theta.means[0], mean, rtol=1e-12)
    np.testing.assert_allclose(theta.covariances[0], covariance, rtol=1e-11)


def test_many_columns_have_a_proper_prior():
    """Four pseudo-rows a column: with as many as 1,024 the covariance of 1,100 columns would be singular."""
    x = np.random.default_rng(0).normal(size=(1200, 1100)).astype(np.float32)
    model = bound(COVARIANCE_TYPES["full"](), 1, x)
    assert model.pseudo.y.shape == (1100, 1200)
    assert np.isfinite(model.pseudo.highest)


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
@pytest.mark.parametrize("name", ["rows", "weight_rows"])
def test_priors_of_no_sense_are_refused(name, value):
    with pytest.raises(ValueError, match=f"a prior's {name} must be a number >= 0"):
        Prior(**{name: value})
