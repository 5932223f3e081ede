"""Rows of an array in memory: partitions are views of row ranges."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import scipy.sparse

from dem.core.block import Array, Block, Float
from dem.core.columns import Columns
from dem.core.dtypes import float_dtype
from dem.core.rows import NUMBERED, Box, RowKeys, Rows
from dem.source.checks import check_dtype, check_shape
from dem.source.coordinates import NO_COORDINATES, Coordinates
from dem.source.decode import Decoding, decoding_of_value
from dem.source.digest import decoding_fingerprint, memory_fingerprint, weights_fingerprint
from dem.source.grid import bytes_for_results, partition_rows
from dem.source.read_options import DEFAULTS, ReadOptions
from dem.source.weights import Weights, in_memory, weights_at

PARTITION_BYTES = 16 * 2**20
UNIT_BYTES = 2**19


@dataclass(frozen=True)
class MemoryPartition:
    """Rows in memory, as one block."""

    x: Array
    weight: Float | None = None
    keys: RowKeys = NUMBERED

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.x)

    def blocks(self) -> Iterator[Block]:
        """Yield the rows as one block: a view, no copy."""
        yield Block(self.x, self.weight, self.keys)


@dataclass(frozen=True)
class MemorySource:
    """An array in memory.

    Attributes
    ----------
    x : array of shape (n, d)
    weight : float64 array of shape (n,) or None
    partition_bytes : int
        Target size of a partition. Together with the shape and dtype it determines the partitions.
    decoding : Decoding or None
        How the original entries were decoded to make `x`; None if they were not decoded.
    given_columns : Columns or None
        The columns, if the data name them.
    given_rows : Rows or None
        The sample dimensions, whose rows are in C order; by default one.
    coordinates : Coordinates
        The coordinates of the sample dimensions; none for a matrix.
    """

    x: Array
    weight: Float | None = None
    name: str = "the array"
    partition_bytes: int = PARTITION_BYTES
    decoding: Decoding | None = None
    given_columns: Columns | None = None
    given_rows: Rows | None = None
    coordinates: Coordinates = NO_COORDINATES

    in_memory = True
    read_ahead = 0
    read_ahead_bytes = 0
    lazy = False
    compact = False
    stored_at = ()

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return int(self.x.shape[0])

    @property
    def rows(self) -> Rows:
        """The sample dimensions."""
        return Rows((self.n_rows,)) if self.given_rows is None else self.given_rows

    @property
    def boxes(self) -> list[tuple[Box, ...]]:
        """The box of each partition: a range of indices along the first sample dimension."""
        return [(self.rows.whole.along_first(a, b),) for a, b in self._ranges]

    @property
    def chunk_sides(self) -> tuple[int, ...]:
        """The extents of a box along the sample dimensions after the first."""
        return self.rows.shape[1:]

    @property
    def _slab_rows(self) -> int:
        """The number of rows at one index of the first sample dimension."""
        return math.prod(self.chunk_sides)

    @property
    def n_columns(self) -> int:
        """The number of columns."""
        return int(self.x.shape[1])

    @property
    def columns(self) -> Columns:
        """The columns: their names, variables and units."""
        return Columns.numbered(self.n_columns) if self.given_columns is None else self.given_columns

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the rows."""
        return self.x.dtype

    @property
    def chunk_rows(self) -> int:
        """Indices along the first sample dimension whose rows have about half a megabyte.

        Partitions are multiples of it, and outputs have chunks of it.
        """
        unit_bytes = min(UNIT_BYTES, self.partition_bytes // 8)
        return max(1, unit_bytes // self._slab_bytes)

    @property
    def _slab_bytes(self) -> int:
        return self._slab_rows * self.n_columns * self.dtype.itemsize

    @property
    def _ranges(self) -> list[tuple[int, int]]:
        return partition_rows(self.rows.shape[0], self.chunk_rows, self._slab_bytes, self.partition_bytes)

    @property
    def row_chunks(self) -> tuple[int, ...]:
        """The number of rows of each partition."""
        return tuple((stop - start) * self._slab_rows for start, stop in self._ranges)

    @property
    def partitions(self) -> list[MemoryPartition]:
        """Views of successive row ranges."""
        return [self._partition(box) for (box,) in self.boxes]

    def _partition(self, box: Box) -> MemoryPartition:
        keys = self.rows.keys(box)
        of_box = slice(keys.first, keys.first + box.size)
        return MemoryPartition(self.x[of_box], None if self.weight is None else self.weight[of_box], keys)

    @property
    def block_bytes(self) -> int:
        """0: blocks are views of the array and need no extra memory."""
        return 0

    @property
    def read_bytes(self) -> int:
        """0: reading views needs no extra memory."""
        return 0

    def reading_ahead(self, n: int) -> Self:
        """Return the source itself: nothing is read ahead."""
        return self

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The metadata of the data as JSON values. No rows are read."""
        own = {"kind": "array", **memory_fingerprint(self.x), "partition_bytes": self.partition_bytes}
        return {**own, **decoding_fingerprint(self.decoding), "weights": weights_fingerprint(self.weight)}

    def rows_at(self, keys: Sequence[int]) -> Array:
        """Return the rows with these keys, (n, d)."""
        return self.x[list(keys)]

    def weights_at(self, keys: Sequence[int]) -> Float | None:
        """Return the weights of the rows with these keys, (n,); None if the rows have no weights."""
        return weights_at(self.weight, [Box((key,), (key + 1,)) for key in keys])

    def identity(self) -> None:
        """Return None: arrays in memory are not identified."""

    def for_results(self, row_bytes: int, target_bytes: int) -> Self:
        """Return the same array in partitions that are small enough for results of `row_bytes` bytes per row."""
        own = self.n_columns * self.dtype.itemsize
        return replace(self, partition_bytes=bytes_for_results(own, row_bytes, target_bytes, self.partition_bytes))

    def for_writing(self) -> Self:
        """Return the source itself."""
        return self

    def locate(self, row: int, column: int = 0) -> str:
        """Return the location of a row as text for messages."""
        return f"{self.rows.in_words(row)} of {self.name}"

    def locate_chunk(self, number: int) -> str:
        """Return the location of a chunk as text for messages. Blocks in memory have no absent chunks."""
        return f"chunk {number} of {self.name}"


def as_numeric(data: Any) -> Array:
    """Return `data` as a checked two-dimensional array of real numbers. It is copied only if necessary.

    Numbers in an object array become float64. Masked entries become NaN (see `dem.core.dtypes.float_dtype`).

    Raises
    ------
    TypeError
        Sparse input, or objects that are not numbers.
    ValueError
        Wrong number of dimensions, no rows, no columns, or a dtype that does not hold real numbers.
    """
    if scipy.sparse.issparse(data):
        raise TypeError("Sparse data was passed, but dense data is required: use '.toarray()' to make a dense array.")
    x = np.asanyarray(data)
    check_shape(x.shape, "the array")
    if x.dtype == object:
        try:
            x = x.astype(np.float64)
        except (TypeError, ValueError) as error:
            message = f"The array has dtype object, with values that are not numbers: {error}"
            raise type(error)(message) from error
    check_dtype(x.dtype, "the array")
    if isinstance(x, np.ma.MaskedArray):
        x = np.ma.filled(x.astype(float_dtype(x.dtype)), np.nan) if np.ma.is_masked(x) else x.data
    return np.asarray(x)


def open_memory(x: Array, weights: Weights | None = None, options: ReadOptions = DEFAULTS) -> MemorySource:
    """Return the source of an array in memory, as `as_numeric` returns it."""
    decoding = None if options.missing_value is None else decoding_of_value(options.missing_value, x.dtype)
    return MemorySource(
        x if decoding is None else decoding(x),
        None if weights is None else in_memory(weights),
        partition_bytes=options.partition_size(PARTITION_BYTES),
        decoding=decoding,
    )
