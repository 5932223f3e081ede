"""What linear latent models share: the bound, against Gaussians row by row; the algebra, against dense matrices."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

import laws
from dem.core.block import Block
from dem.em import loop
from dem.models.latent.algebra import (
    NO_DENSITY,
    covariance,
    least_squares_matrix,
    log_normaliser,
    posterior_covariance,
    precision,
    projection,
)
from dem.models.latent.factor_analysis import FactorModel, FactorParams
from dem.models.latent.kernel import latent_tile_rows
from laws import MODELS, begin, bind, rows_of, total

TRACED = ["ppca", "ppca-moments", "bpca", "bpca-moments", "fa", "fa-moments"]
X = laws.data()
WEIGHT = np.random.default_rng(1).exponential(size=len(X))
D, Q = 5, 2


def posterior(params, x):
    """Return mean and covariance of z given one row, from the joint Gaussian   (PRML 2.81, 2.82)."""
    w = params.loadings
    c = w @ w.T + np.diag(np.broadcast_to(params.noise_variance, len(w)))
    gain = w.T @ np.linalg.inv(c)
    return gain @ (x - params.mean), np.eye(w.shape[1]) - gain @ w


def divergence(one, two):
    """Return KL(N(m, A) || N(n, B)) in nats."""
    (m, a), (n, b) = one, two
    inverse = np.linalg.inv(b)
    log_dets = np.linalg.slogdet(b)[1] - np.linalg.slogdet(a)[1]
    return 0.5 * (np.trace(inverse @ a) + (n - m) @ inverse @ (n - m) - len(m) + log_dets)


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
@pytest.mark.parametrize("name", TRACED)
def test_the_bound_is_short_of_the_objective_by_the_divergence_of_each_row(name, weight):
    """KL(q(z | x; old) || p(z | x, new)), averaged over the rows   (PRML 9.70, 9.72), z stretched as W is."""
    model = bind(MODELS[name].model, X, weight)
    first = begin(model, X, weight)
    turned = first.loadings + np.random.default_rng(2).normal(size=first.loadings.shape)  # PPCA starts at its best
    params = [replace(first, loadings=turned)]
    state = loop.first_state(model, params[0], max_iter=9)
    for _ in range(4):
        state = loop.advance(model, state, total(model, state.params, X, weight), tol=0, max_iter=9)
        params.append(state.params)
    for i in range(3):
        old, new = params[i], params[i + 1]
        back = np.eye(old.loadings.shape[1]) if new.stretch is None else np.linalg.inv(new.stretch)
        stretched = [(back @ m, back @ s @ back.T) for m, s in (posterior(old, x) for x in X)]
        rows = [divergence(q, posterior(new, x)) for q, x in zip(stretched, X, strict=True)]
        expected = np.average(rows, weights=weight)
        assert expected > 1e-9
        assert state.history[i].objective < state.history[i].bound
        found = state.history[i + 1].objective - state.history[i].bound
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-13)


def some(rng):
    return FactorParams(rng.normal(size=D), rng.normal(size=(D, Q)), rng.uniform(0.2, 2, D))


def dense(params):
    return params.loadings @ params.loadings.T + np.diag(params.noise_variance)


def test_the_algebra_is_that_of_dense_matrices(rng):
    params, x = some(rng), rng.normal(size=(20, D))
    c = dense(params)
    np.testing.assert_allclose(covariance(params), c, atol=1e-14)
    np.testing.assert_allclose(precision(params), np.linalg.inv(c), atol=1e-13)
    means, spread = zip(*(posterior(params, row) for row in x), strict=True)
    np.testing.assert_allclose((x - params.mean) @ projection(params), means, atol=1e-13)
    np.testing.assert_allclose(posterior_covariance(params), spread[0], atol=1e-14)
    normal = scipy.stats.multivariate_normal(params.mean, c)
    assert log_normaliser(params) == pytest.approx(normal.logpdf(params.mean), rel=1e-13)
    np.testing.assert_allclose(rows_of(FactorModel(Q), params, "score")(Block(x)), normal.logpdf(x), rtol=1e-12)


def test_least_squares_undoes_the_shrinking(rng):
    """It is the regression of x on W, weighted by the noise: Bartlett's factor scores."""
    params, x = some(rng), rng.normal(size=(7, D))
    root = np.sqrt(params.noise_variance)
    scores = [np.linalg.lstsq(params.loadings / root[:, None], (row - params.mean) / root, rcond=None)[0] for row in x]
    z = (x - params.mean) @ projection(params)
    np.testing.assert_allclose(z @ least_squares_matrix(params), np.array(scores) @ params.loadings.T, atol=1e-12)


def test_columns_without_noise_have_no_part_in_the_density(rng):
    params = some(rng)
    params.noise_variance[1], params.loadings[1] = 0, 0
    rest = np.arange(D) != 1
    x = rng.normal(size=(9, D))
    normal = scipy.stats.multivariate_normal(params.mean[rest], dense(params)[np.ix_(rest, rest)])
    np.testing.assert_allclose(
        rows_of(FactorModel(Q), params, "score")(Block(x)), normal.logpdf(x[:, rest]), rtol=1e-12
    )
    with pytest.raises(ValueError, match="no density"):
        precision(params)
    assert "constant" in NO_DENSITY


def test_tiles_of_very_many_columns_still_have_rows():
    assert latent_tile_rows(1) == 4096
    assert latent_tile_rows(64) == 2048
    assert latent_tile_rows(1_000_000) == 16


@pytest.mark.parametrize("junk", [1e308, np.inf, np.nan])
def test_rows_of_weight_zero_may_hold_what_overflows(rng, junk):
    x, weight, params = rng.normal(size=(60, D)), rng.exponential(size=60), some(rng)
    kept = np.arange(60) % 3 > 0
    x[~kept], weight[~kept] = junk, 0
    model = FactorModel(Q)
    found, expected = total(model, params, x, weight), total(model, params, x[kept], weight[kept])
    for field in ("weight", "log_likelihood", "zz", "rz", "rr"):
        np.testing.assert_allclose(getattr(found, field), getattr(expected, field), rtol=1e-12, atol=1e-12)
