"""Rows of a Zarr array as tasks read them: in reads of one or several whole chunks (or shards)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import zarr
from zarr.storage import LocalStore, MemoryStore, ZipStore

from dem.core.block import Block, Float
from dem.source.decode import Decoding
from dem.source.grid import block_rows
from dem.source.reader import Reader, absent_error, n_units, read_ahead, unit_index, unit_shape, unit_text
from dem.source.stores import store_name
from dem.source.weights import StoredWeights

Span = tuple[int, int]
"""The first row, and the row after the last."""
READ_BYTES = 4 * 2**20
"""Decoded bytes of one read of small chunks, because zarr-python takes about half a millisecond per read. Measured with
chunks of 128 kB: reads of single chunks have half the speed, and reads above 1 to 2 MB are not faster.
"""


@dataclass(frozen=True)
class ZarrRows:
    """The rows of a Zarr array, read by whole chunks. It is small and picklable, because it is sent to the tasks.

    Attributes
    ----------
    array : zarr.Array of shape (n, d)
    name : str
        The name of the array in messages.
    decoding : Decoding or None
        How entries are decoded; None if they are not.
    """

    array: zarr.Array[Any]
    name: str
    decoding: Decoding | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the decoded rows."""
        return np.dtype(self.array.dtype) if self.decoding is None else self.decoding.dtype

    def reader(self) -> Reader:
        """Return a reader of the rows, for one task."""
        return Reader(self.array, self.name, self.decoding)

    @property
    def is_remote(self) -> bool:
        """Whether reads may have to wait for a network."""
        return not isinstance(self.array.store, LocalStore | MemoryStore | ZipStore)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row in the stored dtype. Partitions depend on this, not on the decoded dtype."""
        return int(self.array.shape[1] * self.array.dtype.itemsize)

    @property
    def chunk_rows(self) -> int:
        """Rows of a chunk (of an inner chunk if the array is sharded)."""
        return min(self.array.chunks[0], self.array.shape[0])

    @property
    def unit(self) -> tuple[int, ...]:
        """The shape of a shard if the array is sharded, else of a chunk."""
        return unit_shape(self.array)

    @property
    def read_rows(self) -> int:
        """Rows of one read: one chunk, or several small chunks with about `READ_BYTES`."""
        chunk = self.array.chunks[0]
        chunks = max(1, READ_BYTES // (chunk * self.row_bytes))
        per_unit = self.unit[0] // chunk
        return chunk * (chunks if chunks < per_unit else chunks // per_unit * per_unit)

    def locate(self, row: int, column: int = 0) -> str:
        """Return text for the chunk (or shard) of a value, for messages."""
        return unit_text(self.array, self.name, (row // self.unit[0], column // self.unit[1]))


@dataclass(frozen=True)
class ZarrPartition:
    """Successive whole chunks (or shards), read a few chunks at a time.

    Attributes
    ----------
    source : ZarrRows
    start, stop : int
        The first row, and the row after the last.
    weight : float64 array of shape (stop - start,), StoredWeights or None
    require_chunks : bool
        Missing chunks are an error.
    read_ahead : int
        So many blocks are read while the current one is processed, at the same time; at most one with stored weights.
    """

    source: ZarrRows
    start: int
    stop: int
    weight: Float | StoredWeights | None = None
    require_chunks: bool = False
    read_ahead: int = 1

    @property
    def rows(self) -> int:
        """The number of rows."""
        return self.stop - self.start

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks in order. Only one block is in memory here, and those that are read ahead.

        Raises
        ------
        OSError
            A chunk cannot be read, or is missing although `require_chunks` is true. The message names the chunk.
        """
        spans = list(block_rows(self.start, self.stop, self.source.unit[0], self.source.read_rows))
        most = min(self.read_ahead, 1) if in_turn(self.weight) else self.read_ahead
        ahead = min(most, len(spans)) if len(spans) > 1 else 0
        reads = Reads(self.source, self._weights(spans), max(1, ahead))
        blocks = read_ahead(reads, spans, ahead) if ahead else map(reads, spans)
        for block in blocks:
            if self.require_chunks and block.absent:
                self._refuse({*block.absent, *(n for rest in blocks for n in rest.absent)})
            yield block
            del block
        reads.finish()

    def _weights(self, spans: Sequence[Span]) -> WeightsInMemory | WeightsInTurn:
        if isinstance(self.weight, StoredWeights):
            return WeightsInTurn(self.weight.split(spans))
        return WeightsInMemory(self.weight, self.start)

    def _refuse(self, absent: set[int]) -> NoReturn:
        first = locate_unit(self.source, self.weight, min(absent))
        raise absent_error(first, len(absent), self.start, self.stop)


def in_turn(weights: object) -> bool:
    """Whether the weights are read from a store, for one block after the other; then blocks too are read in turn."""
    return isinstance(weights, StoredWeights)


@dataclass(frozen=True)
class WeightsInMemory:
    """The weights of a partition that begins at row `start`, or None."""

    weight: Float | None
    start: int

    def __call__(self, span: Span) -> tuple[Float | None, tuple[int, ...]]:
        """Return the weights of some rows; no chunks are absent."""
        first, last = span
        return None if self.weight is None else self.weight[first - self.start : last - self.start], ()

    def finish(self) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class WeightsInTurn:
    """Weights that are read from a store, for one block after the other."""

    items: Iterator[tuple[Float, tuple[int, ...]]]

    def __call__(self, span: Span) -> tuple[Float, tuple[int, ...]]:
        """Return the weights of the next rows, and the numbers of their absent chunks."""
        return next(self.items)

    def finish(self) -> None:
        """Let the reader of the weights do its last check."""
        for _ in self.items:
            raise AssertionError("weights are left")


class Reads:
    """The reads of a partition's blocks, of which up to n run at the same time: each has a reader of its own."""

    def __init__(self, source: ZarrRows, weights: WeightsInMemory | WeightsInTurn, n: int) -> None:
        self._readers = [source.reader() for _ in range(n)]
        self._free = self._readers.copy()
        self._weights, self._n_own = weights, n_units(source.array)

    def __call__(self, span: Span) -> Block:
        """Return the block of some rows."""
        reader = self._free.pop()
        try:
            x, absent = reader.read(*span)
        finally:
            self._free.append(reader)
        weight, absent_weights = self._weights(span)
        return Block(x, weight, span[0], absent + tuple(self._n_own + n for n in absent_weights))

    def finish(self) -> None:
        """Call this after the last block."""
        self._weights.finish()
        for reader in self._readers:
            reader.finish()


def locate_unit(rows: ZarrRows, weights: Any, number: int) -> str:
    """Return text for a chunk (or shard), given its number. Chunks of stored weights come after those of the rows."""
    beyond = number - n_units(rows.array)
    if beyond >= 0 and isinstance(weights, StoredWeights):
        return unit_text(weights.array, store_name(weights.array), unit_index(weights.array, beyond))
    return unit_text(rows.array, rows.name, unit_index(rows.array, number))
