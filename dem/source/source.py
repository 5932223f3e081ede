"""The protocol of a source of rows: partitions of blocks, aligned with the chunks of the data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, Self

import numpy as np
from dask.delayed import Delayed

from dem.core.block import Array, Block, Float
from dem.core.columns import Columns
from dem.core.rows import Box, Rows
from dem.source.coordinates import Coordinates
from dem.source.decode import Decoding


class Partition(Protocol):
    """The rows that one task reads."""

    @property
    def rows(self) -> int:
        """The number of rows."""

    def blocks(self) -> Iterator[Block]:
        """Yield the rows in order, with one block in memory at a time."""


class Source(Protocol):
    """Rows in partitions. These depend on the chunks of the data, never on the number of workers.

    Attributes
    ----------
    name : str
        The name of the data in messages: "store.zarr/temperature", "the array".
    n_rows : int or None
        None if unknown (Dask arrays with unknown chunk sizes).
    n_columns : int
    dtype : numpy.dtype
    rows : Rows or None
        The sample dimensions; None if the number of rows is unknown.
    partitions : sequence of Partition or Delayed
        Delayed objects (of Dask arrays) compute to a Partition.
    row_chunks : tuple of int (or NaN)
        The number of rows of each partition.
    boxes : sequence of tuple of Box
        The boxes of rows of each partition; empty if the number of rows is unknown.
    chunk_rows : int or None
        Indices along the first sample dimension of a chunk of the data (of an inner chunk if sharded). Outputs have
        chunks of the same extent, and all boxes begin at a multiple of it. None if chunks are irregular.
    chunk_sides : tuple of int
        The extents of a box along the sample dimensions after the first; empty for a matrix.
    block_bytes : int
        Decoded bytes of the largest block that a task allocates; 0 if blocks are views.
    read_bytes : int
        Bytes that a task needs while it reads such a block, including `block_bytes`.
    in_memory : bool
        The rows are in the memory of this process.
    lazy : bool
        Row-wise outputs are lazy Dask arrays.
    compact : bool
        Partitions are small, so all of them can be sent to each task.
    decoding : Decoding or None
        How entries are decoded; None if they are not.
    columns : Columns
        Their names, variables and units.
    coordinates : Coordinates
        The coordinates of the sample dimensions; none for a matrix.
    stored_at : tuple of str
        The locations of the rows and their weights, if stored (see `dem.source.stores`); empty if unknown.
    read_ahead : int
        The number of blocks that a task reads ahead, at the same time.
    read_ahead_bytes : int
        Additional bytes that a task needs to read one block ahead; each further one needs `read_bytes`.
    fingerprint : dict of JSON values
        Metadata of the data: kind, shape, dtype, chunks, metadata, weights. No rows are read.
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
    def rows(self) -> Rows | None: ...  # noqa: D102
    @property
    def boxes(self) -> Sequence[tuple[Box, ...]]: ...  # noqa: D102
    @property
    def chunk_sides(self) -> tuple[int, ...]: ...  # noqa: D102
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
    def columns(self) -> Columns: ...  # noqa: D102
    @property
    def coordinates(self) -> Coordinates: ...  # noqa: D102
    @property
    def stored_at(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def read_ahead(self) -> int: ...  # noqa: D102
    @property
    def read_ahead_bytes(self) -> int: ...  # noqa: D102
    @property
    def fingerprint(self) -> dict[str, Any]: ...  # noqa: D102

    def for_results(self, row_bytes: int, target_bytes: int) -> Self:
        """Return the same rows in partitions that are small enough for results of `row_bytes` bytes per row.

        A partition is one box of whole chunks (or shards), and the boxes form a regular grid. Neither its rows nor its
        results exceed about `target_bytes`, unless a single chunk (or shard) does. A Dask array keeps its own blocks.
        """

    def for_writing(self) -> Self:
        """Return the same rows in partitions that begin at multiples of `chunk_rows`, where that is possible."""

    def locate(self, row: int, column: int = 0) -> str:
        """Return the location of a value, given its row key: "chunk c/3/0 (rows 3000 to 3999) of store.zarr"."""

    def locate_chunk(self, number: int) -> str:
        """Return the location of a chunk, given its number in `Block.absent`, as the same kind of text."""

    def rows_at(self, keys: Sequence[int]) -> Array:
        """Return the rows with these keys, (n, d), decoded. The number of rows must be known."""

    def weights_at(self, keys: Sequence[int]) -> Float | None:
        """Return the weights of the rows with these keys, (n,); None if the rows have no weights."""

    def identity(self) -> list[Any] | None:
        """Return what identifies the rows, valid in JSON; None if they cannot be identified.

        A store is identified by its places, its fingerprint and its listing, a Dask array by its name. Arrays in memory
        are not identified.
        """

    def reading_ahead(self, n: int) -> Self:
        """Return the same source, whose tasks read at most n blocks ahead."""
