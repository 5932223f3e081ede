"""Read row groups of Parquet files as blocks of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from dem.core.block import Array, Block, Float
from dem.core.rows import RowKeys
from dem.source.decode import PIECE, Decoding
from dem.source.parquet_files import open_parquet_file, with_retries
from dem.source.reader import read_ahead


@dataclass(frozen=True)
class RowGroup:
    """A row group of a file.

    Attributes
    ----------
    file : str
        The address of the file.
    number : int
        Its number in the file.
    start, stop : int
        The key of the first row, and the key after the last.
    """

    file: str
    number: int
    start: int
    stop: int

    @property
    def rows(self) -> int:
        """The number of rows."""
        return self.stop - self.start

    @property
    def in_words(self) -> str:
        """Text for messages: "row group 3 (rows 300 to 399) of x.parquet"."""
        return f"row group {self.number} (rows {self.start} to {self.stop - 1}) of {PurePosixPath(self.file).name}"


class OpenFiles:
    """The file that a task reads now: row groups are read in order, so the file before can be closed."""

    def __init__(self) -> None:
        self._address, self._file, self._stack = "", None, ExitStack()

    def get(self, where: str) -> Any:
        """Return the open file with this address."""
        if where != self._address:
            self.close()
            self._file = self._stack.enter_context(with_retries(where, lambda: open_parquet_file(where)))
            self._address = where
        return self._file

    def close(self) -> None:
        """Close the file."""
        self._stack.close()
        self._address, self._file = "", None


@dataclass(frozen=True)
class ParquetRows:
    """How row groups become rows. It is small and picklable, because it is sent to the tasks.

    Attributes
    ----------
    names : tuple of str
        The columns, in order.
    stored : numpy.dtype
        The dtype that holds the values of all columns.
    decoding : Decoding or None
    """

    names: tuple[str, ...]
    stored: np.dtype[Any]
    decoding: Decoding | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the decoded rows."""
        return self.stored if self.decoding is None else self.decoding.dtype

    def read(self, files: OpenFiles, group: RowGroup) -> Array:
        """Return the rows of a row group, decoded; nulls are NaN.

        Raises
        ------
        OSError
            The row group cannot be read, or has changed.
        """
        try:
            file, names = files.get(group.file), list(self.names)
            table = with_retries(group.file, lambda: file.read_row_group(group.number, names, use_threads=False))
            columns = [_values(table.column(name)) for name in self.names]
        except MemoryError:
            raise
        except Exception as error:  # pyarrow raises many kinds of errors
            raise OSError(f"Cannot read {group.in_words}: {type(error).__name__}: {error}") from error
        lost = [name for name, values in zip(self.names, columns, strict=True) if not _fits(values, self.stored)]
        if table.num_rows != group.rows or lost:
            raise OSError(f"{group.in_words} has changed since it was opened: the data must not change during a run")
        del table
        rows = np.empty((group.rows, len(columns)), self.stored)
        step = max(1, PIECE // len(columns))
        for a in range(0, group.rows, step):  # pieces of rows stay in the cache of a core while all columns are written
            for j, values in enumerate(columns):
                rows[a : a + step, j] = values[a : a + step]
        return rows if self.decoding is None else self.decoding(rows)

    def read_range(self, groups: Sequence[RowGroup], start: int, stop: int) -> Array:
        """Return rows `start` to `stop` (exclusive), which are in these row groups."""
        files = OpenFiles()
        try:
            parts = [self.read(files, group)[max(0, start - group.start) : stop - group.start] for group in groups]
        finally:
            files.close()
        return np.concatenate(parts)


def _values(column: Any) -> Array:
    """Return the values of a column of Arrow as a NumPy array; nulls become NaN."""
    if str(column.type) == "bool":
        column = column.cast("uint8")
    return np.asarray(column.to_numpy())


def _fits(values: Array, dtype: np.dtype[Any]) -> bool:
    """Whether a column has no NaN where the footer promised integers."""
    return dtype.kind == "f" or values.dtype.kind != "f"


@dataclass(frozen=True)
class ParquetPartition:
    """Successive rows of Parquet files.

    Attributes
    ----------
    handle : ParquetRows
    groups : tuple of RowGroup
        The row groups that have these rows.
    start, stop : int
        The key of the first row, and the key after the last.
    step : int or None
        Rows of a block; None: a block is a row group.
    read_ahead : int
        So many row groups are read while the current one is processed: 0 or 1.
    weight : float64 array of shape (stop - start,) or None
    """

    handle: ParquetRows
    groups: tuple[RowGroup, ...]
    start: int
    stop: int
    step: int | None = None
    read_ahead: int = 0
    weight: Float | None = None

    @property
    def rows(self) -> int:
        """The number of rows."""
        return self.stop - self.start

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks in order. Only one block is in memory here, and one that is read ahead.

        Raises
        ------
        OSError
            A row group cannot be read; the message names it.
        """
        first = self.start
        for x in self._parts():
            at = first - self.start
            yield Block(x, None if self.weight is None else self.weight[at : at + len(x)], RowKeys.from_first(first))
            first += len(x)
            del x

    def _parts(self) -> Iterator[Array]:
        """Yield the rows of each block."""
        files = OpenFiles()
        try:
            if self.step is not None:
                yield from self._in_steps(files, self.step)
            elif self.read_ahead and len(self.groups) > 1:
                yield from read_ahead(lambda group: self.handle.read(files, group), self.groups, 1)
            else:
                for group in self.groups:
                    yield self.handle.read(files, group)
        finally:
            files.close()

    def _in_steps(self, files: OpenFiles, step: int) -> Iterator[Array]:
        """Yield the rows in blocks of `step` rows; a row group is read once."""
        held, filled = np.empty((0, len(self.handle.names)), self.handle.dtype), 0
        for group in self.groups:
            inside = slice(max(0, self.start - group.start), self.stop - group.start)
            rows = self.handle.read(files, group)[inside]
            while len(rows):
                if not filled:
                    held = np.empty((step, rows.shape[1]), rows.dtype)
                taken = min(step - filled, len(rows))
                held[filled : filled + taken] = rows[:taken]
                filled, rows = filled + taken, rows[taken:]
                if filled == step:
                    yield held
                    filled = 0
        if filled:
            yield held[:filled]
