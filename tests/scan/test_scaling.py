"""Scaled rows, and the scan of them that follows from the scan of the rows."""

from functools import reduce
from operator import add

import numpy as np
import pytest

import reference
from crosses import cross
from dem.core.block import Block
from dem.core.rows import RowKeys
from dem.scan.scaling import BITS, SCALINGS, Scaling, quantiles, scaling_of
from dem.scan.scanner import Scanner

N, D = 400, 4
VARIABLES = ["t", "t", "s", "s"]
UNITS, OFFSETS = np.array([3.0, 30.0, 1e-3, 1e6]), np.array([1e3, -5.0, 35.0, 0.0])


def rows(*, holes=False, offset=0.0):
    rng = np.random.default_rng(5)
    x = rng.gamma(2.0, size=(N, D)) * UNITS + OFFSETS + offset
    if holes:
        x[rng.random(x.shape) < 0.2] = np.nan
        x[7] = np.nan
    return x


def weights():
    return np.random.default_rng(6).integers(0, 4, N).astype(float)


CUTS = [[(0, N)], [(0, 37), (37, N)], [(i, i + 50) for i in range(0, N, 50)]]


def sum_of(scans):
    return reduce(add, scans)


def scan(x, weight=None, *, scatter=False):
    return Scanner(D, scatter, N, 0, None)()(Block(x, weight))


def by_hand(kind, x, weight):
    """Return shift and scale of whole columns, from their observed values, with rows as often as their weights say."""
    times = np.ones(len(x), int) if weight is None else weight.astype(int)
    columns = [np.repeat(column, times) for column in x.T]
    columns = [column[~np.isnan(column)].astype(reference.LONG) for column in columns]
    variances = np.array([column.var() for column in columns])
    if kind == "robust":
        low, middle, high = (
            np.array([np.quantile(column, share, method="inverted_cdf") for column in columns])
            for share in (0.25, 0.5, 0.75)
        )
        return middle, (high - low) / reference.LONG("1.3489795003921635")
    means = np.array([column.mean() for column in columns])
    if kind == "variable":
        variances = np.repeat([variances[:2].mean(), variances[2:].mean()], 2)
    return means, np.sqrt(variances)


@cross("kind, weighted, holes", [*SCALINGS], [False, True], [False, True], one_in=1)
def test_shift_and_scale_are_those_of_whole_columns(kind, weighted, holes):
    x, weight = rows(holes=holes), weights() if weighted else None
    found = scaling_of(kind, scan(x, weight), VARIABLES)
    shift, scale = by_hand(kind, x, weight)
    rounding = 2.0**-BITS  # half a unit of a number of so many bits is at most this share of it
    assert (np.abs(found.scale - scale) <= 1.01 * rounding * scale).all()
    assert (np.abs(found.shift - shift) <= 1.01 * rounding * scale + np.spacing(np.abs(found.shift))).all()


@pytest.mark.parametrize("kind", SCALINGS)
def test_the_last_bits_do_not_depend_on_the_chunks(kind):
    """The moments' do, and a start on the scaled sample would with them."""
    x = rows(holes=True, offset=1e3)
    parts = [
        sum_of(Scanner(D, False, N, 0, None)()(Block(x[a:b], None, RowKeys.from_first(a))) for a, b in cuts)
        for cuts in CUTS
    ]
    assert len({tuple(part.observed.variances) for part in parts}) > 1
    found = [scaling_of(kind, part, VARIABLES) for part in parts]
    for other in found[1:]:
        np.testing.assert_array_equal(other.scale, found[0].scale)
        np.testing.assert_array_equal(other.shift, found[0].shift)


@cross("scatter, weighted, holes", [False, True], [False, True], [False, True], one_in=1)
def test_the_scan_of_scaled_rows_needs_no_pass(scatter, weighted, holes):
    x, weight = rows(holes=holes, offset=1e6), weights() if weighted else None
    scaling = scaling_of("standard", scan(x, weight), VARIABLES)
    derived, made = scaling.of_scan(scan(x, weight, scatter=scatter)), scan(scaling(x), weight, scatter=scatter)
    for name in ("low", "high", "missing", "first_missing", "incomplete_rows", "empty_rows", "rows"):
        np.testing.assert_array_equal(getattr(derived, name), getattr(made, name), err_msg=name)
    for name in ("x", "keys", "weight"):
        np.testing.assert_array_equal(getattr(derived.sample, name), getattr(made.sample, name), err_msg=name)
    for one, other in ((derived.moments, made.moments), (derived.incomplete, made.incomplete)):
        np.testing.assert_allclose(one.weight, other.weight)
        np.testing.assert_allclose(one.centre.astype(float), other.centre.astype(float), rtol=0, atol=1e-9)
        np.testing.assert_allclose(one.scatter, other.scatter, rtol=0, atol=1e-9 * N)


