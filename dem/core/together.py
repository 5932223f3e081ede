"""Several kernels in one pass: each block is read once, and every kernel sums it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

from dem.core.block import Block, MakeKernel


@dataclass(frozen=True)
class Together:
    """The statistics of several kernels over the same rows. They are added name by name.

    Attributes
    ----------
    of : mapping of str to Statistics
    """

    of: Mapping[str, Any]

    @property
    def rows(self) -> int:
        """The number of rows summed, the same for all kernels."""
        counts = {stats.rows for stats in self.of.values()}
        assert len(counts) == 1, f"kernels have summed different rows: {counts}"
        return int(counts.pop())

    def counting(self, rows: int) -> Self:
        """Return the same statistics, said to be of this number of rows."""
        return type(self)({name: replace(stats, rows=rows) for name, stats in self.of.items()})

    def __add__(self, other: Self, /) -> Self:
        """Return the statistics of both sets of rows together."""
        return type(self)({name: stats + other.of[name] for name, stats in self.of.items()})


def together(makers: Mapping[str, MakeKernel[Any]]) -> MakeKernel[Together]:
    """Return the maker of the kernel that runs those of `makers` on each block, in their order."""
    return partial(_together, dict(makers))


def _together(makers: Mapping[str, MakeKernel[Any]]) -> Callable[[Block], Together]:
    kernels = {name: make() for name, make in makers.items()}

    def kernel(block: Block) -> Together:
        return Together({name: each(block) for name, each in kernels.items()})

    return kernel
