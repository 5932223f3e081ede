"""Workers that die, stop or grow too large in the middle of a pass: the same bits, or one sentence."""

import logging
import os
import re
import signal
import sys
import time

import psutil
import pytest
from distributed import Client, Nanny, Status

from dem.engine.cluster import local, local_cluster
from dem.engine.sweep import dask as sweep_dask
from dem.engine.sweep import watch
from dem.engine.sweep.dask import DaskSweep
from engine.sweep.kernels import make_moments, same_bits
from faults.scripted import DiesWhenAsked, Running, Script, alive, held, silent, until


def workers(client):
    return list(client.scheduler_info(n_workers=-1)["workers"])


def all_up(client):
    """Whether no process is just starting: Dask's nannies leave it at that if a worker dies before they know it."""
    return all(p.process.status == Status.running for p in client.cluster.workers.values() if isinstance(p, Nanny))


@pytest.mark.slow
def test_killed_again_and_again(client, source, undisturbed, tmp_path):
    script = Script(tmp_path, waits=frozenset(range(0, 40, 10)))
    total = Running(DaskSweep(source, client, silent), script)
    killed = set()
    while len(killed) < len(script.waits):
        part, pid = until(lambda: next((at for at in script.waiting.items() if at[0] not in killed), None))
        until(lambda: all_up(client))
        os.kill(pid, signal.SIGKILL)
        killed.add(part)
    assert same_bits(total.result(), undisturbed)
    until(lambda: len(workers(client)) == 2)
    assert [p for p in psutil.Process().children(recursive=True) if p.status() == psutil.STATUS_ZOMBIE] == []
    assert same_bits(DaskSweep(source, client)(make_moments), undisturbed)


@pytest.mark.slow
def test_killed_between_the_end_of_a_part_and_its_report(client, source, undisturbed, tmp_path):
    script = Script(tmp_path, waits=frozenset([20]))
    told = []

    def progress(done, total):
        if not told:  # the client is busy, and what has ended waits to be told
            waiting = script.at(20)
            until(lambda: len(script.times) > 30)
            (other,) = script.pids - {waiting}
            os.kill(other, signal.SIGKILL)
            until(lambda: other not in client.run_on_scheduler(held))
            script.go()
        told.append((done, total))

    assert same_bits(DaskSweep(source, client, progress)(script), undisturbed)
    assert told == [(n, 40) for n in range(1, 41)]


@pytest.mark.slow
def test_all_killed_at_once(client, source, undisturbed, tmp_path):
    script = Script(tmp_path, waits=frozenset([16, 17]))
    total = Running(DaskSweep(source, client, silent), script)
    for pid in [script.at(16), script.at(17)]:
        os.kill(pid, signal.SIGKILL)
    assert same_bits(total.result(), undisturbed)


