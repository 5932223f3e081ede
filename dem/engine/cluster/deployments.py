"""The kinds of clusters that a cluster file can describe, with one contract: start it, and always stop it."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import dask.config
from distributed import Client
from distributed.deploy.spec import SpecCluster
from distributed.utils import silence_logging_cmgr

from dem.engine.cluster.cluster_file import Adapt
from dem.engine.cluster.log_level import log_level

log = logging.getLogger("dem")

Make = Callable[[], Any]


class Deployment(Protocol):
    """A way to get a cluster."""

    def up(self, begin: Callable[[], object]) -> AbstractContextManager[tuple[Client, int]]:
        """Start the cluster; yield a client and the number of workers requested; stop the cluster.

        Parameters
        ----------
        begin : callable
            Called as soon as it is known that this process is the client.
        """


@dataclass(frozen=True)
class Managed:
    """A Dask cluster object, which starts and stops the workers.

    Attributes
    ----------
    make : callable
        Makes the cluster object.
    workers : int or Adapt or None
        Number of workers; None uses the cluster's own default.
    """

    make: Make
    workers: int | Adapt | None = None

    @contextmanager
    def up(self, begin: Callable[[], object]) -> Iterator[tuple[Client, int]]:
        """Start the cluster and request the workers; at the end close the cluster."""
        begin()
        with silence_logging_cmgr(logging.CRITICAL):  # the error that it raises is enough
            made = self.make()
        with _closed_at_end(made) as cluster, Client(cluster, set_as_default=False) as client:
            try:
                self._ask(cluster)
            except Exception as error:
                raise RuntimeError(f"The cluster could not start the workers: {one_line(error)}") from error
            yield client, self._wanted(cluster)

    def _ask(self, cluster: Any) -> None:
        """Request the workers."""
        if isinstance(self.workers, Adapt):
            cluster.adapt(minimum=self.workers.minimum, maximum=self.workers.maximum)
        elif isinstance(cluster, SpecCluster) and self.workers is not None:
            with log_level("tornado.application", logging.CRITICAL):  # the error is raised by the caller
                cluster.sync(_scale_and_wait, cluster, self.workers)
        elif self.workers is not None:
            cluster.scale(self.workers)

    def _wanted(self, cluster: Any) -> int:
        """Return how many workers to wait for; 1 if the number is unknown."""
        if isinstance(self.workers, Adapt):
            return max(1, self.workers.minimum)
        return self.workers or len(getattr(cluster, "plan", ())) or 1


@dataclass(frozen=True)
class Ranks:
    """Processes that ``srun`` or another launcher has started, all with this program: Dask gives each its role.

    The processes that become scheduler and workers stay in the constructor until the end and then exit; only the
    client's process continues.

    Attributes
    ----------
    make : callable
        Makes the runner.
    workers : int or None
        Number of workers; None uses the runner's number.
    """

    make: Make
    workers: int | None = None

    @contextmanager
    def up(self, begin: Callable[[], object]) -> Iterator[tuple[Client, int]]:
        """Take a role; the client stops the other processes at the end."""
        with sigint_handled_by(lambda *_: sys.exit()), sigterm_ignored():  # runners end their processes by SIGINT
            runner = self.make()
        begin()
        with runner, Client(runner, set_as_default=False) as client:
            yield client, self.workers or int(getattr(runner, "n_workers", 1))


@dataclass(frozen=True)
class MPIRanks:
    """Processes that ``mpirun`` has started, all with this program: dask-mpi gives each its role.

    Attributes
    ----------
    initialize : callable
        dask-mpi's function: takes ``exit``, and returns whether this process is the client.
    workers : int or None
        Number of workers; None means all ranks except those of scheduler and client.
    """

    initialize: Callable[..., Any]
    workers: int | None = None

    @contextmanager
    def up(self, begin: Callable[[], object]) -> Iterator[tuple[Client, int]]:
        """Take a role; the client stops the other processes at the end."""
        with dask.config.set({"scheduler-address": None}):  # dask-mpi writes the address there
            # With exit=True it would shut down at interpreter exit, when Python 3.12 can start no threads.
            with sigterm_ignored():
                is_client = self.initialize(exit=False)
            if not is_client:
                sys.exit()
            begin()
            with Client(dask.config.get("scheduler-address"), set_as_default=False) as client:
                try:
                    yield client, self.workers or _mpi_size() - 2
                finally:
                    client.shutdown()


@contextmanager
def configured(settings: dict[str, Any]) -> Iterator[None]:
    """Merge settings into Dask's configuration for a while; setting them directly would replace whole sections."""
    whole = dask.config.merge(dask.config.config, settings)
    merged = {key: whole[dask.config.canonical_name(key, whole)] for key in settings}
    with dask.config.set(merged), silence_logging_cmgr(logging.WARNING):
        yield


@contextmanager
def _closed_at_end(cluster: Any) -> Iterator[Any]:
    """Close a cluster at the end."""
    try:
        yield cluster
    except BaseException:
        _close(cluster, log.info)  # the error is reported anyway
        raise
    else:
        _close(cluster, log.warning)


def _close(cluster: Any, log_failure: Callable[..., object]) -> None:
    """Close a cluster without Dask's log messages.

    A failure is logged only afterwards, since the silenced log handlers may not belong to Dask alone.
    """
    try:
        with silence_logging_cmgr(logging.CRITICAL):
            cluster.close()
    except Exception as error:
        log_failure("The cluster could not be closed: %s", one_line(error))


async def _scale_and_wait(cluster: SpecCluster, n: int) -> None:
    """Scale a cluster and wait until it has started (or submitted) the workers.

    `scale` alone works in the background, and its errors are lost. `_correct_state` raises them; later callers on the
    cluster's event loop wait for the same work.
    """
    cluster.scale(n)
    await cluster._correct_state()


@contextmanager
def sigint_handled_by(handler: Any) -> Iterator[None]:
    """Handle Ctrl-C by `handler` (None changes nothing), and restore the old handler; only in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    try:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def sigterm_ignored() -> Iterator[None]:
    """Ignore SIGTERM, which a batch system sends to all ranks: the client alone reacts and stops the other ranks.

    Otherwise the others would end first, and the client would wait for them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _mpi_size() -> int:
    return int(importlib.import_module("mpi4py.MPI").COMM_WORLD.Get_size())


def one_line(error: BaseException) -> str:
    """Return the message of an error in one line."""
    return " ".join(str(error).split()) or type(error).__name__
