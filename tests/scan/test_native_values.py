"""Ranges and moments of a block by the native kernel, against NumPy's and against long double."""

from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from operator import add

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosses import cross
from dem.core.block import Block
from dem.core.rows import RowKeys
from dem.families import FullGaussian, Poisson
from dem.kernel.kernel_id import NUMPY, KernelId
from dem.scan.native_values import SHIFT_ROWS, middle, runs
from dem.scan.scanner import Scanner
from dem.scan.values import MAX_TILE, BlockValues, scan_tile_rows
from kernel.e_steps import LONG, NATIVE, NEEDS_LIBRARY

pytestmark = NEEDS_LIBRARY
TOLERANCE = 1e-12
"""Of sums, relative to the sums of the terms' magnitudes."""
SHAPES = {  # columns and rows: all remainders by the widths of vectors, of register blocks and of tiles
    "1-column": (1, 250),
    "2-columns": (2, 97),
    "3-columns": (3, 10_000),
    "7-columns": (7, 96),
    "8-columns": (8, 700),
    "9-columns": (9, 95),
    "17-columns": (17, 200),
    "29-columns": (29, 300),
    "64-columns": (64, 1100),
    "141-columns": (141, 500),
}
DTYPES = ["<f4", "<f8", ">f8", "f2", "<i4", "u1"]
EQUAL = ("low", "high", "missing", "infinite")
COUNTS = ("rows", "incomplete_rows", "empty_rows", "first_missing", "first_infinite", "measured")


def scanned(x, weight=None, *, scatter=True, kernel=NATIVE, first=0, measure=None):
    return Scanner(x.shape[1], scatter, 20, 0, None, measure, kernel)()(Block(x, weight, RowKeys.from_first(first)))


def whole_numbers(dtype, rng, shape):
    """Return normal rows of a dtype, all of which it holds exactly."""
    return np.clip(np.rint(40 + 12 * rng.normal(size=shape)), 0, 255).astype(dtype)


def assert_moments(moments, x, weight):
    """Compare moments of complete rows with long double; the error is relative to the sums of the magnitudes."""
    x = x.astype(LONG)
    w = np.ones(len(x), LONG) if weight is None else weight.astype(LONG)
    guess = x.mean(axis=0)
    mean = guess + w @ (x - guess) / w.sum()
    y = x - mean
    scatter, size = (y * w[:, None]).T @ y, (np.abs(y) * w[:, None]).T @ np.abs(y)
    if moments.scatter.ndim == 1:
        scatter, size = np.diag(scatter), np.diag(size)
    assert abs(moments.weight - w.sum()) <= TOLERANCE * w.sum()
    deviation = np.sqrt(w @ y**2 / w.sum())
    assert (np.abs(moments.centre - mean) <= TOLERANCE * deviation + 1e-19 * np.abs(mean)).all()
    assert (np.abs(moments.scatter - scatter) <= TOLERANCE * size).all()


def assert_like(found, expected):
    """Compare the scans of the same rows by two kernels, or in two orders of the sums."""
    for name in EQUAL:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    for name in COUNTS:
        assert getattr(found, name) == getattr(expected, name), name
    np.testing.assert_array_equal(found.sample.keys, expected.sample.keys)
    one, other = found.moments, expected.moments
    assert one.weight == pytest.approx(other.weight, rel=1e-14)
    roots = np.sqrt(other.scatter if other.scatter.ndim == 1 else np.diag(other.scatter))
    size = np.outer(roots, roots) if other.scatter.ndim == 2 else roots**2  # not less than the sums of magnitudes
    np.testing.assert_array_less(np.abs(one.scatter - other.scatter), TOLERANCE * size + 1e-300)
    allowed = TOLERANCE * roots / np.sqrt(max(other.weight, 1e-300)) + 1e-300
    np.testing.assert_array_less(np.abs(one.centre - other.centre).astype(float), allowed)
    for name in ("rows", "weight", "centre", "scatter"):
        values = (np.asarray(getattr(scan.incomplete, name), float) for scan in (found, expected))
        np.testing.assert_allclose(*values, rtol=1e-9, atol=1e-9)


@cross("shape, dtype, weighted, scatter", SHAPES, DTYPES, {"plain": 0, "weighted": 1}, {"scatter": 1, "squares": 0})
def test_kernels_agree_with_each_other_and_with_long_double(shape, dtype, weighted, scatter, rng):
    d, n = shape
    x = whole_numbers(dtype, rng, (n, d)) if dtype[-2] in "iu" else (3 + rng.normal(size=(n, d))).astype(dtype)
    weight = rng.exponential(size=n).astype("f4") if weighted else None
    found = scanned(x, weight, scatter=bool(scatter))
    assert_moments(found.moments, x, weight)
    assert_like(found, scanned(x, weight, scatter=bool(scatter), kernel=NUMPY))
    assert found.kernel == NATIVE
    if scatter:
        np.testing.assert_array_equal(found.moments.scatter, found.moments.scatter.T)


