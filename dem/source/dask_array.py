"""Rows of a Dask array: each row of chunks is one partition."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Self

import dask.array as da
import dask.base
import numpy as np
import scipy.sparse
from dask.delayed import Delayed

from dem.core.block import Array
from dem.core.columns import Columns
from dem.core.dtypes import float_dtype
from dem.source.checks import check_dtype, check_shape
from dem.source.decode import Decoding, decoding_of_value
from dem.source.delayed import block_weight, delayed_partitions
from dem.source.digest import dask_fingerprint, decoding_fingerprint, weights_fingerprint
from dem.source.in_memory import MemoryPartition
from dem.source.weights import Weights, as_dask

UNKNOWN_BLOCK_KEYS = 40
"""Bits of a row key for the row within its block, if the number of rows in the data is unknown."""


@dataclass(frozen=True)
class DaskSource:
    """A Dask array that is not chunked along its columns.

    Attributes
    ----------
    x : dask.array.Array of shape (n, d)
        It has a single chunk along the columns. The number of rows may be unknown.
    weight : dask.array.Array of shape (n,) or None
        It has the same chunks along the rows.
    decoding : Decoding or None
        How the original entries were decoded to make `x`; None if they were not decoded.
    """

    x: da.Array
    weight: da.Array | None = None
    decoding: Decoding | None = None

    name = "Dask array"
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
        return Columns.numbered(self.n_columns)

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
        """Rows of a chunk if all chunks are equal (the last may be shorter); else None."""
        first, *rest = self.row_chunks
        regular = first > 0 and all(rows == first for rows in rest[:-1]) and (not rest or rest[-1] <= first)
        return int(first) if regular else None

    @property
    def first_rows(self) -> list[int]:
        """The key of the first row of each partition."""
        if self.n_rows is None:
            return [i << UNKNOWN_BLOCK_KEYS for i in range(len(self.row_chunks))]
        return [0, *np.cumsum(self.row_chunks[:-1], dtype=np.int64).tolist()]

    @cached_property
    def partitions(self) -> list[Delayed]:
        """Delayed objects that evaluate to the partitions; they share one low-level graph."""
        arrays = [self.x] if self.weight is None else [self.x, self.weight]
        make = partial(_partition, self.n_columns, self.weight is not None)
        return delayed_partitions(make, arrays, [(first,) for first in self.first_rows])

    @property
    def block_bytes(self) -> int:
        """Bytes of the largest block; 0 if unknown."""
        rows = 0 if self.n_rows is None else int(max(self.row_chunks))
        return rows * self.n_columns * self.dtype.itemsize

    @property
    def read_bytes(self) -> int:
        """Bytes in memory while a block is computed. Estimated as twice the block, because the graph is unknown."""
        return 2 * self.block_bytes

    def reading_ahead(self, n: int) -> Self:
        """Return the source itself: nothing is read ahead."""
        return self

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The metadata of the data as JSON values. No rows are read."""
        own = {"kind": "dask", **dask_fingerprint(self.x), **decoding_fingerprint(self.decoding)}
        return {**own, "weights": weights_fingerprint(self.weight)}

    def for_results(self, row_bytes: int, target_bytes: int) -> Self:
        """Return the source itself: its graph determines the blocks."""
        return self

    def locate(self, row: int, column: int = 0) -> str:
        """Return the location of a row, given its key, as text for messages."""
        firsts = self.first_rows
        block = int(np.searchsorted(firsts, row, side="right")) - 1
        if self.n_rows is None:
            return f"row {row - firsts[block]} of block {block} of the {self.name}"
        return f"row {row} (block {block}) of the {self.name}"

    def locate_chunk(self, number: int) -> str:
        """Return the location of a chunk as text for messages. Blocks of Dask arrays have no absent chunks."""
        return f"chunk {number} of the {self.name}"


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
    first = rest[-1]
    return MemoryPartition(x, block_weight(rest[0], len(x), first) if weighted else None, first)


def _unmasked(block: Array, dtype: np.dtype[Any]) -> Array:
    """Return a block with its masked entries replaced by NaN."""
    return np.asarray(np.ma.filled(block.astype(dtype), np.nan))


def open_dask(x: da.Array, weights: Weights | None = None, *, missing_value: float | None = None) -> DaskSource:
    """Return the source of a Dask array with any chunks. Masked entries and `missing_value` become NaN.

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
    decoding = None if missing_value is None else decoding_of_value(missing_value, x.dtype)
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
