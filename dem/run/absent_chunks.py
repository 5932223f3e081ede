"""Absent chunks, which are not in the store and read as the fill value: each pass counts and reports them."""

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
from dem.source.stores import store_name
from dem.source.weights import StoredWeights


def report_absent(absent: Iterable[int], source: Source, progress: Progress) -> None:
    """Warn of absent chunks of the data and of their weights; the numbers are those of `Block.absent`."""
    for sentence in describe_absent(absent, source):
        progress.note(f"{WARNING}{sentence}")


def describe_absent(absent: Iterable[int], source: Source) -> list[str]:
    """Return one sentence for the data and one for the weights, each only if chunks are absent."""
    handle = getattr(source, "handle", None)  # of a Zarr array: other sources have no absent chunks
    if handle is None:
        return []
    numbers, own = sorted(int(number) for number in absent), handle.n_units
    lacking = {source.name: [n for n in numbers if n < own]}
    weights = getattr(source, "weights", None)
    if isinstance(weights, StoredWeights):
        name = store_name(weights.array)
        lacking[name if name != source.name else f"the weights {name}"] = [n for n in numbers if n >= own]
    return [
        f"{human.plural(len(found), 'chunk')} of {name} {'is' if len(found) == 1 else 'are'} not in the "
        f"store, and "
        f"read as the fill value; the first is {source.locate_chunk(found[0])} (to refuse such chunks: "
        "--missing-chunks error, or dem.open_source(..., missing_chunks='error'))"
        for name, found in lacking.items()
        if found
    ]


@dataclass(frozen=True)
class StatsAndAbsent(Generic[S]):
    """The statistics of a pass, and its absent chunks.

    Attributes
    ----------
    stats : S
    absent : sorted int64 array
        Numbers of the absent chunks.
    """

    stats: S
    absent: NDArray[np.int64]

    @property
    def rows(self) -> int:
        """The number of rows summed."""
        return self.stats.rows

    def __add__(self, other: Self, /) -> Self:
        """Return the sum of the statistics and the union of the absent chunks."""
        return replace(self, stats=self.stats + other.stats, absent=np.union1d(self.absent, other.absent))


@dataclass(frozen=True)
class AbsentChunkReporter:
    """A sweep that reports the absent chunks at the end of each pass.

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
        """Return the sweep over the partitions with these indices only."""
        return replace(self, sweep=self.sweep.only(indices))


def _kernel_noting_absent(make_kernel: MakeKernel[S]) -> Callable[[Block], StatsAndAbsent[S]]:
    """Return the kernel that also collects a block's absent chunks."""
    kernel = make_kernel()
    return lambda block: StatsAndAbsent(kernel(block), np.unique(np.array(block.absent, np.int64)))
