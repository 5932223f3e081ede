import os
import signal
import subprocess
import sys
import tempfile
import time

import dask
import pytest
from distributed import Client

from dem.engine.cluster import active_client, connect, local_cluster

SCRIPT = """
import os, sys, time
from dem.engine.cluster import local_cluster

with local_cluster(2) as client:
    print(sum(client.map(abs, range(-3, 0), pure=False)[i].result() for i in range(3)), flush=True)
    print(*client.run(os.getpid).values(), flush=True)
    if len(sys.argv) > 1:
        time.sleep(60)
"""


def gone(pids):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if not any(os.path.exists(f"/proc/{pid}") for pid in pids):
            return True
        time.sleep(0.05)
    return False


def test_workers_are_lean_and_single_threaded(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with local_cluster(2, 10**8) as client:
        (a, b) = client.scheduler_info(n_workers=-1)["workers"].values()
        assert a["nthreads"] == b["nthreads"] == 1
        assert a["memory_limit"] == 10**8
        settings = client.run(
            lambda: (os.environ["OMP_NUM_THREADS"], dask.config.get("distributed.worker.memory.pause"))
        )
        assert set(settings.values()) == {("1", False)}
        pids = client.run(os.getpid).values()
        assert os.getpid() not in pids
        assert active_client() is None
    assert gone(pids)
    assert not list(tmp_path.glob("dem-workers*"))


def test_a_dead_worker_is_replaced(caplog):
    """However soon Dask's cluster gives up workers that it does not see."""
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "10ms"}), local_cluster(1) as client:
        (pid,) = client.run(os.getpid).values()
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            pids = list(client.run(os.getpid, on_error="ignore").values())
            if pids and isinstance(pids[0], int) and pids[0] != pid:
                break
            time.sleep(0.05)
        assert client.submit(abs, -3).result(timeout=30) == 3
    assert "status -9 (out of memory?)" in caplog.text


def test_an_error_closes_the_cluster():
    pids = []

    def fail():
        with local_cluster(1) as client:
            pids.extend(client.run(os.getpid).values())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert gone(pids)


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return path


@pytest.mark.slow
def test_an_unguarded_script(script):
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("6\n")
    assert done.stderr == ""
    assert gone(done.stdout.split()[1:])


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_a_script_that_is_stopped_leaves_no_process(sent, script, tmp_path):
    command = [sys.executable, script, "wait"]
    env = {**os.environ, "TMPDIR": str(tmp_path)}  # a killed script cannot remove its scratch folder
    with subprocess.Popen(command, env=env, stdout=-1, stderr=-1, text=True, start_new_session=True) as process:
        assert process.stdout.readline() == "6\n"
        pids = process.stdout.readline().split()
        assert len(pids) == 2
        os.killpg(process.pid, sent)
        _, errors = process.communicate(timeout=30)
    assert gone(pids)
    if sent == signal.SIGINT:
        assert process.returncode in (-signal.SIGINT, 130)
        assert errors.strip().endswith("KeyboardInterrupt")


def test_connect():
    with local_cluster(1) as client, connect(client.scheduler.address) as other:
        assert other.submit(abs, -3).result() == 3
    with pytest.raises(ConnectionError, match=r"No Dask scheduler answers at tcp://127.0.0.1:9 within 0.2 s"):
        connect("tcp://127.0.0.1:9", timeout=0.2)
    with pytest.raises(ConnectionError, match="No Dask scheduler answers at nonsense"):
        connect("nonsense", timeout=1)


def test_active_client():
    assert active_client() is None
    with local_cluster(1) as client:
        assert active_client() is None
        with Client(client.scheduler.address) as mine:
            assert active_client() is mine
        with client.as_current():
            assert active_client() is client
    assert active_client() is None
