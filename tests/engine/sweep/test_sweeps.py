from dataclasses import dataclass
from functools import partial

import dask
import dask.array as da
import numpy as np
import pytest
import zarr
from distributed import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from dem.core.stats import Additive
from dem.engine.cluster import local_cluster
from dem.engine.sweep.dask import DaskSweep
from dem.engine.sweep.serial import SerialSweep
from dem.engine.sweep.threads import ThreadSweep
from dem.source import open_source
from engine.sweep.kernels import MakeOnce, make_blas_threads, make_moments, same_bits

RNG = np.random.default_rng(3)
X = RNG.normal(size=(20_003, 6)) + 3
W = RNG.uniform(size=len(X))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("sweep") / "x.zarr"
    z = zarr.create_array(path, shape=X.shape, chunks=(500, 6), dtype=X.dtype)
    z[:] = X
    return path


@pytest.fixture(
    scope="module",
    params=[pytest.param("zarr", marks=pytest.mark.slow), "zarr weighed", "array", "dask", "dask unknown"],
)
def source(request, store):
    x = da.from_array(X, chunks=((3000, 0, 9000, 8003), 4))
    keep = x[:, 0] > 3
    return {
        "zarr": lambda: open_source(store, partition_bytes=50_000),
        "zarr weighed": lambda: open_source(store, da.from_array(W, chunks=777), partition_bytes=50_000),
        "array": lambda: open_source(X, W, partition_bytes=50_000),
        "dask": lambda: open_source(x, W),
        "dask unknown": lambda: open_source(x[keep], da.from_array(W, chunks=x.chunks[:1])[keep]),
    }[request.param]()


def test_all_sweeps_give_the_same_bits(source, cluster):
    seen = []
    serial = SerialSweep(source, lambda *done: seen.append(done))(make_moments)
    n = len(source.partitions)
    assert seen == [(i + 1, n) for i in range(n)]
    assert serial.rows == source.n_rows or source.n_rows is None
    for sweep in (ThreadSweep, DaskSweep):
        for more in ((1,), (2,), (4,)) if sweep is ThreadSweep else ((), (cluster,)):
            seen.clear()
            total = sweep(source, *more, progress=lambda *done: seen.append(done))(make_moments)
            assert same_bits(total, serial)
            assert seen[-1] == (n, n)
            assert same_bits(sweep(source, *more)(make_moments), serial)
    with dask.config.set(scheduler="synchronous"):
        assert same_bits(DaskSweep(source)(make_moments), serial)


@pytest.mark.slow
@pytest.mark.parametrize("n_workers", [4, 1])
def test_any_number_of_processes_gives_the_same_bits(n_workers, store, cluster):
    source = open_source(store, W, partition_bytes=50_000)
    with local_cluster(n_workers) as client:
        total = DaskSweep(source, client)(make_moments)
    assert same_bits(total, SerialSweep(source)(make_moments))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunk=st.integers(300, 20_003), partition=st.integers(10_000, 10**6), threads=st.integers(1, 4))
def test_any_chunking_agrees(chunk, partition, threads):
    z = zarr.create_array(zarr.storage.MemoryStore(), shape=X.shape, chunks=(chunk, 4), dtype=X.dtype)
    z[:] = X
    source = open_source(z, W, partition_bytes=partition)
    serial = SerialSweep(source)(make_moments)
    assert same_bits(serial, ThreadSweep(source, threads)(make_moments))
    assert serial.keys == len(X) * (len(X) - 1) // 2
    np.testing.assert_allclose(serial.total, W @ X, rtol=1e-12)
    np.testing.assert_allclose(serial.squares, (X * W[:, None]).T @ X, rtol=1e-12)


@pytest.fixture(params=["serial", "threads", "dask threads", "cluster"])
def sweep_on(request):
    if request.param == "cluster":
        client = request.getfixturevalue("cluster")
        return lambda source: DaskSweep(source, client)
    two_threads = partial(ThreadSweep, n_threads=2)
    return {"serial": SerialSweep, "threads": two_threads, "dask threads": DaskSweep}[request.param]