@pytest.mark.slow
def test_all_lost_and_none_that_can_be_started(source, tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(local.SCHEDULER_CONFIG, "distributed.scheduler.no-workers-timeout", "4s")
    script = Script(tmp_path, waits=frozenset([20]))
    with local_cluster(1) as client:
        total = Running(DaskSweep(source, client, silent), script)
        pid = script.at(20)
        for process in client.cluster.workers.values():
            process.command = [sys.executable, "-c", "raise SystemExit(3)"]
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(
            RuntimeError, match=r"All workers were lost during a pass over x.zarr, and no new one came within 4"
        ):
            total.result()
    *ends, last = [record.getMessage() for record in caplog.records if record.name == "dem.engine.cluster.local"]
    assert len(ends) == local.MAX_FAILED_STARTS
    assert last == "A worker process ended with status 3: 5 processes in a row ended before they connected."


@pytest.mark.slow
def test_all_lost_and_new_ones_arriving_later(processes, source, undisturbed, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(watch, "CHECK_SECONDS", 0.2)
    old = [processes.worker(), processes.worker()]
    script = Script(tmp_path, waits=frozenset([16, 17]))
    with Client(processes.address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
        total = Running(DaskSweep(source, client, silent), script)
        assert {script.at(16), script.at(17)} == {worker.pid for worker in old}
        for worker in old:
            worker.kill()
        until(lambda: not workers(client))
        until(lambda: "has lost all its workers: waiting for new ones" in caplog.text)
        assert not total.done()
        processes.worker()
        assert same_bits(total.result(), undisturbed)


@pytest.mark.slow
def test_one_that_is_stopped_is_replaced(soon_given_up, client, source, undisturbed, tmp_path):
    script = Script(tmp_path, waits=frozenset([20]))
    total = Running(DaskSweep(source, client, silent), script)
    stopped = script.at(20)
    os.kill(stopped, signal.SIGSTOP)
    script.go()
    assert same_bits(total.result(), undisturbed)
    until(lambda: not alive(stopped), "the stopped process to be ended")
    until(lambda: len(workers(client)) == 2)


@pytest.mark.slow
def test_one_that_is_stopped_and_goes_on_too_late(processes, source, undisturbed, tmp_path):
    both = {worker.pid: worker for worker in (processes.worker(), processes.worker())}
    script = Script(tmp_path, waits=frozenset([20]))
    with Client(processes.address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
        total = Running(DaskSweep(source, client, silent), script)
        stopped = script.at(20)
        os.kill(stopped, signal.SIGSTOP)
        assert same_bits(total.result(), undisturbed)
        assert len(workers(client)) == 1
        script.go()
        os.kill(stopped, signal.SIGCONT)
        assert both[stopped].wait(timeout=60) == 0
        assert same_bits(DaskSweep(source, client)(make_moments), undisturbed)


@pytest.mark.slow
def test_one_that_is_stopped_for_a_moment(client, source, undisturbed, tmp_path):
    script = Script(tmp_path, waits=frozenset([20]))
    total = Running(DaskSweep(source, client, silent), script)
    stopped = script.at(20)
    os.kill(stopped, signal.SIGSTOP)
    time.sleep(1)
    os.kill(stopped, signal.SIGCONT)
    script.go()
    assert same_bits(total.result(), undisturbed)
    assert set(script.times.values()) == {1}


@pytest.mark.slow
def test_the_one_that_holds_what_all_need(client, source, undisturbed, tmp_path):
    flag = tmp_path / "asked"
    assert same_bits(DaskSweep(source, client, silent)(DiesWhenAsked(flag)), undisturbed)
    assert flag.exists()


@pytest.mark.slow
def test_nothing_is_scattered(client, source, undisturbed, tmp_path):
    def scattered(dask_scheduler):
        return [key for key, task in dask_scheduler.tasks.items() if task.run_spec is None]

    script = Script(tmp_path, waits=frozenset([20]))
    total = Running(DaskSweep(source, client, silent), script)
    script.at(20)
    assert client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)) > 20
    assert client.run_on_scheduler(scattered) == []
    script.go()
    assert same_bits(total.result(), undisturbed)


@pytest.mark.slow
def test_ctrl_c_beside_a_worker_that_is_stopped(client, source, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_dask, "DRAIN_SECONDS", 2)
    script = Script(tmp_path, waits=frozenset([20]))
    interrupted = []

    def progress(done, total):
        if done >= 10 and not interrupted:
            interrupted.append(script.at(20))
            os.kill(interrupted[0], signal.SIGSTOP)
            interrupted.append(time.monotonic())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        DaskSweep(source, client, progress)(script)
    assert time.monotonic() - interrupted[1] < 5
    script.go()


@pytest.mark.slow
def test_the_names_of_lost_tasks_are_not_told(source, tmp_path, capfd, caplog):
    script = Script(tmp_path, waits=frozenset([20]))
    with local_cluster(2) as client:
        total = Running(DaskSweep(source, client, silent), script)
        os.kill(script.at(20), signal.SIGKILL)
        assert total.result().rows == source.n_rows
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [re.sub(r"\d", "", record.getMessage()) for record in told] == [
        "A worker process ended with status - (out of memory?): starting a new one."
    ]
    assert capfd.readouterr().err == ""
