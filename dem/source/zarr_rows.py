"""Rows of a Zarr array as the tasks read them: whole chunks (or shards), in grouped reads."""

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
    decoding : Decoding or None
        What its entries stand for; None where they stand for themselves.
    """

    array: zarr.Array[Any]
    name: str
    decoding: Decoding | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the rows as they are read."""
        return np.dtype(self.array.dtype) if self.decoding is None else self.decoding.dtype

    def reader(self) -> Reader:
        """Return what reads the rows, in one task."""
        return Reader(self.array, self.name, self.decoding)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row in the chunks, by which partitions are cut, whatever its entries stand for."""
        return int(self.array.shape[1] * self.array.dtype.itemsize)

    @property
    def chunk_rows(self) -> int:
        """Rows of a chunk; of an inner chunk if the array is sharded."""
        return min(self.array.chunks[0], self.array.shape[0])

    @property
    def unit(self) -> tuple[int, ...]:
        """The shape of what the store holds under one key: a shard, or a chunk."""
        return unit_shape(self.array)

    @property
    def read_rows(self) -> int:
        """Rows of one read: one chunk, or as many as make up `READ_BYTES`."""
        chunk = self.array.chunks[0]
        chunks = max(1, READ_BYTES // (chunk * self.row_bytes))
        per_unit = self.unit[0] // chunk
        return chunk * (chunks if chunks < per_unit else chunks // per_unit * per_unit)

    def locate(self, row: int, column: int = 0) -> str:
        """Say which chunk (or shard) holds a value, for messages."""
        return unit_text(self.array, self.name, (row // self.unit[0], column // self.unit[1]))


@dataclass(frozen=True)
class ZarrPartition:
    """A run of whole chunks (or shards), streamed in reads of a few chunks each.

    Attributes
    ----------
    source : Rows
    start, stop : int
        The first row, and the one after the last.
    weight : float64 array of these rows, StoredWeights or None
    whole : bool
        Chunks that the store does not hold are an error.
    ahead : bool
        Read the next block while this one is worked on.
    """

    source: Rows
    start: int
    stop: int
    weight: Float | StoredWeights | None = None
    whole: bool = False
    ahead: bool = True

    @property
    def rows(self) -> int:
        """The number of rows."""
        return self.stop - self.start

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks in order; at any time only one is held here, and one more where it reads ahead.

        Raises
        ------
        OSError
            A chunk cannot be read, or is absent where it must not be; the message names it.
        """
        spans = list(block_rows(self.start, self.stop, self.source.unit[0], self.source.read_rows))
        read = self._read(spans)
        blocks = read_ahead(read) if self.ahead and len(spans) > 1 else read
        for block in blocks:
            if self.whole and block.absent:
                self._refuse({*block.absent, *(n for rest in blocks for n in rest.absent)})
            yield block
            del block

    def _read(self, spans: Sequence[tuple[int, int]]) -> Iterator[Block]:
        reader, n_own = self.source.reader(), n_units(self.source.array)
        for (first, last), (weight, beside) in zip(spans, self._weights(spans), strict=True):
            x, absent = reader.read(first, last)
            yield Block(x, weight, first, absent + tuple(n_own + n for n in beside))
            del x
        reader.end()

    def _weights(self, spans: Sequence[tuple[int, int]]) -> Iterator[tuple[Float | None, tuple[int, ...]]]:
        if self.weight is None:
            return repeat((None, ()), len(spans))
        if isinstance(self.weight, StoredWeights):
            return self.weight.cut(spans)
        weight = self.weight
        return ((weight[first - self.start : last - self.start], ()) for first, last in spans)

    def _refuse(self, absent: set[int]) -> NoReturn:
        first = locate_unit(self.source, self.weight, min(absent))
        raise absent_error(first, len(absent), self.start, self.stop)


def locate_unit(rows: Rows, weights: Any, number: int) -> str:
    """Say which chunk (or shard) has a number: those of the rows come first, then those of stored weights."""
    beyond = number - n_units(rows.array)
    if beyond >= 0 and isinstance(weights, StoredWeights):
        return unit_text(weights.array, store_name(weights.array), unit_index(weights.array, beyond))
    return unit_text(rows.array, rows.name, unit_index(rows.array, number))
