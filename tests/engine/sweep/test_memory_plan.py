import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import zarr

from dem.engine.sweep.memory_plan import Plan, plan_sweep
from dem.engine.sweep.process_memory import PeakMemory, process_bytes, tree_bytes
from dem.source import open_source

PLAN = Plan("x.zarr", 50_000_000, 150_000_000, 10_000_000, 100_000_000, 3, 90_000_000)


def test_a_plan_adds_up():
    assert PLAN.task_bytes == 160_000_000
    assert PLAN.total_bytes == 850_000_000
    PLAN.check(None)
    PLAN.check(850_000_000)
    assert PLAN.within(600_000_000).n_workers == 2
    assert PLAN.within(None).n_workers == 3


def test_reading_ahead_is_given_up_before_a_worker():
    z = zarr.create_array(zarr.storage.MemoryStore(), shape=(4000, 1000), chunks=(1000, 1000), dtype="f8")
    source = open_source(z)
    plan = plan_sweep(source, 5_000_000, 10_000_000, 2)
    assert plan.read_ahead_bytes == source.block_bytes == 8_000_000
    assert plan.read_ahead == source.read_ahead == 1
    assert plan.within(plan.total_bytes) == plan
    less = plan.within(plan.total_bytes - 1)
    assert (less.n_workers, less.read_ahead) == (2, 0)
    assert less.total_bytes == plan.total_bytes - 2 * 8_000_000
    assert [p.read_ahead for p in source.partitions] == [1] * len(source.partitions)
    assert [p.read_ahead for p in less.apply_to(source).partitions] == [0] * len(source.partitions)
    assert plan.within(less.total_bytes - 1).n_workers == 1
    with pytest.raises(MemoryError, match=r"1 worker x"):
        plan.within(140_000_000)


def test_several_reads_ahead_are_reduced_step_by_step():
    plan = replace(PLAN, read_ahead=4, read_ahead_bytes=60_000_000)
    sizes = [replace(plan, read_ahead=n).total_bytes for n in (4, 2, 1, 0)]
    assert np.diff(sizes).tolist() == [-3 * 2 * PLAN.read_bytes, -3 * PLAN.read_bytes, -3 * 60_000_000]
    for size, n in zip(sizes, (4, 2, 1, 0), strict=True):
        assert (plan.within(size).read_ahead, plan.within(size).n_workers) == (n, 3)
    assert plan.within(sizes[-1] - 1).n_workers == 2


def test_a_plan_that_cannot_fit_is_refused_with_both_numbers():
    with pytest.raises(MemoryError, match=r"chunk of x.zarr needs 50 MB .* 850 MB in all .* limit is 849 MB"):
        PLAN.check(849_000_000)
    with pytest.raises(MemoryError, match=r"350 MB in all .*1 worker x 250 MB.*limit is 256 MB: raise"):
        PLAN.within(256_000_000)
    with pytest.raises(MemoryError, match=r"raise the memory limit to 370 MB or more, or rechunk"):
        PLAN.within(349_000_000)
    PLAN.within(370_000_000)


def test_a_limit_below_what_the_processes_take_themselves_is_told_the_smallest_one():
    """Smaller chunks would not help there."""
    with pytest.raises(MemoryError) as refused:
        PLAN.within(10_000_000)
    assert str(refused.value) == (
        "A pass over x.zarr needs 200 MB even without data (100 MB of it for this process), but the limit is 10 MB: "
        "raise the memory limit to 370 MB or more."
    )


def test_the_refusal_of_an_array_in_memory_speaks_of_no_chunks():
    source = open_source(np.zeros((10, 2)))
    with pytest.raises(MemoryError) as refused:
        plan_sweep(source, 5_000_000, 7_000_000, 2, 0).check(16_000_000)
    assert str(refused.value) == (
        "A pass over the array needs 17 MB in all (7 MB for this process, 2 workers x 5 MB), "
        "but the limit is 16 MB: raise the memory limit to 20 MB or more, or use fewer workers."
    )
    with pytest.raises(MemoryError, match=r"limit is 9 MB: raise the memory limit to 20 MB or more\.$"):
        plan_sweep(source, 5_000_000, 7_000_000, 2, 0).within(9_000_000)


def test_the_plan_counts_stored_weights():
    z = zarr.create_array(zarr.storage.MemoryStore(), shape=(10**7, 2), chunks=(2000, 2), dtype="f4")
    read_rows = 4 * 2**20 // 16_000 * 2000
    for chunk, held in ((1000, read_rows + 1000), (10**6, read_rows + 10**6), (10**7, 10**7)):
        w = zarr.create_array(zarr.storage.MemoryStore(), shape=10**7, chunks=chunk, dtype="f4")
        more = open_source(z, w).read_bytes - open_source(z).read_bytes
        assert more == 24 * held
        assert open_source(z, w).read_ahead_bytes - open_source(z).read_ahead_bytes == 24 * held


def test_the_plan_of_a_source():
    z = zarr.create_array(zarr.storage.MemoryStore(), shape=(4000, 1000), chunks=(2000, 500), dtype="f8")
    plan = plan_sweep(open_source(z), 5, 7, 2, worker_bytes=11)
    assert plan.block_bytes == 2000 * 1000 * 8
    assert plan.total_bytes == 7 + 2 * (11 + 5 + (3 + 1) * plan.block_bytes)  # one of them read ahead
    single = zarr.create_array(zarr.storage.MemoryStore(), shape=(2000, 1000), chunks=(2000, 500), dtype="f8")
    assert plan_sweep(open_source(single), 5, 7, 2, worker_bytes=11).total_bytes == 7 + 2 * (11 + 5 + 3 * 16_000_000)
    assert plan_sweep(open_source(np.zeros((10, 2))), 5, 7, 2, 0).total_bytes == 17


def test_memory_of_the_process_tree():
    code = "import sys; b = bytearray(60_000_000); print(1, flush=True); sys.stdin.read()"
    before = tree_bytes()
    with (
        PeakMemory(0.01) as memory,
        subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as child,
    ):
        child.stdout.readline()
        assert process_bytes(child.pid) > 60e6
        grown = tree_bytes()
        deadline = time.monotonic() + 20
        while memory.peak < grown - 5e6 and time.monotonic() < deadline:
            time.sleep(0.01)
        child.communicate("")
    assert grown - before > 60e6
    assert memory.peak >= grown - 5e6
    assert process_bytes(2**22 + 1) == 0
