"""One pass by threads of this process: for arrays in memory, without copies."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TypeVar

from dem.blas import single_threaded_blas
from dem.model import MakeKernel
from dem.source import Delayed, Partition, Source, evaluate
from dem.stats import Statistics, tree_sum
from dem.sweep.serial import Advance, check_rows, empty_block, sum_partition

S = TypeVar("S", bound=Statistics)


@dataclass(frozen=True)
class ThreadSweep:
    """One full pass by `n_threads` threads; the same bits as `SerialSweep`.

    Attributes
    ----------
    source : Source
    n_threads : int
    progress : callable, optional
        Called in the calling thread, with (partitions done, partitions in all).
    """

    source: Source
    n_threads: int
    progress: Advance | None = None

    def __call__(self, make_kernel: MakeKernel[S]) -> S:
        """Return the sum of the kernel's statistics over all blocks.

        The first error of a task, or Ctrl-C, drops the tasks that have not begun and is raised.
        """
        empty = empty_block(self.source)

        def task(partition: Partition | Delayed) -> S:
            return sum_partition(make_kernel, evaluate(partition), empty)

        with single_threaded_blas(), ThreadPoolExecutor(self.n_threads, "dem-sweep") as pool:
            futures = [pool.submit(task, partition) for partition in self.source.partitions]
            try:
                waiting = set(futures)
                while waiting:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()
                    if self.progress:
                        self.progress(len(futures) - len(waiting), len(futures))
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
            return check_rows(tree_sum([future.result() for future in futures]), self.source)
