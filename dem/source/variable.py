"""A Zarr array whose axes are sample dimensions, along which rows lie, and others, which make columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr

from dem.core.block import Array
from dem.core.rows import Box
from dem.source.decode import Decoding, decoding_of_array
from dem.source.dimensions import NamedArray
from dem.source.read_options import ReadOptions
from dem.source.reader import Axes, Index, Reader, n_units, unit_shape, unit_text
from dem.source.stores import dimension_names, store_name


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


def stored_variables(
    arrays: Sequence[zarr.Array[Any]], about: Sequence[NamedArray], dims: Sequence[str], options: ReadOptions
) -> tuple[Variable, ...]:
    """Return arrays as variables: decoded, and with the axes of these sample dimensions.

    Parameters
    ----------
    arrays : sequence of zarr.Array
    about : sequence of NamedArray
        The description of each array.
    dims : sequence of str
    options : ReadOptions
    """
    return tuple(
        Variable(array, store_name(array), decoding_of_array(array, options.missing_value), of.axes(dims))
        for array, of in zip(arrays, about, strict=True)
    )
