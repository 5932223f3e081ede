from pathlib import Path

import dask
import numpy as np
import pytest
import zarr
from distributed import Client, LocalCluster

from dem.engine.cluster import local, local_cluster
from dem.engine.sweep.serial import SerialSweep
from dem.source import open_source
from engine.sweep.kernels import make_moments
from faults.scripted import ROWS, Cluster

TESTS = Path(__file__).parents[1]
N_PARTITIONS = 40
TTL_KEY, TTL = "distributed.scheduler.worker-ttl", "10s"
"""For tests that stop a process. Less would end processes that are only slow on a busy machine."""


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """A store of 40 partitions."""
    path = tmp_path_factory.mktemp("faults") / "x.zarr"
    x = np.random.default_rng(5).normal(size=(ROWS * N_PARTITIONS, 6)) + 3
    array = zarr.create_array(path, shape=x.shape, chunks=(ROWS // 2, 6), dtype=x.dtype)
    array[:] = x
    source = open_source(path, partition_bytes=ROWS * 6 * 8)
    assert len(source.partitions) == N_PARTITIONS
    return source


@pytest.fixture(scope="session")
def undisturbed(source):
    return SerialSweep(source)(make_moments)


@pytest.fixture(params=["local", pytest.param("nannies", marks=pytest.mark.slow)])
def client(request):
    """Two worker processes: dem's own, or Dask's with nannies."""
    if request.param == "local":
        with local_cluster(2) as client:
            yield client
        return
    with (
        LocalCluster(2, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture
def soon_given_up(monkeypatch):
    """Workers that do not answer are given up after seconds."""
    monkeypatch.setitem(local.SCHEDULER_CONFIG, TTL_KEY, TTL)
    with dask.config.set({TTL_KEY: TTL}):
        yield


@pytest.fixture
def processes(monkeypatch):
    """A scheduler and workers in processes of their own, without nannies."""
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL", TTL)
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    with Cluster() as cluster:
        yield cluster
