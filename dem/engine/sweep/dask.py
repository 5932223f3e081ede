"""One pass by Dask, on a cluster or local threads."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import dask.base
import dask.threaded
from dask.callbacks import Callback
from distributed import Client, as_completed

from dem.core.blas import single_threaded_blas
from dem.core.block import MakeKernel
from dem.core.stats import S
from dem.engine.sweep.graph import PassGraph, pass_graph, running_here
from dem.engine.sweep.lost_workers import explained_losses
from dem.engine.sweep.row_count import check_no_row_lost
from dem.engine.sweep.serial import Advance, SourceSweep
from dem.engine.sweep.watch import warned_without_workers
from dem.source import Source

DRAIN_SECONDS = 10.0
"""How long an interrupted pass waits for running tasks to end: threads cannot be killed."""


@dataclass(frozen=True)
class DaskSweep(SourceSweep):
    """One full pass by Dask; gives the same bits as `SerialSweep`.

    Nothing is scattered: the shared inputs are the result of a small task, which Dask runs again if a worker is
    lost. Statistics stay on the workers; only the total is sent to the client.

    Attributes
    ----------
    source : Source
    client : distributed.Client or None
        None uses Dask's configured scheduler, or local threads if none is configured.
    progress : callable, optional
        Called in the calling thread with (number of partitions done, number of all partitions).
    """

    source: Source
    client: Client | None = None
    progress: Advance | None = None

    def __call__(self, make_kernel: MakeKernel[S]) -> S:
        """Return the sum of the kernel's statistics over all blocks.

        An error of a task is raised unchanged. An error or Ctrl-C cancels the pass and waits until its tasks
        have stopped.

        Raises
        ------
        RuntimeError
            Rows were lost or counted twice, or the cluster failed (see `dem.engine.sweep.lost_workers`).
        """
        graph = pass_graph(self.source, make_kernel)
        with single_threaded_blas():  # for tasks that run in this process
            total: S = self._local(graph) if self.client is None else self._remote(self.client, graph)
        return check_no_row_lost(total, self.source)

    def _local(self, graph: PassGraph) -> Any:
        get = dask.base.get_scheduler() or dask.threaded.get
        if self.progress is None:
            return get(graph.tasks, graph.root)
        unfinished, progress, n = dict(graph.progress_keys), self.progress, len(graph.leaves)

        def finished(key: Any, *_: Any) -> None:
            if unfinished.pop(key, 0):
                progress(n - sum(unfinished.values()), n)

        with Callback(posttask=finished):
            return get(graph.tasks, graph.root)

    def _remote(self, client: Client, graph: PassGraph) -> Any:
        wanted = [*graph.progress_keys, graph.root] if self.progress else [graph.root]
        futures = client.get(graph.tasks, wanted, sync=False)
        done = 0
        try:
            with warned_without_workers(client):
                for future in as_completed(futures, loop=client.loop):
                    # A finished task may be pending again by now, if its worker was lost.
                    if future.key == graph.root or future.status in ("error", "cancelled"):
                        with explained_losses(self.source, client, graph.leaves):
                            return future.result()  # or raise it
                    future.release()  # the sum is freed once the next task of the tree has used it
                    done += graph.progress_keys[future.key]
                    if self.progress:
                        self.progress(done, len(graph.leaves))
        except BaseException:
            _stop(client, futures)
            raise
        raise RuntimeError("The Dask scheduler ended the pass without a result: run again.")


def _stop(client: Client, futures: list[Any]) -> None:
    """Release tasks that have not started and wait for running ones, since the caller may then remove outputs."""
    for future in futures:  # released, not cancelled: the scheduler cannot cancel the inner tasks of the tree
        future.release()

    async def drain() -> None:
        while client.status == "running" and any((await client.run(running_here, on_error="ignore")).values()):
            await asyncio.sleep(0.05)

    with suppress(OSError):  # includes TimeoutError: workers may be shutting down or not answer
        client.sync(asyncio.wait_for, drain(), DRAIN_SECONDS)
