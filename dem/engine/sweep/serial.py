"""What sweeps share, and the one in this thread, which all others must equal to the last bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self, cast

import numpy as np

from dem.core.blas import single_threaded_blas
from dem.core.block import Block, MakeKernel, Sweep
from dem.core.error_state import own_errors
from dem.core.stats import S, TreeSum
from dem.engine.sweep.row_count import check_no_row_lost
from dem.source import Partition, Source, evaluate
from dem.source.subset import subset


class PartitionSweep(Sweep, Protocol):
    """A sweep that can leave out partitions."""

    def only(self, indices: Sequence[int]) -> PartitionSweep:
        """Return the sweep over the partitions with these indices alone."""


class SourceSweep:
    """The base of sweeps, frozen dataclasses, that make their passes over `source`."""

    source: Source

    def only(self, indices: Sequence[int]) -> Self:
        """Return the sweep over the partitions with these indices alone."""
        return cast(Self, replace(cast(Any, self), source=subset(self.source, indices)))


Advance = Callable[[int, int], None]
"""Called with the number of partitions done and their number in all."""


@own_errors()
def sum_partition(make_kernel: MakeKernel[S], partition: Partition, empty: Block) -> S:
    """Return the sum of the kernel's statistics over one partition, from left to right.

    Parameters
    ----------
    make_kernel : callable
        Builds the kernel: once, here.
    partition : Partition
        Its blocks are streamed: a block is let go before the next one is read.
    empty : Block
        A block without rows, which stands in for a partition that has none.
    """
    kernel = make_kernel()
    total: S | None = None
    for block in partition.blocks():
        stats = kernel(block)
        del block
        total = stats if total is None else total + stats
    return kernel(empty) if total is None else total


def empty_block(source: Source) -> Block:
    """Return a block of the source's columns and dtype without rows."""
    return Block(np.empty((0, source.n_columns), source.dtype))


@dataclass(frozen=True)
class SerialSweep(SourceSweep):
    """One full pass in the calling thread.

    Attributes
    ----------
    source : Source
    progress : callable, optional
        Called with (partitions done, partitions in all) after each partition.
    """

    source: Source
    progress: Advance | None = None

    def __call__(self, make_kernel: MakeKernel[S]) -> S:
        """Return the sum of the kernel's statistics over all blocks."""
        empty = empty_block(self.source)
        partitions = self.source.partitions
        tree = TreeSum[S]()
        with single_threaded_blas():
            for done, partition in enumerate(partitions, 1):
                tree.push(sum_partition(make_kernel, evaluate(partition), empty))
                if self.progress:
                    self.progress(done, len(partitions))
            return check_no_row_lost(tree.total(), self.source)
