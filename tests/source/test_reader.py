"""Stores with temporary failures, with missing chunks, and stores that become invisible."""

import pickle
import shutil
import socket
from collections import Counter

import dask.array as da
import numpy as np
import pytest
import zarr
from zarr.storage import LocalStore, MemoryStore, WrapperStore

from dem.engine.sweep.serial import SerialSweep
from dem.scan.scanner import Scanner
from dem.source import evaluate, open_source, retry, zarr_rows
from dem.source.reader import Reader, RetryingStore

RNG = np.random.default_rng(5)
X = RNG.normal(size=(1003, 5))
W = RNG.uniform(1, 2, size=1003)
FILL = 7.5
LAYOUTS = {
    "v3": {"chunks": (100, 5)},
    "v2": {"chunks": (100, 5), "zarr_format": 2},
    "columns": {"chunks": (100, 2)},
    "sharded": {"chunks": (50, 5), "shards": (200, 5)},
    "sharded columns": {"chunks": (50, 2), "shards": (200, 4)},
}
ANY = pytest.mark.parametrize("layout", LAYOUTS)


class Failing(WrapperStore):
    """A store that fails: `times` maps keys to the number of failures."""

    def __init__(self, store, times=(), error=None):
        super().__init__(store)
        self.times, self.error = Counter(times), error or OSError("connection reset")
        self.calls = Counter()

    def _with_store(self, store):
        return type(self)(store, self.times, self.error)

    async def get(self, key, prototype, byte_range=None):
        self.calls[key] += 1
        if self.times[key] > 0:
            self.times[key] -= 1
            raise self.error
        return await self._store.get(key, prototype, byte_range)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(retry, "FIRST_PAUSE", 1e-4)


def make(path, x=X, layout="v3", **more):
    z = zarr.create_array(path, shape=x.shape, dtype=x.dtype, fill_value=FILL, **{**LAYOUTS[layout], **more})
    z[:] = x
    return z


def weights_at(path):
    z = zarr.create_array(path, shape=W.shape, dtype=W.dtype, chunks=(77,), fill_value=FILL)
    z[:] = W
    return path


def blocks_of(source):
    return [block for p in source.partitions for block in evaluate(p).blocks()]


def rows_of(source):
    return np.concatenate([block.x for block in blocks_of(source)])


def absent_of(source):
    return sorted({n for block in blocks_of(source) for n in block.absent})


