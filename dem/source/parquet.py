"""The rows of Parquet files. A row group is a block, and partitions consist of whole row groups."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, Self

import numpy as np
from dask.delayed import Delayed

from dem.core.block import Array, Float
from dem.core.columns import Columns
from dem.core.rows import Box, Rows, regular_size, row_boxes
from dem.source.checks import check_names, check_shape
from dem.source.coordinates import NO_COORDINATES
from dem.source.decode import Decoding, decoding_of_value
from dem.source.delayed import block_weight, delayed_partitions
from dem.source.digest import decoding_fingerprint, weights_fingerprint
from dem.source.grid import MAX_PARTITIONS, bytes_for_results, partition_count
from dem.source.listing import key_of
from dem.source.parquet_files import ParquetFile, find_files, read_footers
from dem.source.parquet_rows import ParquetPartition, ParquetRows, RowGroup
from dem.source.read_options import DEFAULTS, ReadOptions
from dem.source.stores import address_location, array_location
from dem.source.weights import StoredWeights, Weights, as_dask, as_weights, weights_at

PARTITION_BYTES = 128 * 2**20
MOST_PLACES = 100
"""Most files whose places are checked on all workers."""


@dataclass(frozen=True)
class ParquetSource:
    """Columns of numbers in one or several Parquet files. The key of a row is its number over all files, in order.

    Attributes
    ----------
    name : str
    stored : tuple of ParquetFile
    columns : Columns
    dtypes : tuple of numpy.dtype
        The dtype of each column.
    weights : float64 array of shape (n,), StoredWeights, dask.array.Array or None
    missing_value : number or None
        Entries equal to it are missing, in addition to NaN and nulls.
    partition_bytes : int
        Target size of a partition, decoded.
    max_partitions : int or None
        Largest number of partitions.
    most_ahead : int or None
        Read at most so many row groups while one is processed.
    step : int or None
        Rows of a block; None: a block is a row group. See `for_writing`.
    """

    name: str
    stored: tuple[ParquetFile, ...]
    columns: Columns
    dtypes: tuple[np.dtype[Any], ...]
    weights: Weights | None = None
    missing_value: float | None = None
    partition_bytes: int = PARTITION_BYTES
    max_partitions: int | None = MAX_PARTITIONS
    most_ahead: int | None = None
    step: int | None = None

    in_memory = False
    lazy = True
    chunk_sides = ()
    coordinates = NO_COORDINATES

    @cached_property
    def groups(self) -> list[RowGroup]:
        """All row groups that have rows, in order."""
        found, start = [], 0
        for file in self.stored:
            for number, rows in enumerate(file.rows):
                if rows:
                    found.append(RowGroup(file.address, number, start, start + rows))
                start += rows
        return found

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return sum(sum(file.rows) for file in self.stored)

    @property
    def n_columns(self) -> int:
        """The number of columns."""
        return len(self.columns)

    @property
    def _handle(self) -> ParquetRows:
        return ParquetRows(self.columns.names, np.result_type(*self.dtypes), self.decoding)

    @property
    def decoding(self) -> Decoding | None:
        """How entries are decoded; None if they are not."""
        if self.missing_value is None:
            return None
        return decoding_of_value(self.missing_value, np.result_type(*self.dtypes))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the rows: one that holds the values of all columns."""
        return self._handle.dtype

    @property
    def compact(self) -> bool:
        """Whether partitions are small. With weights they are not."""
        return self.weights is None

    @cached_property
    def stored_at(self) -> tuple[str, ...]:
        """The places of the first files, and of stored weights."""
        files = tuple(address_location(file.address) for file in self.stored[:MOST_PLACES])
        return files + (array_location(self.weights.array) if isinstance(self.weights, StoredWeights) else ())

    @property
    def _most_rows(self) -> int:
        """Rows of the largest row group."""
        return max(group.rows for group in self.groups)

    @property
    def chunk_rows(self) -> int | None:
        """Rows of a row group if all are equal (the last may be shorter); else None."""
        if self.step is not None:
            return self.step
        return regular_size([group.rows for group in self.groups])

    def for_writing(self) -> Self:
        """Return the same rows in partitions that begin at multiples of `chunk_rows`.

        Where row groups are unequal, blocks get the rows of the largest one. A row group on the border of two
        partitions is then read for each of them.
        """
        return self if self.chunk_rows is not None else replace(self, step=self._most_rows)

    @cached_property
    def _ranges(self) -> list[tuple[int, int]]:
        """The first row, and the row after the last, of each partition."""
        n, row_bytes = self.n_rows, self.n_columns * self.dtype.itemsize
        starts = [group.start for group in self.groups] if self.step is None else list(range(0, n, self.step))
        count = partition_count(n * row_bytes, len(starts), self.partition_bytes, self.max_partitions)
        edges = sorted({starts[bisect_right(starts, i * n // count) - 1] for i in range(count)})
        return list(zip(edges, [*edges[1:], n], strict=True))

    @property
    def rows(self) -> Rows:
        """The sample dimensions."""
        return Rows((self.n_rows,))

    @property
    def boxes(self) -> list[tuple[Box, ...]]:
        """The box of each partition."""
        return row_boxes(self.row_chunks)

    @property
    def row_chunks(self) -> tuple[int, ...]:
        """The number of rows of each partition."""
        return tuple(stop - start for start, stop in self._ranges)

    @cached_property
    def partitions(self) -> list[ParquetPartition] | list[Delayed]:
        """Partitions of whole row groups; Delayed objects if the weights are stored or a Dask array."""
        w, handle, ahead = self.weights, self._handle, self.read_ahead
        parts = [
            ParquetPartition(handle, tuple(self._groups_of(a, b)), a, b, self.step, ahead) for a, b in self._ranges
        ]
        if w is None:
            return parts
        if isinstance(w, np.ndarray):
            return [replace(part, weight=w[part.start : part.stop]) for part in parts]
        return delayed_partitions(_weighed, [as_dask(w, self.row_chunks)], [(part,) for part in parts])

    def _groups_of(self, start: int, stop: int) -> list[RowGroup]:
        """Return the row groups that have some of these rows."""
        first = bisect_right(self.groups, start, key=lambda group: group.start) - 1
        last = bisect_right(self.groups, stop - 1, key=lambda group: group.start)
        return self.groups[first:last]

    @property
    def block_bytes(self) -> int:
        """Bytes of the largest block: a row group."""
        return self._most_rows * self.n_columns * self.dtype.itemsize

    @property
    def read_bytes(self) -> int:
        """Bytes in memory while a block is read: the block, and the row group as pages, columns and converted columns.

        If entries are decoded, or blocks are not row groups, add one more block.
        """
        pages = max(file.page_bytes for file in self.stored)
        columns = self._most_rows * sum(max(8 if dtype.kind != "f" else 0, dtype.itemsize) for dtype in self.dtypes)
        again = self.block_bytes if self.decoding is not None or self.step is not None else 0
        return self.block_bytes + 2 * columns + pages + again

    @property
    def read_ahead(self) -> int:
        """The number of row groups that are read while one is processed."""
        several = self.step is None and len(self.groups) > len(self._ranges)
        return min(1, 1 if self.most_ahead is None else self.most_ahead) if several else 0

    @property
    def read_ahead_bytes(self) -> int:
        """Additional bytes for reading one block ahead: the current block."""
        return self.block_bytes

    def reading_ahead(self, n: int) -> Self:
        """Return the same source, whose tasks read at most n blocks ahead."""
        return replace(self, most_ahead=n)

    def only_columns(self, numbers: Sequence[int]) -> Self:
        """Return the same rows with only these columns; the others are not read."""
        dtypes = tuple(self.dtypes[j] for j in numbers)
        return replace(self, columns=self.columns.select(numbers), dtypes=dtypes)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The metadata of the files, with their sizes and their times or ETags, as JSON values. No rows are read."""
        files = [[PurePosixPath(file.address).name, *file.mark, file.rows] for file in self.stored]
        own = {
            "kind": "parquet",
            "shape": [self.n_rows, self.n_columns],
            "dtype": str(self.dtype),
            "columns": key_of(self.columns.names),
            "files": key_of(files),
            "partition_bytes": self.partition_bytes,
        }
        return {**own, **decoding_fingerprint(self.decoding), "weights": weights_fingerprint(self.weights)}

    def identity(self) -> list[Any]:
        """Return what identifies the rows, valid in JSON: the fingerprint has the sizes and times of the files."""
        return [*self.stored_at, self.fingerprint, None]

    def rows_at(self, keys: Sequence[int]) -> Array:
        """Return the rows with these keys, (n, d), decoded. Each key costs a row group."""
        return np.concatenate([self._handle.read_range(self._groups_of(key, key + 1), key, key + 1) for key in keys])

    def weights_at(self, keys: Sequence[int]) -> Float | None:
        """Return the weights of the rows with these keys, (n,); None if the rows have no weights."""
        return weights_at(self.weights, [Box((key,), (key + 1,)) for key in keys])

    def for_results(self, row_bytes: int, target_bytes: int) -> Self:
        """Return the same rows in partitions, of any number, that are small enough for the results."""
        own = self.n_columns * self.dtype.itemsize
        nbytes = bytes_for_results(own, row_bytes, target_bytes, self.partition_bytes)
        return replace(self, partition_bytes=nbytes, max_partitions=None)

    def locate(self, row: int, column: int | None = None) -> str:
        """Return text for the row group of a value: "row group 3 (rows 300 to 399) of x.parquet, column 'age'"."""
        (group,) = self._groups_of(row, row + 1)
        where = group.in_words if len(self.stored) == 1 else f"{group.in_words} ({self.name})"
        return where if column is None else f"{where}, {self.columns.in_words([column])}"

    def locate_chunk(self, number: int) -> str:
        """Return the location of a chunk as text for messages. Row groups are never absent."""
        return f"chunk {number} of {self.name}"


def _weighed(weight: Any, partition: ParquetPartition) -> ParquetPartition:
    return replace(partition, weight=block_weight(weight, partition.rows, partition.start))


def open_parquet(
    path: str | os.PathLike[str],
    weights: Any = None,
    options: ReadOptions = DEFAULTS,
    columns: Sequence[str | int] | None = None,
) -> ParquetSource:
    """Return the source of a Parquet file, a folder of such files, or a glob.

    Parameters
    ----------
    path : str or Path
    weights
        See `dem.source.open_source`.
    options : ReadOptions
    columns : sequence of str or int, optional
        The columns to read; by default all.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ImportError
        pyarrow is not installed.
    ValueError
        A column is not of numbers, or files have different columns, or there are no rows or columns.
    """
    files = read_footers(find_files(path))
    every = files[0].columns
    name = PurePosixPath(str(path).rstrip("/")).name
    check_names(every.names, name)
    numbers = range(len(every)) if columns is None else every.numbers_of(columns)
    chosen = every.select(numbers)
    dtypes = [_dtypes(file, chosen.names) for file in files]
    rows = sum(sum(file.rows) for file in files)
    check_shape((rows, len(chosen)), name)
    common = tuple(np.result_type(*of_column) for of_column in zip(*dtypes, strict=True))
    small = tuple(replace(file, columns=Columns(()), dtypes=()) for file in files)
    w = as_weights(weights, rows, require_chunks=options.require_chunks)
    size = options.partition_size(PARTITION_BYTES)
    source = ParquetSource(name, small, chosen, common, w, options.missing_value, size)
    source.decoding  # noqa: B018 - refuses a wrong missing_value
    return source


def _dtypes(file: ParquetFile, names: Sequence[str]) -> list[np.dtype[Any]]:
    """Return the dtypes of some columns of a file.

    Raises
    ------
    ValueError
        The file lacks a column, or a column is not of numbers.
    """
    known = dict(zip(file.columns.names, file.dtypes, strict=True))
    found = []
    for name in names:
        dtype = known.get(name)
        where = PurePosixPath(file.address).name
        if dtype is None:
            raise ValueError(
                f"{where} has no column {name!r}, which the first of the files has: give the columns that all files "
                "have (columns=[...], --columns)"
            )
        if isinstance(dtype, str):
            raise ValueError(
                f"column {name!r} of {where} has the type {dtype}, which does not hold numbers: choose other columns "
                "(columns=[...], --columns), or convert it"
            )
        found.append(dtype)
    return found
