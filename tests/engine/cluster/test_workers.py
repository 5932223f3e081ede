"""What would go wrong on the workers is found before the work begins."""

import os
import re
import subprocess
import sys

import fsspec
import numpy as np
import pytest
import zarr
from distributed import Client

import dem
from dem.core.blas import machine_kind
from dem.engine.cluster import ClusterRequest, local_cluster, open_cluster, workers
from dem.engine.cluster.workers import (
    MemoryState,
    check_memory,
    check_visible,
    describe,
    inspect_workers,
    machine_warnings,
    wait_for_workers,
)
from dem.engine.engine import Engine
from dem.engine.sweep.memory_plan import Plan
from dem.kernel.kernel_id import NUMPY, KernelId
from engine.cluster import fake_clusters
from other_kernel import other_kernel

HERE = dem.__version__

WORKER = """
import asyncio, sys
from distributed import Worker

async def main():
    async with Worker(sys.argv[1], nthreads=1, dashboard=False, dashboard_address="127.0.0.1:0") as worker:
        await worker.finished()

asyncio.run(main())
"""
WITHOUT_DEM = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "dem":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
{WORKER}"""


@pytest.fixture(scope="module")
def client():
    with local_cluster(2) as client:
        yield client


@pytest.fixture(scope="module")
def names(client):
    return sorted(client.scheduler_info(n_workers=-1)["workers"])


def test_workers_like_this_process(client, names):
    found = inspect_workers(client)
    assert sorted(worker.address for worker in found) == names
    for worker in found:
        assert worker.host == os.uname().nodename
        assert worker.versions["dem"] == HERE
        assert worker.versions["numpy"] == np.__version__
        assert worker.versions["zarr"] == zarr.__version__
        assert (worker.threads, worker.memory) == (1, 0)
        assert worker.machine_kind == machine_kind()
    assert describe(found) == "2 workers on 1 host, 2 threads"
    assert machine_warnings(found, machine_kind()) == []


def answers(client, names, **versions):
    """Let the second worker tell of other versions than it has."""
    told = client.get_versions(packages=list(workers.PACKAGES))
    told["workers"] = {
        name: {**its, "packages": {**its["packages"], **(versions if name == names[1] else {})}}
        for name, its in told["workers"].items()
    }
    return lambda packages: told


@pytest.mark.parametrize(
    ("package", "version", "said"),
    [
        ("numpy", "1.26.4", f"has numpy 1.26.4, but this process has numpy {np.__version__}: install the same version"),
        ("zarr", "3.0.0", f"has zarr 3.0.0, but this process has zarr {zarr.__version__}"),
        ("zarr", None, f"has no zarr, but this process has zarr {zarr.__version__}"),
        ("python", "3.99.1.final.0", "has python 3.99, but this process has python 3."),
    ],
)
def test_other_versions(package, version, said, client, names, monkeypatch):
    monkeypatch.setattr(client, "get_versions", answers(client, names, **{package: version}))
    with pytest.raises(RuntimeError, match=rf"^Worker {re.escape(names[1])} on host [^ ]+ {re.escape(said)}"):
        inspect_workers(client)


def test_a_later_python_of_the_same_minor_version_is_the_same(client, names, monkeypatch):
    monkeypatch.setattr(
        client, "get_versions", answers(client, names, python=".".join([*map(str, sys.version_info[:2]), "99"]))
    )
    assert len(inspect_workers(client)) == 2


@pytest.mark.parametrize(("its", "said"), [("0.0.9", "has dem 0.0.9"), ("", "has no dem")])
def test_another_dem_or_none(its, said, client, monkeypatch):
    monkeypatch.setattr(workers, "_identify", lambda: lambda: ("node7", its, "", ""))
    with pytest.raises(RuntimeError, match=rf"on host node7 {said}, but this process has dem {HERE}: install the same"):
        inspect_workers(client)


@pytest.mark.parametrize(
    ("digest", "its"),
    [("abcdef0123456789", "native kernel abcdef0123456789"), ("", "no native kernel (`dem doctor` there says why)")],
)
def test_another_native_kernel_or_none(digest, its, client, monkeypatch):
    """It is refused, unless this process uses NumPy."""
    here = KernelId("native", "0123456789abcdef")
    monkeypatch.setattr(workers, "_identify", lambda: lambda: ("node7", HERE, "", digest))
    found = inspect_workers(client)
    said = f"on host node7 has {its}, but this process has {here}: install dem on both in the same way, or set "
    with pytest.raises(RuntimeError, match=f"^Worker [^ ]+ {re.escape(said)}DEM_KERNEL=numpy for this process\\.$"):
        workers.check_kernel(found, here)
    workers.check_kernel(found, NUMPY)


def test_a_worker_that_cannot_import_dem():
    with (
        fake_clusters.Threads(protocol="tcp", host="127.0.0.1") as cluster,
        Client(cluster, set_as_default=False) as client,
        subprocess.Popen([sys.executable, "-c", WITHOUT_DEM, cluster.scheduler_address], stderr=-3) as process,
    ):
        try:
            assert wait_for_workers(client, 1, 60) == 1
            with pytest.raises(RuntimeError, match=f"has no dem, but this process has dem {HERE}"):
                inspect_workers(client)
        finally:
            process.kill()


def test_each_other_kind_of_machine_is_told_of_once():
    kinds = {"node1": "Abacus", "node2": "Abacus", "node3": "Slide rule", "node4": "Quipu"}
    there = [workers.Worker(f"tcp://{host}:1", host, 1, 0, kind, {}) for host, kind in kinds.items()] * 2
    then = "this process with Quipu: results may differ in the last bits"
    assert machine_warnings(there, "Quipu") == [
        f"warning: workers on host node1 and 1 more compute with Abacus, {then} from run to run",
        f"warning: workers on host node3 compute with Slide rule, {then} from run to run",
    ]
    assert machine_warnings(there[:2], "Quipu") == [
        f"warning: workers on host node1 and 1 more compute with Abacus, {then}"
    ]


@pytest.mark.skipif(other_kernel() is None, reason="no other BLAS kernel")
def test_workers_with_another_blas_kernel_are_told_of():
    """As where they are started over SSH, which does not carry this process's environment."""
    env, notes = {**os.environ, "OPENBLAS_CORETYPE": other_kernel()}, []
    with (
        fake_clusters.Threads(protocol="tcp", host="127.0.0.1") as cluster,
        subprocess.Popen([sys.executable, "-c", WORKER, cluster.scheduler_address], stderr=-3, env=env) as process,
    ):
        try:
            with open_cluster(ClusterRequest(scheduler=cluster.scheduler_address), notes.append) as found:
                kind = found.workers[0].machine_kind
        finally:
            process.kill()
    assert kind != machine_kind()
    assert notes[1:] == [
        f"warning: workers on host {os.uname().nodename} compute with {kind}, this process with {machine_kind()}: "
        "results may differ in the last bits"
    ]


