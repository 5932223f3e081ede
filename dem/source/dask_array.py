"""Rows of a Dask array: each row of chunks is one partition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Self

import dask.array as da
import dask.base
import numpy as np
import scipy.sparse
from dask.delayed import Delayed

from dem.core.block import Array, Float
from dem.core.columns import Columns
from dem.core.dtypes import float_dtype
from dem.core.rows import Box, RowKeys, Rows, grid_sizes, regular_size, row_boxes
from dem.source.checks import check_dtype, check_shape
from dem.source.coordinates import NO_COORDINATES, Coordinates
from dem.source.decode import Decoding, decoding_of_value
from dem.source.delayed import block_weight, delayed_partitions
from dem.source.digest import dask_fingerprint, decoding_fingerprint, weights_fingerprint
from dem.source.in_memory import MemoryPartition
from dem.source.read_options import DEFAULTS, ReadOptions
from dem.source.weights import Weights, as_dask, weights_at

UNKNOWN_BLOCK_KEYS = 40
"""Bits of a row key for the row within its block, if the number of rows in the data is unknown."""


@dataclass(frozen=True)
class DaskSource:
    """A Dask array that is not chunked along its columns.

    Attributes
    ----------
    x : dask.array.Array of shape (n, d)
        It has a single chunk along the columns. The number of rows may be unknown. With several sample dimensions, each
        chunk has the rows of one box, in C order.
    weight : dask.array.Array of shape (n,) or None
        It has the same chunks along the rows.
    decoding : Decoding or None
        How the original entries were decoded to make `x`; None if they were not decoded.
    given_rows : Rows or None
        The sample dimensions; None if there is one without a name.
    given_boxes : tuple of Box
        The box of each chunk, if there are several sample dimensions.
    given_columns : Columns or None
        The columns, if the data name them.
    coordinates : Coordinates
        The coordinates of the sample dimensions; none for a matrix.
    name : str
    import_bytes : int
        Memory that a worker needs for the modules of the graph, in bytes.
    """

    x: da.Array
    weight: da.Array | None = None
    decoding: Decoding | None = None
    given_rows: Rows | None = None
    given_boxes: tuple[Box, ...] = ()
    given_columns: Columns | None = None
    coordinates: Coordinates = NO_COORDINATES
    name: str = "the Dask array"
    import_bytes: int = 0

    in_memory = False
    read_ahead = 0
    read_ahead_bytes = 0
    lazy = True
    compact = False
    stored_at = ()

    @property
    def n_rows(self) -> int | None:
        """The number of rows; None if unknown."""
        rows = self.x.shape[0]
        return None if math.isnan(rows) else int(rows)

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
        dtype: np.dtype[Any] = np.dtype(self.x.dtype)
        return dtype

    @property
    def row_chunks(self) -> tuple[float, ...]:
        """The number of rows of each partition; NaN if unknown."""
        return tuple(self.x.chunks[0])

    @property
    def chunk_rows(self) -> int | None:
        """The extent of a chunk along the first sample dimension if all chunks are equal; else None."""
        sizes = [regular_size(sizes) for sizes in self._grid]
        return None if None in sizes else sizes[0]

    @property
    def chunk_sides(self) -> tuple[int, ...]:
        """The extents of a chunk along the sample dimensions after the first."""
        return tuple(max(sizes) for sizes in self._grid[1:])

    @property
    def _grid(self) -> tuple[tuple[Any, ...], ...]:
        return grid_sizes(self.given_boxes) if self.given_boxes else (self.row_chunks,)

    @property
    def rows(self) -> Rows | None:
        """The sample dimensions; None if the number of rows is unknown."""
        if self.n_rows is None:
            return None
        return Rows((self.n_rows,)) if self.given_rows is None else self.given_rows

    @property
    def boxes(self) -> list[tuple[Box, ...]]:
        """The box of each partition; empty if the number of rows is unknown."""
        if self.rows is None:
            return []
        return [(box,) for box in self.given_boxes] or row_boxes([int(n) for n in self.row_chunks])

    @property
    def keys(self) -> list[RowKeys]:
        """The keys of the rows of each partition."""
        if self.rows is None:
            return [RowKeys.from_first(i << UNKNOWN_BLOCK_KEYS) for i in range(len(self.row_chunks))]
        return [self.rows.keys(box) for (box,) in self.boxes]

    @cached_property
    def partitions(self) -> list[Delayed]:
        """Delayed objects that evaluate to the partitions; they share one low-level graph."""
        arrays = [self.x] if self.weight is None else [self.x, self.weight]
        make = partial(_partition, self.n_columns, self.weight is not None)
        return delayed_partitions(make, arrays, [(keys,) for keys in self.keys])

    @property
    def block_bytes(self) -> int:
        """Bytes of the largest block; 0 if unknown."""
        rows = 0 if self.n_rows is None else int(max(self.row_chunks))
        return rows * self.n_columns * self.dtype.itemsize

    @property
    def read_bytes(self) -> int:
        """Bytes in memory while a block is computed. Estimated as twice the block, because the graph is unknown."""
        return 2 * self.block_bytes + self.import_bytes

    def reading_ahead(self, n: int) -> Self:
        """Return the source itself: nothing is read ahead."""
        return self

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The metadata of the data as JSON values. No rows are read."""
        own = {"kind": "dask", **dask_fingerprint(self.x), **decoding_fingerprint(self.decoding)}
        return {**own, "weights": weights_fingerprint(self.weight)}

    def _positions(self, keys: Sequence[int]) -> list[int]:
        """Return the positions of rows in `x`, given their keys."""
        if self.rows is None or not self.given_boxes:
            return list(keys)
        edges = [0, *np.cumsum(self.row_chunks, dtype=np.int64).tolist()]
        found = []
        for key in keys:
            index = self.rows.index(key)
            block, box = next((i, box) for i, box in enumerate(self.given_boxes) if index in box)
            inside = tuple(i - a for i, a in zip(index, box.start, strict=True))
            found.append(edges[block] + int(np.ravel_multi_index(inside, box.shape)))
        return found

    def rows_at(self, keys: Sequence[int]) -> Array:
        """Return the rows with these keys, (n, d). The number of rows must be known."""
        return np.asarray(self.x[self._positions(keys)])

    def weights_at(self, keys: Sequence[int]) -> Float | None:
        """Return the weights of the rows with these keys, (n,); None if the rows have no weights."""
        return weights_at(self.weight, [Box((at,), (at + 1,)) for at in self._positions(keys)])

    def identity(self) -> list[Any]:
        """Return what identifies the rows, valid in JSON: Dask names an array after its graph."""
        return [self.x.name, self.fingerprint, None]

    def for_results(self, row_bytes: int, target_bytes: int) -> Self:
        """Return the source itself: its graph determines the blocks."""
        return self

    def for_writing(self) -> Self:
        """Return the source itself."""
        return self

    def locate(self, row: int, column: int = 0) -> str:
        """Return the location of a row, given its key, as text for messages."""
        if self.rows is None:
            block, row = divmod(row, 1 << UNKNOWN_BLOCK_KEYS)
            return f"row {row} of block {block} of {self.name}"
        index = self.rows.index(row)
        block = next(i for i, (box,) in enumerate(self.boxes) if index in box)
        return f"{self.rows.in_words(row)} (block {block}) of {self.name}"

    def locate_chunk(self, number: int) -> str:
        """Return the location of a chunk as text for messages. Blocks of Dask arrays have no absent chunks."""
        return f"chunk {number} of {self.name}"


