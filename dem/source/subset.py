"""A source with only some partitions of another source, for example the rest of an interrupted pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self, cast

from dask.delayed import Delayed

from dem.core.rows import Box
from dem.source.source import Partition, Source
from dem.source.wrapped import Wrapped


@dataclass(frozen=True)
class Subset(Wrapped):
    """The partitions of `whole` with the given indices.

    Attributes
    ----------
    indices : tuple of int
    """

    indices: tuple[int, ...]

    @cached_property
    def partitions(self) -> Sequence[Partition | Delayed]:
        """The selected partitions."""
        partitions = self.whole.partitions
        return [partitions[i] for i in self.indices]

    @property
    def boxes(self) -> Sequence[tuple[Box, ...]]:
        """The boxes of the selected partitions."""
        boxes = self.whole.boxes
        return [boxes[i] for i in self.indices] if boxes else boxes

    @property
    def row_chunks(self) -> tuple[float, ...]:
        """The number of rows of each partition."""
        rows = self.whole.row_chunks
        return tuple(rows[i] for i in self.indices)

    @property
    def n_rows(self) -> int | None:
        """The number of rows of the selected partitions."""
        return None if self.whole.n_rows is None else int(sum(self.row_chunks))

    def for_results(self, row_bytes: int, target_bytes: int) -> Self:
        """Raise NotImplementedError: the indices are those of these partitions."""
        raise NotImplementedError

    def for_writing(self) -> Self:
        """Raise NotImplementedError: the indices are those of these partitions."""
        raise NotImplementedError


def subset(source: Source, indices: Sequence[int]) -> Source:
    """Return a source that has only the partitions with these indices, in this order."""
    whole = replace(cast(Any, source)) if source.compact else source  # a copy has no cached partitions to send
    return cast("Source", Subset(whole, tuple(indices)))
