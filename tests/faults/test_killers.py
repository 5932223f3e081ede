"""Parts that kill every worker, or need more memory than one has: one sentence, and no endless retry."""

import pytest
from distributed import Client, LocalCluster

from dem.engine.cluster import local_cluster
from dem.engine.sweep.dask import DaskSweep
from engine.sweep.kernels import make_moments, same_bits
from faults.scripted import Script, silent


@pytest.mark.parametrize("n_workers", [2, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_a_part_that_kills_every_worker(n_workers, source, tmp_path, capfd):
    script = Script(tmp_path, kills=frozenset([22]))
    named = r"A worker died 4 times on rows 11000 to 11499 of x.zarr, chunk c/44/0 \(.*\) to chunk c/45/0 \(.*\), most "
    with local_cluster(n_workers) as client:
        with pytest.raises(RuntimeError, match=named):
            DaskSweep(source, client, silent)(script)
        assert script.times[22] == 4
        client.wait_for_workers(n_workers, timeout=60)
        assert DaskSweep(source, client)(make_moments).rows == source.n_rows
    assert "dem-sum" not in capfd.readouterr().err


@pytest.mark.slow
def test_a_part_that_kills_every_worker_beside_others(source, tmp_path):
    script = Script(tmp_path, kills=frozenset([22]))
    with (
        LocalCluster(1, threads_per_worker=2, dashboard_address=":0", silence_logs=50) as cluster,
        Client(cluster, set_as_default=False) as client,
        pytest.raises(RuntimeError) as told,
    ):
        DaskSweep(source, client)(script)
    assert "rows 11000 to 11499 of x.zarr" in str(told.value) or "processed at the same time" in str(told.value)


@pytest.mark.slow
@pytest.mark.parametrize("once", [True, False])
def test_over_the_memory_limit(once, source, undisturbed, tmp_path):
    script = Script(tmp_path, hogs=frozenset([22]), once=once)
    with (
        LocalCluster(1, threads_per_worker=1, memory_limit="600MB", dashboard_address=":0", silence_logs=50) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        if once:
            assert same_bits(DaskSweep(source, client, silent)(script), undisturbed)
        else:
            with pytest.raises(RuntimeError, match=r"died 4 times on rows 11000 to 11499 of x.zarr.* out of memory"):
                DaskSweep(source, client, silent)(script)
    assert script.times[22] == (2 if once else 4)
