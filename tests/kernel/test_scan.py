"""The sums of the first pass as the library gives them."""

import numpy as np
import pytest

from dem.kernel.scan import TILE_ROWS, NativeScan, native_scan_bytes
from dem.scan.values import scan_tile_rows
from kernel.e_steps import LONG, NATIVE, NEEDS_LIBRARY

pytestmark = NEEDS_LIBRARY


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
@pytest.mark.parametrize("scatter", [False, True])
def test_sums_about_a_point(scatter, dtype, rng):
    """Of whole numbers they are exact."""
    x, shift = rng.integers(-50, 50, (500, 11)).astype(dtype), rng.integers(-9, 9, 11).astype(np.float64)
    weight = rng.integers(0, 4, 500)
    found = NativeScan(11, scatter, 2 * TILE_ROWS, NATIVE)(x, weight, shift)
    y = x - shift
    products = (y * weight[:, None]).T @ y
    assert found.weight == weight.sum()
    np.testing.assert_array_equal(found.first, weight @ y)
    np.testing.assert_array_equal(found.second, products if scatter else np.diag(products))
    kept = x[weight > 0]
    np.testing.assert_array_equal([found.low, found.high], [kept.min(axis=0), kept.max(axis=0)])
    np.testing.assert_array_equal(found.left_out, [False] * 3)


@pytest.mark.parametrize("dtype", ["<f4", "<f8", ">f4"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 99, 100, 250, 299, 300, 305])
def test_a_unit_with_a_value_that_is_not_finite_is_left_out(at, bad, dtype, rng):
    """Of 100 rows, which need not be whole tiles; the last one has 6. Also where the row has no weight."""
    d, weight = 5, rng.exponential(size=306)
    weight[at] = 0
    x = rng.normal(size=(306, d)).astype(dtype)
    x[at, at % d] = bad
    scan = NativeScan(d, True, 100, NATIVE)
    found = scan(x, weight, np.zeros(d))
    np.testing.assert_array_equal(found.left_out, np.arange(4) == at // 100)
    kept = np.arange(306) // 100 != at // 100
    expected = scan(x[kept], weight[kept], np.zeros(d))
    np.testing.assert_allclose(found.second, expected.second, rtol=1e-12, atol=1e-12)
    assert found.weight == pytest.approx(expected.weight, rel=1e-14)


def test_numbers_of_any_size_are_finite(rng):
    """Neither the largest nor the smallest ones, below 2^-1022, are taken for NaN."""
    for dtype in (np.float32, np.float64):
        info = np.finfo(dtype)
        x = np.array([[info.max, info.smallest_subnormal, 0], [info.min, -info.tiny, -0.0]], dtype).repeat(50, axis=0)
        found = NativeScan(3, False, 192, NATIVE)(x, None, np.zeros(3))
        assert not found.left_out.any()
        np.testing.assert_array_equal(found.low.astype(dtype), x.min(axis=0))
        np.testing.assert_array_equal(np.signbit([found.low[2], found.high[2]]), False)


def test_pieces_that_are_converted_give_the_same_bits(rng):
    x = rng.normal(size=(3000, 7)).astype(np.float32)
    scan, shift = NativeScan(7, True, 10 * TILE_ROWS, NATIVE), rng.normal(size=7)
    expected = scan(x, None, shift)
    for same in (x.astype(np.float64), x.astype(">f4"), x.astype(LONG), np.asfortranarray(x), x.repeat(2, 0)[::2]):
        found = scan(same, None, shift)
        np.testing.assert_array_equal(found.second, expected.second)
        np.testing.assert_array_equal(found.first, expected.first)


@pytest.mark.parametrize("scatter", [False, True])
@pytest.mark.parametrize("d", [1, 3, 8, 65, 700])
def test_the_memory_counts_the_workspace_and_the_sums(d, scatter):
    unit = scan_tile_rows(d)
    scan = NativeScan(d, scatter, unit, NATIVE)
    found = scan(np.zeros((2, d)), None, np.zeros(d))
    held = scan.workspace_bytes + found.second.nbytes + 3 * found.first.nbytes + 8 * unit * d
    assert held <= native_scan_bytes(d, unit, scatter=scatter) <= 2 * held + 8192