@pytest.mark.parametrize("dtype", ["int64", "int8", "float16", "float32"])
def test_ranges_are_those_of_the_rounded_rows(dtype):
    x = rows()[:, :2].round()
    x = np.hstack([x, x[:, ::-1]]).astype(dtype)
    if dtype == "int64":
        x[3] = np.iinfo(np.int64).max - np.arange(D)  # no float64
    scaling = scaling_of("robust", scan(x), VARIABLES)
    derived, made = scaling.of_scan(scan(x)), scan(scaling(x))
    np.testing.assert_array_equal(derived.low, made.low)
    np.testing.assert_array_equal(derived.high, made.high)


def test_moments_of_scaled_rows_keep_the_digits_of_long_double():
    """The mean of scaled rows is near 0: in float64 that of rows far from zero would have lost its digits."""
    offset = 1e6
    x = rows(offset=offset)
    found = scan(x, scatter=True)
    scaling = scaling_of("standard", found, VARIABLES)
    exact = (x.astype(reference.LONG) - scaling.shift) / scaling.scale
    derived = scaling.of_scan(found).moments
    unit = offset * float(np.finfo(reference.LONG).eps) / scaling.scale + float(np.finfo(float).eps)
    assert (np.abs(derived.centre - exact.mean(axis=0)) <= 4 * unit).all()
    centred = exact - exact.mean(axis=0)
    np.testing.assert_allclose(derived.covariance, (centred.T @ centred / N).astype(float), rtol=0, atol=1e-12)


def test_the_log_base_is_that_of_the_observed_values():
    x, weight = rows(holes=True), weights()
    scaling = scaling_of("standard", scan(x, weight), VARIABLES)
    base = -(weight * (~np.isnan(x) @ np.log(scaling.scale))).sum()
    assert scaling.of_scan(scan(x, weight)).measured.base == pytest.approx(base, rel=1e-13)


@pytest.mark.parametrize("kind", SCALINGS)
def test_columns_without_spread_are_left_as_they_are(kind):
    x = rows()
    x[:, 1] = 0.1 + 0.2  # whose mean is rounded
    x[:, 2:] = [7.0, -3.0]
    scale = scaling_of(kind, scan(x), VARIABLES).scale
    assert (scale[2:] == 1).all()
    assert scale[0] not in (0, 1)
    expected = {"standard": 1.0, "robust": 1.0, "variable": scale[0]}
    assert scale[1] == expected[kind]
    assert (scaling_of(kind, scan(x), VARIABLES).shift[1:] == 0).all()
    derived = scaling_of(kind, scan(x), VARIABLES).of_scan(scan(x))
    np.testing.assert_array_equal(derived.constant, scan(x).constant)


def test_where_quartiles_are_equal_the_scale_is_the_standard_deviation():
    x = rows()
    x[: 4 * N // 5, 0] = 0.0
    assert scaling_of("robust", scan(x), VARIABLES).scale[0] == pytest.approx(x[:, 0].std())


def test_quantiles_count_a_row_as_often_as_its_weight(rng):
    values, weight = rng.normal(size=50).round(1), rng.integers(0, 5, 50).astype(float)
    shares = (0.0, 0.1, 0.25, 0.5, 0.9, 1.0)
    expected = np.quantile(np.repeat(values, weight.astype(int)), shares, method="inverted_cdf")
    np.testing.assert_array_equal(quantiles(values, weight, shares)[1:], expected[1:])


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int64", "float16", "float32", "float64"])
def test_rows_are_rounded_once_in_their_floating_dtype(dtype):
    x = np.random.default_rng(0).integers(0, 100, (70_000, 2)).astype(dtype)
    scaling = Scaling(np.array([50.0 + 1e-5, 1.0]), np.array([3.0, 0.1]))
    z = scaling(x)
    assert z.dtype == (np.float32 if np.dtype(dtype).itemsize <= 2 or dtype == "float32" else np.float64)
    np.testing.assert_array_equal(z, ((x.astype(float) - scaling.shift) / scaling.scale).astype(z.dtype))
    np.testing.assert_allclose(scaling.back(z.astype(float)), x, atol=1e-4 if z.dtype == np.float32 else 1e-12)
    assert not np.shares_memory(x, z)
