"""Each Gaussian family against long double and NumPy."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

import reference
from dem.core.block import Block
from dem.core.coordinate_frame import Frame
from dem.families import COVARIANCE_TYPES, Gaussians
from dem.families.gaussian.base import matrix_map, means_in_frame
from dem.scan.scanner import Scanner

K, D, N = 3, 4, 400
TYPES = pytest.mark.parametrize("kind", COVARIANCE_TYPES)
FRAMES = pytest.mark.parametrize(
    ("shift", "scale"),
    [([0.0] * D, [1.0] * D), ([1.0, -2, 0.5, 3], [2.0**4, 2.0**-3, 1.0, 2.0])],
    ids=["plain", "moved"],
)


def frame_of(kind, shift, scale):
    isotropic = COVARIANCE_TYPES[kind].isotropic
    return Frame(np.array(shift), np.full(D, scale[0]) if isotropic else np.array(scale))


def some(kind, rng):
    """Return a family, parameters, and rows near them."""
    family = COVARIANCE_TYPES[kind]()
    a = rng.normal(size=(K, D, D))
    full = a @ np.swapaxes(a, 1, 2) + np.eye(D)
    diagonal = np.einsum("kii->ki", full)
    covariances = {"full": full, "tied": full[0], "diag": diagonal, "spherical": diagonal[:, 0]}[kind]
    theta = family.from_covariances(rng.normal(0, 3, (K, D)), covariances)
    return family, theta, rng.normal(0, 3, (N, D))


def features(family, x, frame):
    t = np.ones((family.n_features(D), len(x)))
    family.features(D, frame).write(x, t[1:])
    return t


def bound(family, x, frame, weight=None):
    return family.bind(Scanner(D, True, 10, 0, None)()(Block(x, weight)), frame)


@TYPES
def test_log_density(kind, rng):
    family, theta, x = some(kind, rng)
    out = np.empty((K, N))
    family.log_density(theta, np.ascontiguousarray(x.T), out)
    expected = reference.log_densities(x, theta.means, reference.dense(theta.covariances, kind, K, D))
    assert reference.relative_error(out, expected) < 1e-13


@TYPES
@FRAMES
def test_natural_parameters_give_the_log_density(kind, shift, scale, rng):
    """eta . t(x) is log p, up to the term that the tied family knows as a mean over the rows."""
    family, theta, x = some(kind, rng)
    frame = frame_of(kind, shift, scale)
    found = family.natural(theta, frame) @ features(family, x, frame)
    expected = reference.log_densities(x, theta.means, reference.dense(theta.covariances, kind, K, D))
    if not family.has_shared_term:
        assert reference.relative_error(found, expected) < 1e-12
        return
    rest = expected - found
    assert float(np.abs(rest - rest[0]).max()) < 1e-11  # the same for all components
    assert abs(float(rest[0].mean()) - bound(family, x, frame).shared_term(theta)) < 1e-11


@TYPES
@FRAMES
def test_estimate_from_features(kind, shift, scale, rng):
    family, _, x = some(kind, rng)
    frame = frame_of(kind, shift, scale)
    resp = rng.dirichlet(np.ones(K), N).T
    _, means, covariances = reference.m_step(x, resp, kind)
    theta = bound(family, x, frame).estimate(features(family, x, frame) @ resp.T, frame, None)
    assert reference.relative_error(theta.means, means) < 1e-12
    assert reference.relative_error(theta.covariances, covariances) < 1e-12


@TYPES
def test_estimate_from_centred_sums(kind, rng):
    """About each component's own centre, wherever that is; sums of two tiles add."""
    family, about, x = some(kind, rng)
    resp = rng.dirichlet(np.ones(K), N).T
    sums = np.zeros((family.n_exact_sums(D), K))
    for part in (slice(0, 150), slice(150, N)):
        family.add_sums(about, np.ascontiguousarray(x[part].T), None, np.ascontiguousarray(resp[:, part]), sums)
    theta = family.estimate(sums, Frame.at(family.centres(about)), None)
    _, means, covariances = reference.m_step(x, resp, kind)
    assert reference.relative_error(theta.means, means) < 1e-12
    assert reference.relative_error(theta.covariances, covariances) < 1e-12


@TYPES
@pytest.mark.parametrize("centred", [False, True])
def test_expected_log_density(kind, centred, rng):
    """Q: the sum of r log p."""
    family, theta, x = some(kind, rng)
    resp = rng.dirichlet(np.ones(K), N).T
    expected = resp * reference.log_densities(x, theta.means, reference.dense(theta.covariances, kind, K, D))
    if centred:
        frame = Frame.at(theta.means + 0.5)
        sums = np.zeros((family.n_exact_sums(D), K))
        family.add_sums(
            Gaussians(theta.means + 0.5, theta.covariances, theta.precisions_cholesky), x.T.copy(), None, resp, sums
        )
    else:
        frame = frame_of(kind, [1.0, -2, 0.5, 3], [2.0, 4, 1, 1])
        family = bound(family, x, frame)
        sums = features(family, x, frame) @ resp.T
    assert abs(family.expected(theta, sums, frame, theta) - float(expected.sum())) < 1e-11 * abs(float(expected.sum()))


