"""Rows of a Zarr array: partitions are whole chunks (or shards), streamed in grouped reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import repeat
from typing import Any, Self, TypeVar

import dask.array as da
import numpy as np
import zarr
from dask.delayed import Delayed

from dem.model import Array, Block, Float
from dem.source.checks import check_dtype, check_shape
from dem.source.delayed import block_weight, delayed_partitions
from dem.source.grid import MAX_PARTITIONS, block_rows, cut_bytes, partition_rows
from dem.source.places import place_of
from dem.source.stores import store_name
from dem.source.weights import StoredWeights, Weights, as_dask

PARTITION_BYTES = 128 * 2**20
READ_BYTES = 4 * 2**20
"""Decoded bytes of one read of small chunks: zarr-python costs about half a millisecond a read. Measured
with chunks of 128 kB: single ones at half the speed, and no gain beyond reads of 1 to 2 MB.
"""


@dataclass(frozen=True)
class Rows:
    """The rows of a Zarr array, read by whole chunks. Small and picklable: it travels to the tasks.

    Attributes
    ----------
    array : zarr.Array of shape (n, d)
    name : str
        What to call it in messages.
    """

    array: zarr.Array[Any]
    name: str

    @property
    def row_bytes(self) -> int:
        """Decoded bytes of one row."""
        return int(self.array.shape[1] * self.array.dtype.itemsize)

    @property
    def chunk_rows(self) -> int:
        """Rows of a chunk; of an inner chunk if the array is sharded."""
        return min(self.array.chunks[0], self.array.shape[0])

    @property
    def unit(self) -> tuple[int, ...]:
        """The shape of what the store holds under one key: a shard, or a chunk."""
        return self.array.shards or self.array.chunks

    @property
    def read_rows(self) -> int:
        """Rows of one read: one chunk, or as many as make up `READ_BYTES`."""
        chunk = self.array.chunks[0]
        chunks = max(1, READ_BYTES // (chunk * self.row_bytes))
        per_unit = self.unit[0] // chunk
        return chunk * (chunks if chunks < per_unit else chunks // per_unit * per_unit)

    def locate(self, row: int, column: int = 0) -> str:
        """Say which chunk (or shard) holds a value, for messages."""
        index = (row // self.unit[0], column // self.unit[1])
        key = self.array.metadata.encode_chunk_key(index)
        first = index[0] * self.unit[0]
        last = min(first + self.unit[0], self.array.shape[0]) - 1
        what = "shard" if self.array.shards else "chunk"
        return f"{what} {key} (rows {first} to {last}) of {self.name}"

    def read(self, first: int, last: int) -> Array:
        """Return rows `first` to `last` (exclusive), decoded.

        Raises
        ------
        OSError
            A chunk cannot be read or decoded; the message names it.
        """
        try:
            return np.asarray(self.array[first:last])
        except MemoryError:
            raise
        except Exception:  # codecs raise whatever they like
            return self._read_one_by_one(first, last)

    def _read_one_by_one(self, first: int, last: int) -> Array:
        """Read again by single chunks, to find the one that is at fault."""
        d = self.array.shape[1]
        x = np.empty((last - first, d), self.array.dtype)
        rows, columns = self.array.chunks
        for a in range(first, last, rows):
            b = min(a + rows, last)
            for c in range(0, d, columns):
                try:
                    x[a - first : b - first, c : c + columns] = self.array[a:b, c : c + columns]
                except Exception as error:
                    where = self.locate(a, c)
                    raise OSError(f"Cannot read {where}: {type(error).__name__}: {error}") from error
        return x


@dataclass(frozen=True)
class ZarrPartition:
    """A run of whole chunks (or shards), streamed in reads of a few chunks each."""

    source: Rows
    start: int
    stop: int
    weight: Float | StoredWeights | None = None

    @property
    def rows(self) -> int:
        """The number of rows."""
        return self.stop - self.start

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks in order; at any time only one is held here."""
        spans = list(block_rows(self.start, self.stop, self.source.unit[0], self.source.read_rows))
        for (first, last), weight in zip(spans, self._weights(spans), strict=True):
            yield Block(self.source.read(first, last), weight, first)

    def _weights(self, spans: Sequence[tuple[int, int]]) -> Iterator[Float | None]:
        if self.weight is None:
            return repeat(None, len(spans))
        if isinstance(self.weight, StoredWeights):
            return self.weight.cut(spans)
        weight = self.weight
        return (weight[first - self.start : last - self.start] for first, last in spans)


