"""A source without input data: rows that a pass generates, such as rows drawn from a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from dem.core.block import Array, Block
from dem.core.columns import Columns
from dem.core.rows import Box, RowKeys, Rows, row_boxes
from dem.source.coordinates import NO_COORDINATES
from dem.source.grid import MAX_PARTITIONS, block_rows, partition_rows

PARTITION_BYTES = 64 * 2**20


@dataclass(frozen=True)
class GeneratedPartition:
    """A range of rows without columns, made of whole chunks."""

    start: int
    stop: int
    chunk_rows: int

    @property
    def rows(self) -> int:
        """The number of rows."""
        return self.stop - self.start

    def blocks(self) -> Iterator[Block]:
        """Yield a block without columns for each chunk."""
        for first, last in block_rows(self.start, self.stop, self.chunk_rows, self.chunk_rows):
            yield Block(np.empty((last - first, 0)), None, RowKeys.from_first(first))


@dataclass(frozen=True)
class GeneratedSource:
    """`n_rows` rows without columns, in blocks of `chunk_rows`.

    Attributes
    ----------
    n_rows, chunk_rows : int
    n_columns : int
    dtype : numpy.dtype
        The dtype of the rows to generate. The blocks themselves have no columns.
    partition_bytes : int
        Target size of a partition, in bytes; a partition has at least one chunk.
    """

    n_rows: int
    chunk_rows: int
    n_columns: int
    dtype: np.dtype[Any]
    partition_bytes: int = PARTITION_BYTES

    name = "the generated rows"
    in_memory = False
    read_ahead = 0
    read_ahead_bytes = 0
    lazy = False
    compact = True
    decoding = None
    stored_at = ()
    chunk_sides = ()
    coordinates = NO_COORDINATES

    @property
    def columns(self) -> Columns:
        """The columns: their names, variables and units."""
        return Columns.numbered(self.n_columns)

    @property
    def rows(self) -> Rows:
        """The sample dimensions."""
        return Rows((self.n_rows,))

    @property
    def boxes(self) -> list[tuple[Box, ...]]:
        """The box of each partition."""
        return row_boxes(self.row_chunks)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.n_columns * self.dtype.itemsize

    @cached_property
    def partitions(self) -> list[GeneratedPartition]:
        """Row ranges made of whole chunks."""
        limit = MAX_PARTITIONS if self.partition_bytes > self.block_bytes else None
        ranges = partition_rows(self.n_rows, self.chunk_rows, self.row_bytes, self.partition_bytes, limit)
        return [GeneratedPartition(a, b, self.chunk_rows) for a, b in ranges]

    @property
    def row_chunks(self) -> tuple[int, ...]:
        """The number of rows of each partition."""
        return tuple(p.rows for p in self.partitions)

    @property
    def block_bytes(self) -> int:
        """Bytes of the rows of one block."""
        return self.chunk_rows * self.row_bytes

    @property
    def read_bytes(self) -> int:
        """Bytes in memory while a block is written: the rows, the chunk, and the encoded chunk."""
        return 3 * self.block_bytes

    def reading_ahead(self, n: int) -> Self:
        """Return the source itself: nothing is read ahead."""
        return self

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The metadata of the rows as JSON values."""
        shape = [self.n_rows, self.n_columns]
        return {"kind": "generated", "shape": shape, "dtype": str(self.dtype), "chunks": [self.chunk_rows]}

    def rows_at(self, keys: Sequence[int]) -> Array:
        """Return rows without columns, (n, 0)."""
        return np.empty((len(keys), 0))

    def weights_at(self, keys: Sequence[int]) -> None:
        """Return None: the rows have no weights."""

    def identity(self) -> list[Any]:
        """Return what identifies the rows, valid in JSON."""
        return [self.fingerprint, None]

    def for_results(self, row_bytes: int, target_bytes: int) -> Self:
        """Return the source itself: rows are generated in units of its blocks."""
        return self

    def for_writing(self) -> Self:
        """Return the source itself."""
        return self

    def locate(self, row: int, column: int = 0) -> str:
        """Return the location of a row as text for messages."""
        return f"row {row} of {self.name}"

    def locate_chunk(self, number: int) -> str:
        """Return the location of a chunk as text for messages. Generated blocks have no absent chunks."""
        return f"chunk {number} of {self.name}"
