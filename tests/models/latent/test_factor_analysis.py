"""Factor analysis against scikit-learn, dense formulas and direct maximisation."""

import numpy as np
import pytest
import scipy.optimize
from sklearn import decomposition

from dem.core.block import Block
from dem.em import loop
from dem.em.starts import Start
from dem.models.latent.factor_analysis import (
    NOISE_FLOOR,
    ECMFactorModel,
    FactorModel,
    FactorParams,
    MomentsFactorModel,
    best_loadings,
    best_noise,
)
from dem.models.latent.rotation import rotation
from dem.run.fit import fit_model
from dem.run.fit_settings import FitSettings
from dem.source import open_source
from laws import begin, bind, total

D, Q, N = 8, 2, 500


def rows(rng, n=N):
    noise = rng.uniform(0.5, 1.5, D)
    return rng.normal(size=(n, Q)) @ rng.normal(size=(Q, D)) + noise * rng.normal(size=(n, D))


def dense(params):
    return params.loadings @ params.loadings.T + np.diag(params.noise_variance)


def log_likelihood(c, s):
    """Return the mean log-likelihood of rows of covariance s under N(mean, c)."""
    return -0.5 * (len(s) * np.log(2 * np.pi) + np.linalg.slogdet(c)[1] + np.trace(np.linalg.solve(c, s)))


def fit(model, x, weight=None, tol=0, max_iter=5000):
    bound = bind(model, x, weight)
    return loop.fit(bound, begin(bound, x, weight), loop.OneBlock(Block(x, weight)), tol=tol, max_iter=max_iter)


@pytest.mark.parametrize("model", [ECMFactorModel(Q), MomentsFactorModel(Q), FactorModel(Q)], ids=["ecm", "em", "wide"])
@pytest.mark.parametrize("weighted", [False, True])
def test_reaches_scikit_learns_optimum(model, weighted, rng):
    x = rows(rng)
    weight = rng.integers(0, 4, N).astype(float) if weighted else None
    repeated = x if weight is None else np.repeat(x, weight.astype(int), axis=0)
    theirs = decomposition.FactorAnalysis(Q, svd_method="lapack", tol=1e-10, max_iter=50_000).fit(repeated)
    state = fit(model, x, weight, tol=1e-14)
    assert state.objective == pytest.approx(theirs.loglike_[-1] / len(repeated), abs=1e-9)
    np.testing.assert_allclose(dense(state.params), theirs.get_covariance(), atol=1e-4)


def test_the_optimum_is_that_of_a_quasi_newton_method_and_has_no_gradient(rng):
    x = rows(rng, n=80)
    s = np.cov(x.T, ddof=0)
    best = fit(ECMFactorModel(Q), x).params

    def loss(flat):
        w, log_noise = flat[: D * Q].reshape(D, Q), flat[D * Q :]
        return -log_likelihood(w @ w.T + np.diag(np.exp(log_noise)), s)

    here = np.append(best.loadings.ravel(), np.log(best.noise_variance))
    gradient = [(loss(here + e) - loss(here - e)) / 2e-5 for e in 1e-5 * np.eye(len(here))]
    assert np.abs(gradient).max() < 1e-7
    found = scipy.optimize.minimize(loss, rng.normal(size=len(here)), method="BFGS", options={"gtol": 1e-7})
    assert -found.fun == pytest.approx(log_likelihood(dense(best), s), abs=1e-9)


def test_m_step_by_the_textbook(rng):
    """PRML 12.66 to 12.70, with the data in full; with W for z of unit second moment (Liu, Rubin and Wu 1998)."""
    x = rows(rng)
    model = bind(FactorModel(Q), x)
    old = FactorParams(x.mean(axis=0), rng.normal(size=(D, Q)), rng.uniform(0.5, 2, D))
    y, inverse = x - old.mean, np.diag(1 / old.noise_variance)
    g = np.linalg.inv(np.eye(Q) + old.loadings.T @ inverse @ old.loadings)
    z = y @ inverse @ old.loadings @ g
    w = y.T @ z @ np.linalg.inv(N * g + z.T @ z)
    noise = np.diag(np.cov(x.T, ddof=0) - w @ (z.T @ y) / N)
    new, second = model.m_step(old, total(model, old, x)).params, g + z.T @ z / N
    np.testing.assert_allclose(new.loadings @ new.loadings.T, w @ second @ w.T, atol=1e-11)
    np.testing.assert_allclose(new.noise_variance, noise, rtol=1e-12)


def test_each_noise_variance_is_the_best_given_those_before(rng):
    s = np.cov(rows(rng).T, ddof=0)
    params = FactorParams(np.zeros(D), rng.normal(size=(D, Q)), rng.uniform(0.5, 2, D))
    found = best_noise(s, params, NOISE_FLOOR * np.diag(s))
    noise = params.noise_variance.copy()
    low_rank = params.loadings @ params.loadings.T
    for j in range(D):

        def loss(log_noise, j=j):
            psi = noise.copy()
            psi[j] = np.exp(log_noise)
            return -log_likelihood(low_rank + np.diag(psi), s)

        best = scipy.optimize.minimize_scalar(loss, bounds=(-14, 4), method="bounded", options={"xatol": 1e-10})
        noise[j] = np.exp(best.x)
        assert found[j] == pytest.approx(noise[j], rel=1e-5, abs=1e-5)
        noise[j] = found[j]


