"""The fingerprint of a store changes with every change and only then, and no chunk is read."""

import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import fsspec
import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore, WrapperStore, ZipStore

from command_line import run
from dem.source.listing import METADATA_NAMES, fingerprint

X = np.random.default_rng(7).normal(size=(50, 3))


@pytest.fixture(params=["disk", "url", "v2", "memory", "inside"])
def place(request, tmp_path):
    """An array, what to open it by, and how to remove one of its chunks."""
    name = request.param
    if name == "memory":
        array = zarr.create_array(MemoryStore(), name="a", data=X, chunks=(10, 3))
        return SimpleNamespace(array=array, path=array, remove=lambda: array.store._store_dict.pop("a/c/2/0"))
    if name == "url":
        url = f"memory://{tmp_path.name}/x.zarr"
        array = zarr.create_array(url, data=X, chunks=(10, 3))
        return SimpleNamespace(array=array, path=url, remove=lambda: fsspec.filesystem("memory").rm(f"{url}/c/2/0"))
    if name == "inside":
        path = tmp_path / "g.zarr" / "deep" / "a"
        array = zarr.create_group(tmp_path / "g.zarr").create_array("deep/a", data=X, chunks=(10, 3))
    else:
        path = tmp_path / "x.zarr"
        array = zarr.create_array(path, data=X, chunks=(10, 3), zarr_format=2 if name == "v2" else 3)
    return SimpleNamespace(array=array, path=path, remove=(path / ("2.0" if name == "v2" else "c/2/0")).unlink)


def rewrite(array, first, value):
    """Write a chunk again, with another time in the file system."""
    before = fingerprint(array)["newest"]
    deadline = time.monotonic() + 10
    while True:
        array[first : first + 10] = value
        if before is None or fingerprint(array)["newest"] > before or time.monotonic() > deadline:
            return


def test_it_is_stable(place):
    assert fingerprint(place.path) == fingerprint(place.path) == fingerprint(place.array)


def test_it_counts_the_objects_and_their_bytes(place):
    found = fingerprint(place.path)
    chunks = 5
    metadata = 2 if place.array.metadata.zarr_format == 2 else 1
    assert found["objects"] == chunks + metadata
    assert found["bytes"] == place.array.nbytes_stored()
    assert found["snapshot"] is None


def test_it_changes_with_the_bytes_of_a_chunk(place):
    before = fingerprint(place.path)
    rewrite(place.array, 20, X[20:30] + 1)
    after = fingerprint(place.path)
    assert after["sha256"] != before["sha256"]
    assert after["objects"] == before["objects"]


def test_it_changes_when_a_chunk_is_removed_or_added(place):
    before = fingerprint(place.path)
    place.remove()
    less = fingerprint(place.path)
    assert less["objects"] == before["objects"] - 1
    assert less["sha256"] != before["sha256"]
    rewrite(place.array, 20, X[20:30])
    again = fingerprint(place.path)
    assert again["objects"] == before["objects"]
    assert again["sha256"] not in (before["sha256"], less["sha256"]) or again["newest"] is None


def test_it_changes_with_metadata_even_of_the_same_size(place):
    place.array.attrs["unit"] = "mm"
    before = fingerprint(place.path)
    place.array.attrs["unit"] = "km"
    after = fingerprint(place.path)
    assert after["sha256"] != before["sha256"]
    assert after["bytes"] == before["bytes"]


def test_rewriting_the_same_metadata_is_no_change(tmp_path):
    zarr.create_array(tmp_path / "x.zarr", data=X, chunks=(10, 3))
    before = fingerprint(tmp_path / "x.zarr")["sha256"]
    document = tmp_path / "x.zarr" / "zarr.json"
    document.write_bytes(document.read_bytes())
    assert fingerprint(tmp_path / "x.zarr")["sha256"] == before


def test_a_group_includes_all_its_members_and_an_array_only_itself(tmp_path):
    group = zarr.create_group(tmp_path / "g.zarr")
    for name in "ab":
        group.create_array(name, data=X, chunks=(10, 3))
    whole, a, b = (fingerprint(tmp_path / "g.zarr" / name) for name in ("", "a", "b"))
    rewrite(group["a"], 0, X[:10] - 1)
    assert fingerprint(tmp_path / "g.zarr")["sha256"] != whole["sha256"]
    assert fingerprint(tmp_path / "g.zarr" / "a")["sha256"] != a["sha256"]
    assert fingerprint(tmp_path / "g.zarr" / "b") == b
    assert whole["objects"] == a["objects"] + b["objects"] + 1


def test_no_chunk_is_read(tmp_path, monkeypatch):
    zarr.create_array(tmp_path / "x.zarr", data=X, chunks=(10, 3))
    read, read_bytes = [], Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path.name) or read_bytes(path))
    fingerprint(tmp_path / "x.zarr")
    assert "zarr.json" in read
    assert set(read) <= METADATA_NAMES


def test_a_zip_file_counts_as_a_whole(tmp_path):
    with ZipStore(tmp_path / "x.zip", mode="w") as store:
        zarr.create_array(store, data=X, chunks=(10, 3))
    with ZipStore(tmp_path / "x.zip", mode="r") as store:
        before = fingerprint(zarr.open_array(store, mode="r"))
    with ZipStore(tmp_path / "x.zip", mode="w") as store:
        zarr.create_array(store, data=X[:-1], chunks=(10, 3))
    with ZipStore(tmp_path / "x.zip", mode="r") as store:
        after = fingerprint(zarr.open_array(store, mode="r"))
    assert after["sha256"] != before["sha256"]
    assert after["bytes"] == (tmp_path / "x.zip").stat().st_size