@TYPES
def test_reg_covar_is_added_in_the_units_of_the_data(kind, rng):
    family, _, x = some(kind, rng)
    frame = frame_of(kind, [0.0] * D, [2.0**-6] * D)
    sums = features(family, x, frame) @ rng.dirichlet(np.ones(K), N)
    plain = bound(family, x, frame).estimate(sums, frame, None).covariances
    floored = bound(type(family)(reg_covar=0.25), x, frame).estimate(sums, frame, None).covariances
    matrix = 0.25 * np.eye(D) if kind in ("full", "tied") else 0.25
    np.testing.assert_allclose(floored, plain + matrix, rtol=1e-14)


@TYPES
def test_empty_components_keep_their_parameters(kind, rng):
    family, theta, x = some(kind, rng)
    frame = frame_of(kind, [0.0] * D, [1.0] * D)
    resp = np.concatenate([rng.dirichlet(np.ones(K - 1), N), np.zeros((N, 1))], axis=1).T
    new = bound(family, x, frame).estimate(features(family, x, frame) @ resp.T, frame, theta)
    np.testing.assert_array_equal(new.means[-1], theta.means[-1])
    if kind != "tied":
        np.testing.assert_array_equal(new.covariances[-1], theta.covariances[-1])
    _, means, _ = reference.m_step(x, resp[:-1], kind)
    assert reference.relative_error(new.means[:-1], means) < 1e-12


@TYPES
def test_collapsed_components_are_refused(kind):
    family = COVARIANCE_TYPES[kind]()
    with pytest.raises(ValueError, match=r"not positive definite.*collapsed.*reg_covar"):
        family.estimate(np.eye(family.n_exact_sums(1), 1)[:, :1] * 5, Frame.at(np.zeros((1, 1))), None)


@TYPES
def test_precisions_invert_covariances(kind, rng):
    family, theta, _ = some(kind, rng)
    back = family.from_precisions(theta.means, theta.precisions_cholesky)
    np.testing.assert_allclose(back.covariances, theta.covariances, rtol=1e-11, atol=1e-11)


@TYPES
def test_drawn_rows_have_the_moments(kind, rng):
    """Means and covariances within 4 standard errors."""
    family, theta, _ = some(kind, rng)
    n = 20_000
    covariance = reference.dense(theta.covariances, kind, K, D).astype(float)[1]
    x = family.draw(theta, 1, n, rng)
    assert x.shape == (n, D)
    variances = np.diag(covariance)
    assert (np.abs(x.mean(axis=0) - theta.means[1]) < 4 * np.sqrt(variances / n)).all()
    error = np.sqrt((np.outer(variances, variances) + covariance**2) / n)
    assert (np.abs(np.cov(x.T) - covariance) < 4 * error).all()


@TYPES
def test_number_of_parameters(kind):
    covariances = {"full": K * 10, "tied": 10, "diag": K * 4, "spherical": K}[kind]
    assert COVARIANCE_TYPES[kind]().n_parameters(K, D) == K * D + covariances


def test_the_tied_family_needs_the_scatter():
    family = COVARIANCE_TYPES["tied"]()
    assert [COVARIANCE_TYPES[kind].needs_scatter for kind in COVARIANCE_TYPES] == [False, True, False, False]
    theta = family.from_covariances(np.zeros((K, D)), np.eye(D))
    with pytest.raises(ValueError, match="not bound"):
        family.shared_term(theta)


def test_offsets_are_the_means_in_the_frame():
    theta = Gaussians(np.array([[3.0, 5.0]]), np.ones((1, 2)), np.ones((1, 2)))
    np.testing.assert_array_equal(
        means_in_frame(theta, Frame(np.array([1.0, 1.0]), np.array([2.0, 0.5]))), [[4.0, 2.0]]
    )


@pytest.mark.parametrize("kind", ["full", "tied"])
def test_the_exact_path_is_a_value(kind, rng):
    """It travels, and gives the family's log-densities far from zero too."""
    _, theta, x = some(kind, rng)
    theta = replace(theta, means=theta.means + 2.0**20)
    centred = pickle.loads(pickle.dumps(matrix_map(theta)))
    out = np.empty((K, N))
    centred.log_density(np.ascontiguousarray((x + 2.0**20).T), out)
    expected = reference.log_densities(x + 2.0**20, theta.means, reference.dense(theta.covariances, kind, K, D))
    assert reference.relative_error(out, expected) < 1e-13
