"""Student's t: the latent scales, the degrees of freedom, and what it is for: outliers."""

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import trapezoid  # np.trapezoid came with NumPy 2
from scipy.optimize import minimize

import dem
from dem.core.coordinate_frame import Frame
from dem.families import FullGaussian, Gaussian, StudentT
from dem.families.gaussian.base import Gaussians
from dem.families.student_t import StudentTs
from families.kinds import KINDS
from shared import ENDS_AT_MAX_ITER

T = KINDS["studentt"]
N = 300


def sums_of(family, theta, x, resp):
    reuse = family.log_density(theta, x.T.copy(), np.empty((2, len(x))))
    sums = np.zeros((family.n_exact_sums(2), 2))
    family.add_sums(theta, x.T.copy(), reuse, resp, sums)
    return reuse, sums


@pytest.mark.parametrize("kind", ["full", "diag"])
def test_many_degrees_of_freedom_are_a_gaussian(kind, rng):
    family = StudentT(kind)
    covariances = np.array([[[2.0, 0.5], [0.5, 1]], [[1, 0], [0, 3.0]]])
    covariances = covariances if kind == "full" else np.einsum("kii->ki", covariances)
    gaussians = family.gaussian.from_covariances(rng.normal(size=(2, 2)), covariances)
    x, out, expected = rng.normal(size=(2, N)), np.empty((2, N)), np.empty((2, N))
    Gaussian(kind).log_density(gaussians, x, expected)
    for nu, tolerance in ((1e4, 0.1), (1e6, 1e-3), (1e12, 1e-9)):
        u, log_u = family.log_density(StudentTs(gaussians, np.full(2, nu)), x, out)
        np.testing.assert_allclose(out, expected, atol=tolerance)
        np.testing.assert_allclose(u, 1, atol=100 / nu + 1e-12)
        np.testing.assert_allclose(log_u, 0, atol=100 / nu + 1e-12)


def test_diagonal_scales_are_full_ones_without_correlation(rng):
    x, out = rng.standard_t(3, size=(2, N)), np.empty((1, N))
    means, variances, nu = np.array([[0.3, -1.0]]), np.array([[2.0, 0.5]]), np.array([3.5])
    family = StudentT("diag")
    family.log_density(StudentTs(Gaussians(means, variances, 1 / np.sqrt(variances)), nu), x, out)
    np.testing.assert_allclose(
        out[0], stats.multivariate_t(means[0], np.diag(variances[0]), df=3.5).logpdf(x.T), rtol=1e-12
    )
    assert family.n_parameters(2, 3) == 2 * (3 + 3 + 1)
    assert StudentT("diag", degrees_of_freedom=4).n_parameters(2, 3) == 2 * (3 + 3)


def test_the_latent_scales_expectations(rng):
    """E u and E log u by quadrature of p(u | x), proportional to Gamma(u; nu/2, nu/2) N(x; mu, S/u)."""
    x = T.rows(6, rng)
    (u, log_u), _ = sums_of(T.family, T.theta, x, np.full((2, 6), 0.5))
    log_s = np.linspace(-20, 5, 20_001)
    s = np.exp(log_s)
    for k, c in enumerate(T.known.components):
        nu = c["degrees_of_freedom"]
        for i, offset in enumerate(x - c["means"]):
            distance = offset @ np.linalg.solve(c["covariances"], offset)
            normal = s / (2 * np.pi) / np.sqrt(np.linalg.det(c["covariances"])) * np.exp(-s * distance / 2)
            joint = stats.gamma(nu / 2, scale=2 / nu).pdf(s) * normal * s  # ds = s dlog s
            total, mean, log_mean = (trapezoid(joint * f, log_s) for f in (1, s, log_s))
            np.testing.assert_allclose(total, np.exp(T.known.log_pdf(c, x)[i]), rtol=1e-8)
            np.testing.assert_allclose([u[k, i], log_u[k, i]], [mean / total, log_mean / total], rtol=1e-8)


