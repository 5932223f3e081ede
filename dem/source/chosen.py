"""A source with only some columns of another source, for data of which whole rows must be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
from dask.delayed import Delayed

from dem.core.block import Array, Block
from dem.core.columns import Columns
from dem.source.delayed import mapped
from dem.source.source import Partition, Source
from dem.source.wrapped import Wrapped


@dataclass(frozen=True)
class ChosenPartition:
    """A partition of which only the columns with these numbers are kept."""

    whole: Partition
    numbers: tuple[int, ...]

    @property
    def rows(self) -> int:
        """The number of rows."""
        return self.whole.rows

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks in order."""
        for block in self.whole.blocks():
            yield block._replace(x=np.ascontiguousarray(block.x[:, list(self.numbers)]))
            del block


@dataclass(frozen=True)
class ChosenColumns(Wrapped):
    """The columns of `whole` with the given numbers, in this order.

    Attributes
    ----------
    numbers : tuple of int
    """

    numbers: tuple[int, ...]

    @property
    def n_columns(self) -> int:
        """The number of columns."""
        return len(self.numbers)

    @property
    def columns(self) -> Columns:
        """The columns: their names, variables and units."""
        return self.whole.columns.select(self.numbers)

    @cached_property
    def partitions(self) -> Sequence[Partition | Delayed]:
        """The partitions, with fewer columns."""
        return mapped(ChosenPartition, self.whole.partitions, self.numbers)

    @property
    def block_bytes(self) -> int:
        """Bytes of the largest block, also of data in memory, whose columns are copied; 0 if unknown."""
        return self._block_rows() * self.n_columns * self.whole.dtype.itemsize

    @property
    def read_bytes(self) -> int:
        """Bytes in memory while a block is read: those of all columns, and the block."""
        return self.whole.read_bytes + self.block_bytes

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The metadata of the data as JSON values. No rows are read."""
        return {**self.whole.fingerprint, "chosen": list(self.numbers)}

    def identity(self) -> list[Any] | None:
        """Return what identifies the rows, valid in JSON; None if they cannot be identified."""
        whole = self.whole.identity()
        return None if whole is None else [*whole, list(self.numbers)]

    def rows_at(self, keys: Sequence[int]) -> Array:
        """Return the rows with these keys, (n, d)."""
        return self.whole.rows_at(keys)[:, list(self.numbers)]

    def locate(self, row: int, column: int = 0) -> str:
        """Return the location of a value as text for messages."""
        return self.whole.locate(row, self.numbers[column])


def choose_columns(source: Source, numbers: Sequence[int]) -> Source:
    """Return a source that has only the columns with these numbers, in this order.

    Where the format stores columns apart, the others are not read: such sources have a method `only_columns`.
    """
    if tuple(numbers) == tuple(range(source.n_columns)):
        return source
    if hasattr(type(source), "only_columns"):  # not that of a source inside it
        return cast("Source", cast(Any, source).only_columns(numbers))
    return cast("Source", ChosenColumns(source, tuple(numbers)))
