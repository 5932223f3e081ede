"""Rows along one or several sample dimensions: boxes of them, and their keys.

The key of a row is its index in C order over the sample dimensions, whatever the chunks. A matrix has one sample
dimension, so the key of a row is its number.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Numbers = TypeVar("Numbers", int, NDArray[np.int64], NDArray[np.intp])


@dataclass(frozen=True)
class Box:
    """Successive rows along each sample dimension.

    Attributes
    ----------
    start, stop : tuple of int
        The first index along each dimension, and the index after the last.
    """

    start: tuple[int, ...]
    stop: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of indices along each dimension."""
        return tuple(b - a for a, b in zip(self.start, self.stop, strict=True))

    def __str__(self) -> str:
        """Return the box as text: "rows 0 to 9", or "rows (0, 5) to (9, 7)"."""
        last = tuple(i - 1 for i in self.stop)
        first, last_row = (self.start[0], last[0]) if len(last) == 1 else (self.start, last)
        return f"rows {first} to {last_row}"

    @property
    def size(self) -> int:
        """The number of rows."""
        return math.prod(self.shape)

    @property
    def slices(self) -> tuple[slice, ...]:
        """The index of an array along the sample dimensions."""
        return tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))

    def __contains__(self, index: tuple[int, ...]) -> bool:
        """Whether the row with this index is in the box."""
        return all(a <= i < b for a, i, b in zip(self.start, index, self.stop, strict=True))

    def along_first(self, start: int, stop: int) -> Box:
        """Return the part of the box with the given range of indices along the first dimension."""
        return Box((start, *self.start[1:]), (stop, *self.stop[1:]))


@dataclass(frozen=True)
class Rows:
    """The rows of data.

    Attributes
    ----------
    shape : tuple of int
        The extent along each sample dimension.
    dims : tuple of str, or None
        The names of the sample dimensions; None if the data have no names.
    """

    shape: tuple[int, ...]
    dims: tuple[str, ...] | None = None

    @property
    def size(self) -> int:
        """The number of rows."""
        return math.prod(self.shape)

    @property
    def whole(self) -> Box:
        """The box of all rows."""
        return Box((0,) * len(self.shape), self.shape)

    def keys(self, box: Box) -> RowKeys:
        """Return the keys of the rows of a box."""
        return RowKeys(box.start, box.shape[1:], self.shape[1:])

    def index(self, key: int) -> tuple[int, ...]:
        """Return the index of a row along each dimension, given its key."""
        return tuple(int(i) for i in np.unravel_index(key, self.shape))

    def box_of(self, key: int) -> Box:
        """Return the box of one row, given its key."""
        index = self.index(key)
        return Box(index, tuple(i + 1 for i in index))

    def in_words(self, key: int) -> str:
        """Return text for a row, given its key: "row 17", or "the row at time 3, lat 5"."""
        if len(self.shape) == 1 or self.dims is None:
            return f"row {key}"
        return "the row at " + ", ".join(f"{dim} {i}" for dim, i in zip(self.dims, self.index(key), strict=True))