@dataclass(frozen=True)
class Problem:
    """Rows with holes, of some layout; some have the weight 0."""

    d: int
    n: int
    dtype: str
    layout: str
    holes: float
    zeros: float | None
    seed: int

    def block(self):
        rng = np.random.default_rng(self.seed)
        x = (3 + rng.normal(size=(self.n, self.d))).astype(self.dtype)
        x[rng.random(x.shape) < self.holes] = np.nan
        x[rng.random(x.shape) < self.holes / 4] = np.inf
        x[rng.random(x.shape) < self.holes / 4] = -np.inf
        x = {"C": x, "F": np.asfortranarray(x), "strided": np.repeat(x, 2, axis=0)[::2]}[self.layout]
        if self.zeros is None:
            return Block(x, None, RowKeys.from_first(1000))
        return Block(x, rng.exponential(size=self.n) * (rng.random(self.n) >= self.zeros), RowKeys.from_first(1000))


PROBLEMS = st.builds(
    Problem,
    d=st.integers(1, 20),
    n=st.integers(0, 700),
    dtype=st.sampled_from(["<f4", "<f8", ">f4"]),
    layout=st.sampled_from(["C", "F", "strided"]),
    holes=st.sampled_from([0, 0, 1e-3, 0.3, 1]),
    zeros=st.sampled_from([None, 0, 0.3, 1]),
    seed=st.integers(0, 2**32 - 1),
)


@given(problem=PROBLEMS, cuts=st.lists(st.integers(0, 700), max_size=5), scatter=st.booleans())
def test_rows_with_holes_in_any_layout_and_chunking(problem, cuts, scatter):
    block = problem.block()
    native, by_numpy = (Scanner(problem.d, scatter, 20, 0, None, None, kernel)() for kernel in (NATIVE, NUMPY))
    expected = by_numpy(block)
    assert_like(native(block), expected)
    edges = [0, *sorted(min(cut, problem.n) for cut in cuts), problem.n]
    assert_like(reduce(add, [native(block.part(start, stop)) for start, stop in pairwise(edges)]), expected)


@pytest.mark.parametrize("scatter", [False, True])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("offset", [1e3, 1e8, -1e12])
def test_data_far_from_zero(offset, dtype, scatter, rng):
    x = (offset + abs(offset) ** 0.5 * rng.normal(size=(3000, 5))).astype(dtype)
    weight = rng.exponential(size=3000)
    assert_moments(scanned(x, weight, scatter=scatter).moments, x, weight)


def test_rows_that_come_in_order(rng):
    """The first rows say nothing about the mean of a block with a trend."""
    x = np.linspace(1e6, 2e6, 5000)[:, None] + rng.normal(size=(5000, 3))
    x[:96] = 1e9  # nor where they are far from all others
    assert_moments(scanned(x).moments, x, None)