def q(components, x, resp, u, log_u):
    """Return Q row by row: the sum of r E log p(x, u | k), from SciPy's densities of both."""
    total = 0.0
    for c, r, e, log_e in zip(components, resp, u, log_u, strict=True):
        d, a = x.shape[1], c["degrees_of_freedom"] / 2
        at_one = stats.multivariate_normal(c["means"], c["covariances"])
        peak = at_one.logpdf(c["means"])
        distance = -2 * (at_one.logpdf(x) - peak)
        of_gamma = stats.gamma(a, scale=1 / a)
        # log Gamma(u; a, a) is linear in log u and u, with coefficients a - 1 and -a
        constant = of_gamma.logpdf(1) + a
        total += r @ (peak + d / 2 * log_e - e * distance / 2 + constant + (a - 1) * log_e - a * e)
    return total


def test_expected_is_q_and_the_m_step_maximises_it(rng):
    x, resp = T.rows(N, rng), rng.dirichlet(np.ones(2), N).T
    (u, log_u), sums = sums_of(T.family, T.theta, x, resp)
    frame = Frame.at(T.family.centres(T.theta))
    np.testing.assert_allclose(
        T.family.expected(T.theta, sums, frame, T.theta), q(T.known.components, x, resp, u, log_u), rtol=1e-12
    )
    new = T.family.estimate(sums, frame, None)
    np.testing.assert_allclose(
        T.family.expected(new, sums, frame, T.theta), q(T.apart(new), x, resp, u, log_u), rtol=1e-12
    )
    best = q(T.apart(new), x, resp, u, log_u)
    for k, c in enumerate(T.apart(new)):
        there = T.known.free(c)
        for e in np.eye(len(there)):
            for step in (-1e-3, 1e-3):
                components = T.apart(new)
                components[k] = T.known.bound(there + step * e)
                assert q(components, x, resp, u, log_u) < best


@ENDS_AT_MAX_ITER
@pytest.mark.slow
def test_degrees_of_freedom_stay_within_bounds(rng):
    """Gaussian rows want infinitely many; all components may share a number that the user gives."""
    x = rng.normal(size=(500, 2))
    model = dem.Mixture(1, family="studentt", tol=1e-7, max_iter=500).fit(x)
    normal = dem.GaussianMixture(1).fit(x)
    assert 20 < model.component_parameters_["degrees_of_freedom"][0] <= 1e6
    assert model.lower_bound_ > normal.lower_bound_ - 1e-3
    fixed = dem.Mixture(2, family=StudentT(degrees_of_freedom=3.0), n_init=2).fit(x)
    np.testing.assert_array_equal(fixed.component_parameters_["degrees_of_freedom"], [3.0, 3.0])
    with pytest.raises(ValueError, match="degrees_of_freedom"):
        StudentT(degrees_of_freedom=-1)
    with pytest.raises(ValueError, match="covariance_type must be one of full, diag"):
        StudentT("tied")


def test_one_component_is_scipys_fit(rng):
    """In one column: the profile likelihood of the degrees of freedom, maximised by SciPy."""
    x = stats.t(3.0, loc=2.0, scale=0.5).rvs(3000, random_state=rng)
    model = dem.Mixture(1, family=StudentT(reg_covar=0), tol=1e-13, max_iter=5000).fit(x[:, None])
    df, loc, scale = stats.t.fit(x, 3.0, loc=2.0, scale=0.5, optimizer=lambda f, v, args, disp: minimise(f, v, args))
    found = model.component_parameters_
    np.testing.assert_allclose(found["degrees_of_freedom"], df, rtol=1e-4)
    np.testing.assert_allclose(found["means"][0, 0], loc, rtol=1e-5)
    np.testing.assert_allclose(found["covariances"][0, 0, 0], scale**2, rtol=1e-4)


def minimise(f, v, args):

    return minimize(f, v, args, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 5000}).x


@ENDS_AT_MAX_ITER
@pytest.mark.slow
def test_outliers_count_little(rng):
    """Five per cent of rubbish moves a Gaussian's means far, and t's hardly."""
    x = np.concatenate([rng.normal(-4, 1, (500, 2)), rng.normal(4, 1, (500, 2))])
    rubbish = rng.uniform(-200, 200, (50, 2))
    robust = dem.Mixture(2, family="studentt", tol=1e-8, max_iter=1000).fit(np.vstack([x, rubbish]))
    means = robust.component_parameters_["means"]
    np.testing.assert_allclose(means[np.argsort(means[:, 0])], [[-4, -4], [4, 4]], atol=0.2)
    assert isinstance(robust.family_.gaussian, FullGaussian)
