"""Probabilistic PCA against dense formulas, scikit-learn's PCA and direct maximisation."""

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from sklearn import decomposition

from dem.core.block import Block
from dem.em.starts import Start
from dem.models.latent.algebra import log_normaliser, posterior_covariance
from dem.models.latent.closed_form import PPCAParams, closed_form, principal_rotation
from dem.models.latent.ppca import MomentsPPCAModel, PPCAModel
from dem.run.fit import fit_model
from dem.run.fit_settings import FitSettings
from dem.scan.scanner import Scanner
from dem.source import open_source
from laws import begin, bind, rows_of, run, total

D, Q, N = 5, 2, 400


def rows(rng, n=N, offset=0.0):
    z = rng.normal(size=(n, Q))
    return offset + z @ rng.normal(size=(Q, D)) * [3.0, 1, 1, 0.5, 2] + 0.5 * rng.normal(size=(n, D))


def moments(x, weight=None):
    return Scanner(x.shape[1], True, 10, 0, None)()(Block(x, weight)).moments


def some(rng):
    return PPCAParams(rng.normal(size=D), rng.normal(size=(D, Q)), 0.7)


def dense(params):
    return params.loadings @ params.loadings.T + params.noise_variance * np.eye(len(params.loadings))


def log_likelihood(params, x, weight=None):
    return np.average(scipy.stats.multivariate_normal(params.mean, dense(params)).logpdf(x), weights=weight)


@pytest.mark.parametrize("q", [1, 2, 4, 5])
def test_closed_form_is_scikit_learns_with_n_for_n_minus_1(q, rng):
    x = rows(rng)
    params, values, components = closed_form(moments(x), q)
    theirs = decomposition.PCA(q, svd_solver="full").fit(x)
    ml = (N - 1) / N
    np.testing.assert_allclose(components, theirs.components_, atol=1e-12)
    np.testing.assert_allclose(values[:q], ml * theirs.explained_variance_, rtol=1e-12)
    assert params.noise_variance == pytest.approx(ml * theirs.noise_variance_, rel=1e-12, abs=1e-15)
    np.testing.assert_allclose(dense(params), ml * theirs.get_covariance(), atol=1e-12)
    np.testing.assert_allclose(params.mean, theirs.mean_, atol=1e-14)


def test_closed_form_maximises_the_likelihood(rng):
    """No better parameters are found by a quasi-Newton method, from there or elsewhere   (PRML 12.45)."""
    x = rows(rng, n=60)
    best, _, _ = closed_form(moments(x), Q)

    def loss(flat):
        w, log_noise = flat[:-1].reshape(D, Q), flat[-1]
        return -log_likelihood(PPCAParams(best.mean, w, np.exp(log_noise)), x)

    exact = np.append(best.loadings.ravel(), np.log(best.noise_variance))
    gradient = scipy.optimize.approx_fprime(exact, loss, 1e-6)
    assert np.abs(gradient).max() < 1e-4
    found = scipy.optimize.minimize(loss, rng.normal(size=D * Q + 1), method="BFGS", options={"gtol": 1e-6})
    assert -found.fun == pytest.approx(log_likelihood(best, x), abs=1e-9)


def test_closed_form_of_weighted_rows_is_that_of_repeated_rows(rng):
    x, weight = rows(rng), rng.integers(0, 4, N)
    one, _, _ = closed_form(moments(x, weight.astype(float)), Q)
    two, _, _ = closed_form(moments(np.repeat(x, weight, axis=0)), Q)
    np.testing.assert_allclose(dense(one), dense(two), atol=1e-12)


def test_noise_is_the_mean_of_the_variances_left_out(rng):
    """PRML 12.46; and W'W is diagonal with lambda - s^2   (PRML 12.45)."""
    x = rows(rng)
    params, values, _ = closed_form(moments(x), Q)
    eigenvalues = np.linalg.eigvalsh(np.cov(x.T, ddof=0))[::-1]
    np.testing.assert_allclose(values, eigenvalues, rtol=1e-12)
    assert params.noise_variance == pytest.approx(eigenvalues[Q:].mean(), rel=1e-12)
    gram = params.loadings.T @ params.loadings
    np.testing.assert_allclose(gram, np.diag(eigenvalues[:Q] - params.noise_variance), atol=1e-11)


