"""The kinds of clusters that a file can name, each with the same contract: up, then down again whatever happens."""

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
    """A way to a cluster."""

    def up(self, begin: Callable[[], object]) -> AbstractContextManager[tuple[Client, int]]:
        """Bring the cluster up; give a client of it and how many workers were asked for; take it down.

        Parameters
        ----------
        begin : callable
            Called once it is known that this process is the client.
        """


@dataclass(frozen=True)
class Managed:
    """A cluster object of Dask's, which starts workers and ends them.

    Attributes
    ----------
    make : callable
        Makes the cluster object.
    workers : int or Adapt or None
        None leaves the number to the cluster.
    """

    make: Make
    workers: int | Adapt | None = None

    @contextmanager
    def up(self, begin: Callable[[], object]) -> Iterator[tuple[Client, int]]:
        """Start the cluster and ask it for workers; close it."""
        begin()
        with silence_logging_cmgr(logging.CRITICAL):  # its error tells all
            made = self.make()
        with _closed_at_end(made) as cluster, Client(cluster, set_as_default=False) as client:
            try:
                self._ask(cluster)
            except Exception as error:
                raise RuntimeError(f"The cluster could not start the workers: {one_line(error)}") from error
            yield client, self._wanted(cluster)

    def _ask(self, cluster: Any) -> None:
        """Ask for the workers."""
        if isinstance(self.workers, Adapt):
            cluster.adapt(minimum=self.workers.minimum, maximum=self.workers.maximum)
        elif isinstance(cluster, SpecCluster) and self.workers is not None:
            with log_level("tornado.application", logging.CRITICAL):  # what is told below
                cluster.sync(_scale_and_wait, cluster, self.workers)
        elif self.workers is not None:
            cluster.scale(self.workers)

    def _wanted(self, cluster: Any) -> int:
        """Return how many workers to wait for; 1 where that is not known."""
        if isinstance(self.workers, Adapt):
            return max(1, self.workers.minimum)
        return self.workers or len(getattr(cluster, "plan", ())) or 1


@dataclass(frozen=True)
class Ranks:
    """Processes that are there already and all run this program, as under ``srun``: Dask gives each its part.

    The scheduler's and the workers' processes stay in the constructor until the end, and then leave the program;
    only the client's goes on.

    Attributes
    ----------
    make : callable
        Makes the runner.
    workers : int or None
        None: as many as the runner has.
    """

    make: Make
    workers: int | None = None

    @contextmanager
    def up(self, begin: Callable[[], object]) -> Iterator[tuple[Client, int]]:
        """Take a part; as the client, end the others at the end."""
        with sigint_handled_by(lambda *_: sys.exit()), sigterm_ignored():  # how runners leave
            runner = self.make()
        begin()
        with runner, Client(runner, set_as_default=False) as client:
            yield client, self.workers or int(getattr(runner, "n_workers", 1))


@dataclass(frozen=True)
class MPIRanks:
    """The same under ``mpirun``, by dask-mpi: a function and not a class.

    Attributes
    ----------
    initialize : callable
        Returns whether this process is the client; takes ``exit``.
    workers : int or None
        None: all ranks but the scheduler's and the client's.
    """

    initialize: Callable[..., Any]
    workers: int | None = None

    @contextmanager
    def up(self, begin: Callable[[], object]) -> Iterator[tuple[Client, int]]:
        """Take a part; as the client, end the others at the end."""
        with dask.config.set({"scheduler-address": None}):  # where it leaves the address
            # With exit=True it would shut down at the very end, when Python 3.12 starts no threads any more.
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
    """Merge settings into Dask's configuration while the cluster lives: to set them would replace whole parts."""
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
        _close(cluster, log.info)  # the error tells enough
        raise
    else:
        _close(cluster, log.warning)


def _close(cluster: Any, tell: Callable[..., object]) -> None:
    """Close a cluster; what Dask says while it closes is noise.

    What is told of a failure comes after that: the handlers that are silenced may not be Dask's alone.
    """
    try:
        with silence_logging_cmgr(logging.CRITICAL):
            cluster.close()
    except Exception as error:
        tell("The cluster did not close as it should: %s", one_line(error))


async def _scale_and_wait(cluster: SpecCluster, n: int) -> None:
    """Scale a cluster and wait until it has started (or submitted) the workers.

    `scale` alone goes on behind one's back, where its errors are lost. On the cluster's own loop, the first to ask for
    the work, as here, shares it with those who come later.
    """
    cluster.scale(n)
    await cluster._correct_state()


@contextmanager
def sigint_handled_by(handler: Any) -> Iterator[None]:
    """Handle Ctrl-C by this (None: as before), and as before at the end; only the main thread can."""
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
    """Do nothing at SIGTERM, which a batch system sends to all ranks: the client alone stops, and ends the others.

    Else they would be gone before it, and it would wait for them instead of leaving in order.
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
    """Return what an error says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__