@dataclass(frozen=True)
class ZarrSource:
    """A two-dimensional Zarr array.

    Attributes
    ----------
    handle : Rows
    weights : float64 array of shape (n,), StoredWeights, dask.array.Array or None
    partition_bytes : int
        Decoded bytes to aim at for a partition. With the array's grid it determines the partitions.
    max_partitions : int or None
        Their largest number.
    """

    handle: Rows
    weights: Weights | None = None
    partition_bytes: int = PARTITION_BYTES
    max_partitions: int | None = MAX_PARTITIONS

    in_memory = False
    lazy = True

    @property
    def compact(self) -> bool:
        """Whether partitions are small handles (with weights in memory, or in a Dask array, they are not)."""
        return self.weights is None or isinstance(self.weights, StoredWeights)

    @property
    def stored_at(self) -> tuple[str, ...]:
        """Where the array is stored, and its weights."""
        weights = place_of(self.weights.array) if isinstance(self.weights, StoredWeights) else ()
        return place_of(self.handle.array) + weights

    @property
    def name(self) -> str:
        """What to call the array in messages."""
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
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the rows."""
        return np.dtype(self.handle.array.dtype)

    @property
    def chunk_rows(self) -> int:
        """Rows of the store's own chunk (of the inner chunk if sharded)."""
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
        """Runs of whole chunks (or shards); Delayed where the weights are a Dask array."""
        w = self.weights
        if isinstance(w, da.Array):
            bands = [(ZarrPartition(self.handle, a, b),) for a, b in self._ranges]
            return delayed_partitions(_weighed, [w], bands)
        if isinstance(w, np.ndarray):
            return [ZarrPartition(self.handle, a, b, w[a:b]) for a, b in self._ranges]
        return [ZarrPartition(self.handle, a, b, w) for a, b in self._ranges]

    @property
    def block_bytes(self) -> int:
        """Decoded bytes of the largest block: the row band of all its column chunks."""
        return min(self.handle.read_rows, self.n_rows) * self.handle.row_bytes

    @property
    def read_bytes(self) -> int:
        """Bytes held while a block is read: the block, its chunks being decoded, and encoded; and stored weights."""
        rows = min(self.handle.read_rows, self.n_rows)
        weights = self.weights.read_bytes(rows) if isinstance(self.weights, StoredWeights) else 0
        return 3 * self.block_bytes + weights

    def cut(self, row_bytes: int, target_bytes: int) -> Self:
        """Return the same rows in partitions for results of `row_bytes` a row, as many as it takes."""
        nbytes = cut_bytes(self.handle.row_bytes, row_bytes, target_bytes, self.partition_bytes)
        return _aligned(replace(self, partition_bytes=nbytes, max_partitions=None))

    def locate(self, row: int, column: int = 0) -> str:
        """Say which chunk holds a value, for messages."""
        return self.handle.locate(row, column)


Z = TypeVar("Z", bound=ZarrSource)


def _weighed(weight: Any, partition: ZarrPartition) -> ZarrPartition:
    return replace(partition, weight=block_weight(weight, partition.rows, partition.start))


def _aligned(source: Z) -> Z:
    """Return the source with lazy weights in its own partitions."""
    if isinstance(source.weights, da.Array):
        return replace(source, weights=as_dask(source.weights, source.row_chunks))
    return source


def open_zarr(array: zarr.Array[Any], weights: Weights | None = None, partition_bytes: int | None = None) -> ZarrSource:
    """Return the source of a Zarr array.

    Raises
    ------
    ValueError
        Wrong number of dimensions, no rows, no columns, or a dtype that is not real.
    """
    name = store_name(array)
    check_shape(array.shape, name)
    check_dtype(np.dtype(array.dtype), name)
    return _aligned(ZarrSource(Rows(array, name), weights, partition_bytes or PARTITION_BYTES))
