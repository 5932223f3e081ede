"""Where a pass runs, and within what memory: on this machine, or on a cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dask.utils import parse_bytes

from dem.em.progress import Progress, Silent
from dem.engine.cluster import ClusterRequest, open_cluster
from dem.engine.machines import Backend, OnCluster, ThisMachine
from dem.engine.passes import Passes
from dem.engine.sweep.serial import PartitionSweep
from dem.source import Source


@dataclass(frozen=True)
class Engine:
    """Where passes run, and within what memory.

    Stores are swept by worker processes, one for each core, started for the fit; small ones and arrays in
    memory by threads of this process, Dask arrays by Dask's own scheduler. A cluster is used instead for all
    but arrays in memory: the one that is named here; else that of a `distributed.Client` that is active; else that
    at the address in Dask's configuration. One that is named and not to be had is an error.

    Attributes
    ----------
    memory : int or str, optional
        Limit for this process and all that it starts, in bytes or like "1GB". A plan that cannot keep to it is
        refused before it starts. It does not bind the workers of a cluster that is used instead, nor row-wise
        results that are asked for in memory.
    scheduler : str, optional
        Address of a Dask scheduler, like "tcp://10.0.0.1:8786".
    workers : int, optional
        How many workers or threads to use at most on this machine; by default one for each core.
    progress : Progress, optional
        What to tell of the passes.
    scheduler_file : str or Path, optional
        A file that a Dask scheduler has written its address to.
    cluster : str or Path, optional
        A cluster file: see ``cluster_configs/``. The cluster is brought up for each fit, or for the whole block of
        `started`, and taken down at its end.
    """

    memory: int | str | None = None
    scheduler: str | None = None
    workers: int | None = None
    progress: Progress | None = None
    scheduler_file: str | Path | None = None
    cluster: str | Path | None = None
    backend: Backend | None = field(default=None, repr=False, compare=False)

    def __deepcopy__(self, memo: object) -> Engine:
        """Return the engine itself: clones of an estimator share it, with its progress."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Return the settings without the progress and the place, which belong to this process."""
        return {**self.__dict__, "progress": None, "backend": None}

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

    @property
    def on_cluster(self) -> bool:
        """Whether the passes of a started engine run on a cluster."""
        return self.backend is not None and self.backend.on_cluster

    @contextmanager
    def started(self) -> Iterator[Engine]:
        """Choose the cluster, or this machine; give an engine that stays there; end what was started.

        With a cluster that shares its processes out itself, as under ``srun`` and ``mpirun``, all processes run the
        program, and only one of them gets past this.

        Raises
        ------
        OSError, ImportError, RuntimeError, ValueError
            The cluster is not to be had: see `dem.engine.cluster.open_cluster`.
        """
        if self.backend is not None:
            yield self
            return
        request = ClusterRequest(self.scheduler, self.scheduler_file, self.cluster)
        with open_cluster(request, (self.progress or Silent()).note) as found:
            yield replace(self, backend=self._this_machine if found is None else OnCluster(found))

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
            The plan does not fit in the memory given, or into a worker.
        OSError
            A worker cannot see the data.
        OSError, ImportError, RuntimeError, ValueError
            The cluster is not to be had: see `dem.engine.cluster.open_cluster`.
        """
        progress = self.progress or Silent()
        with self._at(source, progress) as backend, ExitStack() as opened:

            def plan(workspace_bytes: int) -> PartitionSweep:
                opened.close()
                return opened.enter_context(backend.sweep(source, workspace_bytes, held_bytes, progress.advance))

            yield Passes(plan(workspace_bytes), source, progress, backend, plan)

    @contextmanager
    def _at(self, source: Source, progress: Progress) -> Iterator[Backend]:
        """Give the place for a source: arrays in memory stay where they are."""
        if source.in_memory:
            if self.on_cluster or ClusterRequest(self.scheduler, self.scheduler_file, self.cluster):
                progress.note(f"the {source.name} is in memory: it is swept in this process, and not on the cluster")
            yield self._this_machine
            return
        with self.started() as engine:
            assert engine.backend is not None
            yield engine.backend

    @property
    def _this_machine(self) -> ThisMachine:
        return ThisMachine(self.memory_bytes, self.n_workers)