def test_closed_form_far_from_zero(rng):
    x = rows(rng)
    near, _, _ = closed_form(moments(np.round(x * 2**20) / 2**20), Q)
    far, _, _ = closed_form(moments(np.round(x * 2**20) / 2**20 + 2.0**26), Q)
    np.testing.assert_allclose(dense(far), dense(near), rtol=0, atol=1e-9)


@pytest.mark.parametrize("model", [MomentsPPCAModel(Q), PPCAModel(Q)], ids=["moments", "wide"])
@pytest.mark.parametrize("weighted", [False, True])
def test_em_reaches_the_closed_form(model, weighted, rng):
    x = rows(rng, offset=100.0)
    weight = rng.exponential(size=N) if weighted else None
    best, _, _ = closed_form(moments(x, weight), Q)
    bound = bind(model, x, weight)
    state = run(bound, begin(bound, x, weight), x, weight, n_iter=500)
    assert state.objective == pytest.approx(log_likelihood(best, x, weight), abs=1e-9)
    assert state.params.noise_variance == pytest.approx(best.noise_variance, rel=1e-4)


def test_wide_em_through_the_engine_reaches_the_closed_form(rng):
    x = rows(rng, n=3000)
    best, _, _ = closed_form(moments(x), Q)
    fit = fit_model(PPCAModel(Q), open_source(x), FitSettings(1e-11, 500, Start(1, 100)))
    assert fit.state.objective == pytest.approx(log_likelihood(best, x), abs=1e-8)
    assert fit.n_passes == len(fit.state.history) + 1
    params, components = principal_rotation(fit.state.params)
    _, _, expected = closed_form(moments(x), Q)
    np.testing.assert_allclose(components, expected, atol=1e-4)
    np.testing.assert_allclose(dense(params), dense(fit.state.params), atol=1e-11)


def test_wide_em_when_there_are_fewer_rows_than_columns(rng):
    x = 0.3 * rng.normal(size=(20, Q)) @ rng.normal(size=(Q, 60)) + rng.normal(size=(20, 60))
    best, _, _ = closed_form(moments(x), Q)
    fit = fit_model(PPCAModel(Q), open_source(x), FitSettings(1e-12, 2000, Start(1, 8)))
    assert fit.state.objective == pytest.approx(log_likelihood(best, x), abs=1e-7)


@pytest.mark.parametrize("weighted", [False, True])
def test_moments_give_the_statistics_of_the_rows(weighted, rng):
    x = rows(rng)
    weight = rng.exponential(size=N) if weighted else None
    streamed, whole = bind(PPCAModel(Q), x, weight), bind(MomentsPPCAModel(Q), x, weight)
    params = begin(streamed, x, weight)
    one, two = total(streamed, params, x, weight), total(whole, params, x, weight)
    assert one.rows == two.rows
    for name in ("weight", "log_likelihood", "zz", "rz", "rr"):
        a, b = getattr(one, name), getattr(two, name)
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11 * np.abs(b).max())


def test_m_step_by_the_textbook(rng):
    """PRML 12.54 to 12.57, with the data in full; with W for z of unit second moment (Liu, Rubin and Wu 1998)."""
    x = rows(rng)
    model = bind(PPCAModel(Q), x)
    old = PPCAParams(x.mean(axis=0), rng.normal(size=(D, Q)), 0.7)
    y = x - old.mean
    inverse = np.linalg.inv(old.loadings.T @ old.loadings + 0.7 * np.eye(Q))
    z = y @ old.loadings @ inverse
    zz = N * 0.7 * inverse + z.T @ z
    w = y.T @ z @ np.linalg.inv(zz)
    noise = ((y**2).sum() - 2 * (z * (y @ w)).sum() + np.trace(zz @ w.T @ w)) / (N * D)
    new, second = model.m_step(old, total(model, old, x)).params, zz / N
    np.testing.assert_allclose(new.loadings @ new.loadings.T, w @ second @ w.T, atol=1e-11)
    assert new.noise_variance == pytest.approx(noise, rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16])
