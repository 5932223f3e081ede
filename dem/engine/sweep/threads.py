"""One pass by threads of this process, for arrays in memory: blocks are not copied."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from dem.core.blas import single_threaded_blas
from dem.core.block import MakeKernel
from dem.core.stats import S, TreeSum
from dem.engine.sweep.row_count import check_no_row_lost
from dem.engine.sweep.serial import Advance, SourceSweep, empty_block, sum_partition
from dem.source import Delayed, Partition, Source, evaluate


@dataclass(frozen=True)
class ThreadSweep(SourceSweep):
    """One full pass by `n_threads` threads; gives the same bits as `SerialSweep`.

    Sums are added in the order of the partitions; at most two per thread wait for their turn.

    Attributes
    ----------
    source : Source
    n_threads : int
    progress : callable, optional
        Called in the calling thread with (number of partitions done, number of all partitions).
    """

    source: Source
    n_threads: int
    progress: Advance | None = None

    def __call__(self, make_kernel: MakeKernel[S]) -> S:
        """Return the sum of the kernel's statistics over all blocks.

        The first error of a task, or Ctrl-C, cancels the tasks that have not started, and is raised.
        """
        empty = empty_block(self.source)

        def task(partition: Partition | Delayed) -> S:
            return sum_partition(make_kernel, evaluate(partition), empty)

        partitions = self.source.partitions
        tree = TreeSum[S]()
        ahead: deque[Future[S]] = deque()
        with single_threaded_blas(), ThreadPoolExecutor(self.n_threads, "dem-sweep") as pool:
            try:
                for done in range(1, len(partitions) + 1):
                    while len(ahead) < 2 * self.n_threads and done + len(ahead) <= len(partitions):
                        ahead.append(pool.submit(task, partitions[done - 1 + len(ahead)]))
                    tree.push(ahead.popleft().result())
                    if self.progress:
                        self.progress(done, len(partitions))
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
            return check_no_row_lost(tree.total(), self.source)