@dataclass(frozen=True)
class Held(Additive):
    """Statistics that know how many of them there are at a time."""

    alive = 0
    most = 0

    def __post_init__(self):
        Held.alive += 1
        Held.most = max(Held.most, Held.alive)

    def __del__(self):
        Held.alive -= 1


@pytest.mark.parametrize("n_threads", [0, 2])
def test_few_sums_are_held_at_a_time(n_threads):
    source = open_source(np.zeros((4096, 1)), partition_bytes=8)
    assert len(source.partitions) > 500
    Held.alive = Held.most = 0
    sweep = ThreadSweep(source, n_threads) if n_threads else SerialSweep(source)
    assert sweep(lambda: lambda block: Held(len(block.x))).rows == 4096
    levels = int(np.ceil(np.log(len(source.partitions)) / np.log(8)))
    assert Held.most <= levels + 1 + 3 * n_threads + 2


def test_lost_rows_are_told(sweep_on, store):
    source = open_source(store, partition_bytes=50_000)
    with pytest.raises(RuntimeError, match=r"x.zarr summed 20,002 rows, but it has 20,003"):
        sweep_on(source)(MakeOnce("lose", 7_000))


def test_errors_come_as_they_are(sweep_on, store):
    source = open_source(store, partition_bytes=50_000)
    with pytest.raises(ZeroDivisionError, match="row 7000"):
        sweep_on(source)(MakeOnce("fail", 7_000))


def test_a_damaged_chunk_is_named_from_anywhere(sweep_on, tmp_path):
    z = zarr.create_array(tmp_path / "x.zarr", shape=X.shape, chunks=(500, 6), dtype=X.dtype)
    z[:] = X
    (tmp_path / "x.zarr" / "c" / "9" / "0").write_bytes(b"short")
    source = open_source(tmp_path / "x.zarr", partition_bytes=50_000)
    with pytest.raises(OSError, match=r"Cannot read chunk c/9/0 \(rows 4500 to 4999\) of x.zarr"):
        sweep_on(source)(make_moments)


def test_blas_is_single_threaded(sweep_on, store):
    source = open_source(store, partition_bytes=50_000)
    with threadpool_limits(2, user_api="blas"):
        assert sweep_on(source)(make_blas_threads).threads == 1


def test_no_rows_at_all_give_a_zero(sweep_on):
    x = da.from_array(X[:100], chunks=10)
    total = sweep_on(open_source(x[x[:, 0] > 1e9]))(make_moments)
    assert total.rows == 0
    assert not total.squares.any()


@pytest.mark.slow  # once Dask did not start the tasks after the interrupts, and this waited without end
def test_interrupting_cancels_and_waits(store, cluster):
    source = open_source(store, partition_bytes=20_000)

    def interrupt(done, total):
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            DaskSweep(source, cluster, interrupt)(MakeOnce("sleep", 19_000))
    assert not any(cluster.processing().values())
    assert DaskSweep(source, cluster)(lambda: lambda block: Additive(len(block.x))).rows == len(X)


def test_interrupting_threads_drops_what_has_not_begun(store):
    source = open_source(store, partition_bytes=20_000)
    seen = []

    def interrupt(done, total):
        seen.append(done)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ThreadSweep(source, 2, interrupt)(make_moments)
    assert len(seen) == 1


def test_persisted_and_in_process(cluster, store):
    source = open_source(store, partition_bytes=20_000)
    serial = SerialSweep(source)(make_moments)
    x = cluster.persist(da.from_array(X, chunks=(3000, 6)))
    total = DaskSweep(open_source(x), cluster)(make_moments)
    assert same_bits(total, DaskSweep(open_source(da.from_array(X, chunks=(3000, 6))))(make_moments))
    with Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=":0") as client:
        assert same_bits(DaskSweep(source, client)(make_moments), serial)
