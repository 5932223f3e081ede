"""A cluster of processes on this machine."""

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
"""How long a worker process that the scheduler has given up may take to end by itself."""
MAX_FAILED_STARTS = 5
"""How many processes in a row a worker may lose before they have come up: none could, most likely."""

SCHEDULER_CONFIG = {
    # A worker that came up and died is replaced without end, since Dask counts the deaths: the task that four
    # workers died of fails, and the pass with it.
    "distributed.scheduler.allowed-failures": 3,
    # A worker that has been silent for so long (stopped, hung) is given up, and replaced. Dask looks as often,
    # so it takes up to twice as long.
    "distributed.scheduler.worker-ttl": "60s",
    # No worker is left, and none comes: the pass fails.
    "distributed.scheduler.no-workers-timeout": f"{START_SECONDS}s",
    # Dask's cluster would close a worker that is not there so long after it was lost (15 s), be it that its new process
    # is slow to come up, or has just been lost again: then nobody starts another. Ours are started again here.
    "distributed.deploy.lost-worker-timeout": "3650d",
}

SINGLE_THREADED = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
FEW_ARENAS = {"MALLOC_ARENA_MAX": "2"}
"""zarr decodes on several threads, and each would keep freed memory of its own; a worker with few is as fast."""
RETURN_FREED_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**20),
    "MALLOC_TRIM_THRESHOLD_": str(2**25),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
"""Under a limit, blocks go back to the system when they are freed, and a worker holds what the plan says.

glibc keeps those of up to 32 MB: workers with chunks of 20 MB rested at 160 MB, not 80, and took 40 MB more at the
peak than the plan said. It costs the lightest kernels some 5 to 10 % of their speed; huge pages keep it that low.
"""

WORKER_CONFIG = {
    # Dask would pause a worker by the size of its process, most of which is no data of its own; all
    # it keeps here is small sums, so that spilling frees nothing. Bytes are planned before the start.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    # Errors of tasks are raised where the pass was begun, and of lost workers the new process tells.
    "logging.distributed": "critical",
}


class Guard(SchedulerPlugin):
    """Ends the process of a worker that the scheduler has given up, so that another one takes its place.

    A process that is stopped, or hangs, would not end by itself.
    """

    name = "dem-guard"

    def __init__(self) -> None:
        self.workers: dict[Any, WorkerProcess] = {}
        self._processes: dict[str, asyncio.subprocess.Process] = {}

    def add_worker(self, scheduler: Scheduler, worker: str) -> None:
        """Note which process has come up under this address."""
        owner = self.workers.get(scheduler.workers[worker].name)
        if owner is not None and owner.process is not None:
            owner.came_up = True
            self._processes[worker] = owner.process

    def remove_worker(self, scheduler: Scheduler, worker: str, **_: Any) -> None:
        """Kill that process if it stays."""
        process = self._processes.pop(worker, None)
        if process is not None:
            asyncio.get_running_loop().call_later(LEAVE_SECONDS, _end, process)


def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        logger.warning("A worker process does not answer any more; ending it.")
        with suppress(ProcessLookupError):
            process.kill()


class WorkerProcess(Subprocess):
    """A worker with one thread, in a process of its own that is started again when it dies.

    It takes a nanny's place without a nanny's memory. The process has its own session, so that
    Ctrl-C reaches the client alone, which then closes the workers; a worker whose client has gone
    closes itself.

    Attributes
    ----------
    came_up : bool
        The present process has connected to the scheduler.
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
                logger.error("%s, the last of %d in a row that did not come up.", what, MAX_FAILED_STARTS)
                return
            logger.warning("%s; starting another.", what)
            await self._launch()

    async def close(self) -> None:
        """Kill the process: nothing in it is worth waiting for."""
        if self.relaunching:
            self.relaunching.cancel()
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
            **(RETURN_FREED_MEMORY if memory_limit_bytes else {}),
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
        guard = Guard()
        worker = {"cls": WorkerProcess, "options": {"options": options, "env": env, "guard": guard}}
        scheduler = {"cls": Scheduler, "options": {**private, "port": 0, "plugins": [guard]}}
        # The scheduler is in this process: what its connections say of being closed is no news here, and
        # what it says of lost tasks is told by the processes' ends and by the error of the pass.
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
                raise RuntimeError(f"{n_workers} worker processes did not come up within {START_SECONDS} s.") from error
            try:
                yield client
            except BaseException:
                # The error tells what was broken off; what Dask says of lost results while it closes is noise.
                quiet.enter_context(silence_logging_cmgr(logging.CRITICAL))
                raise
