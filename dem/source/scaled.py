"""The rows of a source, scaled: (x - shift) / scale."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
from dask.delayed import Delayed

from dem.core.block import Array, Block
from dem.core.dtypes import float_dtype
from dem.scan.scaling import Scaling
from dem.scan.scanner import Scan
from dem.source.delayed import mapped
from dem.source.source import Partition, Source
from dem.source.wrapped import Wrapped


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
class ScaledSource(Wrapped):
    """A source whose rows are those of `whole`, scaled; keys, weights and partitions are the same.

    Attributes
    ----------
    scaling : Scaling
    """

    scaling: Scaling

    @property
    def dtype(self) -> np.dtype[Any]:
        """The floating dtype of the scaled rows."""
        return float_dtype(self.whole.dtype)

    @cached_property
    def partitions(self) -> Sequence[Partition | Delayed]:
        """The partitions of `whole`, scaled; Delayed objects where those are."""
        return mapped(ScaledPartition, self.whole.partitions, self.scaling)

    @property
    def block_bytes(self) -> int:
        """Bytes of the largest scaled block, also of data in memory; 0 if unknown."""
        return self._block_rows() * self.whole.n_columns * self.dtype.itemsize

    @property
    def read_bytes(self) -> int:
        """Bytes in memory while a block is read and scaled."""
        return self.whole.read_bytes + self.block_bytes

    @property
    def _digest(self) -> str:
        numbers = np.concatenate([self.scaling.shift, self.scaling.scale])
        return hashlib.sha256(numbers.tobytes()).hexdigest()

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The metadata of the data, and the digest of the scaling."""
        return {**self.whole.fingerprint, "scaling": self._digest}

    def identity(self) -> list[Any] | None:
        """Return what identifies the rows, valid in JSON; None if they cannot be identified."""
        whole = self.whole.identity()
        return None if whole is None else [*whole, self._digest]

    def rows_at(self, keys: Sequence[int]) -> Array:
        """Return the scaled rows with these keys, (n, d)."""
        return self.scaling(self.whole.rows_at(keys))


def scaled(source: Source, scaling: Scaling) -> Source:
    """Return the source whose rows are scaled."""
    return cast("Source", ScaledSource(source, scaling))


def in_data_units(source: Source, scan: Scan) -> Scan:
    """Return the scan of a scaled source with a base measure in the data's units; scans of other sources unchanged."""
    return source.scaling.with_log_base(scan) if isinstance(source, ScaledSource) else scan
