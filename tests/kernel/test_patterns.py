"""Full and tied Gaussians of rows with missing values by the native kernel: against NumPy's and against long double."""

from functools import reduce
from itertools import pairwise
from operator import add

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dem
from crosses import cross
from dem.core.block import Block
from dem.em.row_output import RowOutput
from dem.families import FullGaussian
from dem.families.gaussian.full import ObservedFull
from dem.families.gaussian.missing_rows import LARGEST_INFLATION, variance_inflation
from dem.kernel.runner import Runner
from dem.kernel.tasks import PROBA, Output
from dem.models.mixture.kernel import MixtureParams
from dem.models.mixture.native_kernel import has_native, native_bytes, native_densities
from dem.models.mixture.precision import Precision
from kernel.e_steps import NATIVE, NEEDS_LIBRARY, EStep, assert_centred_kernels_agree, assert_like, assert_sums
from kernel.pattern_e_steps import missing_in_long_double, pattern_e_step

pytestmark = NEEDS_LIBRARY
KINDS = {"full": "full", "tied": "tied"}
ANY = pytest.mark.parametrize("kind", KINDS)
COLUMNS, COMPONENTS, SHARES = (1, 2, 5, 17), (1, 3, 9), (0.0, 0.1, 0.5, 0.9)


def agree(step):
    expected = missing_in_long_double(step)
    assert_centred_kernels_agree(step, expected)


@cross("kind, d, k, share, weighted", KINDS, COLUMNS, COMPONENTS, SHARES, {"plain": False, "weighted": True}, one_in=6)
def test_kernels_agree_with_each_other_and_with_long_double(kind, d, k, share, weighted, rng):
    agree(pattern_e_step(kind, d, k, share, rng, weighted=weighted, n=50))


@ANY
def test_many_columns(kind, rng):
    agree(pattern_e_step(kind, 40, 2, 0.5, rng, n=16))


@given(
    seed=st.integers(0, 2**32),
    kind=st.sampled_from(sorted(KINDS)),
    k=st.integers(1, 5),
    patterns=st.integers(1, 9).flatmap(
        lambda d: st.lists(st.lists(st.booleans(), min_size=d, max_size=d), min_size=1, max_size=9)
    ),
    times=st.lists(st.integers(1, 8), min_size=9, max_size=9),
    cuts=st.lists(st.integers(0, 72), max_size=3),
    order=st.sampled_from(["sorted", "mixed"]),
    dtype=st.sampled_from(["<f8", ">f8", "<f4", "f2"]),
    zeros=st.sampled_from([None, 0.0, 0.5]),
)
def test_any_patterns_in_any_chunking(seed, kind, k, patterns, times, cuts, order, dtype, zeros):
    rng = np.random.default_rng(seed)
    missing = np.repeat(patterns, times[: len(patterns)], axis=0)
    missing = rng.permutation(missing) if order == "mixed" else missing
    n, d = missing.shape
    step = pattern_e_step(kind, d, k, 0.0, rng, n=max(n, 2))
    weight = None if zeros is None else rng.exponential(size=n) * (1 + rng.permutation(n) > zeros * n)
    step = step.on(np.where(missing, np.nan, step.x[:n]).astype(dtype), weight)
    expected, kernel = missing_in_long_double(step), step.native()
    whole = step.stats(kernel)
    assert_sums(whole, expected, 1e-12)
    assert_like(whole, step.stats(step.numpy()), expected, 1e-12)
    edges = [0, *sorted(min(cut, n) for cut in cuts), n]
    parts = [kernel(Block(step.x, weight).part(start, stop)) for start, stop in pairwise(edges)]
    assert_like(whole, reduce(add, parts), expected, 1e-12)


@ANY
def test_rows_without_any_value(kind, rng):
    """Their responsibilities are the weights of the components, and they are filled with the means."""
    step = pattern_e_step(kind, 3, 4, 0.0, rng, n=50)
    weights, theta = step.params.weights, step.params.theta
    stats = step.on(np.full((50, 3), np.nan)).stats()
    assert abs(stats.log_likelihood) < 1e-12
    np.testing.assert_allclose(stats.sums[0], 50 * weights, rtol=1e-13)
    assert not stats.sums[1:4].any()
    row, column = np.triu_indices(3)
    spread = np.broadcast_to(theta.covariances, (4, 3, 3))[:, row, column].T
    np.testing.assert_allclose(stats.sums[4:-1], 50 * weights * spread, rtol=1e-12, atol=1e-12)
    log_dets = np.linalg.slogdet(2 * np.pi * np.e * np.broadcast_to(theta.covariances, (4, 3, 3)))[1]
    np.testing.assert_allclose(stats.sums[-1], 25 * weights * log_dets, rtol=1e-12)


