"""A Zarr array as a source. Partitions consist of whole chunks (or shards)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Self, TypeVar

import dask.array as da
import numpy as np
import zarr
from dask.delayed import Delayed

from dem.core.block import Array, Float
from dem.core.columns import Columns
from dem.source.checks import check_dtype, check_shape
from dem.source.decode import Decoding, decoding_of_array
from dem.source.delayed import block_weight, delayed_partitions
from dem.source.digest import array_fingerprint, decoding_fingerprint, weights_fingerprint
from dem.source.grid import MAX_PARTITIONS, bytes_for_results, partition_rows
from dem.source.listing import listed_sha256
from dem.source.stores import array_location, store_name
from dem.source.weights import StoredWeights, Weights, as_dask, weights_at
from dem.source.zarr_rows import ZarrPartition, ZarrRows, in_turn, locate_unit

PARTITION_BYTES = 128 * 2**20
REMOTE_READS, AHEAD_BYTES = 4, 256 * 2**20
"""A task reads at most so many blocks of a remote store at the same time, in at most about so many bytes of memory."""


@dataclass(frozen=True)
class ZarrSource:
    """A two-dimensional Zarr array.

    Attributes
    ----------
    handle : ZarrRows
    weights : float64 array of shape (n,), StoredWeights, dask.array.Array or None
    partition_bytes : int
        Target size of a partition, decoded. Together with the chunk grid it determines the partitions.
    max_partitions : int or None
        Largest number of partitions.
    require_chunks : bool
        Missing chunks are an error. If false, they are read as the fill value and listed in `Block.absent`.
    most_ahead : int or None
        Read at most so many blocks while one is processed; None: as many as are useful.
    """

    handle: ZarrRows
    weights: Weights | None = None
    partition_bytes: int = PARTITION_BYTES
    max_partitions: int | None = MAX_PARTITIONS
    require_chunks: bool = False
    most_ahead: int | None = None

    in_memory = False
    lazy = True

    @property
    def decoding(self) -> Decoding | None:
        """How entries are decoded; None if they are not."""
        return self.handle.decoding

    @property
    def compact(self) -> bool:
        """Whether partitions are small. With weights in memory or in a Dask array they are not."""
        return self.weights is None or isinstance(self.weights, StoredWeights)

    @property
    def stored_at(self) -> tuple[str, ...]:
        """The locations of the array and of its stored weights."""
        weights = array_location(self.weights.array) if isinstance(self.weights, StoredWeights) else ()
        return array_location(self.handle.array) + weights

    @property
    def name(self) -> str:
        """The name of the array in messages."""
        return self.handle.name

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return int(self.handle.array.shape[0])

    @property
    def n_columns(self) -> int:
        """The number of columns."""
        return int(self.handle.array.shape[1])

    @property
    def columns(self) -> Columns:
        """The columns: their names, variables and units."""
        return Columns.numbered(self.n_columns)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the rows."""
        return self.handle.dtype

    @property
    def chunk_rows(self) -> int:
        """Rows of a chunk of the array (of an inner chunk if sharded)."""
        return self.handle.chunk_rows

    @property
    def _ranges(self) -> list[tuple[int, int]]:
        unit, row_bytes = self.handle.unit[0], self.handle.row_bytes
        return partition_rows(self.n_rows, unit, row_bytes, self.partition_bytes, self.max_partitions)

    @property
    def row_chunks(self) -> tuple[int, ...]:
        """The number of rows of each partition."""
        return tuple(stop - start for start, stop in self._ranges)

    @cached_property
    def partitions(self) -> list[ZarrPartition] | list[Delayed]:
        """Partitions of whole chunks (or shards); Delayed objects if the weights are a Dask array."""
        w = self.weights
        part = partial(ZarrPartition, self.handle, require_chunks=self.require_chunks, read_ahead=self.read_ahead)
        if isinstance(w, da.Array):
            return delayed_partitions(_weighed, [w], [(part(a, b),) for a, b in self._ranges])
        if isinstance(w, np.ndarray):
            return [part(a, b, w[a:b]) for a, b in self._ranges]
        return [part(a, b, w) for a, b in self._ranges]

    @property
    def block_bytes(self) -> int:
        """Decoded bytes of the largest block: the rows of one read, with all columns."""
        return min(self.handle.read_rows, self.n_rows) * self.n_columns * self.dtype.itemsize

    @property
    def read_bytes(self) -> int:
        """Bytes in memory while a block is read: the block, its decompressed and compressed chunks, and stored weights.

        If entries are decoded (missing values, packing), add the decoded block.
        """
        rows = min(self.handle.read_rows, self.n_rows)
        weights = self.weights.read_bytes(rows) if isinstance(self.weights, StoredWeights) else 0
        decoded = 0 if self.decoding is None else self.block_bytes
        return 3 * rows * self.handle.row_bytes + decoded + weights

    @property
    def read_ahead(self) -> int:
        """The number of blocks that are read while one is processed.

        One hides the time of a read behind the processing. From a remote store, where a read mostly waits, several
        reads at the same time take about as long as one. Weights that are read from a store are read in turn.
        """
        several = self.handle.is_remote and not in_turn(self.weights)
        useful = max(1, min(REMOTE_READS, AHEAD_BYTES // self.read_bytes)) if several else 1
        most = useful if self.most_ahead is None else min(useful, self.most_ahead)
        blocks = -(-max(self.row_chunks) // self.handle.read_rows)
        return min(most, blocks) if blocks > 1 else 0

    @property
    def read_ahead_bytes(self) -> int:
        """Additional bytes for reading one block ahead: the current block and its weights."""
        weights = self.weights.read_bytes(self.handle.read_rows) if isinstance(self.weights, StoredWeights) else 0
        return self.block_bytes + weights

    def reading_ahead(self, n: int) -> Self:
        """Return the same source, whose tasks read at most n blocks ahead."""
        return replace(self, most_ahead=n)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The metadata of the data as JSON values. No rows are read."""
        own = {"kind": "zarr", **array_fingerprint(self.handle.array), "partition_bytes": self.partition_bytes}
        return {**own, **decoding_fingerprint(self.decoding), "weights": weights_fingerprint(self.weights)}

    def rows_at(self, keys: Sequence[int]) -> Array:
        """Return the rows with these keys, (n, d), decoded."""
        reader = self.handle.reader()
        return np.concatenate([reader.read(key, key + 1)[0] for key in keys])

    def weights_at(self, keys: Sequence[int]) -> Float | None:
        """Return the weights of the rows with these keys, (n,); None if the rows have no weights."""
        return weights_at(self.weights, keys)

    def identity(self) -> list[Any] | None:
        """Return what identifies the rows, valid in JSON; None for a store without a place, as in memory."""
        return [*self.stored_at, self.fingerprint, listed_sha256(self.handle.array)] if self.stored_at else None

    def for_results(self, row_bytes: int, target_bytes: int) -> Self:
        """Return the same rows in partitions, of any number, that are small enough for the results."""
        nbytes = bytes_for_results(self.handle.row_bytes, row_bytes, target_bytes, self.partition_bytes)
        return _aligned(replace(self, partition_bytes=nbytes, max_partitions=None))

    def for_writing(self) -> Self:
        """Return the source itself."""
        return self

    def locate(self, row: int, column: int = 0) -> str:
        """Return text for the chunk of a value, for messages."""
        return self.handle.locate(row, column)

    def locate_chunk(self, number: int) -> str:
        """Return text for a chunk, given its number in `Block.absent`, for messages."""
        return locate_unit(self.handle, self.weights, number)


Z = TypeVar("Z", bound=ZarrSource)


def _weighed(weight: Any, partition: ZarrPartition) -> ZarrPartition:
    return replace(partition, weight=block_weight(weight, partition.rows, partition.start))


def _aligned(source: Z) -> Z:
    """Return the source; weights in a Dask array are rechunked to its partitions."""
    if isinstance(source.weights, da.Array):
        return replace(source, weights=as_dask(source.weights, source.row_chunks))
    return source


def open_zarr(
    array: zarr.Array[Any],
    weights: Weights | None = None,
    partition_bytes: int | None = None,
    *,
    require_chunks: bool = False,
    missing_value: float | None = None,
) -> ZarrSource:
    """Return the source of a Zarr array.

    Raises
    ------
    ValueError
        Wrong number of dimensions, no rows, no columns, a dtype that is not real, or invalid CF attributes.
    """
    name = store_name(array)
    check_shape(array.shape, name)
    check_dtype(np.dtype(array.dtype), name)
    rows = ZarrRows(array, name, decoding_of_array(array, missing_value))
    return _aligned(ZarrSource(rows, weights, partition_bytes or PARTITION_BYTES, require_chunks=require_chunks))
