"""Some of a source's partitions, as a source: what is left of a pass that was broken off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self, cast

from dask.delayed import Delayed

from dem.source.source import Partition, Source


@dataclass(frozen=True)
class Subset:
    """The partitions of `whole` with these indices; in all else it is as the whole.

    Attributes
    ----------
    whole : Source
    indices : tuple of int
    """

    whole: Source
    indices: tuple[int, ...]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked for by pickle and copy, before there is a whole
            raise AttributeError(name)
        return getattr(self.whole, name)

    @cached_property
    def partitions(self) -> Sequence[Partition | Delayed]:
        """Those of the whole that have been chosen."""
        partitions = self.whole.partitions
        return [partitions[i] for i in self.indices]

    @property
    def row_chunks(self) -> tuple[float, ...]:
        """The number of rows of each partition."""
        rows = self.whole.row_chunks
        return tuple(rows[i] for i in self.indices)

    @property
    def n_rows(self) -> int | None:
        """The number of rows of these partitions."""
        return None if self.whole.n_rows is None else int(sum(self.row_chunks))

    def without_read_ahead(self) -> Self:
        """Return the same partitions, whose tasks read a block only when it is due."""
        return replace(self, whole=self.whole.without_read_ahead())


def subset(source: Source, indices: Sequence[int]) -> Source:
    """Return the source of some partitions alone, in this order."""
    whole = replace(cast(Any, source)) if source.compact else source  # it travels without partitions made already
    return cast("Source", Subset(whole, tuple(indices)))