def test_a_worker_s_memory():
    """An idle worker holds more where optional packages are installed, such as pandas: the limit leaves room for it."""
    plan = Plan("x.zarr", 200_000_000, 300_000_000, 100_000_000, 0)
    with local_cluster(1, 500_000_000) as client:
        said = (
            r"may use 500 MB, but a pass over x\.zarr needs ([0-9]+) MB there \(([0-9]+) MB when idle, and 1 task "
            r"at a time, 400 MB each\): give the workers more memory, or rechunk the data to smaller chunks\.$"
        )
        with pytest.raises(MemoryError, match=said) as refused:
            check_memory(client, plan)
        needed, resting = re.search(said, str(refused.value)).groups()
        assert int(needed) == int(resting) + 400
        check_memory(client, Plan("x.zarr", 10_000_000, 20_000_000, 10_000_000, 0))


def test_what_a_worker_holds_already_counts_and_so_does_where_dask_ends_it(client, monkeypatch):
    """Of a limit of 300 MB, Dask's nannies leave a worker 95 %."""
    address, other = client.scheduler_info(n_workers=-1)["workers"]
    held = {address: MemoryState(200_000_000, 0.8, 0.95), other: ZeroDivisionError()}  # which has just left
    limits = {"memory_limit": 300_000_000, "nthreads": 2, "host": "a"}
    monkeypatch.setattr(client, "scheduler_info", lambda n_workers: {"workers": {address: limits, other: limits}})
    monkeypatch.setattr(client, "run", lambda *_, **__: held)
    check_memory(client, Plan("x.zarr", 10, 30_000_000, 12_500_000, 0))
    said = (
        rf"^Worker {address} on host a may use 300 MB, but a pass over x\.zarr needs 301 MB there \(200 MB when idle, "
        r"and 2 tasks at a time, 43 MB each; Dask stops it at 95% of its limit\): give the workers more memory or "
        r"fewer threads, or rechunk the data to smaller chunks\.$"
    )
    with pytest.raises(MemoryError, match=said):
        check_memory(client, Plan("x.zarr", 10, 30_000_000, 13_000_000, 0))
    held[address] = MemoryState(250_000_000, 0.8, 0.95)  # such a worker would be given no task at all
    with pytest.raises(MemoryError, match=r"needs 312 MB .*: give the workers more memory or fewer threads\.$"):
        check_memory(client, Plan("x.zarr", 10, 0, 0, 0))


def test_no_limit_is_no_limit(client):
    check_memory(client, Plan("x.zarr", 10**15, 10**15, 10**15, 0))


def test_a_place_that_only_this_process_sees(client, tmp_path):
    """As /proc/self is another folder in each process."""
    mine = f"/proc/self/task/{os.getpid()}"
    said = rf"^Worker tcp://[0-9.:]+ on host 127\.0\.0\.1 cannot see {mine}: put the data where all hosts can read them"
    with pytest.raises(OSError, match=said):
        check_visible(client, [str(tmp_path), mine])


def test_a_place_where_a_worker_sees_something_else(client, tmp_path, monkeypatch):
    zarr.create_array(tmp_path / "x.zarr", shape=(3, 2), dtype="f8")
    check_visible(client, [str(tmp_path / "x.zarr")])
    real = workers.metadata_at
    monkeypatch.setattr(workers, "metadata_at", lambda place: real(place).replace(b"3", b"4"))
    with pytest.raises(OSError, match=r"has other files at .*x\.zarr: put the data where all hosts can read them"):
        check_visible(client, [str(tmp_path / "x.zarr")])


def test_a_store_that_the_workers_cannot_see_is_refused_before_the_pass(client):
    zarr.create_array("memory://unseen/x.zarr", data=np.ones((6, 2)))
    try:
        engine = Engine(scheduler=client.scheduler.address)
        said = r"Worker .* on host .* cannot see memory://.*unseen/x\.zarr: put the data where all hosts can read them"
        with pytest.raises(OSError, match=said), engine.open(dem.open_source("memory://unseen/x.zarr"), 0):
            pass
    finally:
        fsspec.filesystem("memory").rm("/unseen", recursive=True)


def test_urls_elsewhere_are_not_looked_at(client):
    check_visible(client, ["s3://no-such-bucket/x.zarr", "https://nowhere.invalid/x.zarr"])
