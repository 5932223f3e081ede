"""Blocks with missing values by patterns: the same as row by row in the exact path, and as long double says."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

import reference
from crosses import cross
from dem.core.block import Block
from dem.core.coordinate_frame import Frame
from dem.families import FullGaussian, StudentT, TiedGaussian
from dem.families.gaussian import missing as gaussian_missing
from dem.families.gaussian.missing_rows import LARGEST_INFLATION
from dem.families.student_t import StudentTs
from dem.kernel.kernel_id import kernel_of
from dem.kernel.library import library
from dem.models.mixture import pattern_kernel
from dem.models.mixture.kernel import CentredDensities, MixtureKernel
from dem.models.mixture.mixture import MixtureModel, MixtureParams
from dem.models.mixture.native_patterns import NativeKernels
from dem.models.mixture.pattern_kernel import NumPyKernels, PatternKernel, about_means
from dem.models.mixture.precision import Precision
from laws import bind, rows_of
from models.problems import HARDSHIPS, problem

FAMILIES = {"full": FullGaussian(), "tied": TiedGaussian()}
KINDS = pytest.mark.parametrize("kind", FAMILIES)
D, K = 4, 3
WORDS = ["numpy"] if library() is None else ["native", "numpy"]


@pytest.fixture(params=WORDS)
def kernel(request, monkeypatch):
    """Use a kernel, and let patterns have their own with few rows."""
    monkeypatch.setenv("DEM_KERNEL", request.param)
    for kernels in (NumPyKernels, NativeKernels):
        monkeypatch.setattr(kernels, "frequent", 8)
    return {"native": NativeKernels, "numpy": NumPyKernels}[request.param]


def mixture(kind, rng, d=D, k=K, noise=0.3):
    family = FAMILIES[kind]
    spread = noise * rng.normal(size=(k, d, d)) + np.eye(d)
    covariances = spread @ np.swapaxes(spread, 1, 2)
    theta = family.from_covariances(3 * rng.normal(size=(k, d)), covariances if kind == "full" else covariances[0])
    return MixtureParams(rng.dirichlet(np.full(k, 5.0)), theta)


def patterned(n, params, rng, scattered=0.2):
    """Return rows of a few patterns, the complete and the empty one among them, and some rows of any."""
    d = params.theta.means.shape[1]
    x = params.theta.means[rng.integers(len(params.weights), size=n)] + rng.normal(size=(n, d))
    patterns = np.tri(d + 1, d, -1, dtype=bool)  # cut at any column
    missing = patterns[rng.integers(d + 1, size=n)]
    some = rng.random(n) < scattered
    missing[some] = rng.random((some.sum(), d)) < 0.3
    x[missing] = np.nan
    return x


def exact(model, params):
    """Return the kernel that knows no patterns of blocks."""
    return MixtureKernel(CentredDensities(model.family_of_rows, params.theta, params.log_weights), model.n_components)


def agree(found, expected, tolerance=1e-10):
    assert found.rows == expected.rows
    assert found.weight == expected.weight
    assert found.precision == expected.precision == Precision.CENTRED
    assert found.frame.same(expected.frame)
    assert found.log_likelihood == pytest.approx(expected.log_likelihood, rel=tolerance)
    for a, b in zip(found.sums, expected.sums, strict=True):
        np.testing.assert_allclose(
            a, b, rtol=0, atol=tolerance * max(np.abs(expected.sums).max() / 1e2, np.abs(b).max())
        )


@KINDS
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_kernel_of_patterns_is_the_exact_path(kind, weighted, dtype, kernel, rng, monkeypatch):
    params = mixture(kind, rng)
    x = patterned(6000, params, rng).astype(dtype)
    weight = rng.integers(0, 4, len(x)) / 2.0 if weighted else None
    monkeypatch.setattr(kernel, "frequent", 256)
    model = bind(MixtureModel(K, FAMILIES[kind]), x, weight)
    found = model.kernel(params)
    assert isinstance(found, PatternKernel)
    assert isinstance(found.kernels, kernel)
    used, complete = [], found.kernels.complete
    found.kernels.complete = lambda *a: used.append(complete(*a)) or used[-1]
    stats = found(Block(x, weight))
    agree(stats, exact(model, params)(Block(x, weight)))
    assert stats.kernel == kernel_of(model)
    assert len(used) == D  # the rows without any value are none of them
    assert all(one.restore != found.kernels.rare.restore for one in used)  # by products


@KINDS
def test_against_long_double(kind, kernel, rng):
    params = mixture(kind, rng)
    x, weight = patterned(150, params, rng), rng.exponential(size=150)
    model = bind(MixtureModel(K, FAMILIES[kind]), x, weight)
    found = model.kernel(params)(Block(x, weight))
    covariances = reference.dense(params.theta.covariances, kind, K, D)
    conditionals = reference.conditionals(x, params.theta.means, covariances)
    joint = conditionals[0] + np.log(params.weights.astype(reference.LONG))[:, None]
    total = np.logaddexp.reduce(joint.astype(float), axis=0)
    assert found.log_likelihood == pytest.approx(float(weight @ total), rel=1e-12)
    resp = np.exp(joint - total) * weight
    expected = reference.completed_sums(resp, *conditionals)
    np.testing.assert_allclose(found.sums, expected.astype(float), rtol=0, atol=1e-11 * float(np.abs(expected).max()))


@KINDS
@pytest.mark.parametrize("hard", HARDSHIPS.values(), ids=HARDSHIPS)
def test_hard_data(kind, hard, kernel, rng, monkeypatch):
    """The log-likelihood within 1e-9; products give way to centred densities where they lose digits."""
    monkeypatch.setattr(kernel, "frequent", 1)
    p = problem(kind, hard, rng, n=20)
    x = p.x.copy()
    x[np.arange(len(x)) % 3 == 0, 1] = np.nan
    x[np.arange(len(x)) % 3 == 1, 2:] = np.nan
    model = bind(p.model, x)
    found = model.kernel(p.params)(Block(x))
    covariances = reference.dense(p.covariances, kind, len(p.weights), x.shape[1])
    joint = reference.conditionals(x, p.means, covariances)[0] + np.log(p.weights.astype(reference.LONG))[:, None]
    largest = joint.max(axis=0)
    expected = (largest + np.log(np.exp(joint - largest).sum(axis=0))).mean()
    assert reference.relative_error(found.log_likelihood / len(x), expected) < 1e-9


def test_rows_of_weight_0_may_hold_anything(kernel, rng):
    params = mixture("full", rng)
    x = patterned(2000, params, rng)
    weight = np.ones(len(x))
    model = bind(MixtureModel(K, FullGaussian()), x)
    weight[::7] = 0
    expected = model.kernel(params)(Block(x[weight > 0]))
    x[::7] = np.inf
    x[::14, 1] = np.nan
    found = model.kernel(params)(Block(x, weight))
    assert (found.rows, found.weight) == (2000, weight.sum())
    assert found.log_likelihood == pytest.approx(expected.log_likelihood, rel=1e-12)
    np.testing.assert_allclose(found.sums, expected.sums, rtol=1e-12, atol=1e-9)


def test_blocks_are_taken_in_bands(kernel, rng, monkeypatch):
    params = mixture("full", rng)
    x = patterned(3000, params, rng)
    model = bind(MixtureModel(K, FullGaussian()), x)
    expected = model.kernel(params)(Block(x))
    monkeypatch.setattr(pattern_kernel, "BAND_BYTES", 8 * D * 700)
    agree(model.kernel(params)(Block(x)), expected, 1e-12)


def test_moving_sums_to_the_means_is_exact_where_numbers_are(rng):
    """Whole numbers and scales of powers of two: no rounding hides an error."""
    x, resp = rng.integers(-9, 10, (50, D)).astype(float), rng.integers(0, 4, (K, 50)).astype(float)
    frame = Frame(rng.integers(-3, 4, D).astype(float), 2.0 ** np.arange(-2, 2))
    params = mixture("full", rng)
    theta = FullGaussian().from_precisions(np.round(params.theta.means), params.theta.precisions_cholesky)
    features = np.empty((FullGaussian().n_features(D), 50))
    features[0] = 1
    FullGaussian().features(D, frame).write(x, features[1:])
    expected = np.zeros((len(features), K))
    FullGaussian().add_sums(theta, np.ascontiguousarray(x.T), None, resp, expected)
    np.testing.assert_array_equal(about_means(features @ resp.T, theta, frame), expected)


@pytest.mark.slow
@cross(
    "d_and_share, kind, largest",
    [(4, 0.5), (12, 0.1), (40, 0.5), (40, 0.97)],
    ["full", "tied", "studentt"],
    {"squares": LARGEST_INFLATION, "exactly": 0.0},
)
def test_memory_stays_within_the_plan(d_and_share, kind, largest, rng, monkeypatch):
    """Many patterns: what a pass, and filling in, take at their peaks is at most what the model says."""
    monkeypatch.setattr(gaussian_missing, "LARGEST_INFLATION", largest)
    (d, share), k, n = d_and_share, 6, 1500
    params = mixture("tied" if kind == "tied" else "full", rng, d, k, 0.1)
    x = params.theta.means[rng.integers(k, size=n)] + rng.normal(size=(n, d))
    x[rng.random(x.shape) < share] = np.nan
    x[: n // 4, : d // 2] = np.nan
    if kind == "studentt":
        params = replace(params, theta=StudentTs(params.theta, np.full(k, 5.0)))
    model = bind(MixtureModel(k, {**FAMILIES, "studentt": StudentT()}[kind]), x)
    for work, results in ((model.kernel(params), 0), (rows_of(model, params, "deviation:float64"), x.nbytes)):
        tracemalloc.start()
        try:
            work(Block(x))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak - results <= model.workspace_bytes(d)
