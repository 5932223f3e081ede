"""Student's t with missing values, against SciPy's densities of what is observed and quadrature over the scales."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import approx_fprime, minimize
from scipy.special import digamma

from dem.core.block import Block
from dem.core.coordinate_frame import Frame
from dem.em import loop
from dem.em.seeding import Seeding
from dem.families import StudentT
from dem.families.gaussian.base import Gaussians
from dem.families.student_t import StudentTs
from dem.models.mixture.mixture import MixtureModel
from laws import begin, bind

KINDS = pytest.mark.parametrize("kind", ["full", "diag"])
D, K, N = 4, 2, 40


def theta_of(kind, rng, nu=(3.5, 9.0)):
    """Return parameters, and the scale matrices (K, d, d)."""
    spread = rng.normal(size=(K, D, D)) + np.eye(D)
    scales = spread @ np.swapaxes(spread, 1, 2)
    if kind == "diag":
        scales = np.einsum("kii->ki", scales)
    gaussians = StudentT(kind).gaussian.from_covariances(rng.normal(size=(K, D)), scales)
    dense = scales if kind == "full" else scales[:, :, None] * np.eye(D)
    return StudentTs(gaussians, np.array(nu)), dense


def lacking(rng, share=0.4):
    x = 2 * rng.normal(size=(N, D))
    x[rng.random(x.shape) < share] = np.nan
    x[0], x[1, 1:] = np.nan, np.nan
    x[1, 0] = 0.7
    return x


@KINDS
def test_densities_and_expectations(kind, rng):
    """E u, E log u and E[u (x - mu)(x - mu)'] from SciPy's densities: u given x_o is a gamma variable."""
    family = StudentT(kind, reg_covar=0).with_missing()
    theta, scales = theta_of(kind, rng)
    x, resp = lacking(rng), rng.dirichlet(np.ones(K), size=N).T
    columns, out = np.ascontiguousarray(x.T), np.empty((K, N))
    reuse = family.log_density(theta, columns, out)
    sums = np.zeros((family.n_exact_sums(D), K))
    family.add_sums(theta, columns, reuse, resp, sums)
    mean, variance = family.conditional_moments(theta, columns, reuse, resp)
    expected = np.zeros((2 + 1 + D + D * D, K))
    first, second = np.zeros((D, N)), np.zeros((D, N))
    for k, i in np.ndindex(K, N):
        nu, o = theta.degrees_of_freedom[k], ~np.isnan(x[i])
        m, s, r = ~o, scales[k], resp[k, i]
        e, c, shape, rate = np.zeros(D), np.zeros((D, D)), nu / 2, nu / 2
        if o.any():
            e[o] = x[i, o] - theta.gaussians.means[k, o]
            across = np.linalg.solve(s[np.ix_(o, o)], s[np.ix_(o, m)])
            e[m] = across.T @ e[o]
            density = stats.multivariate_t.logpdf(e[o], np.zeros(o.sum()), s[np.ix_(o, o)], df=nu)
            assert out[k, i] == pytest.approx(density, rel=1e-11, abs=1e-11)
            distance = e[o] @ np.linalg.solve(s[np.ix_(o, o)], e[o])
            shape, rate = shape + o.sum() / 2, rate + distance / 2
        else:
            across = np.zeros((0, D))
            assert out[k, i] == 0
        c[np.ix_(m, m)] = s[np.ix_(m, m)] - s[np.ix_(m, o)] @ across
        u, log_u = stats.gamma(shape, scale=1 / rate).mean(), digamma(shape) - np.log(rate)
        assert reuse.u[k, i] == pytest.approx(u, rel=1e-11)
        assert reuse.log_u[k, i] == pytest.approx(log_u, rel=1e-9, abs=1e-11)
        products = u * np.outer(e, e) + c
        expected[:, k] += r * np.concatenate([[1, log_u, u], u * e, products.ravel()])
        centre = theta.gaussians.means[k] + e
        first[:, i] += r * centre
        second[:, i] += r * (centre**2 + np.diag(c) * stats.invgamma(shape, scale=rate).mean())
    chosen = np.triu_indices(D) if kind == "full" else (np.arange(D), np.arange(D))
    products = expected[3 + D :].reshape(D, D, K)[chosen]
    size = 3 + D + len(products)
    np.testing.assert_allclose(sums[:size], np.concatenate([expected[: 3 + D], products]), rtol=1e-9, atol=1e-11)
    missing = np.isnan(x.T)
    np.testing.assert_allclose(mean[missing], first[missing], rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(variance[missing], (second - first**2)[missing], rtol=1e-9)
    np.testing.assert_array_equal(mean[~missing], x.T[~missing])
    assert not variance[~missing].any()


@KINDS
def test_few_degrees_of_freedom_have_no_deviation(kind, rng):
    """A row of o values has a conditional variance if nu + o > 2."""
    family = StudentT(kind).with_missing()
    theta, _ = theta_of(kind, rng, (0.5, 0.8))
    x = np.array([[np.nan] * D, [1.0, *[np.nan] * (D - 1)], [1.0, -1.0, *[np.nan] * (D - 2)]]).T.copy()
    reuse = family.log_density(theta, x, np.empty((K, 3)))
    mean, variance = family.conditional_moments(theta, x, reuse, np.full((K, 3), 0.5))
    assert np.isfinite(mean).all()
    assert np.isinf(variance[:, 0]).all()
    assert np.isinf(variance[1:, 1]).all()
    assert np.isfinite(variance[:, 2]).all()


@KINDS
def test_rows_without_holes_give_what_the_family_gives(kind, rng):
    whole = StudentT(kind, reg_covar=1e-6)
    family = whole.with_missing()
    theta, _ = theta_of(kind, rng)
    x, resp = np.ascontiguousarray(rng.normal(size=(D, N))), rng.random((K, N))
    found, expected = [], []
    for one, results in ((family, found), (whole, expected)):
        out, sums = np.empty((K, N)), np.zeros((one.n_exact_sums(D), K))
        one.add_sums(theta, x, one.log_density(theta, x, out), resp, sums)
        new = one.estimate(sums, Frame.at(theta.gaussians.means), theta)
        results += [out, new.gaussians.means, new.gaussians.covariances, new.degrees_of_freedom]
        results += [one.initial(x, resp).gaussians.covariances]
        results.append(one.expected(new, sums, Frame.at(theta.gaussians.means), theta))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)
    assert family.with_missing() is family
    assert family.n_parameters(K, D) == whole.n_parameters(K, D)


def minus_log_likelihood(free, x, kind):
    """Return the mean of -log t(x_o) by SciPy, of parameters as a vector without bounds."""
    d = x.shape[1]
    nu, mean, lower = np.exp(free[0]), free[1 : 1 + d], np.zeros((d, d))
    if kind == "full":
        lower[np.tril_indices(d)] = free[1 + d :]
        lower[np.arange(d), np.arange(d)] = np.exp(np.diag(lower))
    else:
        lower[np.arange(d), np.arange(d)] = np.exp(free[1 + d :])
    scale, total = lower @ lower.T, 0.0
    for key in np.unique(np.isnan(x), axis=0):
        rows, o = (np.isnan(x) == key).all(axis=1), ~key
        if o.any():
            total += stats.multivariate_t.logpdf(x[rows][:, o], mean[o], scale[np.ix_(o, o)], df=nu).sum()
    return -total / len(x)


@KINDS
def test_em_reaches_the_maximum_that_scipy_finds(kind, rng):
    x = stats.multivariate_t([1.0, -1.0], [[1.0, 0.6], [0.6, 2.0]], df=4, seed=rng).rvs(300)
    x[rng.random(x.shape) < 0.25] = np.nan
    model = bind(MixtureModel(1, StudentT(kind, reg_covar=0), Seeding("kmeans")), x)
    state = loop.fit(model, begin(model, x), loop.OneBlock(Block(x)), tol=0, max_iter=3000)
    theta = state.params.theta
    scale = theta.gaussians.covariances[0]
    root = np.linalg.cholesky(scale if kind == "full" else np.diag(scale))
    root[np.arange(2), np.arange(2)] = np.log(np.diag(root))
    entries = root[np.tril_indices(2)] if kind == "full" else np.diag(root)
    free = np.concatenate([np.log(theta.degrees_of_freedom), theta.gaussians.means[0], entries])
    assert -minus_log_likelihood(free, x, kind) == pytest.approx(state.objective, abs=1e-11)
    assert np.abs(approx_fprime(free, minus_log_likelihood, 1e-6, x, kind)).max() < 1e-5
    best = minimize(minus_log_likelihood, free + 0.05, (x, kind), method="BFGS", options={"gtol": 1e-6})
    assert state.objective == pytest.approx(-best.fun, abs=1e-8)


def test_many_degrees_of_freedom_are_the_gaussian(rng):
    theta, _ = theta_of("full", rng, (1e12, 1e12))
    x, out, expected = np.ascontiguousarray(lacking(rng).T), np.empty((K, N)), np.empty((K, N))
    StudentT().with_missing().log_density(theta, x, out)
    gaussians = Gaussians(theta.gaussians.means, theta.gaussians.covariances, theta.gaussians.precisions_cholesky)
    StudentT().gaussian.with_missing().log_density(gaussians, x, expected)
    np.testing.assert_allclose(out, expected, atol=1e-8)