def key_of(z, number):
    grid = tuple(-(-n // c) for n, c in zip(z.shape, z.shards or z.chunks, strict=True))
    return z.metadata.encode_chunk_key(tuple(map(int, np.unravel_index(number, grid))))


def remove(folder, *numbers):
    z = zarr.open_array(folder, mode="r")
    for number in numbers:
        (folder / key_of(z, number)).unlink()


def failing(folder, times, error=None):
    return open_source(zarr.open_array(Failing(LocalStore(folder, read_only=True), times, error), mode="r"))


class BusyError(Exception):
    """The error that botocore raises."""

    __module__ = "botocore.exceptions"

    def __init__(self):
        super().__init__("An error occurred (SlowDown) when calling the GetObject operation")
        self.response = {"Error": {"Code": "SlowDown"}, "ResponseMetadata": {"HTTPStatusCode": 503}}


@ANY
@pytest.mark.parametrize("error", [OSError("connection reset"), TimeoutError(), BusyError()], ids=repr)
def test_temporary_failures_do_not_change_the_rows(layout, error, tmp_path):
    z = make(tmp_path / "x.zarr", layout=layout)
    source = failing(tmp_path / "x.zarr", {key_of(z, 0): 1, key_of(z, 3): retry.ATTEMPTS - 1}, error)
    np.testing.assert_array_equal(rows_of(source), X)
    store = source.handle.variables[0].array.store
    assert store.times.total() == 0
    assert absent_of(source) == []


@ANY
def test_a_permanent_failure_is_reported_after_a_few_attempts(layout, tmp_path):
    z = make(tmp_path / "x.zarr", layout=layout)
    source = failing(tmp_path / "x.zarr", {key_of(z, 3): 10**6}, BusyError())
    with pytest.raises(OSError, match="Cannot read") as raised:
        rows_of(source)
    assert str(raised.value) == (
        f"Cannot read {source.locate_chunk(3)} after 6 attempts: BusyError: An error occurred (SlowDown) when calling "
        "the GetObject operation"
    )
    assert (
        source.handle.variables[0].array.store.calls[key_of(z, 3)] <= retry.ATTEMPTS * 4
    )  # inner chunks of a shard ask each


def test_a_permanent_failure_is_not_retried_again_per_chunk(tmp_path):
    z = make(tmp_path / "x.zarr")
    source = failing(tmp_path / "x.zarr", {key_of(z, 3): 10**6})
    with pytest.raises(OSError, match="after 6 attempts"):
        rows_of(source)
    assert source.handle.variables[0].array.store.calls[key_of(z, 3)] == retry.ATTEMPTS


def test_errors_that_cannot_be_temporary_are_not_retried(tmp_path):
    z = make(tmp_path / "x.zarr")
    source = failing(tmp_path / "x.zarr", {key_of(z, 3): 10**6}, PermissionError("not yours"))
    with pytest.raises(OSError, match=r"chunk c/3/0 \(rows 300 to 399\) of x.zarr: PermissionError: not yours"):
        rows_of(source)
    assert source.handle.variables[0].array.store.calls[key_of(z, 3)] <= 2  # once more, to find the chunk


def test_reads_of_weights_are_retried_too(tmp_path):
    make(tmp_path / "x.zarr")
    weights_at(tmp_path / "w.zarr")
    for times, works in ((3, True), (10**6, False)):
        store = Failing(LocalStore(tmp_path / "w.zarr", read_only=True), {"c/2": times})
        source = open_source(tmp_path / "x.zarr", zarr.open_array(store, mode="r"))
        if works:
            np.testing.assert_array_equal(np.concatenate([b.weight for b in blocks_of(source)]), W)
        else:
            with pytest.raises(OSError, match=r"chunk c/2 \(rows 154 to 230\) of w.zarr after 6 attempts"):
                blocks_of(source)


def test_opening_is_retried(tmp_path, monkeypatch):
    make(tmp_path / "x.zarr")
    get, failures = LocalStore.get, iter([True, True, False])

    async def flaky(self, key, *args, **options):
        if key == "zarr.json" and next(failures, False):
            raise ConnectionResetError("reset by peer")
        return await get(self, key, *args, **options)

    monkeypatch.setattr(LocalStore, "get", flaky)
    assert open_source(tmp_path / "x.zarr").n_rows == len(X)
    assert next(failures, None) is None


@ANY
@pytest.mark.parametrize("read_bytes", [1, 9000, 2**20])
def test_absent_chunks_have_the_fill_value_and_are_reported(layout, read_bytes, tmp_path, monkeypatch):
    monkeypatch.setattr(zarr_rows, "READ_BYTES", read_bytes)
    make(tmp_path / "x.zarr", layout=layout)
    remove(tmp_path / "x.zarr", 1, 4)
    source = open_source(tmp_path / "x.zarr", partition_bytes=8000)
    expected = np.asarray(zarr.open_array(tmp_path / "x.zarr", mode="r")[:])
    assert (expected == FILL).any()
    np.testing.assert_array_equal(rows_of(source), expected)
    assert absent_of(source) == [1, 4]
    scan = SerialSweep(source)(Scanner(5, False, 100, 0, len(X)))
    assert scan.absent.tolist() == [1, 4]
    assert scan.absent.dtype == np.int64


def test_chunks_missing_inside_a_shard_are_not_reported(tmp_path):
    x = X.copy()
    x[:50] = FILL
    make(tmp_path / "x.zarr", x, "sharded")
    source = open_source(tmp_path / "x.zarr", missing_chunks="error")
    np.testing.assert_array_equal(rows_of(source), x)
    assert absent_of(source) == []


def test_chunks_are_described_in_messages(tmp_path):
    z = make(tmp_path / "x.zarr", layout="columns")
    source = open_source(z)
    assert source.locate_chunk(7) == "chunk c/2/1 (rows 200 to 299) of x.zarr"
    source = open_source(z, weights_at(tmp_path / "w.zarr"))
    assert source.locate_chunk(33) == "chunk c/0 (rows 0 to 76) of w.zarr"
    sharded = open_source(make(tmp_path / "s.zarr", layout="sharded"))
    assert sharded.locate_chunk(3) == "shard c/3/0 (rows 600 to 799) of s.zarr"


@ANY
def test_missing_chunks_can_be_an_error(layout, tmp_path):
    z = make(tmp_path / "x.zarr", layout=layout)
    source = open_source(tmp_path / "x.zarr", missing_chunks="error")
    np.testing.assert_array_equal(rows_of(source), X)
    remove(tmp_path / "x.zarr", 2, 4)
    with pytest.raises(OSError, match="does not hold") as raised:
        rows_of(source)
    assert str(raised.value) == (
        f"The store does not hold {source.locate_chunk(2)}: 2 chunks of rows 0 to 1002 are missing. Write the missing "
        "chunks again, or read them as the fill value (missing_chunks='fill', --missing-chunks fill)."
    )
    assert key_of(z, 2) in source.locate_chunk(2)


def test_chunks_of_weights_are_missing(tmp_path):
    make(tmp_path / "x.zarr")
    remove(tmp_path / "x.zarr", 3)
    weights = weights_at(tmp_path / "w.zarr")
    remove(weights, 1, 5)
    source = open_source(tmp_path / "x.zarr", weights)
    expected = W.copy()
    expected[77:154] = expected[385:462] = FILL
    np.testing.assert_array_equal(np.concatenate([b.weight for b in blocks_of(source)]), expected)
    assert absent_of(source) == [3, 12, 16]
    assert source.locate_chunk(12) == "chunk c/1 (rows 77 to 153) of w.zarr"
    whole = open_source(make(tmp_path / "y.zarr"), weights, missing_chunks="error")
    with pytest.raises(OSError, match=r"not hold chunk c/1 \(rows 77 to 153\) of w.zarr: 2 chunks"):
        blocks_of(whole)


@pytest.mark.parametrize("data", [X, da.from_array(X, chunks=(90, 5))], ids=["memory", "dask"])
def test_chunks_of_stored_weights_are_missing_for_other_data(data, tmp_path):
    weights = weights_at(tmp_path / "w.zarr")
    whole = np.concatenate([b.weight for b in blocks_of(open_source(data, weights, missing_chunks="error"))])
    np.testing.assert_array_equal(whole, W)
    remove(weights, 1)
    with pytest.warns(
        UserWarning, match=r"^some chunks of the weights w.zarr are not in the store, and read as the fill value$"
    ):
        filled = np.concatenate([b.weight for b in blocks_of(open_source(data, weights))])
    assert (filled[77:154] == FILL).all()
    with pytest.raises(OSError, match=r"not hold chunk c/1 \(rows 77 to 153\) of w.zarr: 1 chunk "):
        blocks_of(open_source(data, weights, missing_chunks="error"))


def test_missing_chunks_has_two_allowed_values():
    with pytest.raises(ValueError, match="missing_chunks must be one of fill, error, got 'zero'"):
        open_source(X, missing_chunks="zero")


@ANY
def test_a_store_that_is_not_visible_is_not_taken_for_an_empty_one(layout, tmp_path):
    make(tmp_path / "x.zarr", layout=layout)
    source = open_source(tmp_path / "x.zarr", weights_at(tmp_path / "w.zarr"))
    travelled = pickle.loads(pickle.dumps(source.partitions))
    shutil.move(tmp_path / "x.zarr", tmp_path / "elsewhere")
    with pytest.raises(OSError, match=rf"x.zarr is not visible on {socket.gethostname()}, which"):
        list(travelled[0].blocks())
    shutil.move(tmp_path / "elsewhere", tmp_path / "x.zarr")
    shutil.move(tmp_path / "w.zarr", tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"w.zarr is not visible on"):
        list(travelled[0].blocks())


def test_a_store_that_becomes_invisible_during_a_pass_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(zarr_rows, "READ_BYTES", 1)
    make(tmp_path / "x.zarr")
    remove(tmp_path / "x.zarr", 0)
    blocks = open_source(tmp_path / "x.zarr").reading_ahead(0).partitions[0].blocks()
    assert next(blocks).absent == (0,)
    shutil.move(tmp_path / "x.zarr", tmp_path / "elsewhere")
    with pytest.raises(OSError, match="is not visible on"):
        list(blocks)


def test_a_store_that_becomes_visible_is_read(tmp_path, monkeypatch):
    z = make(tmp_path / "x.zarr")
    shutil.move(tmp_path / "x.zarr", tmp_path / "elsewhere")
    look = Reader._check_visible

    def late(self):
        shutil.move(tmp_path / "elsewhere", tmp_path / "x.zarr")
        look(self)

    monkeypatch.setattr(Reader, "_check_visible", late)
    x, absent = Reader(z, "x.zarr").read((slice(0, len(X)), slice(0, X.shape[1])))
    np.testing.assert_array_equal(x, X)
    assert absent == ()


def test_each_read_with_absent_chunks_costs_one_more_request(tmp_path, monkeypatch):
    monkeypatch.setattr(zarr_rows, "READ_BYTES", 1)
    make(tmp_path / "x.zarr")
    remove(tmp_path / "x.zarr", *range(11))
    store = Failing(LocalStore(tmp_path / "x.zarr", read_only=True))
    source = open_source(zarr.open_array(store, mode="r")).reading_ahead(1)
    store = source.handle.variables[0].array.store
    before = store.calls["zarr.json"]
    assert absent_of(source) == list(range(11))
    assert store.calls["zarr.json"] - before == 11 + 1 + 1  # the first read is made again, and one look ends it
    assert sum(n for key, n in store.calls.items() if key.startswith("c/")) == 11 + 1


def test_arrays_in_a_memory_store_and_in_a_group_are_visible():
    group = zarr.open_group(MemoryStore(), mode="w")
    z = group.create_array("deep/x", shape=(100, 2), chunks=(10, 2), dtype="f4", fill_value=1)
    z[20:] = 3
    source = open_source(z)
    assert absent_of(source) == [0, 1]
    assert (rows_of(source)[:20] == 1).all()


@pytest.mark.skipif(not hasattr(LocalStore, "get_sync"), reason="zarr reads so from 3.1.6 on")
def test_reads_without_an_event_loop_are_the_same(tmp_path):
    make(tmp_path / "x.zarr")

    class FailingInSync(LocalStore):
        times, calls = Counter({"c/1/0": 2, "c/2/0": 10**6}), Counter()

        def get_sync(self, key, *, prototype=None, byte_range=None):
            self.calls[key] += 1
            if self.times[key] > 0:
                self.times[key] -= 1
                raise BusyError
            return super().get_sync(key, prototype=prototype, byte_range=byte_range)

    inner = FailingInSync(tmp_path / "x.zarr", read_only=True)
    store = RetryingStore(inner)
    assert store.get_sync("c/1/0").to_bytes() == (tmp_path / "x.zarr/c/1/0").read_bytes()
    assert inner.calls["c/1/0"] == 3
    assert store.get_sync("c/99/0") is None
    assert store.absent == {"c/99/0"}
    with pytest.raises(retry.StoreReadError, match="c/2/0 after 6 attempts: BusyError"):
        store.get_sync("c/2/0")
    assert inner.calls["c/2/0"] == retry.ATTEMPTS