def test_wrapped_stores_have_the_fingerprint_of_the_inner_store(tmp_path):
    array = zarr.create_array(tmp_path / "x.zarr", data=X, chunks=(10, 3))
    assert fingerprint(zarr.open_array(WrapperStore(array.store), mode="r+")) == fingerprint(tmp_path / "x.zarr")


class Versioned(MemoryStore):
    """A store with the interface of an Icechunk store: a session with a snapshot."""

    session = SimpleNamespace(snapshot_id="1CECHNKREP0F1RSTCMT0", has_uncommitted_changes=False)


def test_a_snapshot_replaces_the_listing(monkeypatch):
    array = zarr.create_array(Versioned(), name="a", data=X, chunks=(10, 3))
    before = fingerprint(array)
    assert (before["snapshot"], before["objects"]) == (Versioned.session.snapshot_id, None)
    assert fingerprint(array) == before
    other = zarr.create_array(array.store, name="b", data=X, chunks=(10, 3))
    assert fingerprint(other)["sha256"] != before["sha256"]
    monkeypatch.setattr(Versioned, "session", SimpleNamespace(snapshot_id="2", has_uncommitted_changes=False))
    assert fingerprint(array)["sha256"] != before["sha256"]


def test_a_snapshot_with_uncommitted_changes_is_refused(monkeypatch):
    monkeypatch.setattr(Versioned, "session", SimpleNamespace(snapshot_id="2", has_uncommitted_changes=True))
    with pytest.raises(ValueError, match="uncommitted"):
        fingerprint(zarr.create_array(Versioned(), name="a", data=X, chunks=(10, 3)))


@pytest.mark.filterwarnings("ignore")  # of icechunk and what it brings
def test_an_icechunk_repository_is_known_by_its_snapshot():
    icechunk = pytest.importorskip("icechunk")
    repository = icechunk.Repository.create(icechunk.in_memory_storage())
    writable = repository.writable_session("main")
    array = zarr.create_array(writable.store, name="a", data=X, chunks=(10, 3))
    with pytest.raises(ValueError, match="uncommitted"):
        fingerprint(array)
    first = writable.commit("first")

    def now():
        return fingerprint(zarr.open_array(repository.readonly_session("main").store, path="a", mode="r"))

    before = now()
    assert before["snapshot"] == first
    assert now() == before
    writable = repository.writable_session("main")
    zarr.open_array(writable.store, path="a")[:10] = 0
    assert writable.commit("second") == now()["snapshot"] != first
    assert now()["sha256"] != before["sha256"]


SERVER = """
import json
import fsspec, numpy as np, zarr
from moto.server import ThreadedMotoServer
from dem.source.listing import fingerprint

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
endpoint = "http://{}:{}".format(*server.get_host_and_port())
fsspec.config.conf["s3"] = {"key": "k", "secret": "s", "endpoint_url": endpoint}
files = fsspec.filesystem("s3")
files.mkdir("bucket")
array = zarr.create_array("s3://bucket/x.zarr", data=np.ones((50, 3)), chunks=(10, 3))
"""

CHANGES = """
found = [known(), known()]
array[:10] = 1
found.append(known())
array[:10] = 2
found.append(known())
files.rm("bucket/x.zarr/c/1/0")
found.append(known())
server.stop()
print(json.dumps(found))
"""

BY_URL = """
def known():
    return fingerprint("s3://bucket/x.zarr")
"""

BY_OBSTORE = """
from obstore.store import S3Store
from zarr.storage import ObjectStore

keys = {"access_key_id": "k", "secret_access_key": "s", "region": "us-east-1"}
bucket = S3Store("bucket", endpoint=endpoint, client_options={"allow_http": True}, **keys)

def known():
    return fingerprint(zarr.open_array(ObjectStore(bucket, read_only=True), path="x.zarr", mode="r"))
"""


@pytest.mark.parametrize(("client", "way"), [("s3fs", BY_URL), ("obstore", BY_OBSTORE)], ids=["url", "obstore"])
@pytest.mark.slow
def test_objects_of_an_object_store_are_known_by_their_etags(client, way):
    """In a separate process, because the server and its clients leave threads and connections open."""
    for package in ("moto.server", "s3fs", client):
        pytest.importorskip(package)
    done = subprocess.run([sys.executable, "-c", SERVER + way + CHANGES], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    first, again, same_bytes, other_bytes, less = json.loads(done.stdout.splitlines()[-1])
    assert first == again
    assert same_bytes["sha256"] == first["sha256"]
    assert len({first["sha256"], other_bytes["sha256"], less["sha256"]}) == 3
    assert (first["objects"], less["objects"]) == (6, 5)
    assert first["newest"] == pytest.approx(time.time(), abs=120)


def test_the_command_prints_text_and_json(tmp_path):
    zarr.create_array(tmp_path / "x.zarr", data=X, chunks=(10, 3))
    found = fingerprint(tmp_path / "x.zarr")
    assert found["sha256"] in run("fingerprint", tmp_path / "x.zarr").stdout
    record = json.loads(run("fingerprint", tmp_path / "x.zarr", "--json").stdout)
    assert record == {"event": "result", "path": str(tmp_path / "x.zarr"), **found}


def test_the_command_fails_with_one_sentence(tmp_path):
    result = run("fingerprint", tmp_path / "nothing.zarr")
    assert result.exit_code == 1
    assert result.stderr == f"dem: No Zarr store at {tmp_path}/nothing.zarr: check the path.\n"
