"""Things that a cluster file can name, without processes: Dask's own cluster in threads, and what looks like others."""

import asyncio
import os
import signal
import threading
from queue import SimpleQueue

import dask
from distributed import LocalCluster, Scheduler, Worker
from distributed.deploy.spec import ProcessInterface

LOG = []
"""What the clusters were told, in order."""


class Threads(LocalCluster):
    """A cluster in this process."""

    def __init__(self, label="threads", **kwargs):
        self.label = label
        private = {"processes": False, "n_workers": 0, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
        super().__init__(**{**private, **kwargs})

    def scale(self, n):
        if n:  # closing scales to nothing
            LOG.append(("scale", n))
        super().scale(n)

    def adapt(self, **kwargs):
        LOG.append(("adapt", kwargs))
        return super().adapt(**kwargs)

    def close(self, timeout=None):
        LOG.append(("close", self.label))
        return super().close(timeout)


class Lame(Threads):
    """A cluster whose workers never come."""

    def scale(self, n):
        if n:
            LOG.append(("scale", n))
        else:
            super().scale(n)


class NoJob(ProcessInterface):
    """A worker that no queue takes."""

    def __init__(self, scheduler, name):
        super().__init__()

    async def start(self):
        raise OSError("sbatch: invalid partition specified")


class NoQueue(Threads):
    """A cluster that cannot start a worker, as where a job is refused."""

    def scale(self, n):
        self.worker_spec = {i: {"cls": NoJob, "options": {}} for i in range(n)}
        super().scale(n)


def by_function(label="function") -> Threads:
    return Threads(label)


def by_function_without_a_word():
    return Threads()


class Runner:
    """What looks like one of dask-jobqueue's runners; `part` says which rank this process is."""

    n_workers = 1

    def __init__(self, part="client"):
        LOG.append(("part", part))
        if part != "client":
            os.kill(os.getpid(), signal.SIGINT)  # so do runners leave
            signal.pause()
        self.cluster = Threads(n_workers=self.n_workers)
        self.scheduler_address, self.status = self.cluster.scheduler_address, self.cluster.status
        self.loop = self.cluster.loop

    def get_role(self):
        """Never called."""

    def start_worker(self):
        """Never called."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.cluster.close()


class MPI:
    """What dask-mpi's function does, for a rank."""

    def __init__(self, is_client):
        self.is_client = is_client
        self.others = None

    def __call__(self, exit):
        LOG.append(("initialize", exit))
        if self.is_client:
            address = SimpleQueue()
            self.others = threading.Thread(target=asyncio.run, args=[self._others(address)])
            self.others.start()
            dask.config.set(scheduler_address=address.get())
        return self.is_client

    async def _others(self, address):
        private = {"host": "127.0.0.1", "dashboard": False, "dashboard_address": "127.0.0.1:0"}
        async with Scheduler(port=0, **private) as scheduler, Worker(scheduler.address, nthreads=1, **private):
            address.put(scheduler.address)
            await scheduler.finished()
