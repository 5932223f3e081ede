"""The two places where passes can run, with one contract: this machine or a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

import dask
from distributed import Client

from dem.core.blas import machine_kind
from dem.engine.cluster import RunningCluster, local_cluster
from dem.engine.cluster.workers import check_kernel, check_memory, check_visible
from dem.engine.sweep.dask import DaskSweep
from dem.engine.sweep.memory_plan import Plan, plan_sweep
from dem.engine.sweep.process_memory import process_bytes
from dem.engine.sweep.serial import Advance, PartitionSweep, SerialSweep
from dem.engine.sweep.threads import ThreadSweep
from dem.kernel.kernel_id import KernelId
from dem.source import Delayed, Source

IN_PROCESS_BYTES = 256 * 2**20
"""Stores up to this decoded size are read by threads of this process: worker processes take seconds to start."""

CLIENT_GROWTH = 50 * 2**20
"""Memory that the scheduler of a local cluster and its connections add to this process."""


class Backend(Protocol):
    """Where passes run."""

    @property
    def on_cluster(self) -> bool:
        """Whether passes run on a cluster."""

    @property
    def machine_kinds(self) -> tuple[str, ...]:
        """The machine kinds of this process and of the workers: see `dem.core.blas.machine_kind`."""

    def sweep(
        self, source: Source, workspace_bytes: int, held_bytes: int, advance: Advance
    ) -> AbstractContextManager[PartitionSweep]:
        """Yield the sweep of a source (see `dem.engine.engine.Engine.open`); stop the workers started for it."""

    def check_visible(self, places: Iterable[str]) -> None:
        """Raise an OSError if a worker cannot see one of these paths or URLs."""

    def check_kernel(self, kernel: KernelId) -> None:
        """Raise a RuntimeError if a worker does not have this implementation of the E-step."""


@dataclass(frozen=True)
class ThisMachine:
    """The calling process, its threads, and the worker processes that it starts for a store.

    Attributes
    ----------
    memory_bytes : int or None
        Limit for all these processes together.
    n_workers : int
        Most threads or worker processes to use.
    """

    memory_bytes: int | None
    n_workers: int

    on_cluster = False

    @property
    def machine_kinds(self) -> tuple[str, ...]:
        """The machine kind of this process; its worker processes inherit its environment."""
        return (machine_kind(),)

    @contextmanager
    def sweep(
        self, source: Source, workspace_bytes: int, held_bytes: int, advance: Advance
    ) -> Iterator[PartitionSweep]:
        """Use threads or worker processes, depending on the source, and as many as the memory limit allows."""
        limit, n_workers = self.memory_bytes, self.n_workers
        here = process_bytes() + held_bytes
        if is_delayed(source):
            plan = plan_sweep(source, workspace_bytes, here, n_workers, worker_bytes=0).within(limit)
            with dask.config.set(num_workers=plan.n_workers):
                yield DaskSweep(plan.apply_to(source), None, advance)
            return
        if source.in_memory or (decoded_bytes(source) or 0) <= IN_PROCESS_BYTES:
            threads = min(n_workers, len(source.partitions))
            plan = plan_sweep(source, workspace_bytes, here, threads, worker_bytes=0).within(limit)
            if plan.n_workers == 1:
                yield SerialSweep(plan.apply_to(source), advance)
            else:
                yield ThreadSweep(plan.apply_to(source), plan.n_workers, advance)
            return
        workers = min(n_workers, len(source.partitions))
        plan = plan_sweep(source, workspace_bytes, here + CLIENT_GROWTH, workers).within(limit)
        share = None if limit is None else (limit - plan.client_bytes) // plan.n_workers
        with local_cluster(plan.n_workers, share) as client:
            yield DaskSweep(plan.apply_to(source), client, advance)

    def check_visible(self, places: Iterable[str]) -> None:
        """Do nothing: the workers see the same files as this process."""

    def check_kernel(self, kernel: KernelId) -> None:
        """Do nothing: the workers have the same dem as this process."""


@dataclass(frozen=True)
class OnCluster:
    """The workers of a cluster.

    Attributes
    ----------
    cluster : RunningCluster
    """

    cluster: RunningCluster

    on_cluster = True

    @property
    def machine_kinds(self) -> tuple[str, ...]:
        """The machine kind of this process, then those of the workers found when the cluster was opened."""
        return tuple(dict.fromkeys([machine_kind(), *sorted(worker.machine_kind for worker in self.cluster.workers)]))

    @contextmanager
    def sweep(
        self, source: Source, workspace_bytes: int, held_bytes: int, advance: Advance
    ) -> Iterator[PartitionSweep]:
        """Check that the workers have enough memory and can see the data; the workers are not stopped afterwards."""
        client = self.cluster.client
        if client.status == "closed":
            raise RuntimeError(
                f"The connection to {self.cluster.name} has been closed: use the engine inside its 'with' block, or "
                "make a new engine."
            )
        plan = fitting(client, plan_sweep(source, workspace_bytes, 0, 1))
        self.check_visible(source.stored_at)
        yield DaskSweep(plan.apply_to(source), client, advance)

    def check_visible(self, places: Iterable[str]) -> None:
        """Ask every worker."""
        check_visible(self.cluster.client, places)

    def check_kernel(self, kernel: KernelId) -> None:
        """Check the workers found when the cluster was opened."""
        check_kernel(self.cluster.workers, kernel)


def fitting(client: Client, plan: Plan) -> Plan:
    """Return the plan, whose tasks read less ahead if the workers have too little memory.

    Raises
    ------
    MemoryError
        They have too little even if nothing is read ahead.
    """
    try:
        check_memory(client, plan)
    except MemoryError:
        if plan.read_ahead == 0:
            raise
        return fitting(client, plan.reading_less_ahead())
    return plan


def is_delayed(source: Source) -> bool:
    """Whether the partitions are tasks of a Dask graph."""
    return any(isinstance(partition, Delayed) for partition in source.partitions[:1])


def decoded_bytes(source: Source) -> int | None:
    """Return the decoded size of all rows in bytes; None if the number of rows is unknown."""
    return None if source.n_rows is None else source.n_rows * source.n_columns * source.dtype.itemsize
