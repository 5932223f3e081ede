"""A partition of Zarr arrays: its blocks and their weights, of which some are read ahead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from dem.core.block import Block, Float
from dem.core.rows import Box
from dem.source.grid import block_rows
from dem.source.reader import absent_error, read_ahead, unit_index, unit_text
from dem.source.stores import store_name
from dem.source.weights import StoredWeights
from dem.source.zarr_rows import ZarrRows


@dataclass(frozen=True)
class Read:
    """One read of a partition.

    Attributes
    ----------
    box : Box
    first : int
        The number of rows of the partition before it.
    """

    box: Box
    first: int


@dataclass(frozen=True)
class ZarrPartition:
    """Boxes of whole chunks (or shards), read a few chunks at a time along the first dimension.

    Attributes
    ----------
    source : ZarrRows
    boxes : tuple of Box
    weight : float64 array of shape (rows,), StoredWeights or None
        In the order of the rows.
    require_chunks : bool
        Missing chunks are an error.
    read_ahead : int
        So many blocks are read while the current one is processed, at the same time; at most one with stored weights.
    """

    source: ZarrRows
    boxes: tuple[Box, ...]
    weight: Float | StoredWeights | None = None
    require_chunks: bool = False
    read_ahead: int = 1

    @property
    def rows(self) -> int:
        """The number of rows."""
        return sum(box.size for box in self.boxes)

    def _reads(self) -> Iterator[Read]:
        first = 0
        for box in self.boxes:
            for a, b in block_rows(box.start[0], box.stop[0], self.source.unit[0], self.source.read_rows):
                part = box.along_first(a, b)
                yield Read(part, first)
                first += part.size

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks in order. Only one block is in memory here, and those that are read ahead.

        Raises
        ------
        OSError
            A chunk cannot be read, or is missing although `require_chunks` is true. The message names the chunk.
        """
        reads = list(self._reads())
        most = min(self.read_ahead, 1) if in_turn(self.weight) else self.read_ahead
        ahead = min(most, len(reads)) if len(reads) > 1 else 0
        reader = BlockReader(self.source, self._weights(reads), max(1, ahead))
        blocks = read_ahead(reader, reads, ahead) if ahead else map(reader, reads)
        for block in blocks:
            if self.require_chunks and block.absent:
                self._refuse({*block.absent, *(n for rest in blocks for n in rest.absent)})
            yield block
            del block
        reader.finish()

    def _weights(self, reads: Sequence[Read]) -> WeightsInMemory | WeightsInTurn:
        if isinstance(self.weight, StoredWeights):
            return WeightsInTurn(self.weight.of_boxes([read.box for read in reads]))
        return WeightsInMemory(self.weight)

    def _refuse(self, absent: set[int]) -> NoReturn:
        first = locate_unit(self.source, self.weight, min(absent))
        rows = self.source.rows
        axis = "rows" if len(rows.shape) == 1 or rows.dims is None else rows.dims[0]
        raise absent_error(first, len(absent), self.boxes[0].start[0], self.boxes[-1].stop[0], axis)


def in_turn(weights: object) -> bool:
    """Whether the weights are read from a store, for one block after the other; then blocks too are read in turn."""
    return isinstance(weights, StoredWeights)


@dataclass(frozen=True)
class WeightsInMemory:
    """The weights of the rows of a partition, or None."""

    weight: Float | None

    def __call__(self, read: Read) -> tuple[Float | None, tuple[int, ...]]:
        """Return the weights of some rows; no chunks are absent."""
        return None if self.weight is None else self.weight[read.first : read.first + read.box.size], ()

    def finish(self) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class WeightsInTurn:
    """Weights that are read from a store, for one block after the other."""

    items: Iterator[tuple[Float, tuple[int, ...]]]

    def __call__(self, read: Read) -> tuple[Float, tuple[int, ...]]:
        """Return the weights of the next rows, and the numbers of their absent chunks."""
        return next(self.items)

    def finish(self) -> None:
        """Let the reader of the weights do its last check."""
        for _ in self.items:
            raise AssertionError("weights are left")


class BlockReader:
    """Reads the blocks of a partition, of which up to n at the same time: each has a reader of its own."""

    def __init__(self, source: ZarrRows, weights: WeightsInMemory | WeightsInTurn, n: int) -> None:
        self._readers = [source.reader() for _ in range(n)]
        self._free = self._readers.copy()
        self._weights, self._rows, self._n_own = weights, source.rows, source.n_units

    def __call__(self, read: Read) -> Block:
        """Return the block of some rows."""
        reader = self._free.pop()
        try:
            x, absent = reader.read(read.box)
        finally:
            self._free.append(reader)
        weight, absent_weights = self._weights(read)
        return Block(x, weight, self._rows.keys(read.box), absent + tuple(self._n_own + n for n in absent_weights))

    def finish(self) -> None:
        """Call this after the last block."""
        self._weights.finish()
        for reader in self._readers:
            reader.finish()


def locate_unit(rows: ZarrRows, weights: Any, number: int) -> str:
    """Return text for a chunk (or shard), given its number. Chunks of stored weights come after those of the rows."""
    beyond = number - rows.n_units
    if beyond >= 0 and isinstance(weights, StoredWeights):
        return unit_text(weights.array, store_name(weights.array), unit_index(weights.array, beyond))
    return rows.unit_text(number)
