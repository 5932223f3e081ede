import pickle
from collections import Counter
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zarr.storage import LocalStore, MemoryStore, WrapperStore

from dem.source import evaluate, open_source, zarr_rows

RNG = np.random.default_rng(1)
X = RNG.normal(size=(1003, 5))
W = RNG.uniform(size=1003)


class CountingStore(WrapperStore):
    """A store that counts what is read under each key."""

    def __init__(self, store):
        super().__init__(store)
        self.reads = Counter()

    async def get(self, key, prototype, byte_range=None):
        if "zarr.json" not in key and ".z" not in key:
            self.reads[key, repr(byte_range)] += 1  # byte ranges have no hash before zarr 3.1.6
        return await super().get(key, prototype, byte_range)

    def get_ranges(self, key, byte_ranges, **options):
        """Count reads of parts of shards, which zarr makes by this method from 3.4 on."""
        byte_ranges = list(byte_ranges)
        self.reads.update((key, repr(byte_range)) for byte_range in byte_ranges)
        return super().get_ranges(key, byte_ranges, **options)


def make(store, x=X, **layout):
    z = zarr.create_array(store, shape=x.shape, dtype=x.dtype, **layout)
    z[:] = x
    return z


def rows_of(source):
    blocks = [block for p in source.partitions for block in evaluate(p).blocks()]
    firsts = [block.keys.first for block in blocks]
    assert firsts == [0, *np.cumsum([len(block.x) for block in blocks])[:-1]]
    w = None if blocks[0].weight is None else np.concatenate([block.weight for block in blocks])
    return np.concatenate([block.x for block in blocks]), w


