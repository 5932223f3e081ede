"""Reading without a kernel, and a kernel without reading; a module of its own, for workers to import."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.common import mixture_data
from dem.core.block import Block
from dem.core.stats import Additive

D, K = 16, 16


def read_only() -> Callable[[Block], Additive]:
    """Return the kernel that reads and does nothing else."""
    return lambda block: Additive(len(block.x))


@functools.cache
def some_rows(n: int) -> np.ndarray:
    """Return the same n rows (n, d) always; drawn once in each process."""
    return mixture_data(n, D, K, seed=0)[0].astype("f4")


@dataclass(frozen=True)
class Repeated:
    """A partition without a store: one block of random rows, many times."""

    rows: int
    block: int

    def blocks(self) -> Iterator[Block]:
        """Yield the same rows again and again."""
        x = some_rows(self.block)
        for first in range(0, self.rows, self.block):
            yield Block(x[: min(self.block, self.rows - first)], None, first)


@dataclass(frozen=True)
class RepeatedSource:
    """A source without a store, cut like the one it stands in for."""

    name: str
    n_rows: int
    n_columns: int
    dtype: np.dtype
    partitions: tuple[Repeated, ...]
    compact: bool = True
