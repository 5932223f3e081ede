"""A scheduler that dies ends a pass within a minute, in a sentence, and leaves no process behind."""

import time

import pytest

from dem.engine.cluster import connect
from dem.engine.sweep.dask import DaskSweep
from faults.scripted import Running, Script, alive, until

MINUTE = 60


@pytest.mark.slow
def test_it_is_killed_in_the_middle_of_a_pass(processes, source, tmp_path):
    workers = [processes.worker(), processes.worker()]
    script = Script(tmp_path, waits=frozenset([20]))
    with connect(processes.address) as client:
        client.wait_for_workers(2, timeout=60)
        total = Running(DaskSweep(source, client, lambda *_: None), script)
        script.at(20)
        processes.scheduler.kill()
        killed = time.monotonic()
        with pytest.raises(RuntimeError, match=r"scheduler stopped or was restarted during a pass over x.zarr"):
            total.result()
    assert time.monotonic() - killed < MINUTE  # the client's end among it
    script.go()
    until(lambda: not any(alive(worker.pid) for worker in workers), "workers without a scheduler to end")


@pytest.mark.slow
def test_it_is_killed_and_another_goes_on_in_its_place(processes, source, tmp_path):
    """The client connects to the new one, which knows nothing of the pass."""
    processes.worker()
    script = Script(tmp_path, waits=frozenset([20]))
    with connect(processes.address) as client:
        client.wait_for_workers(1, timeout=60)
        total = Running(DaskSweep(source, client, lambda *_: None), script)
        script.at(20)
        processes.scheduler.kill()
        processes.scheduler.wait()
        port = processes.address.rpartition(":")[2]
        processes.drain(processes.start("scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard"))
        with pytest.raises(RuntimeError, match=r"scheduler stopped or was restarted during a pass over x.zarr"):
            total.result()
        script.go()
        until(lambda: client.status == "running")
        processes.worker()
        client.wait_for_workers(1, timeout=60)
        assert DaskSweep(source, client)(Script(tmp_path)).rows == source.n_rows
