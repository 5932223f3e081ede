"""Every column of a feature map by the native kernel: against NumPy's writer and long double."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dem.families.feature_columns import Column, Op
from dem.families.feature_map import FeatureMap, concatenated, feature_map, with_indicators
from kernel.e_steps import LONG, NEEDS_LIBRARY
from kernel.features import native_features

pytestmark = NEEDS_LIBRARY
DTYPES = [np.float64, np.float32]
QUARTER = np.pi / 2


def one_column(op, values, dtype, **column):
    """Return an op of some values."""
    x = np.array(values, dtype)[:, None]
    return native_features(feature_map((Column(op, 0, **column),)), x, dtype)[1]


def angles(rng):
    """Return angles of any size up to where others are reduced exactly; many near multiples of a quarter turn."""
    sizes = 10.0 ** rng.uniform(-8, 4, 300) * rng.choice([-1, 1], 300)
    near = rng.integers(-1000, 1000, 200) * QUARTER + rng.normal(scale=1e-6, size=200)
    return np.concatenate([[0.0, 5e-324, 1e-200, np.pi, -np.pi, QUARTER, QUARTER / 2], sizes, near])


def huge_angles(rng):
    return np.concatenate([[32768.0, 2.0**40, -(2.0**40), 2.0**53, 1e22, -1e30], 10.0 ** rng.uniform(4.5, 38, 200)])


def of_numbers(function, x, dtype):
    """Return a function of the numbers that the kernel gets, in long double."""
    return function(np.array(x, dtype).astype(LONG))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("op", "function"), [(Op.COS, np.cos), (Op.SIN, np.sin)])
def test_cosines_and_sines_within_two_units(op, function, dtype, rng):
    unit = np.finfo(dtype).eps
    for x, units in [(angles(rng), 1.5), (huge_angles(rng), 3)]:
        found, expected = one_column(op, x, dtype), of_numbers(function, x, dtype)
        assert np.abs(found - expected).max() <= units * unit


def test_angles_up_to_the_largest_number(rng):
    x = np.concatenate([10.0 ** rng.uniform(12, 308, 300), [np.finfo(np.float64).max, -np.finfo(np.float64).max]])
    assert np.abs(one_column(Op.COS, x, np.float64) - of_numbers(np.cos, x, np.float64)).max() <= 3 * 2.0**-52
    assert np.isnan(one_column(Op.SIN, [np.inf], np.float64)).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_logarithms_within_two_units_in_the_last_place(dtype, rng):
    info = np.finfo(dtype)
    edges = [info.tiny, 1.0, 1 + info.eps, 1 - info.epsneg, np.sqrt(0.5), np.sqrt(2.0), info.max]
    x = np.concatenate([edges, 10.0 ** rng.uniform(np.log10(info.tiny), np.log10(info.max), 300)])
    x = np.concatenate([x, 1 + rng.normal(scale=1e-3, size=100)])
    expected = of_numbers(np.log, x, dtype)
    assert (np.abs(one_column(Op.LOG, x, dtype) - expected) <= 2 * info.eps * np.abs(expected)).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_logarithms_are_finite_at_0_and_below(dtype):
    tiny = np.finfo(dtype).tiny
    found = one_column(Op.LOG, [0.0, -0.0, -3.0, tiny / 4], dtype)
    np.testing.assert_allclose(found, np.log(tiny), rtol=2 * np.finfo(dtype).eps)
    assert np.isnan(one_column(Op.LOG, [np.nan, np.inf], dtype)).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_codes_and_what_is_there(dtype):
    values = [0.0, 1.0, 2.0, np.nan, 99_999.0]
    np.testing.assert_array_equal(one_column(Op.EQUALS, values, dtype, argument=2.0), [0, 0, 1, 0, 0])
    np.testing.assert_array_equal(one_column(Op.EQUALS, values, dtype, argument=99_999.0), [0, 0, 0, 0, 1])
    np.testing.assert_array_equal(one_column(Op.OBSERVED, values, dtype), [1, 1, 1, 0, 1])


ARGUMENTS = st.sampled_from([1.0, 0.5, 3.0])
SHIFTS, SCALES = st.sampled_from([0.0, 1.0, -2.5]), st.sampled_from([1.0, 0.5, 2.0])


@st.composite
def columns_of_source(draw, source):
    """Return some columns of one column of the data."""
    found = []
    for op in draw(st.lists(st.sampled_from([Op.X, Op.X, Op.LOG, Op.COS, Op.SIN, Op.EQUALS]), min_size=1, max_size=4)):
        shift = 0.0 if op is Op.EQUALS else draw(SHIFTS)
        argument = draw(ARGUMENTS) if op in (Op.X, Op.LOG) else float(draw(st.integers(0, 2)))
        found.append(Column(op, source, shift, draw(SCALES), argument))
    return found


@st.composite
def part(draw):
    """Return a map of some columns of the data, and their number; products are of columns of one source."""
    d = draw(st.integers(1, 3))
    columns = [column for j in range(d) for column in draw(columns_of_source(j))]
    places = range(1, 1 + len(columns))
    products = [(a, b) for a in places for b in places if columns[a - 1].source == columns[b - 1].source]
    products = draw(st.lists(st.sampled_from(products), max_size=4))
    sums = [Column(Op.SUM_OF_SQUARES, 1, argument=len(columns))] if draw(st.booleans()) else []
    made = feature_map((*columns, *sums), products or None)
    if draw(st.booleans()):
        made = with_indicators(made, d, before=draw(st.integers(1, made.n_features)))
    return made, d


@st.composite
def maps(draw):
    """Return a map of stacked parts without some of its features, the number of columns, and which may be missing."""
    parts = draw(st.lists(part(), min_size=1, max_size=3))
    d = sum(size for _, size in parts)
    order = draw(st.permutations(range(d)))
    blocks, start, may_lack = [], 0, []
    for features, size in parts:
        of_data = order[start : start + size]
        blocks.append((of_data, features))
        may_lack += of_data if (features.masks >= 0).any() else []
        start += size
    whole = concatenated(blocks)
    products = np.flatnonzero(whole.pairs.min(axis=1) > 0)
    left_out = draw(st.sets(st.sampled_from(products.tolist()))) if len(products) else set()
    keep = [f for f in range(whole.n_features) if f not in left_out]
    return FeatureMap(whole.columns, whole.pairs[keep], whole.masks[keep]), d, sorted(may_lack)


@given(case=maps(), seed=st.integers(0, 2**32), single=st.booleans())
def test_any_map_as_numpy_writes_it(case, seed, single):
    features, d, may_lack = case
    rng, dtype = np.random.default_rng(seed), np.float32 if single else np.float64
    x = rng.choice([0.0, 1.0, 2.0, 0.3, 1.7, 3.9], size=(5, d)).astype(dtype)
    lacking = np.zeros(x.shape, bool)
    lacking[:, may_lack] = rng.random((5, len(may_lack))) < 0.4
    x[lacking] = np.nan
    expected = np.empty((features.n_features - 1, 5), dtype)
    features.write(x, expected)
    size = np.abs(expected).max(initial=1.0)
    found = native_features(features, x, dtype)
    np.testing.assert_array_equal(found[0], 1)
    tolerance = 1e-5 if single else 1e-12
    np.testing.assert_allclose(found[1:], expected, rtol=tolerance, atol=tolerance * size)
