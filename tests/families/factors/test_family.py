"""Factor analysers against dense covariances, closed forms, scikit-learn and long double."""

import tracemalloc

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from dem.core.block import Block
from dem.core.coordinate_frame import Frame
from dem.families import NOISE, FactorAnalysers
from dem.families.factors.algebra import canonical_rotation
from dem.families.factors.e_step import Latents, by_residuals
from dem.models.mixture.factors import FactorMixtureModel
from dem.models.mixture.kernel import MixtureParams
from laws import rows_of

K, D, Q, N = 3, 6, 2, 400
KINDS = pytest.mark.parametrize("noise", NOISE)


def some(noise, rng, *, offset=0.0, spread=3.0, least=0.2):
    """Return a family, parameters, and rows (d, n) near them."""
    family = NOISE[noise](Q)
    variances = least * (1 + rng.random((K, family.n_noise(D))))
    theta = FactorAnalysers(offset + rng.normal(0, spread, (K, D)), rng.normal(size=(K, D, Q)), variances)
    x = np.concatenate([family.draw(theta, k, N // K + 1, rng) for k in range(K)])[:N]
    return family, theta, np.ascontiguousarray(x.T)


def dense(theta):
    """Return the covariances (K, d, d)."""
    w = theta.loadings
    d = w.shape[1]
    noise = np.broadcast_to(theta.noise_variances, (len(w), d))
    return w @ w.swapaxes(1, 2) + noise[:, :, None] * np.eye(d)


def long_log_density(theta, x):
    """Return log p (K, n) in long double, by Gaussian elimination of the dense covariances."""
    means, w, noise = (a.astype(np.longdouble) for a in (theta.means, theta.loadings, theta.noise_variances))
    (k, d, _), n = w.shape, x.shape[1]
    out = np.empty((k, n), np.longdouble)
    for i in range(k):
        c = w[i] @ w[i].T + np.diag(np.broadcast_to(noise[i], d))
        centred = x.astype(np.longdouble) - means[i][:, None]
        right, log_det = centred.copy(), np.longdouble(0)
        for j in range(d):
            log_det += np.log(c[j, j])
            factor = c[j + 1 :, j] / c[j, j]
            c[j + 1 :] -= factor[:, None] * c[j]
            right[j + 1 :] -= factor[:, None] * right[j]
        squares = sum(right[j] ** 2 / c[j, j] for j in range(d))  # C = L D L', right = inv(L) (x - mu)
        out[i] = -0.5 * (d * np.log(2 * np.longdouble(np.pi)) + log_det + squares)
    return out


def sums_of(family, theta, x, resp, *, exactly=False):
    out = np.zeros((family.n_exact_sums(len(x)), len(resp)))
    log_density = np.empty_like(resp)
    reuse = family.log_density(theta, x, log_density)
    if exactly:
        reuse = Latents(by_residuals(theta, x, family.squares, log_density))
    family.add_sums(theta, x, reuse, resp, out)
    return out, reuse


@KINDS
def test_log_density_is_that_of_the_dense_covariance(noise, rng):
    family, theta, x = some(noise, rng)
    out = np.empty((K, N))
    family.log_density(theta, x, out)
    for k, covariance in enumerate(dense(theta)):
        expected = multivariate_normal(theta.means[k], covariance).logpdf(x.T)
        np.testing.assert_allclose(out[k], expected, rtol=1e-12, atol=1e-11)


@KINDS
@pytest.mark.parametrize("offset", [0.0, 1e4, 1e8])
@pytest.mark.parametrize("spread", [1.0, 1e3, 1e5, 1e7])
@pytest.mark.parametrize("least", [0.2, 1e-8])
def test_log_density_keeps_its_digits(noise, offset, spread, least, rng):
    """To 1e-9 nats a column, as far as a row's own component goes; elsewhere relative to the number itself."""
    family, theta, x = some(noise, rng, offset=offset, spread=spread, least=least)
    out = np.empty((K, N))
    family.log_density(theta, x, out)
    expected = long_log_density(theta, x)
    assert float((np.abs(out - expected) / np.maximum(D, np.abs(expected))).max()) < 1e-9


@KINDS
def test_products_and_residuals_both_serve(noise, rng):
    family, theta, x = some(noise, rng)
    assert family.log_density(theta, x, np.empty((K, N))).y is not None
    family, theta, x = some(noise, rng, spread=1e7)
    assert family.log_density(theta, x, np.empty((K, N))).y is None


@KINDS
def test_sums_by_products_are_those_by_residuals(noise, rng):
    family, theta, x = some(noise, rng, offset=1e6)
    resp = rng.dirichlet(np.ones(K), N).T
    fast, reuse = sums_of(family, theta, x, resp)
    exact, _ = sums_of(family, theta, x, resp, exactly=True)
    assert reuse.y is not None
    np.testing.assert_allclose(fast, exact, rtol=0, atol=1e-11 * np.abs(exact).max())
    assert len(fast) == (1 + Q) ** 2 + D * (1 + Q) + family.n_noise(D)


def paper_m_step(theta, x, resp):
    """Return one EM step written from the papers, with dense matrices.

    Ghahramani and Hinton (1996), equations 10 and 14 to 16; the isotropic noise is the mean of the diagonal, as in
    Tipping and Bishop (1999), equation C.15; the reduction of PX-EM as in Liu, Rubin and Wu (1998).
    """
    d, q = theta.loadings.shape[1:]
    means, loadings, noises = [], [], []
    for mean, w, covariance, h in zip(theta.means, theta.loadings, dense(theta), resp, strict=True):
        beta = w.T @ np.linalg.inv(covariance)
        z = beta @ (x - mean[:, None])
        zz = np.eye(q) - beta @ w + np.einsum("in,jn->nij", z, z)
        ones = np.ones((1, x.shape[1]))
        augmented = np.concatenate([z, ones])  # the factors, and 1
        second = np.zeros((q + 1, q + 1))
        second[:q, :q] = np.einsum("n,nij->ij", h, zz)
        second[:q, q] = second[q, :q] = z @ h
        second[q, q] = h.sum()
        both = (x * h) @ augmented.T @ np.linalg.inv(second)
        residual = np.diag((x * h) @ x.T - both @ (augmented * h) @ x.T) / h.sum()
        shift = second[:q, q] / h.sum()  # PX-EM: the latents' mean and covariance move into mean and loadings
        stretch = np.linalg.cholesky(second[:q, :q] / h.sum() - np.outer(shift, shift))
        means.append(both[:, q] + both[:, :q] @ shift)
        loadings.append(both[:, :q] @ stretch)
        noises.append(residual if theta.noise_variances.shape[1] == d else [residual.mean()])
    return FactorAnalysers(np.array(means), np.array(loadings), np.array(noises))


@KINDS
def test_a_step_of_em_is_the_papers(noise, rng):
    family, theta, x = some(noise, rng)
    resp = rng.dirichlet(np.ones(K), N).T
    sums, _ = sums_of(family, theta, x, resp)
    found, expected = family.estimate(sums, Frame.at(theta.means), theta), paper_m_step(theta, x, resp)
    np.testing.assert_allclose(found.means, resp @ x.T / resp.sum(axis=1)[:, None], atol=1e-11)
    np.testing.assert_allclose(found.means, expected.means, rtol=0, atol=1e-11)
    np.testing.assert_allclose(dense(found), dense(expected), rtol=0, atol=1e-10)  # the loadings, up to a rotation
    np.testing.assert_allclose(found.noise_variances, expected.noise_variances, rtol=1e-10)


@KINDS
def test_the_bound_touches_and_stays_below(noise, rng):
    """Expected: at the old parameters the sum of r log p, elsewhere less; and greatest at the new ones."""
    family, theta, x = some(noise, rng)
    resp = rng.dirichlet(np.ones(K), N).T
    sums, _ = sums_of(family, theta, x, resp)
    frame = Frame.at(theta.means)

    def true(other):
        normals = (multivariate_normal(m, c).logpdf(x.T) for m, c in zip(other.means, dense(other), strict=True))
        return float((resp * np.array(list(normals))).sum())

    def bound(other):
        return family.expected(other, sums, frame, theta)

    new = family.estimate(sums, frame, theta)
    assert abs(bound(theta) - true(theta)) < 1e-9
    assert bound(theta) < bound(new) < true(new)
    for _ in range(20):
        moved = (a * (1 + 1e-3 * rng.standard_normal(a.shape)) for a in (new.means, new.loadings, new.noise_variances))
        other = FactorAnalysers(*moved)
        assert bound(other) < bound(new)
        assert bound(other) < true(other)


@KINDS
def test_a_tile_takes_no_more_than_is_told(noise, rng):
    k, d, n = 4, 300, 1024
    family = NOISE[noise](Q)
    theta = FactorAnalysers(rng.normal(size=(k, d)), rng.normal(size=(k, d, Q)), np.ones((k, family.n_noise(d))))
    x, resp, out = rng.normal(size=(d, n)), np.full((k, n), 1 / k), np.empty((k, n))
    for spread in (1.0, 1e9):
        theta = FactorAnalysers(spread * theta.means, theta.loadings, theta.noise_variances)
        _ = theta.posterior_terms
        sums = np.zeros((family.n_exact_sums(d), k))
        tracemalloc.start()
        reuse = family.log_density(theta, x, out)
        family.add_sums(theta, x, reuse, resp, sums)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert (reuse.y is None) == (spread > 1)
        assert peak + x.nbytes + out.nbytes <= 8 * (n * family.tile_width(k, d) + 4 * family.parameter_size(k, d))


@KINDS
def test_collapse_gives_a_sentence_or_the_floor(noise, rng):
    """A component of one row: without a floor there is no maximum; with one, everything stays finite."""
    for _ in range(8):  # what rounding leaves of the noise is above 0 in some of them, by any BLAS
        family, theta, x = some(noise, rng)
        resp = np.zeros((K, N))
        resp[0, 0], resp[1] = 1, 1
        for of in (family, family.with_missing()):
            sums, _ = sums_of(of, theta, x, resp)
            with pytest.raises(ValueError, match="noise variance has fallen to 0"):
                of.estimate(sums, Frame.at(theta.means), theta)
    floored = NOISE[noise](Q, 1e-6)
    family, theta, x = some(noise, rng)
    empty = theta
    for _ in range(200):
        sums, _ = sums_of(floored, theta, x, resp)
        theta = floored.estimate(sums, Frame.at(theta.means), theta)
    assert all(np.isfinite(a).all() for a in (theta.means, theta.loadings, theta.noise_variances))
    np.testing.assert_allclose(theta.noise_variances[0], 1e-6)
    np.testing.assert_allclose(theta.means[0], x[:, 0], rtol=1e-6)
    np.testing.assert_array_equal(theta.loadings[2], empty.loadings[2])  # without rows it stays as it was


@KINDS
def test_canonical_loadings_give_the_same_densities(noise, rng):
    _, theta, _ = some(noise, rng)
    turned = canonical_rotation(theta)
    np.testing.assert_allclose(dense(turned), dense(theta), atol=1e-12)
    for w, variances in zip(turned.loadings, turned.noise_variances, strict=True):
        gram = w.T @ (w / variances[:, None])
        np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-11 * gram.max())
        assert gram[0, 0] > gram[1, 1]


@KINDS
def test_latents_are_the_posterior_means(noise, rng):
    family, theta, x = some(noise, rng)
    model, params = FactorMixtureModel(K, family), MixtureParams(np.full(K, 1 / K), theta)
    latents = rows_of(model, params, "latents")(Block(x.T)).reshape(N, K, Q)
    for k, covariance in enumerate(dense(theta)):
        expected = theta.loadings[k].T @ np.linalg.inv(covariance) @ (x - theta.means[k][:, None])  # PRML 12.47
        np.testing.assert_allclose(latents[:, k], expected.T, atol=1e-10)
    label = rows_of(model, params, "label")(Block(x.T))
    np.testing.assert_array_equal(rows_of(model, params, "latent")(Block(x.T)), latents[np.arange(N), label])
    assert model.row_outputs(params)["latents"].columns == K * Q
    with pytest.raises(ValueError, match="latent"):
        rows_of(model, params, "nothing")


def test_as_many_factors_as_columns_are_refused():
    with pytest.raises(ValueError, match="n_factors=4 must be less than the number of columns, n_features=4"):
        NOISE["isotropic"](4).check_columns(4)
