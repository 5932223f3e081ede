"""Chunks that a store does not hold, which read as the fill value: who asks for a pass is told of those that it met."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, Self

import numpy as np
from numpy.typing import NDArray

from dem.core import human
from dem.core.block import Block, MakeKernel
from dem.core.stats import S
from dem.em.progress import WARNING, Progress
from dem.engine.sweep.serial import PartitionSweep
from dem.source import Source
from dem.source.reader import n_units
from dem.source.stores import store_name
from dem.source.weights import StoredWeights
from dem.source.zarr import ZarrSource


def report_absent(absent: Iterable[int], source: Source, progress: Progress) -> None:
    """Warn of absent chunks (numbered as in `Block.absent`) of the data, and of their weights."""
    for sentence in describe_absent(absent, source):
        progress.note(f"{WARNING}{sentence}")


def describe_absent(absent: Iterable[int], source: Source) -> list[str]:
    """Return a sentence for the data, and for their weights, where they lack chunks."""
    if not isinstance(source, ZarrSource):  # no other source has any
        return []
    numbers, own = sorted(int(number) for number in absent), n_units(source.handle.array)
    lacking = {source.name: [n for n in numbers if n < own]}
    if isinstance(source.weights, StoredWeights):
        name = store_name(source.weights.array)
        lacking[name if name != source.name else f"the weights {name}"] = [n for n in numbers if n >= own]
    return [
        f"{human.plural(len(found), 'chunk')} of {name} not in the store, read as the fill value; the first is "
        f"{source.locate_chunk(found[0])} (dem.open_source(..., missing_chunks='error') or "
        "--missing-chunks error refuses them)"
        for name, found in lacking.items()
        if found
    ]


@dataclass(frozen=True)
class StatsAndAbsent(Generic[S]):
    """The statistics of a pass, and which chunks were absent.

    Attributes
    ----------
    stats : S
    absent : sorted int64 array
    """

    stats: S
    absent: NDArray[np.int64]

    @property
    def rows(self) -> int:
        """The number of rows summed."""
        return self.stats.rows

    def __add__(self, other: Self, /) -> Self:
        """Return those of both sets of rows together."""
        return replace(self, stats=self.stats + other.stats, absent=np.union1d(self.absent, other.absent))


@dataclass(frozen=True)
class AbsentChunkReporter:
    """A sweep that tells, at the end of a pass, of the chunks that were absent.

    Attributes
    ----------
    sweep : PartitionSweep
    source : Source
    progress : Progress
    """

    sweep: PartitionSweep
    source: Source
    progress: Progress

    def __call__(self, make_kernel: MakeKernel[S]) -> S:
        """Return the sum of the kernel's statistics over all blocks."""
        found = self.sweep(partial(_kernel_noting_absent, make_kernel))
        report_absent(found.absent, self.source, self.progress)
        return found.stats

    def only(self, indices: Sequence[int]) -> AbsentChunkReporter:
        """Return the sweep over the partitions with these indices alone."""
        return replace(self, sweep=self.sweep.only(indices))


def _kernel_noting_absent(make_kernel: MakeKernel[S]) -> Callable[[Block], StatsAndAbsent[S]]:
    """Return the kernel that notes a block's absent chunks."""
    kernel = make_kernel()
    return lambda block: StatsAndAbsent(kernel(block), np.unique(np.array(block.absent, np.int64)))
