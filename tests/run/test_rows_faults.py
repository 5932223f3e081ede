"""Outputs on full disks, killed in the middle, and written by two runs at the same time; on real processes."""

import errno
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import zarr
from zarr.storage import LocalStore

from dem import Engine, GaussianMixture
from dem.run.rows import RowRequest, write_rows
from dem.source import open_source

DEM = str(Path(sys.executable).with_name("dem"))
PATIENCE = 60
ROWS, CHUNK = 3 * 10**6, 1000
MIXTURE = GaussianMixture.from_parameters([0.5, 0.5], [[0.0] * 4, [3.0] * 4], [1.0, 1.0], "spherical")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.zarr"
    MIXTURE.save(path)
    return path


@pytest.fixture(scope="module")
def zeros(tmp_path_factory):
    """A store without a chunk on disk: all zeros. So many small ones take long."""
    path = tmp_path_factory.mktemp("zeros") / "x.zarr"
    zarr.create_array(path, shape=(ROWS, 4), chunks=(CHUNK, 4), dtype="f4")
    return path


def start(*words):
    command = [DEM, *map(str, words), "--workers", "2"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_for_chunks(process, folder, at_least):
    """Wait until so many chunks are written below a folder."""
    deadline = time.monotonic() + PATIENCE
    while len(list(folder.glob(".scores*.partial/c/*"))) < at_least:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


def finish(process):
    _, said = process.communicate(timeout=PATIENCE)
    return process.returncode, said


@pytest.mark.slow
@pytest.mark.parametrize("kills", [[2], [1, 3]], ids=["once", "twice"])
def test_killed(kills, zeros, model, tmp_path):
    target = tmp_path / "scores.zarr"
    words = ["predict", model, zeros, "--what", "score", "-o", target]
    per_region = ROWS // CHUNK // 8
    for regions in kills:
        with start(*words) as process:
            wait_for_chunks(process, tmp_path, (regions + 2) * per_region)  # two work at a time
            os.killpg(process.pid, signal.SIGKILL)
    with start(*words) as process:
        status, said = finish(process)
    assert status == 0, said
    assert int(re.search(r"continuing: (\d) of 8 regions", said)[1]) >= kills[-1]
    scores = zarr.open_array(target)[...]
    np.testing.assert_array_equal(scores, MIXTURE.score_samples(np.zeros((1, 4), "f4"))[0])
    assert os.listdir(tmp_path) == ["scores.zarr"]
    assert len(os.listdir(target / "c")) == ROWS // CHUNK


@pytest.mark.slow
def test_the_second_of_two_runs_is_refused(zeros, model, tmp_path):
    words = ["predict", model, zeros, "--what", "score", "-o", tmp_path / "scores.zarr"]
    with start(*words) as first:
        wait_for_chunks(first, tmp_path, 20)
        first.send_signal(signal.SIGSTOP)  # on a busy machine it would end before the second run has begun
        with start(*words, "--overwrite") as second:
            status, said = finish(second)
        first.send_signal(signal.SIGCONT)
        assert status == 1
        assert f"Another run (process {first.pid} on " in said.splitlines()[-1]
        assert finish(first)[0] == 0
    assert zarr.open_array(tmp_path / "scores.zarr").shape == (ROWS,)
    assert os.listdir(tmp_path) == ["scores.zarr"]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting is not permitted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def filled(folder):
    ballast = folder / "ballast"
    ballast.write_bytes(bytes(1_200_000))
    yield
    ballast.unlink()


@pytest.fixture
def rows(tmp_path):
    x = np.random.default_rng(1).normal(1.5, 2, size=(100_000, 4))
    zarr.create_array(tmp_path / "x.zarr", data=x, chunks=(6000, 4))
    return open_source(tmp_path / "x.zarr", partition_bytes=6000 * 32 * 2)


@pytest.fixture
def straight(rows, tmp_path):
    write_rows(RowRequest.of(*MIXTURE._fitted(), rows, "proba"), tmp_path / "straight.zarr", engine=Engine(workers=1))
    return zarr.open_array(tmp_path / "straight.zarr")[...]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk(small_disk, rows, straight, workers):
    target = small_disk / "proba.zarr"

    def write():
        write_rows(RowRequest.of(*MIXTURE._fitted(), rows, "proba"), target, engine=Engine(workers=workers))

    with filled(small_disk):
        for _ in range(2):
            with pytest.raises(
                OSError, match=r"Cannot write .*proba\.zarr: the disk is full\. The finished part of .* is kept"
            ):
                write()
        assert not target.exists()
    write()
    np.testing.assert_array_equal(zarr.open_array(target)[...], straight)
    assert os.listdir(small_disk) == ["proba.zarr"]


def test_a_disk_without_any_room(small_disk, rows):
    with open(small_disk / "ballast", "wb") as ballast, pytest.raises(OSError, match="No space"):
        ballast.write(bytes(3_000_000))
    with pytest.raises(OSError, match=r"Cannot write .*proba\.zarr.*: the disk is full"):
        write_rows(
            RowRequest.of(*MIXTURE._fitted(), rows, "proba"), small_disk / "a" / "proba.zarr", engine=Engine(workers=1)
        )
    (small_disk / "ballast").unlink()
    write_rows(
        RowRequest.of(*MIXTURE._fitted(), rows, "proba"), small_disk / "a" / "proba.zarr", engine=Engine(workers=1)
    )
    assert os.listdir(small_disk / "a") == ["proba.zarr"]


@pytest.mark.parametrize("workers", [1, 2])
def test_no_space_is_left_for_some_chunks(rows, straight, workers, tmp_path, monkeypatch):
    write_chunk = LocalStore.set

    async def full(self, key, value):
        if key.startswith("c/") and int(key.split("/")[1]) >= 9:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        await write_chunk(self, key, value)

    target = tmp_path / "proba.zarr"

    def write():
        write_rows(RowRequest.of(*MIXTURE._fitted(), rows, "proba"), target, engine=Engine(workers=workers))

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "set", full)
        for _ in range(2):
            with pytest.raises(OSError, match=r"Cannot write rows 5\d+ to \d+ of .*proba\.zarr: the disk is full\. "):
                write()
    assert not target.exists()
    write()
    np.testing.assert_array_equal(zarr.open_array(target)[...], straight)
    assert not list(tmp_path.glob(".proba*"))