def test_scores_are_those_of_the_dense_gaussian(dtype, rng):
    params = some(rng)
    x = (3 * rng.normal(size=(50, D))).astype(dtype)
    found = rows_of(PPCAModel(Q), params, "score")(Block(x))
    expected = scipy.stats.multivariate_normal(params.mean, dense(params)).logpdf(x.astype(float))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_latents_are_the_posterior_means(rng):
    """E[z | x] = W' inv(C) (x - mu), the conditional mean of the joint Gaussian   (PRML 2.81, 12.42)."""
    params = some(rng)
    x = rng.normal(size=(50, D))
    expected = (x - params.mean) @ np.linalg.inv(dense(params)) @ params.loadings
    np.testing.assert_allclose(rows_of(PPCAModel(Q), params, "latent")(Block(x)), expected, atol=1e-13)
    posterior = np.eye(Q) - params.loadings.T @ np.linalg.inv(dense(params)) @ params.loadings
    np.testing.assert_allclose(posterior_covariance(params), posterior, atol=1e-14)


@pytest.mark.parametrize("q", [2, D])
def test_the_normaliser_is_the_dense_one(q, rng):
    params = PPCAParams(np.zeros(D), rng.normal(size=(D, q)), 0.0 if q == D else 0.3)
    expected = scipy.stats.multivariate_normal(np.zeros(D), dense(params)).logpdf(np.zeros(D))
    assert log_normaliser(params) == pytest.approx(expected, rel=1e-12)


def test_all_directions_leave_no_noise(rng):
    x = rows(rng)
    params, _, _ = closed_form(moments(x), D)
    assert params.noise_variance == 0
    np.testing.assert_allclose(dense(params), np.cov(x.T, ddof=0), atol=1e-12)
    found = rows_of(PPCAModel(D), params, "score")(Block(x))
    np.testing.assert_allclose(found, scipy.stats.multivariate_normal(params.mean, dense(params)).logpdf(x), rtol=1e-10)


def test_without_noise_rows_have_no_density(rng):
    params = PPCAParams(np.zeros(D), rng.normal(size=(D, Q)), 0.0)
    with pytest.raises(ValueError, match="no density; use fewer components"):
        rows_of(PPCAModel(Q), params, "score")(Block(np.ones((3, D))))
    z = rng.normal(size=(4, Q))
    np.testing.assert_allclose(rows_of(PPCAModel(Q), params, "latent")(Block(z @ params.loadings.T)), z, atol=1e-12)


def test_drawn_rows_have_the_covariance(rng):
    params, n = some(rng), 50_000
    x, z = PPCAModel(Q).draw(params, n, rng)
    assert z.shape == (n, Q)
    assert (np.abs(z.mean(axis=0)) < 4 / n**0.5).all()
    noise = (x - params.mean - z @ params.loadings.T).var(axis=0)
    assert (np.abs(noise - params.noise_variance) < 4 * params.noise_variance * (2 / n) ** 0.5).all()
    covariance = dense(params)
    variances = np.diag(covariance)
    assert (np.abs(x.mean(axis=0) - params.mean) < 4 * np.sqrt(variances / n)).all()
    error = np.sqrt((np.outer(variances, variances) + covariance**2) / n)
    assert (np.abs(np.cov(x.T) - covariance) < 4 * error).all()


def test_canonical_loadings_are_orthogonal_and_longest_first(rng):
    params = some(rng)
    turned, components = principal_rotation(params)
    np.testing.assert_allclose(dense(turned), dense(params), atol=1e-13)
    gram = turned.loadings.T @ turned.loadings
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-13)
    assert (np.diff(np.diag(gram)) <= 0).all()
    assert (components[np.arange(Q), np.abs(components).argmax(axis=1)] > 0).all()


def test_unknown_outputs_and_bad_values_are_refused(rng):
    params = some(rng)
    with pytest.raises(ValueError, match="no output 'label': choose one of latent, score"):
        rows_of(PPCAModel(Q), params, "label")
    with pytest.raises(ValueError, match="row 1 holds inf in column 0: infinite values"):
        rows_of(PPCAModel(Q), params, "score")(Block(np.array([[0.0] * D, [np.inf] * D])))