def test_long_sums_do_not_drift():
    """One running sum of so many equal terms loses four digits."""
    n = 300_000
    x = np.full((n, 1), 0.1)
    x[:: n // SHIFT_ROWS] = 0  # these are the rows whose mean the sums are about
    found = scanned(x, scatter=False).moments
    share = np.count_nonzero(x) / n
    assert found.mean[0] == pytest.approx(0.1 * share, rel=1e-14)
    assert found.variances[0] == pytest.approx(0.01 * share * (1 - share), rel=TOLERANCE)
    assert np.full(n, 0.01).cumsum()[-1] != pytest.approx(n * 0.01, rel=TOLERANCE)


def test_numpy_adds_only_the_rows_near_those_with_holes(monkeypatch, rng):
    seen = []
    by_tiles = BlockValues.add

    def watched(values, block):
        seen.append((block.keys.first, len(block.x)))
        by_tiles(values, block)

    monkeypatch.setattr(BlockValues, "add", watched)
    x = rng.normal(size=(5 * MAX_TILE + 10, 2))
    scanned(x)
    assert seen == []
    x[[MAX_TILE, 3 * MAX_TILE - 1, -1], [0, 1, 1]] = np.nan, np.inf, -np.inf
    found = scanned(x, first=7)
    assert seen == [(7 + MAX_TILE, 2 * MAX_TILE), (7 + 5 * MAX_TILE, 10)]
    assert_like(found, scanned(x, first=7, kernel=NUMPY))
    assert found.first_infinite == (7 + 3 * MAX_TILE - 1, 1)


@pytest.mark.parametrize("junk", [9.96921e36, -1e300, np.inf, np.nan])
def test_rows_of_weight_zero_may_hold_anything(junk, rng):
    x, weight = rng.normal(size=(9000, 3)), rng.exponential(size=9000)
    left_out = rng.random(9000) < 0.4
    x[left_out], weight[left_out] = junk, 0
    found, expected = scanned(x, weight), scanned(x[~left_out], weight[~left_out])
    np.testing.assert_array_equal([found.low, found.high], [expected.low, expected.high])
    assert_moments(found.moments, x[~left_out], weight[~left_out])
    assert_like(found, scanned(x, weight, kernel=NUMPY))


def test_rows_of_weight_zero_alone_and_no_rows(rng):
    x = rng.normal(size=(300, 3))
    for found in (scanned(x, np.zeros(300)), scanned(x[:0]), scanned(np.full((5, 3), np.nan))):
        assert found.moments.weight == 0
        np.testing.assert_array_equal([found.low, found.high], [[np.inf] * 3, [-np.inf] * 3])
        total = found + scanned(x)
        np.testing.assert_array_equal(total.moments.scatter, scanned(x).moments.scatter)


@pytest.mark.parametrize("scatter", [False, True])
@pytest.mark.parametrize("size", [1e200, 1e308])
def test_numbers_whose_squares_or_sums_are_too_large_are_those_of_numpy(size, scatter):
    x = size * np.array([[1.0, 0.5], [-1, 0.25]]).repeat(400, axis=0)
    with np.errstate(over="ignore", invalid="ignore"):
        found, expected = (scanned(x, scatter=scatter, kernel=kernel) for kernel in (NATIVE, NUMPY))
    np.testing.assert_array_equal([found.low, found.high], [expected.low, expected.high])
    assert not np.isfinite(found.moments.variances).any()
    assert not np.isfinite(expected.moments.variances).any()


def test_sums_are_about_the_mean_of_rows_that_have_all_values():
    x = np.arange(10.0 * SHIFT_ROWS)[:, None] + [0.0, 100.0]
    x[3::10] = np.nan
    np.testing.assert_array_equal(middle(Block(x)), x[::10].mean(axis=0))
    weight = (np.arange(len(x)) % 20 == 10).astype(float)
    np.testing.assert_array_equal(middle(Block(x, weight)), x[10::20].mean(axis=0))
    for block in (Block(x[:0]), Block(x, 0 * weight), Block(np.full((3, 2), np.nan)), Block(np.full((3, 2), 1e308))):
        assert middle(block) is None


def test_runs():
    assert list(runs(np.array([1, 0, 0, 1, 1, 0, 1], bool))) == [(0, 1), (3, 5), (6, 7)]
    assert list(runs(np.zeros(3, bool))) == list(runs(np.zeros(0, bool))) == []


def test_scans_of_different_kernels_do_not_add(rng):
    x = rng.normal(size=(100, 2))
    native, by_numpy = scanned(x), scanned(x, kernel=NUMPY)
    assert (native.kernel, by_numpy.kernel) == (NATIVE, NUMPY)
    for one, other in [(native, by_numpy), (by_numpy, native)]:
        with pytest.raises(ValueError, match=r"^cannot add scans of different kernels: .*NumPy"):
            one + other
    assert (native + native).kernel == NATIVE


def test_numpy_scans_where_rows_are_checked(rng):
    """Sums of its base measure, and values outside its support, are found in NumPy's tiles."""
    counts = rng.poisson(3, (500, 2)).astype(float)
    found = scanned(counts, scatter=False, measure=Poisson())
    assert (found.kernel, found.measured.base != 0) == (NUMPY, True)
    assert scanned(counts, measure=FullGaussian()).kernel == NATIVE


def test_a_task_on_a_machine_without_the_library_fails(monkeypatch, tmp_path, rng):
    monkeypatch.setattr("dem.kernel.library.FOLDER", tmp_path)
    scanner = Scanner(2, True, 20, 0, None, None, NATIVE)
    with pytest.raises(RuntimeError, match=rf"^This machine cannot use the {NATIVE}\. .* set DEM_KERNEL=numpy "):
        scanner()
    with pytest.raises(RuntimeError, match=r"^This machine cannot use the native kernel 0123456789abcdef\."):
        Scanner(2, True, 20, 0, None, None, KernelId("native", "0123456789abcdef"))()


def test_each_task_has_its_own_workspace(rng):
    scanner = Scanner(3, True, 20, 0, None, None, NATIVE)
    x, y = rng.normal(size=(2, 200, 3))
    one, other = scanner(), scanner()
    first, second = one(Block(x)), other(Block(y))
    np.testing.assert_array_equal(one(Block(x)).moments.scatter, first.moments.scatter)
    np.testing.assert_array_equal(one(Block(y)).moments.scatter, second.moments.scatter)
    assert scan_tile_rows(3) == MAX_TILE
