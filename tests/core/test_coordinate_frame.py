import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dem.core.coordinate_frame import NEAR_ONE, Frame


def test_the_frame_is_at_the_mean_and_leaves_plain_spreads_alone(rng):
    x = rng.normal(7.0, 3.0, (100, 2))
    frame = Frame.near(x)
    np.testing.assert_allclose(frame.shift, x.mean(axis=0), rtol=1e-15)
    np.testing.assert_array_equal(frame.scale, 1.0)


@given(st.lists(st.integers(-250, 250), min_size=1, max_size=5))
def test_scales_are_powers_of_two_that_bring_spreads_near_one(exponents):
    x = np.random.default_rng(0).normal(size=(50, len(exponents))) * 2.0 ** np.array(exponents)
    frame = Frame.near(x)
    np.testing.assert_array_equal(np.frexp(frame.scale)[0], 0.5)
    spread = np.abs(x - frame.shift).mean(axis=0) * frame.scale
    assert ((spread > 1 / NEAR_ONE) & (spread < NEAR_ONE)).all()


def test_an_isotropic_frame_has_one_scale(rng):
    frame = Frame.near(rng.normal(size=(50, 3)) * [1e-7, 1.0, 1e7], isotropic=True)
    assert len(set(frame.scale)) == 1
    assert 2.0**-25 < frame.scale[0] < 2.0**-21


def test_a_constant_column_is_not_scaled():
    frame = Frame.near(np.full((5, 2), [1e8, 0.0]))
    np.testing.assert_array_equal(frame.scale, 1.0)
    np.testing.assert_array_equal(frame.shift, [1e8, 0.0])


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_the_shift_of_single_precision_rows_is_a_single_number(rng, dtype):
    """So that x - shift is rounded once, also in single precision."""
    x = rng.normal(3.0, 1.0, (101, 2)).astype(dtype)
    shift = Frame.near(x).shift
    np.testing.assert_array_equal(shift.astype(np.float32), shift)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32, np.uint8, bool])
@pytest.mark.parametrize("out", [np.float32, np.float64])
def test_a_tile_is_feature_major_in_the_frame(rng, dtype, out):
    rows = (rng.normal(size=(9, 2)) * 50).astype(dtype)
    frame = Frame(np.array([0.5, -3.25]), np.array([4.0, 0.125]))
    tile = np.empty((2, 9), out)
    frame.tile(rows, tile)
    expected = ((rows.astype(np.float64) - frame.shift) * frame.scale).T
    np.testing.assert_allclose(tile, expected, rtol=2 * np.finfo(out).eps)


def test_unsigned_rows_below_the_shift_do_not_wrap():
    tile = np.empty((1, 2))
    Frame(np.array([10.0]), np.ones(1)).tile(np.array([[3], [200]], np.uint8), tile)
    np.testing.assert_array_equal(tile, [[-7.0, 190.0]])


def test_largest_magnitude_in_the_frame():
    frame = Frame(np.array([1.0, 0.0]), np.array([2.0, 1.0]))
    np.testing.assert_array_equal(frame.largest(np.array([-4.0, 1.0]), np.array([2.0, 3.0])), [10.0, 3.0])


def test_a_frame_at_given_points_is_not_scaled():
    points = np.arange(6.0).reshape(2, 3)
    frame = Frame.at(points)
    np.testing.assert_array_equal(frame.shift, points)
    np.testing.assert_array_equal(frame.scale, np.ones(3))