OBJECT_STORE = """
import sys
import fsspec, numpy as np, zarr
from moto.server import ThreadedMotoServer
from dem import Engine, GaussianMixture
from dem.run.rows import RowRequest, write_rows
from dem.storage.lock import Interrupted
from dem.em.progress import Silent
from dem.source import open_source

class Stops(Silent):
    def __init__(self, after):
        self.after = after
    def advance(self, done, total):
        if done == self.after:
            raise KeyboardInterrupt
    def note(self, text):
        if "regions" in text:
            print(text.split(" are")[0])

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
endpoint = "http://{}:{}".format(*server.get_host_and_port())
fsspec.config.conf["s3"] = {"key": "k", "secret": "s", "endpoint_url": endpoint}
files = fsspec.filesystem("s3")
files.mkdir("bucket")
x = np.random.default_rng(1).normal(1.5, 2, size=(8000, 4))
zarr.create_array("s3://bucket/x.zarr", data=x, chunks=(500, 4))
source = open_source("s3://bucket/x.zarr", partition_bytes=1000 * 32)
mixture = GaussianMixture.from_parameters([0.5, 0.5], [[0.0] * 4, [3.0] * 4], [1.0, 1.0], "spherical")

def write(after=None):
    engine = Engine(workers=1, progress=Stops(after))
    write_rows(RowRequest.of(*mixture._fitted(), source, "label"), "s3://bucket/labels.zarr", engine=engine)

for after in (2, 3):
    try:
        write(after)
    except Interrupted as interrupted:
        print(interrupted.resumable)
files.rm("bucket/labels.zarr/c/1")
files.pipe("bucket/labels.zarr/c/4", files.cat("bucket/labels.zarr/c/4")[:-1])
write()
labels = zarr.open_array("s3://bucket/labels.zarr")
assert labels.attrs["complete"] is True
np.testing.assert_array_equal(labels[...], mixture.predict(x))
server.stop()
"""


@pytest.mark.slow
def test_an_object_store(tmp_path):
    """In a process of its own: the server and its clients leave threads and connections open."""
    for package in ("moto.server", "s3fs"):
        pytest.importorskip(package)
    done = subprocess.run([sys.executable, "-c", OBJECT_STORE], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    kept = "interrupted. The finished part of s3://bucket/labels.zarr is kept: run the same command again to continue."
    assert done.stdout.splitlines() == [
        kept,
        "continuing: 2 of 8 regions",
        kept,
        "continuing: 4 of 8 regions",
        "1 of these regions",
    ]
