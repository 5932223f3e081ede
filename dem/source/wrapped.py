"""The base of sources that change some of what another source gives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

from dem.source.source import Source


@dataclass(frozen=True)
class Wrapped:
    """A source whose attributes are those of `whole`, except those that a subclass defines.

    Methods that return a source of the same rows return a wrapped one.

    Attributes
    ----------
    whole : Source
    """

    whole: Source

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # pickle and copy ask for these before `whole` is set
            raise AttributeError(name)
        return getattr(self.whole, name)

    @property
    def row_chunks(self) -> tuple[float, ...]:
        """The number of rows of each partition."""
        return tuple(self.whole.row_chunks)

    def locate(self, row: int, column: int = 0) -> str:
        """Return the location of a value as text for messages."""
        return self.whole.locate(row, column)

    def for_results(self, row_bytes: int, target_bytes: int) -> Self:
        """Return the same rows in partitions that are small enough for results of `row_bytes` bytes per row."""
        return replace(self, whole=self.whole.for_results(row_bytes, target_bytes))

    def for_writing(self) -> Self:
        """Return the same rows in partitions that begin at multiples of `chunk_rows`, where that is possible."""
        return replace(self, whole=self.whole.for_writing())

    def reading_ahead(self, n: int) -> Self:
        """Return the same rows, whose tasks read at most n blocks ahead."""
        return replace(self, whole=self.whole.reading_ahead(n))

    def _block_rows(self) -> int:
        """Return the rows of the largest block; 0 if unknown. Data in memory have no blocks of their own."""
        whole = self.whole
        if whole.in_memory:
            return int(max(whole.row_chunks))
        return whole.block_bytes // (whole.n_columns * whole.dtype.itemsize)
