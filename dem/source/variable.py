"""A Zarr array whose axes are sample dimensions, along which rows lie, and others, which make columns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr

from dem.core.block import Array
from dem.core.rows import Box
from dem.source.decode import Decoding
from dem.source.reader import Axes, Index, Reader, n_units, unit_index, unit_shape, unit_text


@dataclass(frozen=True)
class Variable:
    """A Zarr array as a part of the columns. A matrix has one sample dimension: its first axis.

    Attributes
    ----------
    array : zarr.Array
    name : str
        The name of the array in messages.
    decoding : Decoding or None
        How entries are decoded; None if they are not.
    sample_axes : tuple of int
        The axis of each sample dimension, in the order of the sample dimensions.
    """

    array: zarr.Array[Any]
    name: str
    decoding: Decoding | None = None
    sample_axes: tuple[int, ...] = (0,)

    @property
    def other_axes(self) -> tuple[int, ...]:
        """The axes that make columns, in order."""
        return tuple(axis for axis in range(self.array.ndim) if axis not in self.sample_axes)

    @property
    def n_columns(self) -> int:
        """The number of columns: the product of the other axes."""
        return math.prod(self.array.shape[axis] for axis in self.other_axes)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the decoded entries."""
        return np.dtype(self.array.dtype) if self.decoding is None else self.decoding.dtype

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The extent along each sample dimension."""
        return tuple(self.array.shape[axis] for axis in self.sample_axes)

    @property
    def chunks(self) -> tuple[int, ...]:
        """The extent of a chunk (of an inner chunk if sharded) along each sample dimension."""
        return tuple(self.array.chunks[axis] for axis in self.sample_axes)

    @property
    def units(self) -> tuple[int, ...]:
        """The extent of a shard if the array is sharded, else of a chunk, along each sample dimension."""
        return tuple(unit_shape(self.array)[axis] for axis in self.sample_axes)

    @property
    def n_units(self) -> int:
        """The number of chunks (or shards)."""
        return n_units(self.array)

    @property
    def is_matrix(self) -> bool:
        """Whether its entries are in memory as rows and columns."""
        return self.sample_axes == (0,) and self.array.ndim == 2

    def reader(self) -> Reader:
        """Return a reader of the array, for one task."""
        return Reader(self.array, self.name, self.decoding, self.named_axes)

    def index(self, box: Box) -> tuple[slice, ...]:
        """Return the index of the entries of the rows of a box."""
        index = [slice(0, n) for n in self.array.shape]
        for axis, part in zip(self.sample_axes, box.slices, strict=True):
            index[axis] = part
        return tuple(index)

    def as_rows(self, values: Array) -> Array:
        """Return the values (n, n_columns) of the rows of a box, in C order, given the entries with this index."""
        if self.is_matrix:
            return values
        return values.transpose(*self.sample_axes, *self.other_axes).reshape(-1, self.n_columns)

    def unit_of(self, row: Index, column: int) -> Index:
        """Return the grid index of the chunk (or shard) of a value, given the row's index and the variable's column."""
        place = dict(zip(self.sample_axes, row, strict=True))
        others = [self.array.shape[axis] for axis in self.other_axes]
        place.update(zip(self.other_axes, map(int, np.unravel_index(column, others) if others else ()), strict=True))
        return tuple(place[axis] // n for axis, n in enumerate(unit_shape(self.array)))

    @property
    def named_axes(self) -> Axes:
        """The sample axes, each with a word for messages."""
        if len(self.sample_axes) == 1:
            return ((self.sample_axes[0], "rows"),)
        names = dimension_names(self.array)
        return tuple((axis, names[axis] or f"axis {axis}") for axis in self.sample_axes)

    def unit_text(self, index: Index) -> str:
        """Return text for a chunk (or shard): "chunk c/3/0 (rows 300 to 399) of x.zarr"."""
        return unit_text(self.array, self.name, index, self.named_axes)

    def numbered_unit_text(self, number: int) -> str:
        """Return text for a chunk (or shard), given its number in C order over the grid."""
        return self.unit_text(unit_index(self.array, number))

    def reads_of(self, box_shape: tuple[int, ...]) -> float:
        """Return how often a chunk (or shard) is read in a pass that reads boxes of this shape; 1 if each once."""
        times = 1.0
        for n, unit, side in zip(self.sample_shape, self.units, box_shape, strict=True):
            touched = sum(-(-min(a + side, n) // unit) - a // unit for a in range(0, n, side))
            times *= touched / -(-n // unit)
        return times


def dimension_names(array: zarr.Array[Any]) -> tuple[str | None, ...]:
    """Return the names of the axes of an array; None for axes without a name. In Zarr v2, as written by xarray."""
    if array.metadata.zarr_format == 3:
        names: Any = array.metadata.dimension_names
    else:
        names = array.attrs.get("_ARRAY_DIMENSIONS")
    return tuple(names) if names is not None and len(names) == array.ndim else (None,) * array.ndim
