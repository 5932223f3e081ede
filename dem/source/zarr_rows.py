"""Rows of Zarr arrays as tasks read them: in boxes of one or several whole chunks (or shards)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from zarr.storage import LocalStore, MemoryStore, ZipStore

from dem.core.block import Array
from dem.core.rows import Box, Rows
from dem.source.dimensions import common_dtype
from dem.source.reader import unit_index
from dem.source.variable import Variable

READ_BYTES = 4 * 2**20
"""Decoded bytes of one read of small chunks, because zarr-python takes about half a millisecond per read. Measured with
chunks of 128 kB: reads of single chunks have half the speed, and reads above 1 to 2 MB are not faster.
"""
MOST_TOGETHER = 64 * 2**20
"""Most bytes of a box in which the chunks of several variables are read together, if their chunks differ."""


@dataclass(frozen=True)
class ZarrRows:
    """The rows of one or several Zarr arrays. It is small and picklable, because it is sent to the tasks.

    Attributes
    ----------
    variables : tuple of Variable
        Their columns side by side are the columns of the rows.
    rows : Rows
        The sample dimensions.
    name : str
        The name of the data in messages.
    """

    variables: tuple[Variable, ...]
    rows: Rows
    name: str

    @property
    def n_columns(self) -> int:
        """The number of columns."""
        return sum(variable.n_columns for variable in self.variables)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the decoded rows."""
        return common_dtype([variable.dtype for variable in self.variables])

    @property
    def is_remote(self) -> bool:
        """Whether reads may have to wait for a network."""
        return any(not isinstance(v.array.store, LocalStore | MemoryStore | ZipStore) for v in self.variables)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row in the stored dtypes. Partitions depend on this, not on the decoded dtype."""
        return sum(variable.n_columns * variable.array.dtype.itemsize for variable in self.variables)

    @cached_property
    def unit(self) -> tuple[int, ...]:
        """The extent of a box of whole chunks (or shards) of all variables, along each sample dimension."""
        return self._together([variable.units for variable in self.variables])

    @cached_property
    def chunk(self) -> tuple[int, ...]:
        """The extent of a box of whole chunks (inner chunks if sharded) of all variables."""
        chunk = self._together([variable.chunks for variable in self.variables])
        return tuple(n if unit % n == 0 else unit for n, unit in zip(chunk, self.unit, strict=True))

    def _together(self, extents: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        """Return the smallest extents that all these divide; if such a box is too large, the largest of them."""
        if len(extents) == 1:
            return extents[0]
        together = tuple(
            min(math.lcm(*sides), max(*sides, whole)) for *sides, whole in zip(*extents, self.rows.shape, strict=True)
        )
        largest = tuple(max(sides) for sides in zip(*extents, strict=True))
        return together if math.prod(together) * self.row_bytes <= MOST_TOGETHER else largest

    @property
    def inner_boxes(self) -> list[tuple[tuple[int, int], ...]]:
        """The grid along the dimensions after the first: (start, stop) along each. A matrix has one entry, ()."""
        sides = zip(self.rows.shape[1:], self.unit[1:], strict=True)
        return list(itertools.product(*([(a, min(a + unit, n)) for a in range(0, n, unit)] for n, unit in sides)))

    @property
    def slab_rows(self) -> int:
        """The most rows of a box at one index of the first dimension."""
        return math.prod(min(n, unit) for n, unit in zip(self.rows.shape[1:], self.unit[1:], strict=True))

    @property
    def slab_bytes(self) -> int:
        """Bytes of these rows in the stored dtypes."""
        return self.row_bytes * self.slab_rows

    @property
    def chunk_rows(self) -> int:
        """Indices along the first dimension of a chunk (of an inner chunk if the array is sharded)."""
        return min(self.chunk[0], self.rows.shape[0])

    @property
    def read_rows(self) -> int:
        """Indices along the first dimension of one read: one chunk, or several small chunks with about `READ_BYTES`."""
        chunk = self.chunk[0]
        chunks = max(1, READ_BYTES // (chunk * self.slab_bytes))
        per_unit = self.unit[0] // chunk
        return chunk * (chunks if chunks < per_unit else chunks // per_unit * per_unit)

    @property
    def is_assembled(self) -> bool:
        """Whether blocks are put together from several arrays, or from entries in another order."""
        return len(self.variables) > 1 or not self.variables[0].is_matrix

    @property
    def n_units(self) -> int:
        """The number of chunks (or shards) of all variables."""
        return sum(variable.n_units for variable in self.variables)

    def unit_text(self, number: int) -> str:
        """Return text for a chunk (or shard), given its number: first those of the first variable, in C order."""
        for variable in self.variables:
            if number < variable.n_units:
                return variable.unit_text(unit_index(variable.array, number))
            number -= variable.n_units
        raise IndexError(number)

    def locate(self, row: int, column: int = 0) -> str:
        """Return text for the chunk (or shard) of a value, for messages."""
        for variable in self.variables:
            if column < variable.n_columns:
                return variable.unit_text(variable.unit_of(self.rows.index(row), column))
            column -= variable.n_columns
        raise IndexError(column)

    def reader(self) -> BoxReader:
        """Return a reader of the rows, for one task."""
        return BoxReader(self)


class BoxReader:
    """Reads the rows of boxes. Each task, and each thread that reads ahead, has its own reader."""

    def __init__(self, rows: ZarrRows) -> None:
        self._rows, self._readers = rows, [variable.reader() for variable in rows.variables]

    def read(self, box: Box) -> tuple[Array, tuple[int, ...]]:
        """Return the rows (n, d) of a box, and the numbers of their absent chunks (or shards)."""
        variables = self._rows.variables
        if not self._rows.is_assembled:
            return self._readers[0].read(variables[0].index(box))
        x = np.empty((box.size, self._rows.n_columns), self._rows.dtype)
        absent: list[int] = []
        column = first_unit = 0
        for variable, reader in zip(variables, self._readers, strict=True):
            values, missed = reader.read(variable.index(box))
            x[:, column : column + variable.n_columns] = variable.as_rows(values)
            absent += [first_unit + number for number in missed]
            column, first_unit = column + variable.n_columns, first_unit + variable.n_units
            del values
        return x, tuple(absent)

    def finish(self) -> None:
        """Call this after the last read."""
        for reader in self._readers:
            reader.finish()
