"""Rows that cost nothing to read, and sums that cost nothing to make: what is left is the engine."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from dem.core.block import Block
from dem.core.stats import Additive
from dem.source.grid import block_rows, partition_rows

PARTITION_BYTES = 128 * 2**20
READ_BYTES = 4 * 2**20


@dataclass(frozen=True)
class FreePartition:
    """A run of chunks, given in blocks as large as the reads of a Zarr store; every row is zero."""

    start: int
    stop: int
    chunk_rows: int
    n_columns: int

    @property
    def rows(self) -> int:
        """The number of rows."""
        return self.stop - self.start

    def blocks(self) -> Iterator[Block]:
        """Yield views of a single zero."""
        step = max(1, READ_BYTES // (4 * self.n_columns * self.chunk_rows)) * self.chunk_rows
        for first, last in block_rows(self.start, self.stop, self.chunk_rows, step):
            yield Block(np.broadcast_to(np.float32(0), (last - first, self.n_columns)), None, first)


@dataclass(frozen=True)
class FreeSource:
    """So many chunks of 1 MiB, float32, cut into partitions as a Zarr store of that shape is."""

    n_chunks: int
    chunk_rows: int = 2**14
    n_columns: int = 16

    name = "free rows"
    dtype = np.dtype(np.float32)
    in_memory = False
    lazy = True
    compact = True
    stored_at = ()

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return self.n_chunks * self.chunk_rows

    @cached_property
    def partitions(self) -> list[FreePartition]:
        """Runs of whole chunks."""
        ranges = partition_rows(self.n_rows, self.chunk_rows, 4 * self.n_columns, PARTITION_BYTES)
        return [FreePartition(start, stop, self.chunk_rows, self.n_columns) for start, stop in ranges]

    @property
    def row_chunks(self) -> tuple[int, ...]:
        """The number of rows of each partition."""
        return tuple(partition.rows for partition in self.partitions)


@dataclass(frozen=True)
class Sums(Additive):
    """Statistics of a given size."""

    values: np.ndarray[Any, Any]


@dataclass(frozen=True)
class FreeKernel:
    """Parameters of a given size, whose kernel counts rows and returns as many numbers.

    Attributes
    ----------
    params : array
    """

    params: np.ndarray[Any, Any]

    def __call__(self) -> Any:
        """Return the kernel."""
        values = np.zeros_like(self.params)
        return lambda block: Sums(len(block.x), values)

    @property
    def nbytes(self) -> int:
        """Bytes of the parameters and of one task's statistics, as they travel."""
        return len(pickle.dumps(self)) + len(pickle.dumps(Sums(0, self.params)))
