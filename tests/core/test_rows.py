"""Boxes of rows that form a grid."""

import pytest

from dem.core.rows import Box, grid_indices, grid_sizes, row_boxes


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
