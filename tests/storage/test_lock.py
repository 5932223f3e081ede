import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress

import filelock
import pytest

from dem.storage.lock import write_lock

KEEPS_THE_FILE = tuple(map(int, filelock.__version__.split(".")[:2])) >= (3, 30)
"""Before, whoever was refused emptied the lock file, and the next one could not name the owner."""

HOLD = (
    "import sys, time; from dem.storage.lock import write_lock\n"
    "with write_lock(sys.argv[1]): print('held', flush=True); time.sleep(60)"
)


@pytest.fixture
def held(tmp_path):
    """An output that another process writes, and the process."""
    path = tmp_path / "labels.zarr"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield path, process
        process.kill()


def refused(path):
    with pytest.raises(BlockingIOError) as error, write_lock(path):
        raise AssertionError("two runs have the lock")
    return str(error.value)


def test_a_link_and_its_target_have_the_same_lock(held, tmp_path):
    path, _ = held
    (tmp_path / "link.zarr").symlink_to(path)
    assert "is writing" in refused(tmp_path / "link.zarr")


def test_a_second_run_is_refused_and_the_message_names_the_first(held):
    path, process = held
    for _ in range(2 if KEEPS_THE_FILE else 1):
        said = refused(path)
        assert str(path) in said
        assert f"process {process.pid} on {socket.gethostname()}" in said
    with write_lock(path.with_name("other.zarr")):
        pass


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_lock_ends_with_its_process(held, number):
    path, process = held
    refused(path)
    process.send_signal(number)
    process.wait()
    with write_lock(path):
        assert os.listdir(path.parent) == [".labels.zarr.lock"]
    assert os.listdir(path.parent) == []


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_nothing_is_left(error, tmp_path):
    path = tmp_path / "a" / "b" / "labels.zarr"
    with suppress(BaseException), write_lock(path):
        assert path.parent.is_dir()
        assert str(os.getpid()) in refused(path)
        if error:
            raise error
    assert os.listdir(tmp_path) == []
    with write_lock(path):
        path.mkdir()
    assert os.listdir(tmp_path / "a" / "b") == ["labels.zarr"]


def test_only_one_thread_has_the_lock_at_a_time(tmp_path):
    path, inside, most, times = tmp_path / "labels.zarr", [], [], []

    def work():
        while len(times) < 200:
            with suppress(BlockingIOError), write_lock(path):
                inside.append(1)
                most.append(len(inside))
                inside.pop()
                times.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert os.listdir(tmp_path) == []


def test_links_and_file_urls_are_the_same_place(tmp_path):
    os.symlink(tmp_path, tmp_path / "link")
    with write_lock(tmp_path / "labels.zarr"):
        refused(tmp_path / "link" / "labels.zarr")
        refused((tmp_path / "labels.zarr").as_uri())


def test_urls_cannot_be_locked():
    with write_lock("memory://claims/labels.zarr"), write_lock("memory://claims/labels.zarr"):
        pass


def test_an_empty_lock_file(tmp_path):
    path = tmp_path / "labels.zarr"
    with write_lock(path):
        (tmp_path / ".labels.zarr.lock").write_text("")
        assert "Another run (it has just started) is writing" in refused(path)


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "labels.zarr", tmp_path / "file" / "a" / "labels.zarr"):
        with pytest.raises(
            NotADirectoryError, match=r"Cannot write .*labels\.zarr: .*/file is a file, not a folder\.$"
        ):
            write_lock(path).__enter__()
    sealed = tmp_path / "sealed"
    sealed.mkdir(mode=0o500)
    if os.access(sealed, os.W_OK):
        sealed = "/sys"  # where not even root makes files
    with pytest.raises(OSError, match=r"Cannot write .*labels\.zarr: .* \(in the folder .*(sealed|sys)\)"):
        write_lock(f"{sealed}/labels.zarr").__enter__()
