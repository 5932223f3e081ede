"""A cluster of worker processes on this machine."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import dask.config
from distributed import Client, Scheduler
from distributed.deploy.spec import SpecCluster
from distributed.deploy.subprocess import Subprocess
from distributed.diagnostics.plugin import SchedulerPlugin
from distributed.utils import silence_logging_cmgr

from dem.engine.cluster.log_level import log_level

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
START_SECONDS = 60
LEAVE_SECONDS = 5
"""How long a worker process may take to end by itself after the scheduler has removed it."""
MAX_FAILED_STARTS = 5
"""After so many processes in a row that end before they connect, no new one is started."""

SCHEDULER_CONFIG = {
    # A worker that connected and died is always replaced. Dask counts the deaths for each task: a task that has
    # killed four workers fails, and the pass fails with it.
    "distributed.scheduler.allowed-failures": 3,
    # A worker that has been silent for so long (stopped or hanging) is removed and replaced. Dask checks once in
    # this time, so it takes up to twice as long.
    "distributed.scheduler.worker-ttl": "60s",
    # The pass fails if there has been no worker for so long.
    "distributed.scheduler.no-workers-timeout": f"{START_SECONDS}s",
    # By default Dask's cluster closes a worker for good if it is not back 15 s after it was lost, although its new
    # process may only be slow to start. Here WorkerProcess starts the new processes, so it must never be closed.
    "distributed.deploy.lost-worker-timeout": "3650d",
}

SINGLE_THREADED = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
FEW_ARENAS = {"MALLOC_ARENA_MAX": "2"}
"""zarr decodes on several threads, and each would keep freed memory in its own arena; few arenas are as fast."""
RETURN_FREED_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**20),
    "MALLOC_TRIM_THRESHOLD_": str(2**25),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
"""Used with a memory limit: freed blocks go back to the system, so that a worker needs as much as planned.

By default glibc keeps freed blocks of up to 32 MB: with chunks of 20 MB, idle workers held 160 MB instead of 80, and
busy ones 40 MB more than planned. These settings make the lightest kernels 5 to 10 % slower; without huge pages it
would be more.
"""

WORKER_CONFIG = {
    # Dask would pause a worker by the size of its process, but most of that is not data that Dask manages: it keeps
    # small sums only, so spilling frees nothing. The memory is planned before the start.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    # Errors of tasks are raised in the client; a lost worker is logged when its new process is started.
    "logging.distributed": "critical",
}


class Guard(SchedulerPlugin):
    """Kills the process of a worker that the scheduler has removed, so that a new process replaces it.

    A process that is stopped or hangs does not end by itself.
    """

    name = "dem-guard"

    def __init__(self) -> None:
        self.workers: dict[Any, WorkerProcess] = {}
        self._processes: dict[str, asyncio.subprocess.Process] = {}

    def add_worker(self, scheduler: Scheduler, worker: str) -> None:
        """Remember the process of the worker that has connected from this address."""
        owner = self.workers.get(scheduler.workers[worker].name)
        if owner is not None and owner.process is not None:
            owner.came_up = True
            self._processes[worker] = owner.process

    def remove_worker(self, scheduler: Scheduler, worker: str, **_: Any) -> None:
        """Kill the worker's process if it has not ended after `LEAVE_SECONDS`."""
        process = self._processes.pop(worker, None)
        if process is not None:
            asyncio.get_running_loop().call_later(LEAVE_SECONDS, _end, process)


def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        logger.warning("A worker process does not respond: stopping it.")
        with suppress(ProcessLookupError):
            process.kill()