def test_the_best_loadings_have_no_gradient(rng):
    s, noise = np.cov(rows(rng).T, ddof=0), rng.uniform(0.3, 0.8, D)
    w = best_loadings(s, noise, Q)
    inverse = np.linalg.inv(w @ w.T + np.diag(noise))
    np.testing.assert_allclose(inverse @ (w @ w.T + np.diag(noise) - s) @ inverse @ w, 0, atol=1e-12)
    by_quasi_newton = scipy.optimize.minimize(
        lambda flat: -log_likelihood(flat.reshape(D, Q) @ flat.reshape(D, Q).T + np.diag(noise), s),
        rng.normal(size=D * Q),
    )
    assert log_likelihood(w @ w.T + np.diag(noise), s) == pytest.approx(-by_quasi_newton.fun, abs=1e-8)


def test_moments_give_the_statistics_of_the_rows(rng):
    x, weight = rows(rng), rng.exponential(size=N)
    streamed, whole = bind(FactorModel(Q), x, weight), bind(MomentsFactorModel(Q), x, weight)
    params = begin(streamed, x, weight)
    one, two = total(streamed, params, x, weight), total(whole, params, x, weight)
    for name in ("rows", "weight", "log_likelihood", "zz", "rz", "rr"):
        a, b = getattr(one, name), getattr(two, name)
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11 * np.abs(b).max())


def test_heywood_cases_end_at_the_floor(rng):
    """A column that is the factor itself: the likelihood wants no noise there."""
    z = rng.normal(size=(100, 1))
    x = np.hstack([z, z @ np.ones((1, 3)) + rng.normal(size=(100, 3))])
    state = fit(ECMFactorModel(1), x, tol=1e-12)
    assert state.params.noise_variance[0] == pytest.approx(NOISE_FLOOR * x[:, 0].var())
    assert (state.params.noise_variance[1:] > 0.3).all()
    # At the boundary z = x_0, so that the other columns are regressed on it.
    slope = [np.polyfit(x[:, 0] - x[:, 0].mean(), x[:, j] - x[:, j].mean(), 1)[0] for j in (1, 2, 3)]
    w = state.params.loadings[:, 0]
    np.testing.assert_allclose(w[1:] / w[0], slope, atol=1e-4)


def test_wide_em_through_the_engine_when_the_sample_is_small(rng):
    x = rows(rng, n=2000)
    x[:, 0] = np.where(np.arange(2000) < 1900, 0.5, x[:, 0])  # constant in most samples
    fitted = fit_model(FactorModel(Q), open_source(x), FitSettings(1e-11, 5000, Start(1, 12)))
    best = fit(ECMFactorModel(Q), x, tol=1e-13)
    assert fitted.state.objective == pytest.approx(best.objective, abs=1e-6)


def test_a_column_that_is_constant_in_the_sample_alone(rng):
    x = rows(rng)
    model = bind(FactorModel(Q), x)
    sample = x[:40].copy()
    sample[:, 3] = 1.5
    params = model.start(Block(sample), rng)
    state = loop.fit(model, params, loop.OneBlock(Block(x)), tol=1e-13, max_iter=5000)
    assert state.objective == pytest.approx(fit(ECMFactorModel(Q), x, tol=1e-13).objective, abs=1e-8)


def test_canonical_loadings_leave_the_model(rng):
    params = FactorParams(np.zeros(D), rng.normal(size=(D, 3)), rng.uniform(0.5, 2, D))
    turned, components = FactorModel(3).canonical(params)
    np.testing.assert_allclose(dense(turned), dense(params), atol=1e-13)
    gram = components @ np.diag(1 / params.noise_variance) @ components.T
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-12)
    assert (np.diff(np.diag(gram)) < 0).all()


@pytest.mark.parametrize(("q", "n"), [(1, 3 * 5), (2, 5 + 5 + 10 - 1), (3, 20), (5, 20)])
def test_free_parameters_are_no_more_than_those_of_a_free_covariance(q, n):
    assert FactorModel(q).n_parameters(5) == n


@pytest.mark.parametrize("method", ["varimax", "quartimax"])
def test_rotations_maximise_their_criterion(method, rng):
    """No turn in any plane of two factors raises it."""
    loadings = rng.normal(size=(9, 3)) * [3, 2, 1]

    def criterion(turned):
        squares = turned**2
        return np.sum(squares**2) - (method == "varimax") * np.sum(squares.sum(axis=0) ** 2) / 9

    turn = rotation(loadings, method)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-13)
    best = criterion(loadings @ turn)
    assert best > criterion(loadings)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        for angle in np.linspace(-np.pi, np.pi, 60):
            plane = np.eye(3)
            plane[[i, i, j, j], [i, j, i, j]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
            assert criterion(loadings @ turn @ plane) <= best * (1 + 1e-7)
