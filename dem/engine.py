"""Where a pass runs: in this process, on a local cluster of processes, or on a cluster that is there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

import dask
from dask.utils import parse_bytes

from dem import em
from dem.cluster import active_client, connect, local_cluster
from dem.model import MakeKernel, Sweep
from dem.source import Delayed, Source
from dem.stats import Statistics
from dem.sweep.dask import DaskSweep
from dem.sweep.memory import process_bytes
from dem.sweep.plan import plan_sweep
from dem.sweep.serial import Advance, SerialSweep
from dem.sweep.threads import ThreadSweep

S = TypeVar("S", bound=Statistics)

IN_PROCESS_BYTES = 256 * 2**20
"""Stores smaller than this (decoded) are swept in this process: a cluster takes seconds to start."""

CLIENT_GROWTH = 50 * 2**20
"""What this process grows by with a local cluster: the scheduler and its connections."""


class Progress(Protocol):
    """What is told of the passes; all in the calling process."""

    def begin(self, what: str, rows: int | None, nbytes: int | None) -> None:
        """A pass begins: its name, and the rows and decoded bytes that it will read."""

    def advance(self, done: int, total: int) -> None:
        """So many partitions of so many are done."""

    def end(self, state: em.State[Any] | None) -> None:
        """The pass has ended; the state after it, where there is one."""


class Silent:
    """Progress that says nothing."""

    def begin(self, what: str, rows: int | None, nbytes: int | None) -> None:
        """Say nothing."""

    def advance(self, done: int, total: int) -> None:
        """Say nothing."""

    def end(self, state: em.State[Any] | None) -> None:
        """Say nothing."""


class Passes:
    """A sweep that counts its passes and tells of them.

    Attributes
    ----------
    count : int
        Passes made so far.
    """

    def __init__(self, sweep: Sweep, source: Source, progress: Progress) -> None:
        self._sweep, self._source, self.progress = sweep, source, progress
        self.count = 0

    def __call__(self, make_kernel: MakeKernel[S]) -> S:
        """Make a pass of EM, which the caller ends by telling the state after it."""
        return self._run(f"pass {self.count}", make_kernel)

    def named(self, what: str, make_kernel: MakeKernel[S]) -> S:
        """Make a pass that stands for itself."""
        stats = self._run(what, make_kernel)
        self.progress.end(None)
        return stats

    def as_named(self, what: str) -> Sweep:
        """Return the sweep whose passes have this name."""
        return partial(self.named, what)

    def _run(self, what: str, make_kernel: MakeKernel[S]) -> S:
        source = self._source
        self.progress.begin(what, source.n_rows, decoded_bytes(source))
        self.count += 1
        return self._sweep(make_kernel)


@dataclass(frozen=True)
class Engine:
    """Where passes run, and within what memory.

    Stores are swept by worker processes, one for each core, started for the fit; small ones and arrays in
    memory by threads of this process, Dask arrays by Dask's own scheduler. A `distributed.Client` that is
    active, or a scheduler's address, is used instead for all but arrays in memory.

    Attributes
    ----------
    memory : int or str, optional
        Limit for this process and all that it starts, in bytes or like "1GB". A plan that cannot keep to it is
        refused before it starts. It does not bind the workers of a cluster that is used instead, nor row-wise
        results that are asked for in memory.
    scheduler : str, optional
        Address of a Dask scheduler, like "tcp://10.0.0.1:8786".
    workers : int, optional
        How many workers or threads to use at most; by default one for each core.
    progress : Progress, optional
        What to tell of the passes.
    """

    memory: int | str | None = None
    scheduler: str | None = None
    workers: int | None = None
    progress: Progress | None = None

    def __deepcopy__(self, memo: object) -> Engine:
        """Return the engine itself: clones of an estimator share it, with its progress."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Return the settings without the progress, which belongs to this process."""
        return {**self.__dict__, "progress": None}

    @property
    def memory_bytes(self) -> int | None:
        """The limit in bytes.

        Raises
        ------
        ValueError
            If it is no size.
        """
        if self.memory is None:
            return None
        try:
            size = parse_bytes(self.memory)
        except (ValueError, TypeError, AttributeError):
            size = 0
        if size <= 0:
            raise ValueError(f"memory must be a size like '1GB' or a number of bytes, got {self.memory!r}")
        return int(size)

    @property
    def n_workers(self) -> int:
        """The number of workers or threads.

        Raises
        ------
        ValueError
            If `workers` is not a positive integer.
        """
        if self.workers is None:
            return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        if isinstance(self.workers, bool) or not isinstance(self.workers, int) or self.workers < 1:
            raise ValueError(f"workers must be an integer >= 1, got {self.workers!r}")
        return self.workers

    @contextmanager
    def open(self, source: Source, workspace_bytes: int, held_bytes: int = 0) -> Iterator[Passes]:
        """Choose how to sweep a source; close what was started at the end.

        Parameters
        ----------
        source : Source
        workspace_bytes : int
            What a task allocates beside its block.
        held_bytes : int
            What this process will hold besides, such as the sample.

        Raises
        ------
        MemoryError
            The plan does not fit in the memory given.
        ConnectionError
            No scheduler answers at the address.
        """
        progress = self.progress or Silent()
        with self._sweep(source, workspace_bytes, held_bytes, progress.advance) as sweep:
            yield Passes(sweep, source, progress)

    @contextmanager
    def _sweep(self, source: Source, workspace_bytes: int, held_bytes: int, advance: Advance) -> Iterator[Sweep]:
        limit, n_workers = self.memory_bytes, self.n_workers
        if not source.in_memory and self.scheduler is not None:
            with connect(self.scheduler) as client:
                yield DaskSweep(source, client, advance)
            return
        client = None if source.in_memory else active_client()
        if client is not None:
            yield DaskSweep(source, client, advance)
            return
        here = process_bytes() + held_bytes
        if is_delayed(source):
            plan = plan_sweep(source, workspace_bytes, here, n_workers, worker_bytes=0).within(limit)
            with dask.config.set(num_workers=plan.n_workers):
                yield DaskSweep(source, None, advance)
            return
        if source.in_memory or (decoded_bytes(source) or 0) <= IN_PROCESS_BYTES:
            threads = min(n_workers, len(source.partitions))
            plan = plan_sweep(source, workspace_bytes, here, threads, worker_bytes=0).within(limit)
            if plan.n_workers == 1:
                yield SerialSweep(source, advance)
            else:
                yield ThreadSweep(source, plan.n_workers, advance)
            return
        workers = min(n_workers, len(source.partitions))
        plan = plan_sweep(source, workspace_bytes, here + CLIENT_GROWTH, workers).within(limit)
        share = None if limit is None else (limit - plan.client_bytes) // plan.n_workers
        with local_cluster(plan.n_workers, share) as client:
            yield DaskSweep(source, client, advance)


def is_delayed(source: Source) -> bool:
    """Whether the partitions are tasks of a Dask graph."""
    return any(isinstance(partition, Delayed) for partition in source.partitions[:1])


def decoded_bytes(source: Source) -> int | None:
    """Return the size of all rows in memory, in bytes; None while it is unknown."""
    return None if source.n_rows is None else source.n_rows * source.n_columns * source.dtype.itemsize
