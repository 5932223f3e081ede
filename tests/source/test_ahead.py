import threading
import time
import weakref
from dataclasses import replace

import numpy as np
import pytest
import zarr
from zarr.storage import LocalStore, MemoryStore, WrapperStore

from dem.engine.sweep.serial import SerialSweep
from dem.scan.scanner import Scanner
from dem.source import open_source, reader, zarr_partition, zarr_rows
from dem.source.reader import read_ahead

SECONDS = 20


def reading():
    return [thread for thread in threading.enumerate() if thread.name.startswith("dem-ahead")]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert reading() == []


class Item:
    """An item in place of a block, to count those in memory."""

    def __init__(self, number):
        self.number = number


class Items:
    """Makes items, and counts them while they are in memory."""

    def __init__(self, fails_at=None):
        self.fails_at = fails_at
        self.alive = weakref.WeakSet()
        self.begun, self.threads, self.lock = 0, set(), threading.Lock()

    def __call__(self, i):
        with self.lock:
            self.begun += 1
            self.threads.add(threading.current_thread().name)
        if i == self.fails_at:
            raise OSError(f"no item {i}")
        item = Item(i)
        with self.lock:
            self.alive.add(item)
        return item


def wait_for(condition):
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


AHEAD = pytest.mark.parametrize("n", [1, 3])


@AHEAD
def test_items_come_in_order_and_some_are_made_ahead(n):
    items, seen = Items(), []
    for item in read_ahead(items, range(20), n):
        wait_for(lambda: items.begun >= min(20, len(seen) + 1 + n))  # the next are begun while this one is here
        assert items.begun <= len(seen) + 1 + n
        assert len(items.alive) <= 1 + n
        seen.append(item.number)
        del item
    assert seen == list(range(20))
    assert all(name.startswith("dem-ahead") for name in items.threads)


@AHEAD
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4])
def test_few_items(count, n):
    assert [item.number for item in read_ahead(Items(), range(count), n)] == list(range(count))


@AHEAD
def test_several_are_made_at_the_same_time(n):
    together = threading.Barrier(n, timeout=SECONDS)

    def make(i):
        together.wait()
        return i

    assert list(read_ahead(make, range(4 * n), n)) == list(range(4 * n))


@AHEAD
def test_an_error_is_raised_when_its_item_is_requested(n):
    ahead = read_ahead(Items(fails_at=3), range(9), n)
    for number in range(3):
        assert next(ahead).number == number
        time.sleep(0.01)  # time for the error, while this item is here
    with pytest.raises(OSError, match="no item 3"):
        next(ahead)


@AHEAD
def test_the_threads_end_if_the_caller_stops(n):
    items = Items()
    ahead = read_ahead(items, range(9), n)
    next(ahead)
    assert 1 <= len(reading()) <= n
    ahead.close()
    assert reading() == []
    assert items.begun <= 1 + n


@AHEAD
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_the_threads_end_with_an_error_of_the_caller(error, n):
    items = Items()

    def work():
        for _ in read_ahead(items, range(9), n):
            raise error

    with pytest.raises(error):
        work()
    assert reading() == []
    assert items.begun <= 1 + n


X = np.random.default_rng(0).normal(size=(4000, 4))


