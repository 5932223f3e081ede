"""Where a pass runs (this machine or a cluster), and how much memory it may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import dask.config
from dask.utils import parse_bytes

from dem.em.progress import Progress, Silent
from dem.engine.cluster import ClusterRequest, active_client, open_cluster
from dem.engine.machines import Backend, OnCluster, ThisMachine
from dem.engine.passes import Passes
from dem.engine.sweep.serial import PartitionSweep
from dem.source import Source


@dataclass(frozen=True)
class Engine:
    """Where passes run, and how much memory they may use.

    By default passes run on this machine: stores are read by worker processes, one per core, which are started for
    the fit; small stores and arrays in memory are read by threads of this process, Dask arrays by Dask's own scheduler.
    A cluster replaces all of these, except for arrays in memory, which stay in this process. dem uses the first that
    it finds: the cluster named here, the active `distributed.Client`, the scheduler in Dask's configuration.
    A named cluster that cannot be reached is an error.

    Attributes
    ----------
    memory : int or str, optional
        Memory limit for this process and all processes that it starts, in bytes or like "1GB". A fit that needs more
        is refused before it starts. The limit does not apply to the workers of a cluster, nor to row-wise results
        that are returned as arrays in memory.
    scheduler : str, optional
        Address of a Dask scheduler, like "tcp://10.0.0.1:8786".
    workers : int, optional
        Most workers or threads to use on this machine; by default one per core.
    progress : Progress, optional
        Object that reports the passes, on the screen for example.
    scheduler_file : str or Path, optional
        File with the address of a Dask scheduler, as ``dask scheduler --scheduler-file`` writes it.
    cluster : str or Path, optional
        A cluster file: see ``cluster_configs/``. The cluster is started for each fit and stopped after it; inside a
        ``with engine.started()`` block it runs until the end of the block.
    backend : Backend, optional
        Set by `started`: the machine or cluster in use.
    """

    memory: int | str | None = None
    scheduler: str | None = None
    workers: int | None = None
    progress: Progress | None = None
    scheduler_file: str | Path | None = None
    cluster: str | Path | None = None
    backend: Backend | None = field(default=None, repr=False, compare=False)

    def __deepcopy__(self, memo: object) -> Engine:
        """Return the engine itself: clones of an estimator share one engine and its progress."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Return the settings without progress and backend, which belong to this process."""
        return {**self.__dict__, "progress": None, "backend": None}

    @property
    def memory_bytes(self) -> int | None:
        """The memory limit in bytes; None if there is no limit.

        Raises
        ------
        ValueError
            If `memory` is not a size.
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
        """The number of workers or threads on this machine.

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
        """Whether a started engine runs its passes on a cluster."""
        return self.backend is not None and self.backend.on_cluster

    @property
    def uses_cluster(self) -> bool:
        """Whether stores are read on a cluster: a started one, a named one, or one that is active."""
        if self.backend is not None:
            return self.backend.on_cluster
        named = ClusterRequest(self.scheduler, self.scheduler_file, self.cluster)
        configured = (dask.config.get(key, None) for key in ("scheduler-address", "scheduler-file"))
        return bool(named or active_client() or any(configured))

    @contextmanager
    def started(self) -> Iterator[Engine]:
        """Choose the cluster or this machine; yield an engine that uses it; at the end stop the started workers.

        Under ``srun`` and ``mpirun`` every process runs the program: only one of them continues past this
        call, the others become scheduler and workers.

        Raises
        ------
        OSError, ImportError, RuntimeError, ValueError
            The cluster cannot be reached or started: see `dem.engine.cluster.open_cluster`.
        """
        if self.backend is not None:
            yield self
            return
        request = ClusterRequest(self.scheduler, self.scheduler_file, self.cluster)
        with open_cluster(request, (self.progress or Silent()).note) as found:
            yield replace(self, backend=self._this_machine if found is None else OnCluster(found))

    @contextmanager
    def open(self, source: Source, workspace_bytes: int, held_bytes: int = 0) -> Iterator[Passes]:
        """Choose how to run passes over a source; yield them; at the end stop the started workers.

        Parameters
        ----------
        source : Source
        workspace_bytes : int
            Bytes a task needs in addition to its block.
        held_bytes : int
            Bytes this process will hold during the passes, such as the sample.

        Raises
        ------
        MemoryError
            The passes do not fit into the memory limit, or into the memory of a worker.
        OSError
            A worker cannot see the data.
        OSError, ImportError, RuntimeError, ValueError
            The cluster cannot be reached or started: see `dem.engine.cluster.open_cluster`.
        """
        progress = self.progress or Silent()
        with self._at(source, progress) as backend, ExitStack() as opened:

            def plan(workspace_bytes: int) -> PartitionSweep:
                opened.close()
                return opened.enter_context(backend.sweep(source, workspace_bytes, held_bytes, progress.advance))

            yield Passes(plan(workspace_bytes), source, progress, backend, plan)

    @contextmanager
    def _at(self, source: Source, progress: Progress) -> Iterator[Backend]:
        """Yield the backend for a source; arrays in memory always stay in this process."""
        if source.in_memory:
            if self.on_cluster or ClusterRequest(self.scheduler, self.scheduler_file, self.cluster):
                progress.note(f"{source.name} is in memory: passes run in this process, not on the cluster")
            yield self._this_machine
            return
        with self.started() as engine:
            assert engine.backend is not None
            yield engine.backend

    @property
    def _this_machine(self) -> ThisMachine:
        return ThisMachine(self.memory_bytes, self.n_workers)