LAYOUTS = {
    "v3": {"chunks": (100, 5)},
    "v2": {"chunks": (100, 5), "zarr_format": 2},
    "columns": {"chunks": (100, 2)},
    "sharded": {"chunks": (50, 5), "shards": (200, 5)},
    "sharded columns": {"chunks": (50, 2), "shards": (200, 4)},
    "one chunk": {"chunks": (2000, 5)},
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("read_bytes", [1, 9000, 2**20])
def test_all_rows_are_read_and_each_chunk_once(layout, read_bytes, monkeypatch):
    monkeypatch.setattr(zarr_rows, "READ_BYTES", read_bytes)
    z = make(CountingStore(MemoryStore()), **layout)
    source = open_source(z, partition_bytes=8000)
    assert len(source.partitions) > 1 or layout["chunks"][0] == 2000
    z.store.reads.clear()
    x, _ = rows_of(source)
    np.testing.assert_array_equal(x, X)
    chunks = {what: n for what, n in z.store.reads.items() if "Suffix" not in what[1]}
    if "shards" not in layout:  # a shard's index, at its end, is read with each of its parts
        assert len(chunks) == np.prod([-(-n // c) for n, c in zip(X.shape, layout["chunks"], strict=True)])
    assert set(chunks.values()) == {1}


@pytest.mark.parametrize("form", ["numpy", "zarr", "path", "dask"])
@pytest.mark.parametrize("layout", [LAYOUTS["v3"], LAYOUTS["sharded"]], ids=["v3", "sharded"])
def test_weights_of_any_form_are_aligned(form, layout, tmp_path):
    z = make(tmp_path / "x.zarr", **layout)
    stored = make(tmp_path / "w.zarr", W, chunks=(77,))
    lazy = da.from_array(W, chunks=91)
    weights = {"numpy": W, "zarr": stored, "path": tmp_path / "w.zarr", "dask": lazy}[form]
    source = open_source(z, weights, partition_bytes=8000)
    x, w = rows_of(source)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(w, W)
    assert source.compact == (form in ("zarr", "path"))


def test_stored_weights_are_read_once_a_partition(tmp_path):
    w = make(CountingStore(MemoryStore()), W, chunks=(40,))
    source = open_source(make(tmp_path / "x.zarr", chunks=(100, 5)), w)
    assert len(source.partitions) == 1
    rows_of(source)
    assert len(w.store.reads) == 26
    assert set(w.store.reads.values()) == {1}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(st.integers(1, 60), st.integers(1, 6)),
    chunk=st.tuples(st.integers(1, 20), st.integers(1, 6)),
    shard=st.tuples(st.integers(1, 3), st.integers(1, 2)) | st.none(),
    weight_chunk=st.integers(1, 30),
    partition_bytes=st.integers(1, 2000),
    read_bytes=st.integers(1, 1000),
)
def test_any_chunking(shape, chunk, shard, weight_chunk, partition_bytes, read_bytes, monkeypatch):
    monkeypatch.setattr(zarr_rows, "READ_BYTES", read_bytes)
    x = np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
    shards = None if shard is None else tuple(c * s for c, s in zip(chunk, shard, strict=True))
    z = make(MemoryStore(), x, chunks=chunk, shards=shards)
    w = make(MemoryStore(), np.arange(shape[0], dtype=float), chunks=(weight_chunk,))
    got, weight = rows_of(open_source(z, w, partition_bytes=partition_bytes))
    np.testing.assert_array_equal(got, x)
    np.testing.assert_array_equal(weight, np.arange(shape[0]))


def test_partitions_are_small(tmp_path):
    source = open_source(make(tmp_path / "x.zarr", chunks=(10, 5)), partition_bytes=800)
    assert len(source.partitions) > 50
    assert len(pickle.dumps(source.partitions)) < 100 * len(source.partitions)
    copies = pickle.loads(pickle.dumps(source.partitions))
    np.testing.assert_array_equal(np.concatenate([b.x for p in copies for b in p.blocks()]), X)


def test_partitions_depend_on_the_grid_and_are_bounded():
    z = zarr.create_array(MemoryStore(), shape=(10**8, 4), chunks=(1000, 4), dtype="f4")
    source = open_source(z, partition_bytes=2**16)
    assert len(source.partitions) == 2000
    assert all(box.start[0] % 1000 == 0 for p in source.partitions for box in p.boxes)
    assert source.chunk_rows == 1000
    assert source.block_bytes <= zarr_rows.READ_BYTES
    z = zarr.create_array(MemoryStore(), shape=(10**6, 64), chunks=(250_000, 32), dtype="f8")
    source = open_source(z)
    assert source.row_chunks == (250_000,) * 4
    assert source.block_bytes == 250_000 * 64 * 8


def test_names_and_places(tmp_path):
    group = zarr.open_group(tmp_path / "store.zarr", mode="w")
    make(group.store_path / "deep" / "temperature", chunks=(100, 5))
    source = open_source(str(tmp_path / "store.zarr" / "deep" / "temperature"))
    assert source.name == "store.zarr/deep/temperature"
    assert source.locate(317) == "chunk c/3/0 (rows 300 to 399) of store.zarr/deep/temperature"
    assert source.locate(1002) == "chunk c/10/0 (rows 1000 to 1002) of store.zarr/deep/temperature"
    assert open_source(zarr.open_group(tmp_path / "store.zarr")["deep/temperature"]).name == source.name
    v2 = open_source(make(tmp_path / "v2.zarr", chunks=(100, 5), zarr_format=2))
    assert v2.locate(317) == "chunk 3.0 (rows 300 to 399) of v2.zarr"


def test_relative_paths_become_absolute(tmp_path, monkeypatch):
    make(tmp_path / "x.zarr", chunks=(100, 5))
    monkeypatch.chdir(tmp_path)
    source = open_source("x.zarr")
    monkeypatch.chdir(Path("/"))
    np.testing.assert_array_equal(rows_of(source)[0], X)


@pytest.mark.parametrize("damage", ["truncate", "garbage"])
@pytest.mark.parametrize("layout", ["v3", "columns", "sharded"])
def test_a_damaged_chunk_is_named(damage, layout, tmp_path):
    make(tmp_path / "x.zarr", **LAYOUTS[layout])
    key = "c/3/1" if layout == "columns" else "c/3/0"
    path = tmp_path / "x.zarr" / key
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] if damage == "truncate" else bytes(len(data)))
    what, rows = ("shard", "rows 600 to 799") if layout == "sharded" else ("chunk", "rows 300 to 399")
    with pytest.raises(OSError, match=rf"Cannot read {what} {key} \({rows}\) of x.zarr: "):
        rows_of(open_source(tmp_path / "x.zarr"))


def test_a_temporary_failure_is_retried(tmp_path):
    class Flaky(WrapperStore):
        failed = False

        async def get(self, key, prototype, byte_range=None):
            if key == "c/3/0" and not self.failed:
                self.failed = True
                raise OSError("connection reset")
            return await super().get(key, prototype, byte_range)

    def get_ranges(self, key, byte_ranges, **options):
        """Count reads of parts of shards, which zarr makes by this method from 3.4 on."""
        byte_ranges = list(byte_ranges)
        self.reads.update((key, byte_range) for byte_range in byte_ranges)
        return super().get_ranges(key, byte_ranges, **options)

    make(tmp_path / "x.zarr", **LAYOUTS["v3"])
    source = open_source(zarr.open_array(Flaky(LocalStore(tmp_path / "x.zarr", read_only=True)), mode="r"))
    np.testing.assert_array_equal(rows_of(source)[0], X)


def test_refusals(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No Zarr store at .*none.zarr"):
        open_source(tmp_path / "none.zarr")
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileNotFoundError, match="not a Zarr array or group"):
        open_source(tmp_path / "folder")
    (tmp_path / "file.bin").write_text("1,2\n")
    with pytest.raises(FileNotFoundError, match="not a Zarr array or group"):
        open_source(tmp_path / "file.bin")
    group = zarr.open_group(tmp_path / "g.zarr", mode="w")
    with pytest.raises(ValueError, match=r"g.zarr is a Zarr group without any arrays"):
        open_source(tmp_path / "g.zarr")
    group.create_array("a", shape=(3, 2), chunks=(3, 2), dtype="f8")
    group.create_array("deep/b", shape=(4,), chunks=(4,), dtype="f8")
    for data in (tmp_path / "g.zarr", group):
        with pytest.raises(ValueError, match=r"g.zarr is a Zarr group with the arrays a \(3, 2\), deep/b \(4,\)"):
            open_source(data)
    with pytest.raises(FileNotFoundError, match=r"No Zarr store at .*g.zarr/nothing"):
        open_source(tmp_path / "g.zarr" / "nothing")
    with pytest.raises(ValueError, match=r"Expected 2D array, got 1D array instead: g.zarr/deep/b"):
        open_source(group["deep/b"])
    for shape, message in (((0, 3), r"0 sample\(s\)"), ((3, 0), r"0 feature\(s\)")):
        with pytest.raises(ValueError, match=message):
            open_source(zarr.create_array(MemoryStore(), shape=shape, chunks=(1, 1), dtype="f8"))
    for dtype in ("c16", "U3", "M8[s]"):
        z = zarr.create_array(MemoryStore(), shape=(3, 2), chunks=(1, 1), dtype=dtype, zarr_format=2)
        with pytest.raises(ValueError, match=r"dtype|Complex"):
            open_source(z)
    with pytest.raises(ValueError, match=r"wrong length: g.zarr/deep/b has 4 for 3 rows"):
        open_source(group["a"], group["deep/b"])


def test_bad_stored_weights_are_found_when_they_are_read(tmp_path):
    w = W.copy()
    w[700] = -1
    z = make(tmp_path / "x.zarr", chunks=(100, 5))
    with pytest.raises(ValueError, match=r"w.zarr has -1.0 for row 700"):
        rows_of(open_source(z, make(tmp_path / "w.zarr", w, chunks=(77,))))
    with pytest.raises(ValueError, match=r"has -1.0 for row 700"):
        rows_of(open_source(z, da.from_array(w, chunks=91)))
