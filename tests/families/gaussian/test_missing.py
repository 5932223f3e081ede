"""Full and tied Gaussians of rows with missing values, against dense marginalisation in long double."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

import reference
from crosses import cross
from dem.core.coordinate_frame import Frame
from dem.families import FullGaussian, TiedGaussian
from dem.families.gaussian import missing as gaussian_missing
from dem.families.gaussian import missing_rows
from dem.families.gaussian.base import Gaussians
from dem.families.gaussian.missing_patterns import marginal_of
from models.problems import HARDSHIPS, D, K, problem

FAMILIES = {"full": FullGaussian(), "tied": TiedGaussian()}
KINDS = pytest.mark.parametrize("kind", FAMILIES)
WAYS = pytest.mark.parametrize("way", ["returning", "scattered", "mixed"], indirect=True)
"""All patterns on their own; none; those with many rows."""
MOST = {"returning": 1, "scattered": 10**9, "mixed": 8}


@pytest.fixture
def way(request, monkeypatch):
    monkeypatch.setattr(gaussian_missing, "MIN_PATTERN_ROWS", MOST[request.param])


def theta_of(kind, d, k, rng, correlation=0.7):
    """Return parameters, and the covariances (K, d, d) they stand for."""
    spread = rng.normal(size=(k, d, d)) * correlation + np.eye(d)
    covariances = spread @ np.swapaxes(spread, 1, 2) + 0.1 * np.eye(d)
    family = FAMILIES[kind].with_missing()
    if kind == "tied":
        theta = family.from_covariances(rng.normal(size=(k, d)), covariances[0])
        return family, theta, np.repeat(covariances[:1], k, axis=0)
    return family, family.from_covariances(rng.normal(size=(k, d)), covariances), covariances


def holes(pattern, share, n, d, rng):
    """Return which entries of (n, d) are missing."""
    if pattern == "entries":
        return rng.random((n, d)) < share
    missing = np.zeros((n, d), bool)
    if pattern == "columns":
        missing[: int(n * share), ::2] = True
    elif pattern == "rows":
        missing[: int(n * share)] = True
    elif pattern == "blocks":
        missing[: int(n * share), : d // 2] = True
        missing[int(n * share) :, d // 2 :] = True
    elif pattern == "cut":  # profiles that end somewhere
        missing[:] = np.arange(d) >= rng.integers(1, d + 1, size=n)[:, None] * (1 - share / 2)
    else:
        assert pattern == "one column"
        missing[np.arange(d) != rng.integers(d, size=n)[:, None]] = True
    return missing


def pass_of(family, theta, x, resp):
    """Return the log-densities, what goes with them, and the sums, of rows (n, d)."""
    columns = np.ascontiguousarray(x.T)
    out = np.empty((len(theta.means), len(x)))
    reuse = family.log_density(theta, columns, out)
    sums = np.zeros((family.n_exact_sums(x.shape[1]), len(theta.means)))
    family.add_sums(theta, columns, reuse, resp, sums)
    np.testing.assert_array_equal(columns, x.T)  # nothing is written into the rows
    return out, reuse, sums


def close(found, expected, tolerance=1e-11):
    scale = np.abs(expected).max(initial=1e-300)
    np.testing.assert_allclose(found.astype(float), expected.astype(float), rtol=0, atol=float(tolerance * scale))


@KINDS
@WAYS
@cross("share, pattern", [0.0, 0.1, 0.5, 0.95], ["entries", "columns", "rows", "blocks", "cut", "one column"])
def test_densities_sums_and_filling(kind, way, pattern, share, rng):
    n, d, k = 60, 5, 2
    family, theta, covariances = theta_of(kind, d, k, rng)
    x = 3 * rng.normal(size=(n, d))
    x[holes(pattern, share, n, d, rng)] = np.nan
    resp = rng.dirichlet(np.ones(k), size=n).T
    expected = reference.conditionals(x, theta.means, covariances)
    out, reuse, sums = pass_of(family, theta, x, resp)
    close(out, expected[0])
    assert (out[:, np.isnan(x).all(axis=1)] == 0).all()
    expected_sums = reference.completed_sums(resp.astype(reference.LONG), *expected)
    for part in (slice(1), slice(1, 1 + d), slice(1 + d, -1), slice(-1, None)):
        close(sums[part], expected_sums[part])
    mean, variance = family.conditional_moments(theta, np.ascontiguousarray(x.T), reuse, resp)
    filled = theta.means[:, None].astype(reference.LONG) + expected[1]
    first = np.einsum("kn,knd->dn", resp, filled)
    second = np.einsum("kn,knd->dn", resp, (filled - first.T) ** 2 + np.einsum("kndd->knd", expected[2]))
    missing = np.isnan(x.T)
    close(mean[missing], first[missing])
    close(variance[missing], second[missing])
    np.testing.assert_array_equal(mean[~missing], x.T[~missing])
    assert (variance[~missing] == 0).all()


@KINDS
@pytest.mark.parametrize("share", [0.3, 0.9])
@pytest.mark.parametrize("largest", [missing_rows.LARGEST_INFLATION, 0.0], ids=["squares", "exactly"])
def test_many_columns(kind, share, largest, rng, monkeypatch):
    """More missing columns than are inverted together; by squares, and as where these cost digits."""
    monkeypatch.setattr(gaussian_missing, "LARGEST_INFLATION", largest)
    n, d, k = 12, 40, 2
    family, theta, covariances = theta_of(kind, d, k, rng, 0.1)
    x = rng.normal(size=(n, d))
    x[rng.random(x.shape) < share] = np.nan
    resp = rng.dirichlet(np.ones(k), size=n).T
    expected = reference.conditionals(x, theta.means, covariances)
    out, _, sums = pass_of(family, theta, x, resp)
    close(out, expected[0])
    close(sums, reference.completed_sums(resp.astype(reference.LONG), *expected))


@KINDS
@WAYS
@pytest.mark.parametrize("hard", HARDSHIPS.values(), ids=HARDSHIPS)
def test_hard_data(kind, way, hard, rng):
    """Log-likelihoods within 1e-9, relative; filled residuals and conditional variances in the columns' spread."""
    p = problem(kind, hard, rng, n=20)
    x = p.x.copy()
    x[rng.random(x.shape) < 0.4] = np.nan
    family, theta = FAMILIES[kind].with_missing(), p.params.theta
    covariances = reference.dense(p.covariances, kind, K, D)
    expected = reference.conditionals(x, p.means, covariances)
    out, reuse, _ = pass_of(family, theta, x, np.full((K, len(x)), 1 / K))
    assert reference.relative_error(out, expected[0]) < 1e-9
    deviations = np.sqrt(np.einsum("kii->ki", covariances))[:, :, None]
    for part in reuse.parts:
        residuals, variances = part.moments()
        error = np.abs(residuals - expected[1][:, part.rows].transpose(0, 2, 1)) / deviations
        distance = np.maximum(1, np.abs(expected[1][:, part.rows]).transpose(0, 2, 1) / deviations)
        assert (error / distance).max() < 1e-7
        truth = np.einsum("kndd->kdn", expected[2][:, part.rows])
        assert (np.abs(variances - truth) / deviations**2).max() < 1e-7