class WorkerProcess(Subprocess):
    """A single-threaded worker in its own process, which is started again when it dies.

    It does the work of Dask's nanny without a nanny process. The worker process has its own session, so that Ctrl-C
    reaches only the client, which then closes the workers; a worker whose client has ended closes itself.

    Attributes
    ----------
    came_up : bool
        Whether the current process has connected to the scheduler.
    """

    def __init__(self, scheduler: str, name: str, options: dict[str, Any], env: dict[str, str], guard: Guard) -> None:
        spec = json.dumps({"cls": "distributed.Worker", "opts": {**options, "name": name}})
        self.command = [sys.executable, "-m", "distributed.cli.dask_spec", scheduler, "--spec", spec]
        self.env = env
        self.came_up = False
        self.relaunching: asyncio.Task[None] | None = None
        guard.workers[name] = self
        super().__init__()  # type: ignore[no-untyped-call, unused-ignore]

    async def _start(self) -> None:
        await self._launch()
        self.relaunching = asyncio.create_task(self._relaunch())

    async def _launch(self) -> None:
        self.came_up = False
        self.process = await asyncio.create_subprocess_exec(
            *self.command, env={**os.environ, **self.env}, start_new_session=True
        )

    async def _relaunch(self) -> None:
        lost = 0
        while True:
            assert self.process is not None
            code = await self.process.wait()
            what = f"A worker process ended with status {code}{' (out of memory?)' if code == -signal.SIGKILL else ''}"
            lost = 0 if self.came_up else lost + 1
            if lost == MAX_FAILED_STARTS:
                logger.error("%s: %d processes in a row ended before they connected.", what, MAX_FAILED_STARTS)
                return
            logger.warning("%s: starting a new one.", what)
            await self._launch()

    async def close(self) -> None:
        """Kill the process: it holds nothing that must be kept."""
        if self.relaunching:
            self.relaunching.cancel()
        await super().close()


@contextmanager
def local_cluster(n_workers: int, memory_limit_bytes: int | None = None) -> Iterator[Client]:
    """Start single-threaded worker processes on this machine; yield a client; at the end stop them.

    It works from a script without ``if __name__ == "__main__"``. The scheduler runs in this process. The client does
    not become Dask's default client.

    Parameters
    ----------
    n_workers : int
    memory_limit_bytes : int, optional
        The memory limit that each worker reports. Dask does not enforce it: see `WORKER_CONFIG`.

    Raises
    ------
    RuntimeError
        The workers did not start.
    """
    with tempfile.TemporaryDirectory(prefix="dem-workers-", ignore_cleanup_errors=True) as scratch:
        with dask.config.set(WORKER_CONFIG):
            config = dask.config.serialize(dask.config.config)
        env = {
            **SINGLE_THREADED,
            **FEW_ARENAS,
            **(RETURN_FREED_MEMORY if memory_limit_bytes else {}),
            "DASK_INTERNAL_INHERIT_CONFIG": config,
            "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),  # user modules
        }
        private = {"host": HOST, "dashboard": False, "dashboard_address": f"{HOST}:0"}
        options = {
            **private,
            "nthreads": 1,
            "memory_limit": memory_limit_bytes or 0,
            "local_directory": scratch,
        }
        guard = Guard()
        worker = {"cls": WorkerProcess, "options": {"options": options, "env": env, "guard": guard}}
        scheduler = {"cls": Scheduler, "options": {**private, "port": 0, "plugins": [guard]}}
        # The scheduler runs in this process. Its messages about closed connections and lost tasks are not shown: the
        # ends of the processes are logged, and the pass raises the error.
        logging.getLogger("distributed.batched").setLevel(logging.WARNING)
        with (
            log_level("distributed.scheduler", logging.CRITICAL),
            ExitStack() as quiet,
            dask.config.set(SCHEDULER_CONFIG),
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
                raise RuntimeError(
                    f"{n_workers} worker processes did not start within {START_SECONDS} s: look at the log messages, "
                    "or use fewer workers."
                ) from error
            try:
                yield client
            except BaseException:
                # The error is reported; Dask's messages about lost results while it closes are not needed.
                quiet.enter_context(silence_logging_cmgr(logging.CRITICAL))
                raise
