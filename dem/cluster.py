"""Dask clients: of a cluster of processes on this machine, of a scheduler elsewhere, or the active one."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import dask.config
from distributed import Client, Scheduler, Security
from distributed.comm.core import connect as comm_connect
from distributed.deploy.spec import SpecCluster
from distributed.deploy.subprocess import Subprocess
from distributed.utils import silence_logging_cmgr

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
START_SECONDS = 60
RESTARTS = 5
"""How often a worker process that died is started again. Dask gives up a task after four deaths."""

SINGLE_THREADED = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
FEW_ARENAS = {"MALLOC_ARENA_MAX": "2"}
"""zarr decodes on several threads, and each would keep freed memory of its own: with few arenas a worker
rests at 110 MB, not 145, and is as fast. (Dask's MALLOC_TRIM_THRESHOLD_ saves more, at up to half the speed.)
"""

WORKER_CONFIG = {
    # Dask would pause a worker by the size of its process, most of which is no data of its own; all
    # it keeps here is small sums, so that spilling frees nothing. Bytes are planned before the start.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "logging.distributed": "warning",
}


class WorkerProcess(Subprocess):
    """A worker with one thread, in a process of its own that is started again when it dies.

    It takes a nanny's place without a nanny's memory. The process has its own session, so that
    Ctrl-C reaches the client alone, which then closes the workers; a worker whose client has gone
    closes itself.
    """

    def __init__(self, scheduler: str, name: str, options: dict[str, Any], env: dict[str, str]) -> None:
        spec = json.dumps({"cls": "distributed.Worker", "opts": {**options, "name": name}})
        self.command = [sys.executable, "-m", "distributed.cli.dask_spec", scheduler, "--spec", spec]
        self.env = env
        self.guard: asyncio.Task[None] | None = None
        super().__init__()  # type: ignore[no-untyped-call, unused-ignore]

    async def _start(self) -> None:
        await self._launch()
        self.guard = asyncio.create_task(self._relaunch())

    async def _launch(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *self.command, env={**os.environ, **self.env}, start_new_session=True
        )

    async def _relaunch(self) -> None:
        for _ in range(RESTARTS):
            assert self.process is not None
            code = await self.process.wait()
            cause = " (out of memory?)" if code == -9 else ""
            logger.warning("A worker process ended with status %d%s; starting another.", code, cause)
            await self._launch()

    async def close(self) -> None:
        """Kill the process: nothing in it is worth waiting for."""
        if self.guard:
            self.guard.cancel()
        await super().close()


@contextmanager
def local_cluster(n_workers: int, memory_limit_bytes: int | None = None) -> Iterator[Client]:
    """Start single-threaded worker processes on this machine; yield a client; close everything.

    Works from an unguarded script. The scheduler runs in this process. The client is not made
    Dask's default.

    Parameters
    ----------
    n_workers : int
    memory_limit_bytes : int, optional
        What each worker reports as its memory. Dask enforces nothing: see `WORKER_CONFIG`.

    Raises
    ------
    RuntimeError
        The workers did not come up.
    """
    with tempfile.TemporaryDirectory(prefix="dem-workers-", ignore_cleanup_errors=True) as scratch:
        with dask.config.set(WORKER_CONFIG):
            config = dask.config.serialize(dask.config.config)
        env = {
            **SINGLE_THREADED,
            **FEW_ARENAS,
            "DASK_INTERNAL_INHERIT_CONFIG": config,
            "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),  # models from anywhere
        }
        private = {"host": HOST, "dashboard": False, "dashboard_address": f"{HOST}:0"}
        options = {
            **private,
            "nthreads": 1,
            "memory_limit": memory_limit_bytes or 0,
            "local_directory": scratch,
        }
        worker = {"cls": WorkerProcess, "options": {"options": options, "env": env}}
        scheduler = {"cls": Scheduler, "options": {**private, "port": 0}}
        # The scheduler is in this process: what its connections say of being closed is no news here.
        logging.getLogger("distributed.batched").setLevel(logging.WARNING)
        with (
            ExitStack() as quiet,
            SpecCluster(
                workers=dict.fromkeys(range(n_workers), worker),
                scheduler=scheduler,
                name="dem",
                silence_logs=logging.WARNING,
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            try:
                client.wait_for_workers(n_workers, timeout=START_SECONDS)
            except TimeoutError as error:
                raise RuntimeError(f"{n_workers} worker processes did not come up within {START_SECONDS} s.") from error
            try:
                yield client
            except BaseException:
                # The error tells what was broken off; what Dask says of lost results while it closes is noise.
                quiet.enter_context(silence_logging_cmgr(logging.CRITICAL))
                raise


def connect(scheduler: str, timeout: float = 10) -> Client:
    """Return a client of the scheduler at this address, such as ``tcp://10.0.0.1:8786``.

    Raises
    ------
    ConnectionError
        Nothing answers within `timeout` seconds.
    """
    try:
        with ThreadPoolExecutor(1) as thread:  # this thread may have a loop of its own, as in a notebook
            thread.submit(asyncio.run, _knock(scheduler, timeout)).result()
    except (OSError, ValueError) as error:
        raise ConnectionError(f"No Dask scheduler answers at {scheduler} within {timeout:g} s.") from error
    return Client(scheduler, timeout=timeout, set_as_default=False)


async def _knock(address: str, timeout: float) -> None:
    """Connect and hang up: a Client that cannot connect does not clean up after itself."""
    comm = await comm_connect(address, timeout, **Security().get_connection_args("client"))
    await comm.close()


def active_client() -> Client | None:
    """Return the `distributed.Client` that is current, or None."""
    try:
        client: Client = Client.current(allow_global=True)
    except ValueError:
        return None
    return client
