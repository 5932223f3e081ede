"""Rows of a Zarr array as tasks read them: in reads of one or several whole chunks (or shards)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, NoReturn

import numpy as np
import zarr

from dem.core.block import Block, Float
from dem.source.decode import Decoding
from dem.source.grid import block_rows
from dem.source.reader import Reader, absent_error, n_units, read_ahead, unit_index, unit_shape, unit_text
from dem.source.stores import store_name
from dem.source.weights import StoredWeights

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

    array: zarr.Array
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
    read_ahead : bool
        Read the next block while the current one is processed.
    """

    source: ZarrRows
    start: int
    stop: int
    weight: Float | StoredWeights | None = None
    require_chunks: bool = False
    read_ahead: bool = True

    @property
    def rows(self) -> int:
        """The number of rows."""
        return self.stop - self.start

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks in order. Only one block is in memory here, and one more if the next is read ahead.

        Raises
        ------
        OSError
            A chunk cannot be read, or is missing although `require_chunks` is true. The message names the chunk.
        """
        spans = list(block_rows(self.start, self.stop, self.source.unit[0], self.source.read_rows))
        read = self._read(spans)
        blocks = read_ahead(read) if self.read_ahead and len(spans) > 1 else read
        for block in blocks:
            if self.require_chunks and block.absent:
                self._refuse({*block.absent, *(n for rest in blocks for n in rest.absent)})
            yield block
            del block

    def _read(self, spans: Sequence[tuple[int, int]]) -> Iterator[Block]:
        reader, n_own = self.source.reader(), n_units(self.source.array)
        for (first, last), (weight, absent_weights) in zip(spans, self._weights(spans), strict=True):
            x, absent = reader.read(first, last)
            yield Block(x, weight, first, absent + tuple(n_own + n for n in absent_weights))
            del x
        reader.finish()

    def _weights(self, spans: Sequence[tuple[int, int]]) -> Iterator[tuple[Float | None, tuple[int, ...]]]:
        if self.weight is None:
            return repeat((None, ()), len(spans))
        if isinstance(self.weight, StoredWeights):
            return self.weight.split(spans)
        weight = self.weight
        return ((weight[first - self.start : last - self.start], ()) for first, last in spans)

    def _refuse(self, absent: set[int]) -> NoReturn:
        first = locate_unit(self.source, self.weight, min(absent))
        raise absent_error(first, len(absent), self.start, self.stop)


def locate_unit(rows: ZarrRows, weights: Any, number: int) -> str:
    """Return text for a chunk (or shard), given its number. Chunks of stored weights come after those of the rows."""
    beyond = number - n_units(rows.array)
    if beyond >= 0 and isinstance(weights, StoredWeights):
        return unit_text(weights.array, store_name(weights.array), unit_index(weights.array, beyond))
    return unit_text(rows.array, rows.name, unit_index(rows.array, number))