def _partition(n_columns: int, weighted: bool, block: Array, *rest: Any) -> MemoryPartition:
    """Return the partition of one computed block, after checking it against the metadata of the array."""
    if np.ma.is_masked(block):
        raise ValueError(
            "A block of the Dask array is masked although the array's meta is not: make the meta a masked array."
        )
    x = np.asarray(block)
    if x.ndim != 2 or x.shape[1] != n_columns:
        raise ValueError(
            f"A block of the Dask array has shape {x.shape}, but the array has {n_columns} columns: "
            "correct its meta or its chunks."
        )
    keys: RowKeys = rest[-1]
    return MemoryPartition(x, block_weight(rest[0], len(x), keys.first) if weighted else None, keys)


def _unmasked(block: Array, dtype: np.dtype[Any]) -> Array:
    """Return a block with its masked entries replaced by NaN."""
    return np.asarray(np.ma.filled(block.astype(dtype), np.nan))


def open_dask(x: da.Array, weights: Weights | None = None, options: ReadOptions = DEFAULTS) -> DaskSource:
    """Return the source of a Dask array with any chunks. Masked entries and missing values become NaN.

    Raises
    ------
    TypeError
        Blocks are sparse.
    ValueError
        Wrong number of dimensions, no columns, no rows, a dtype that is not real, or weights whose chunks
        cannot be matched because chunk sizes are unknown.
    """
    if scipy.sparse.issparse(x._meta):
        raise TypeError(
            "Sparse data was passed, but dense data is required: use 'x.map_blocks(lambda b: b.toarray())'."
        )
    check_shape(x.shape, "the Dask array")
    check_dtype(np.dtype(x.dtype), "the Dask array")
    if math.isnan(x.shape[1]):
        raise ValueError("The Dask array has an unknown number of columns: call compute_chunk_sizes() first.")
    if isinstance(x._meta, np.ma.MaskedArray):
        floating = float_dtype(x.dtype)
        x = da.map_blocks(_unmasked, x, floating, dtype=floating, meta=np.empty((0, 0), floating))
    decoding = None if options.missing_value is None else decoding_of_value(options.missing_value, x.dtype)
    if decoding is not None:
        x = da.map_blocks(decoding, x, dtype=decoding.dtype, meta=np.empty((0, 0), decoding.dtype))
    if x.numblocks[1] > 1:
        x = x.rechunk({1: -1})
    if weights is not None:
        weights = _aligned(weights, x)
    x, weight = dask.base.optimize(x, weights)  # in one call, so that shared inputs stay shared
    return DaskSource(x, weight, decoding)


def _aligned(weights: Weights, x: da.Array) -> da.Array:
    """Return the weights as a Dask array with the row chunks of `x`."""
    if not math.isnan(x.shape[0]):
        return as_dask(weights, x.chunks[0])
    if isinstance(weights, da.Array) and weights.numblocks[0] == x.numblocks[0]:
        return weights
    raise ValueError(
        "The Dask array has unknown chunk sizes, so its weights must be a Dask array with the same "
        "chunks: call compute_chunk_sizes() on the data first."
    )
