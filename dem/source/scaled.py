"""The rows of a source, scaled: (x - shift) / scale."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self, cast

import numpy as np
from dask.delayed import Delayed

from dem.core.block import Array, Block
from dem.core.dtypes import float_dtype
from dem.scan.scaling import Scaling
from dem.scan.scanner import Scan
from dem.source.delayed import mapped_partitions
from dem.source.source import Partition, Source


@dataclass(frozen=True)
class ScaledPartition:
    """The rows of `whole`, scaled block by block."""

    whole: Partition
    scaling: Scaling

    @property
    def rows(self) -> int:
        """The number of rows."""
        return self.whole.rows

    def blocks(self) -> Iterator[Block]:
        """Yield the scaled blocks in order."""
        for block in self.whole.blocks():
            scaled = block._replace(x=self.scaling(block.x))
            del block  # while the scaled rows are used, only they are in memory
            yield scaled
            del scaled


@dataclass(frozen=True)
class ScaledSource:
    """A source whose rows are those of `whole`, scaled; keys, weights and partitions are the same.

    All attributes that are not here are those of `whole`.

    Attributes
    ----------
    whole : Source
    scaling : Scaling
    """

    whole: Source
    scaling: Scaling

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # pickle and copy ask for these before `whole` is set
            raise AttributeError(name)
        return getattr(self.whole, name)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The floating dtype of the scaled rows."""
        return float_dtype(self.whole.dtype)

    @cached_property
    def partitions(self) -> Sequence[Partition | Delayed]:
        """The partitions of `whole`, scaled; Delayed objects where those are."""
        found = self.whole.partitions
        if any(isinstance(partition, Delayed) for partition in found):
            return mapped_partitions(ScaledPartition, cast("Sequence[Delayed]", found), self.scaling)
        return [ScaledPartition(cast(Partition, partition), self.scaling) for partition in found]

    @property
    def block_bytes(self) -> int:
        """Bytes of the largest scaled block, also of data in memory; 0 if unknown."""
        row_bytes = self.whole.n_columns * self.whole.dtype.itemsize
        rows = self.whole.block_bytes // row_bytes
        if self.whole.in_memory:
            rows = int(max(self.whole.row_chunks))
        return rows * self.whole.n_columns * self.dtype.itemsize

    @property
    def read_bytes(self) -> int:
        """Bytes in memory while a block is read and scaled."""
        return self.whole.read_bytes + self.block_bytes

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The metadata of the data, and the digest of the scaling."""
        numbers = np.concatenate([self.scaling.shift, self.scaling.scale])
        return {**self.whole.fingerprint, "scaling": hashlib.sha256(numbers.tobytes()).hexdigest()}

    def rows_at(self, keys: Sequence[int]) -> Array:
        """Return the scaled rows with these keys, (n, d)."""
        return self.scaling(self.whole.rows_at(keys))

    def for_results(self, row_bytes: int, target_bytes: int) -> Self:
        """Return the same rows in partitions that are small enough for results of `row_bytes` bytes per row."""
        return replace(self, whole=self.whole.for_results(row_bytes, target_bytes))

    def reading_ahead(self, n: int) -> Self:
        """Return the same rows, whose tasks read at most n blocks ahead."""
        return replace(self, whole=self.whole.reading_ahead(n))


def scaled(source: Source, scaling: Scaling) -> Source:
    """Return the source whose rows are scaled."""
    return cast("Source", ScaledSource(source, scaling))


def in_data_units(source: Source, scan: Scan) -> Scan:
    """Return the scan of a scaled source with a base measure in the data's units; scans of other sources unchanged."""
    return source.scaling.with_log_base(scan) if isinstance(source, ScaledSource) else scan


def unscaled(source: Source) -> Source:
    """Return the source whose rows `source` scales; other sources unchanged."""
    return source.whole if isinstance(source, ScaledSource) else source
