"""What a source of rows is: partitions of blocks, cut by the data's own chunks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, Self

import numpy as np
from dask.delayed import Delayed

from dem.core.block import Block
from dem.source.decode import Decoding


class Partition(Protocol):
    """The rows of one task."""

    @property
    def rows(self) -> int:
        """The number of rows."""

    def blocks(self) -> Iterator[Block]:
        """Yield the rows in order, one block in memory at a time."""


class Source(Protocol):
    """Rows, cut into partitions by the data's own chunks and never by the number of workers.

    Attributes
    ----------
    name : str
        What to call the data in messages: "store.zarr/temperature", "array".
    n_rows : int or None
        None while unknown (Dask arrays of unknown chunk sizes).
    n_columns : int
    dtype : numpy.dtype
    partitions : sequence of Partition or Delayed
        Delayed ones (of Dask arrays) evaluate to a Partition.
    row_chunks : tuple of int (or NaN)
        The rows of each partition.
    chunk_rows : int or None
        Rows of the data's own chunk (the inner one if sharded), which outputs are chunked by; None
        where chunks are irregular. All partitions begin at a multiple of it.
    block_bytes : int
        Decoded bytes of the largest block that a task allocates; 0 where blocks are views.
    read_bytes : int
        Bytes that a task holds while it reads such a block; `block_bytes` are part of it.
    in_memory : bool
        The rows are in this process's memory.
    lazy : bool
        Row-wise outputs should be lazy Dask arrays.
    compact : bool
        Partitions are small handles, cheap to send all together.
    decoding : Decoding or None
        What entries stand for; None where they stand for themselves.
    columns : tuple of str or None
        The names of the columns, where they have any.
    stored_at : tuple of str
        Where the rows and their weights are stored (see `dem.source.stores`), as far as is known.
    read_ahead_bytes : int
        Bytes that a task holds besides where it reads the next block ahead; 0 where it does not.
    fingerprint : dict of JSON values
        What is known of the data without reading them: kind, shape, dtype, chunks, metadata, weights.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def n_rows(self) -> int | None: ...  # noqa: D102
    @property
    def n_columns(self) -> int: ...  # noqa: D102
    @property
    def dtype(self) -> np.dtype[Any]: ...  # noqa: D102
    @property
    def partitions(self) -> Sequence[Partition | Delayed]: ...  # noqa: D102
    @property
    def row_chunks(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def chunk_rows(self) -> int | None: ...  # noqa: D102
    @property
    def block_bytes(self) -> int: ...  # noqa: D102
    @property
    def read_bytes(self) -> int: ...  # noqa: D102
    @property
    def in_memory(self) -> bool: ...  # noqa: D102
    @property
    def lazy(self) -> bool: ...  # noqa: D102
    @property
    def compact(self) -> bool: ...  # noqa: D102
    @property
    def decoding(self) -> Decoding | None: ...  # noqa: D102
    @property
    def columns(self) -> tuple[str, ...] | None: ...  # noqa: D102
    @property
    def stored_at(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def read_ahead_bytes(self) -> int: ...  # noqa: D102
    @property
    def fingerprint(self) -> dict[str, Any]: ...  # noqa: D102

    def cut(self, row_bytes: int, target_bytes: int) -> Self:
        """Return the same rows in partitions for results of `row_bytes` a row.

        Runs of whole chunks (or shards), of which neither the rows nor the results have more than about
        `target_bytes`, unless a single chunk (or shard) has. A Dask array keeps its own blocks.
        """

    def locate(self, row: int, column: int = 0) -> str:
        """Say where a value is, by its row's key: "chunk c/3/0 (rows 3000 to 3999) of store.zarr"."""

    def locate_chunk(self, number: int) -> str:
        """Say which chunk has a number in `Block.absent`, in the same words."""

    def without_read_ahead(self) -> Self:
        """Return the same rows in the same partitions, whose tasks read a block only when it is due."""