@dataclass(frozen=True)
class RowKeys:
    """The keys of successive rows of a box, in C order.

    Attributes
    ----------
    start : tuple of int
        The first index of the box along each sample dimension.
    sides : tuple of int
        The extents of the box along the dimensions after the first. (That along the first is not needed.)
    extents : tuple of int
        The extents of the data along these dimensions.
    skipped : int
        The number of rows of the box before the first of these rows.
    """

    start: tuple[int, ...] = (0,)
    sides: tuple[int, ...] = ()
    extents: tuple[int, ...] = ()
    skipped: int = 0

    @classmethod
    def from_first(cls, first: int) -> RowKeys:
        """Return the consecutive keys from `first` on."""
        return cls((first,))

    @property
    def first(self) -> int:
        """The key of the first row."""
        return self.of(0)

    @property
    def slab(self) -> int:
        """The number of rows of the box at one index of the first dimension."""
        return math.prod(self.sides)

    def of(self, rows: Numbers) -> Numbers:
        """Return the keys of rows, given their positions; rows are counted from 0."""
        at = rows + self.skipped
        if not self.sides:
            return at + self.start[0]
        stride = 1
        keys = at * 0
        for start, side, extent in zip(self.start[:0:-1], self.sides[::-1], self.extents[::-1], strict=True):
            inside = at % side
            keys = keys + (inside + start) * stride
            at, stride = at // side, stride * extent
        return keys + (at + self.start[0]) * stride

    def after(self, n: int) -> RowKeys:
        """Return the keys of the rows after the first n."""
        return replace(self, skipped=self.skipped + n) if self.sides else RowKeys((self.start[0] + n,))

    def only(self, positions: NDArray[np.intp]) -> SelectedKeys:
        """Return the keys of the rows at these positions."""
        return SelectedKeys(self.of(positions))

    def box(self, n: int) -> Box:
        """Return the box that consists of the first n rows; they must be whole along all dimensions after the first."""
        first, rest = divmod(self.skipped, self.slab)
        count, more = divmod(n, self.slab)
        assert rest == 0
        assert more == 0
        start = (self.start[0] + first, *self.start[1:])
        stop = (start[0] + count, *(a + side for a, side in zip(self.start[1:], self.sides, strict=True)))
        return Box(start, stop)


NUMBERED = RowKeys()
"""The keys 0, 1, ..."""


@dataclass(frozen=True)
class SelectedKeys:
    """The keys of any rows.

    Attributes
    ----------
    keys : int array of shape (n,)
    """

    keys: NDArray[np.int64] | NDArray[np.intp]

    def of(self, rows: int) -> int:
        """Return the key of a row, given its position."""
        return int(self.keys[rows])

    def only(self, positions: NDArray[np.intp]) -> SelectedKeys:
        """Return the keys of the rows at these positions."""
        return SelectedKeys(self.keys[positions])


Keys = RowKeys | SelectedKeys


def row_boxes(row_counts: Sequence[int]) -> list[tuple[Box, ...]]:
    """Return one box for each number of successive rows, along one sample dimension."""
    edges = itertools.accumulate(row_counts, initial=0)
    return [(Box((int(a),), (int(b),)),) for a, b in itertools.pairwise(edges)]


def grid_sizes(boxes: Sequence[Box]) -> tuple[tuple[int, ...], ...]:
    """Return the sizes of the boxes of a grid along each dimension; along a single dimension they are in order."""
    if len(boxes[0].start) == 1:  # several of them may be empty
        return (tuple(box.size for box in boxes),)
    return tuple(tuple(b - a for a, b in of_axis) for of_axis in _grid_sides(boxes))


def grid_indices(boxes: Sequence[Box]) -> list[tuple[int, ...]]:
    """Return the index of each box in the grid that they form; along a single dimension they are in order."""
    if len(boxes[0].start) == 1:
        return [(i,) for i in range(len(boxes))]
    number = [{side: i for i, side in enumerate(of_axis)} for of_axis in _grid_sides(boxes)]
    return [tuple(of[side] for of, side in zip(number, _sides(box), strict=True)) for box in boxes]


def _grid_sides(boxes: Sequence[Box]) -> list[list[tuple[int, int]]]:
    """Return the distinct ranges of the boxes along each dimension, in order."""
    return [sorted(set(of_axis)) for of_axis in zip(*map(_sides, boxes), strict=True)]


def _sides(box: Box) -> list[tuple[int, int]]:
    return list(zip(box.start, box.stop, strict=True))


def regular_size(sizes: Sequence[float]) -> int | None:
    """Return the size of chunks if all are equal (the last may be smaller); else None."""
    first, *rest = sizes
    regular = first > 0 and all(size == first for size in rest[:-1]) and (not rest or rest[-1] <= first)
    return int(first) if regular else None