class Watched(WrapperStore):
    """A store that records the chunks requested, and fails at one of them."""

    def __init__(self, store, fails_at=None):
        super().__init__(store)
        self.asked, self.fails_at = [], fails_at

    def _with_store(self, store):
        return type(self)(store, self.fails_at)

    async def get(self, key, prototype, byte_range=None):
        if key.startswith("c/"):
            self.asked.append(int(key.split("/")[1]))
            if self.asked[-1] == self.fails_at:
                raise PermissionError("not yours")
        return await self._store.get(key, prototype, byte_range)


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store of 40 chunks; each is a block."""
    monkeypatch.setattr(zarr_rows, "READ_BYTES", 1)
    zarr.create_array(tmp_path / "x.zarr", shape=X.shape, dtype=X.dtype, chunks=(100, 4))[:] = X
    return LocalStore(tmp_path / "x.zarr", read_only=True)


def test_the_next_block_is_read_during_this_one(store):
    source = open_source(zarr.open_array(Watched(store), mode="r")).reading_ahead(1)
    (partition,) = source.partitions
    asked = source.handle.variables[0].array.store.asked
    for i, block in enumerate(partition.blocks()):
        wait_for(lambda i=i: len(asked) >= min(40, i + 2))
        assert asked == list(range(min(40, i + 2)))
        np.testing.assert_array_equal(block.x, X[100 * i : 100 * i + 100])
        del block
    plain = open_source(zarr.open_array(Watched(store), mode="r")).reading_ahead(0)
    for i, _ in enumerate(plain.partitions[0].blocks()):
        assert plain.handle.variables[0].array.store.asked == list(range(i + 1))


def test_blocks_and_bits_are_the_same(store):
    w = zarr.create_array(MemoryStore(), shape=len(X), dtype="f8", chunks=77)
    w[:] = np.random.default_rng(1).uniform(size=len(X))
    source = open_source(zarr.open_array(store, mode="r"), w, partition_bytes=16_000)
    assert len(source.partitions) > 1
    for one, other in zip(source.partitions, source.reading_ahead(0).partitions, strict=True):
        for here, there in zip(one.blocks(), other.blocks(), strict=True):
            assert here.keys.first == there.keys.first
            np.testing.assert_array_equal(here.x, there.x)
            np.testing.assert_array_equal(here.weight, there.weight)
    scanner = Scanner(4, True, 100, 0, len(X))
    scans = [SerialSweep(s)(scanner) for s in (source, source.reading_ahead(0))]
    assert scans[0].moments.scatter.tobytes() == scans[1].moments.scatter.tobytes()
    np.testing.assert_array_equal(scans[0].sample.x, scans[1].sample.x)


@pytest.mark.parametrize("remote", [False, True])
def test_blocks_are_alive_as_planned(remote, store, monkeypatch):
    monkeypatch.setattr(zarr_rows.ZarrRows, "is_remote", remote)
    made, most = [], []
    read, ahead = reader.Reader.read, 4 if remote else 1

    def counted(self, index):
        x, absent = read(self, index)
        made.append(weakref.ref(x))
        most.append(sum(x() is not None for x in made))
        return x, absent

    monkeypatch.setattr(reader.Reader, "read", counted)
    source = open_source(zarr.open_array(store, mode="r"))
    assert source.read_ahead == ahead
    for i, block in enumerate(source.partitions[0].blocks()):
        wait_for(lambda i=i: len(most) >= min(40, i + 1 + ahead))
        del block
    assert len(most) == 40
    assert max(most) == 1 + ahead


def test_reads_of_a_remote_store_overlap(store):
    source = open_source(zarr.open_array(Watched(store), mode="r"))
    assert source.read_ahead == 4
    asked = source.handle.variables[0].array.store.asked
    for i, block in enumerate(source.partitions[0].blocks()):
        wait_for(lambda i=i: len(asked) >= min(40, i + 5))
        assert sorted(asked) == list(range(min(40, i + 5)))
        np.testing.assert_array_equal(block.x, X[100 * i : 100 * i + 100])
        del block


def test_reads_ahead_of_a_remote_store_are_bounded(store, monkeypatch):
    source = open_source(zarr.open_array(Watched(store), mode="r"))
    monkeypatch.setattr("dem.source.zarr.AHEAD_BYTES", 3 * source.read_bytes)
    assert source.read_ahead == 3
    assert [source.reading_ahead(n).read_ahead for n in (0, 1, 2, 9)] == [0, 1, 2, 3]
    monkeypatch.setattr("dem.source.zarr.AHEAD_BYTES", 1)
    assert source.read_ahead == 1
    w = zarr.create_array(MemoryStore(), shape=len(X), dtype="f8", chunks=77)
    assert open_source(zarr.open_array(Watched(store), mode="r"), w).read_ahead == 1


def test_stored_weights_are_read_in_turn(store, monkeypatch):
    """Whatever a partition is told: each block has the weights of its own rows."""
    w = zarr.create_array(MemoryStore(), data=np.random.default_rng(1).uniform(size=len(X)), chunks=77)
    seen = []

    def watched(read, spans, n):
        seen.append(n)
        return read_ahead(read, spans, n)

    monkeypatch.setattr(zarr_partition, "read_ahead", watched)
    source = open_source(zarr.open_array(Watched(store), mode="r"), w)
    partition = replace(source.partitions[0], read_ahead=4)
    found = [block.weight for block in partition.blocks()]
    np.testing.assert_array_equal(np.concatenate(found), w[:])
    assert seen == [1]
    for _ in replace(partition, weight=None).blocks():
        pass
    assert seen == [1, 4]


def test_an_error_of_the_store_ends_the_pass(store):
    source = open_source(zarr.open_array(Watched(store, fails_at=7), mode="r"))
    with pytest.raises(OSError, match=r"Cannot read chunk c/7/0 \(rows 700 to 799\)"):
        SerialSweep(source)(Scanner(4, False, 100, 0, len(X)))


def test_an_error_of_the_kernel_ends_the_pass(store):
    source = open_source(zarr.open_array(Watched(store), mode="r"))

    def kernel(block):
        raise ZeroDivisionError(f"at {block.keys.first}")

    with pytest.raises(ZeroDivisionError, match="at 0"):
        SerialSweep(source)(lambda: kernel)
    assert len(source.handle.variables[0].array.store.asked) <= 5


def test_a_single_block_needs_no_thread(store):
    source = open_source(zarr.open_array(store, mode="r"), partition_bytes=3200)
    assert source.read_ahead == 0
    for partition in source.partitions:
        for _ in partition.blocks():
            assert reading() == []