@ANY
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 1e200])
def test_rows_of_weight_0_have_no_influence(kind, value, rng):
    step = pattern_e_step(kind, 4, 3, 0.3, rng, n=250)
    keep = rng.random(len(step.x)) < 0.3
    x = np.where(keep[:, None], step.x, value)
    alone = step.on(step.x[keep], np.ones(keep.sum())).stats()
    found = step.on(x, keep.astype(np.float64)).stats()
    np.testing.assert_array_equal(found.sums, alone.sums)
    assert found.log_likelihood == alone.log_likelihood
    assert not step.on(x, np.zeros(len(x))).stats().sums.any()


@ANY
def test_infinity_is_never_lost(kind, rng):
    step = pattern_e_step(kind, 5, 3, 0.3, rng, n=101)
    for row, column in [(0, 0), (95, 4), (96, 2), (100, 0)]:
        x = step.x.copy()
        x[row, column] = np.inf
        assert np.isnan(step.on(x).stats().log_likelihood)


@ANY
def test_a_row_has_the_same_outputs_beside_any_other_rows(kind, rng):
    step = pattern_e_step(kind, 6, 5, 0.4, rng, n=250)
    densities, order = native_densities(step.family, step.params, step.precision, None), rng.permutation(250)
    write, out = densities.output(NATIVE, RowOutput("proba", "", columns=5)), np.empty((2, 250, 5))
    write(step.x, out[0])
    write(step.x[order], out[1])
    np.testing.assert_array_equal(out[0][order], out[1])


@ANY
@pytest.mark.parametrize("k", [1, 3, 17])
@pytest.mark.parametrize("d", [1, 13])
def test_memory_is_estimated(kind, k, d, rng):
    """The estimate is at least what the sums and the outputs take."""
    step = pattern_e_step(kind, d, k, 0.3, rng, n=3)
    found = native_densities(step.family, step.params, step.precision, None)
    for output in (None, Output(PROBA, k, 8)):
        taken = Runner(found.step, NATIVE, found.pieces, output).workspace_bytes
        assert taken < native_bytes(step.family, k, d, NATIVE)


def collinear(excess, rng):
    """Return an E-step in which column 2 is nearly the sum of the others: its variance inflation is 1 / excess."""
    step = pattern_e_step("full", 3, 2, 0.3, rng, n=50)
    root = np.array([[1.0, 0, 0], [0, 1, 0], [1, 1, np.sqrt(2 * excess)]])
    theta = FullGaussian().from_covariances(step.params.theta.means, np.repeat((root @ root.T)[None], 2, axis=0))
    return EStep(step.family, MixtureParams(step.params.weights, theta), Precision.CENTRED, None, step.x)


def test_nearly_collinear_columns_are_left_to_numpy(rng):
    """Below the limit the native kernel keeps the digits of densities; above it there is no native kernel."""
    near, beyond = collinear(2 / LARGEST_INFLATION, rng), collinear(0.5 / LARGEST_INFLATION, rng)
    assert LARGEST_INFLATION / 4 < variance_inflation(near.params.theta) < LARGEST_INFLATION
    x = near.params.theta.means[0] + rng.normal(size=(50, 2)) @ np.array([[1, 0, 1], [0, 1, 1.0]])
    near = near.on(np.where(rng.random((50, 3)) < 0.3, np.nan, x + 1e-3 * rng.normal(size=(50, 3))))
    expected = missing_in_long_double(near)
    assert abs(near.stats().log_likelihood - expected.log_likelihood) < 1e-9 * abs(expected.log_likelihood)
    assert native_densities(beyond.family, beyond.params, beyond.precision, None) is None
    assert has_native(beyond.family)


class Other(ObservedFull):
    """A family of its own, which may compute other densities."""


def test_derived_families_are_left_to_numpy(rng):
    step = pattern_e_step("full", 3, 2, 0.3, rng)
    assert not has_native(Other())
    assert native_densities(Other(), step.params, step.precision, None) is None
    assert native_bytes(Other(), 2, 3, NATIVE) == 0


@ANY
def test_both_kernels_give_the_same_fit(kind, rng, monkeypatch):
    x = np.array([[0.0, 0, 0], [9, -5, 3]])[rng.integers(2, size=300)] + rng.normal(size=(300, 3))
    x[rng.random(x.shape) < 0.2] = np.nan
    fits = {}
    for word in ("native", "numpy"):
        monkeypatch.setenv("DEM_KERNEL", word)
        fits[word] = dem.GaussianMixture(2, covariance_type=kind, tol=1e-8, max_iter=200, n_init=1).fit(x)
        fits[word, "label"] = fits[word].predict(x)
    assert abs(fits["native"].lower_bound_ - fits["numpy"].lower_bound_) < 1e-9
    np.testing.assert_array_equal(fits["native", "label"], fits["numpy", "label"])
