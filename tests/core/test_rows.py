"""Boxes of rows, and their keys: C-order indices over the sample dimensions, whatever the boxes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dem.core.rows import Box, RowKeys, Rows, grid_indices, grid_sizes, regular_size, row_boxes

SHAPE = st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple)


@st.composite
def boxes_in(draw):
    shape = draw(SHAPE)
    start = tuple(draw(st.integers(0, n - 1)) for n in shape)
    stop = tuple(draw(st.integers(a + 1, n)) for a, n in zip(start, shape, strict=True))
    return Rows(shape), Box(start, stop)


def expected_keys(rows, box):
    return np.arange(rows.size).reshape(rows.shape)[box.slices].reshape(-1)


@given(boxes_in())
def test_keys_are_indices_in_c_order(case):
    rows, box = case
    keys = rows.keys(box)
    expected = expected_keys(rows, box)
    np.testing.assert_array_equal(keys.of(np.arange(box.size)), expected)
    assert [keys.of(i) for i in range(box.size)] == expected.tolist()
    assert keys.first == expected[0]
    for key in expected.tolist():
        assert rows.index(key) in box
        assert rows.index(key) in rows.box_of(key)
        assert rows.box_of(key).size == 1


@given(boxes_in(), st.data())
def test_the_keys_after_some_rows(case, data):
    rows, box = case
    n = data.draw(st.integers(0, box.size - 1))
    expected = expected_keys(rows, box)[n:]
    after = rows.keys(box).after(n)
    np.testing.assert_array_equal(after.of(np.arange(len(expected))), expected)
    some = np.arange(0, len(expected), 2)
    only = after.only(some)
    assert [only.of(i) for i in range(len(some))] == expected[some].tolist()
    assert only.only(some[:1]).of(0) == expected[0]


@given(boxes_in(), st.data())
def test_whole_slabs_of_a_box_are_a_box(case, data):
    rows, box = case
    slab = rows.keys(box).slab
    first = data.draw(st.integers(0, box.shape[0] - 1))
    count = data.draw(st.integers(1, box.shape[0] - first))
    found = rows.keys(box).after(first * slab).box(count * slab)
    assert found == box.along_first(box.start[0] + first, box.start[0] + first + count)


def test_rows_that_are_no_whole_slabs_have_no_box():
    with pytest.raises(AssertionError):
        Rows((4, 3)).keys(Box((0, 0), (4, 3))).box(4)


def test_numbered_rows():
    assert RowKeys.from_first(7).of(3) == 10
    assert RowKeys.from_first(7).after(2) == RowKeys.from_first(9)
    assert RowKeys.from_first(7).box(5) == Box((7,), (12,))
    assert row_boxes([3, 4]) == [(Box((0,), (3,)),), (Box((3,), (7,)),)]


def test_a_grid_of_boxes():
    boxes = [Box((a, b), (min(a + 4, 10), b + 3)) for b in (0, 3) for a in (0, 4, 8)]
    assert grid_sizes(boxes) == ((4, 4, 2), (3, 3))
    assert grid_indices(boxes) == [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)]
    assert regular_size((4, 4, 2)) == 4
    assert regular_size((4, 2, 4)) is None
    assert regular_size((2, 4)) is None


def test_rows_in_words():
    assert Rows((10,)).in_words(7) == "row 7"
    assert Rows((10, 4), ("time", "lat")).in_words(7) == "the row at time 1, lat 3"
    assert str(Box((2,), (5,))) == "rows 2 to 4"
    assert str(Box((2, 0), (5, 3))) == "rows (2, 0) to (4, 2)"


def test_the_grid_of_boxes():
    boxes = [Box((a, c), (b, d)) for a, b in ((0, 2), (2, 3)) for c, d in ((0, 4), (4, 5), (5, 9))]
    assert grid_sizes(boxes) == ((2, 1), (4, 1, 4))
    assert grid_indices(boxes) == [(i, j) for i in range(2) for j in range(3)]
    assert grid_indices(boxes[::-1]) == grid_indices(boxes)[::-1]


@pytest.mark.parametrize("counts", [(1, 0, 199, 3), (0, 5), (5, 0), (2, 0, 0, 3)])
def test_empty_boxes_have_places_of_their_own(counts):
    boxes = [box for (box,) in row_boxes(counts)]
    assert grid_sizes(boxes) == (counts,)
    assert grid_indices(boxes) == [(i,) for i in range(len(counts))]


def test_empty_boxes_of_several_dimensions():
    boxes = [Box((a, c), (b, d)) for a, b in ((0, 2), (2, 3)) for c, d in ((0, 4), (4, 4), (4, 5))]
    assert grid_sizes(boxes) == ((2, 1), (4, 0, 1))
    assert grid_indices(boxes) == [(i, j) for i in range(2) for j in range(3)]
