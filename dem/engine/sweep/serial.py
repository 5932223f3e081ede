"""The parts that all sweeps share, and the sweep in one thread; all other sweeps give the same bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self, cast

import numpy as np

from dem.core.blas import single_threaded_blas
from dem.core.block import Block, MakeKernel, Sweep
from dem.core.error_state import default_error_state
from dem.core.stats import S, TreeSum
from dem.engine.sweep.row_count import check_no_row_lost
from dem.source import Partition, Source, evaluate
from dem.source.subset import subset


class PartitionSweep(Sweep, Protocol):
    """A sweep that can be restricted to some partitions."""

    def only(self, indices: Sequence[int]) -> PartitionSweep:
        """Return the sweep over the partitions with these indices only."""


class SourceSweep:
    """Base class of the sweeps over `source`, which are frozen dataclasses."""

    source: Source

    def only(self, indices: Sequence[int]) -> Self:
        """Return the sweep over the partitions with these indices only."""
        return cast(Self, replace(cast(Any, self), source=subset(self.source, indices)))


Advance = Callable[[int, int], None]
"""Called with the number of partitions done and the number of all partitions."""


@default_error_state()
def sum_partition(make_kernel: MakeKernel[S], partition: Partition, empty: Block) -> S:
    """Return the sum of the kernel's statistics over the blocks of one partition, in their order.

    Parameters
    ----------
    make_kernel : callable
        Builds the kernel; called once.
    partition : Partition
        Its blocks are streamed: each block is released before the next one is read.
    empty : Block
        A block without rows, used if the partition has no blocks.
    """
    kernel = make_kernel()
    total: S | None = None
    for block in partition.blocks():
        stats = kernel(block)
        del block
        total = stats if total is None else total + stats
    return kernel(empty) if total is None else total


def empty_block(source: Source) -> Block:
    """Return a block without rows, with the columns and dtype of the source."""
    return Block(np.empty((0, source.n_columns), source.dtype))


@dataclass(frozen=True)
class SerialSweep(SourceSweep):
    """One full pass in the calling thread.

    Attributes
    ----------
    source : Source
    progress : callable, optional
        Called after each partition with (number of partitions done, number of all partitions).
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