@KINDS
def test_rows_without_holes_take_the_path_of_complete_rows(kind, rng):
    whole, (family, theta, _) = FAMILIES[kind], theta_of(kind, 5, 3, rng)
    x, resp = rng.normal(size=(5, 90)), rng.random((3, 90))
    out, expected = np.empty((2, 3, 90))
    sums, expected_sums = np.zeros((family.n_exact_sums(5), 3)), np.zeros((whole.n_exact_sums(5), 3))
    reuse = family.log_density(theta, x, out)
    family.add_sums(theta, x, reuse, resp, sums)
    whole.log_density(theta, x, expected)
    whole.add_sums(theta, x, None, resp, expected_sums)
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(sums[:-1], expected_sums)
    assert (sums[-1] == 0).all()
    mean, variance = family.conditional_moments(theta, x, reuse, resp)
    np.testing.assert_array_equal(mean, x)
    assert not variance.any()
    frame = Frame.at(theta.means)
    for a, b in zip(values(family.initial(x, resp)), values(whole.initial(x, resp)), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(
        values(family.estimate(sums, frame, theta)), values(whole.estimate(expected_sums, frame, theta)), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    assert family.with_missing() is family
    assert family.n_parameters(3, 5) == whole.n_parameters(3, 5)


@KINDS
@pytest.mark.parametrize("missing", [[0], [4], [1, 3], [0, 2, 3, 4], []])
def test_factors_of_marginals_are_upper_triangular(kind, missing, rng):
    """The native kernel reads nothing below the diagonal."""
    _, theta, covariances = theta_of(kind, 5, 2, rng)
    lacking = np.isin(np.arange(5), missing)
    found = marginal_of(theta, lacking).theta
    upper = found.precisions_cholesky
    np.testing.assert_array_equal(upper, np.triu(upper))
    assert (np.einsum("kii->ki", upper) > 0).all()
    observed = covariances[:, ~lacking][:, :, ~lacking]
    expected = np.broadcast_to(np.eye(5 - len(missing)), observed.shape)
    np.testing.assert_allclose(upper @ np.swapaxes(upper, 1, 2) @ observed, expected, atol=1e-12)
    np.testing.assert_array_equal(found.means, theta.means[:, ~lacking])


def values(theta):
    return theta.means, theta.covariances, theta.precisions_cholesky


@KINDS
@WAYS
def test_the_bound_touches_the_observed_log_density(kind, way, rng):
    """Q and the entropies at the parameters of the pass are the sum of r log p(x_o); elsewhere they are less."""
    family, theta, covariances = theta_of(kind, 4, 3, rng)
    x = rng.normal(size=(50, 4))
    x[rng.random(x.shape) < 0.4] = np.nan
    resp = rng.random((3, 50))
    _, _, sums = pass_of(family, theta, x, resp)
    frame = Frame.at(theta.means)
    touched = (resp * reference.conditionals(x, theta.means, covariances)[0]).sum()
    assert family.expected(theta, sums, frame, theta) == pytest.approx(float(touched), rel=1e-12)
    for _ in range(5):
        _, other, there = theta_of(kind, 4, 3, rng)
        observed = (resp * reference.conditionals(x, other.means, there)[0]).sum()
        assert family.expected(other, sums, frame, theta) < observed


def test_what_is_remembered_is_bounded_and_does_not_travel(rng):
    d = 24
    family, theta, _ = theta_of("full", d, 4, rng, 0.1)
    x = rng.normal(size=(1000, d))
    x[rng.random(x.shape) < 0.5] = np.nan
    memory = theta.by_pattern
    size = len(pickle.dumps(Gaussians(*values(theta))))
    patch = pytest.MonkeyPatch()
    with patch.context() as at:
        at.setattr(gaussian_missing, "MIN_PATTERN_ROWS", 1)
        at.setattr(memory, "limit", 2**20)
        for start in range(0, len(x), 100):
            pass_of(family, theta, x[start : start + 100], np.ones((4, 100)))
            assert 0 < memory.nbytes <= 2**20
            assert memory.nbytes == sum(held.nbytes for held in memory._held.values())
    assert len(pickle.dumps(theta)) == size
    travelled = pickle.loads(pickle.dumps(theta))
    assert travelled.by_pattern.nbytes == 0
    np.testing.assert_array_equal(travelled.precisions_cholesky, theta.precisions_cholesky)
    assert replace(theta).by_pattern is not memory
