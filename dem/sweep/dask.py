"""One pass as a Dask graph: a task per partition, then the tree, on a cluster or local threads."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import dask.base
import dask.threaded
from dask.callbacks import Callback
from dask.task_spec import List, Task, TaskRef
from distributed import Client, KilledWorker, as_completed
from distributed.client import FutureCancelledError
from distributed.comm import CommClosedError

from dem.blas import limit_blas_in_worker, single_threaded_blas
from dem.model import Block, MakeKernel
from dem.source import Delayed, Partition, Source
from dem.stats import Statistics, add_up, groups
from dem.sweep.serial import Advance, check_rows, empty_block, sum_partition

S = TypeVar("S", bound=Statistics)
T = TypeVar("T")
Graph = dict[Any, Any]

DRAIN_SECONDS = 10.0
"""How long a pass that was broken off waits for tasks that have begun: threads cannot be killed."""

_running: set[int] = set()


@dataclass(frozen=True)
class DaskSweep:
    """One full pass by Dask; the same bits as `SerialSweep`.

    Nothing is scattered: what a pass needs are results of small tasks, which come back when a
    worker is lost. Statistics stay on the workers, and only the total travels to the client.

    Attributes
    ----------
    source : Source
    client : distributed.Client or None
        None takes Dask's own scheduler: the one configured, else local threads.
    progress : callable, optional
        Called in the calling thread, with (partitions done, partitions in all).
    """

    source: Source
    client: Client | None = None
    progress: Advance | None = None

    def __call__(self, make_kernel: MakeKernel[S]) -> S:
        """Return the sum of the kernel's statistics over all blocks.

        An error of a task is raised as it was; that, and Ctrl-C, drop the whole pass and wait
        until its tasks have stopped.
        """
        graph, leaves, root = sweep_graph(self.source, make_kernel)
        with single_threaded_blas():  # for tasks that run in this process
            run = self._local if self.client is None else self._remote
            total: S = run(graph, leaves, root)
        return check_rows(total, self.source)

    def _local(self, graph: Graph, leaves: list[Any], root: Any) -> Any:
        get = dask.base.get_scheduler() or dask.threaded.get
        if self.progress is None:
            return get(graph, root)
        unfinished, progress = set(leaves), self.progress

        def finished(key: Any, *_: Any) -> None:
            if key in unfinished:
                unfinished.remove(key)
                progress(len(leaves) - len(unfinished), len(leaves))

        with Callback(posttask=finished):
            return get(graph, root)

    def _remote(self, graph: Graph, leaves: list[Any], root: Any) -> Any:
        assert self.client is not None
        wanted = [*leaves, root] if self.progress else [root]
        futures = self.client.get(graph, wanted, sync=False)
        done = 0
        try:
            for future in as_completed(futures, loop=self.client.loop):
                if future.key == root or future.status != "finished":
                    with self._explained():
                        return future.result()  # or raise it
                future.release()  # lets go of a partition's sum once its node has it
                done += 1
                if self.progress:
                    self.progress(done, len(leaves))
        except BaseException:
            self._stop(futures)
            raise
        raise RuntimeError("The scheduler ended a pass without a total.")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say in a sentence what the cluster died of."""
        try:
            yield
        except KilledWorker as error:
            raise RuntimeError(
                f"A worker died {error.allowed_failures + 1} times on the same part of {self.source.name}, most likely "
                "out of memory: give the workers more memory or fewer threads, or rechunk the data to smaller chunks."
            ) from error
        except (FutureCancelledError, CommClosedError) as error:
            raise RuntimeError(
                f"The Dask scheduler went away or was restarted during a pass over {self.source.name}: when it is up, "
                "start again."
            ) from error

    def _stop(self, futures: list[Any]) -> None:
        """Drop what has not begun, and wait for what has: outputs are removed after this."""
        assert self.client is not None
        for future in futures:  # released, not cancelled: the scheduler's cancel fails on inner tasks
            future.release()
        if self.client.status != "running":
            return
        deadline = time.monotonic() + DRAIN_SECONDS
        with suppress(OSError):  # workers may be on their way out themselves
            while time.monotonic() < deadline:
                if not any(self.client.run(_count_running, on_error="ignore").values()):
                    return
                time.sleep(0.05)


def sweep_graph(source: Source, make_kernel: MakeKernel[S]) -> tuple[Graph, list[Any], Any]:
    """Return the low-level graph of one pass, the keys of the partitions' sums, and the total's key.

    Keys are new in every pass, so that no scheduler takes an old result for a new one.
    """
    token = uuid.uuid4().hex
    kernel, handles = f"dem-kernel-{token}", f"dem-partitions-{token}"
    empty = empty_block(source)
    partitions = source.partitions
    graph: Graph = {kernel: Task(kernel, _itself, make_kernel)}
    if source.compact:
        graph[handles] = Task(handles, _itself, partitions)
    leaves: list[Any] = []
    merged = None
    for i, partition in enumerate(partitions):
        key = (f"dem-sum-{token}", i)
        leaves.append(key)
        if source.compact:
            graph[key] = Task(key, _sum_one_of, TaskRef(kernel), TaskRef(handles), i, empty)
        elif isinstance(partition, Delayed):
            if partition.dask is not merged:  # usually one graph, which they share
                graph.update(merged := partition.dask)
            graph[key] = Task(key, _sum, TaskRef(kernel), TaskRef(partition.key), empty)
        else:
            graph[key] = Task(key, _sum, TaskRef(kernel), partition, empty)
    level, depth = leaves, 0
    while len(level) > 1:
        depth += 1
        nodes = [((f"dem-add-{token}", depth, i), group) for i, group in enumerate(groups(level))]
        graph.update({key: Task(key, add_up, List(*map(TaskRef, group))) for key, group in nodes})
        level = [key for key, _ in nodes]
    return graph, leaves, level[0]


def _itself(value: T) -> T:
    return value


def _sum_one_of(make_kernel: MakeKernel[S], partitions: list[Partition], i: int, empty: Block) -> S:
    return _sum(make_kernel, partitions[i], empty)


def _sum(make_kernel: MakeKernel[S], partition: Partition, empty: Block) -> S:
    """Sum one partition in a task, on single-threaded BLAS."""
    limit_blas_in_worker()
    me = threading.get_ident()
    _running.add(me)
    try:
        return sum_partition(make_kernel, partition, empty)
    finally:
        _running.discard(me)


def _count_running() -> int:
    """Return how many partitions are being summed in this process: asked of every worker."""
    return len(_running)
