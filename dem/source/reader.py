"""Reading a Zarr array by rows: failed reads are tried again, missing chunks noted, the next block read ahead."""

from __future__ import annotations

import asyncio
import itertools
import math
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import zarr
from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.core.sync import sync
from zarr.storage import StorePath, WrapperStore

from dem.core import human
from dem.core.block import Array
from dem.source.decode import Decoding
from dem.source.retry import Attempts, StoreReadError, persist

Index = tuple[int, ...]


def unit_shape(array: zarr.Array[Any]) -> tuple[int, ...]:
    """Return the shape of what the store holds under one key: a shard, or a chunk."""
    return array.shards or array.chunks


def grid_shape(array: zarr.Array[Any]) -> tuple[int, ...]:
    """Return the number of chunks (or shards) along each axis."""
    return tuple(-(-n // unit) for n, unit in zip(array.shape, unit_shape(array), strict=True))


def n_units(array: zarr.Array[Any]) -> int:
    """Return the number of chunks (or shards)."""
    return math.prod(grid_shape(array))


def unit_index(array: zarr.Array[Any], number: int) -> Index:
    """Return the place in the grid of the chunk (or shard) of this number; the last axis runs fastest."""
    return tuple(int(i) for i in np.unravel_index(number, grid_shape(array)))


def unit_text(array: zarr.Array[Any], name: str, index: Index) -> str:
    """Say which chunk (or shard) is at a place in the grid: "chunk c/3/0 (rows 300 to 399) of x.zarr"."""
    rows = unit_shape(array)[0]
    first = index[0] * rows
    last = min(first + rows, array.shape[0]) - 1
    what = "shard" if array.shards else "chunk"
    return f"{what} {array.metadata.encode_chunk_key(index)} (rows {first} to {last}) of {name}"


def absent_error(first: str, count: int, start: int, stop: int) -> OSError:
    """Return the refusal of absent chunks: the first one in words, and their number in rows `start` to `stop`."""
    return OSError(
        f"The store does not hold {first}: {human.plural(count, 'chunk')} of rows {start} to {stop - 1} "
        f"{'is' if count == 1 else 'are'} missing. Write what is missing, or let missing chunks be read as the fill "
        "value (missing_chunks='fill', --missing-chunks fill)."
    )


class PatientStore(WrapperStore[Store]):
    """A store whose reads are tried again, and which remembers the keys that it did not hold."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.absent: set[str] = set()

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Return the bytes under a key, or None where there is none; see `Attempts.pause` for errors."""
        attempts = Attempts(key)
        while True:
            try:
                return self._noted(key, await self._store.get(key, prototype, byte_range))
            except Exception as error:  # stores raise whatever they like
                pause = attempts.pause(error)
            await asyncio.sleep(pause)

    def get_sync(
        self, key: str, *, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return the same without an event loop: newer Zarr asks for it where the store has that way."""
        store: Any = self._store
        return self._noted(key, persist(key, lambda: store.get_sync(key, prototype=prototype, byte_range=byte_range)))

    if hasattr(Store, "get_ranges"):  # newer Zarr's way to parts of a shard: here by `get`, too
        get_ranges = Store.get_ranges

    def _noted(self, key: str, value: Buffer | None) -> Buffer | None:
        if value is None:
            self.absent.add(key)
        return value


class Reader:
    """Reads an array's rows, whole; it belongs to one task.

    Parameters
    ----------
    array : zarr.Array
    name : str
        What to call it in messages.
    decoding : Decoding, optional
        What its entries stand for.
    """

    def __init__(self, array: zarr.Array[Any], name: str, decoding: Decoding | None = None) -> None:
        self.array, self.name, self.decoding = array, name, decoding
        self._store = PatientStore(array.store)
        inner = array._async_array  # nothing public puts an array on another store
        config = inner.config if hasattr(inner, "config") else inner._config  # zarr before 3.1.6 has no `config`
        patient = zarr.AsyncArray(inner.metadata, StorePath(self._store, array.path), config)
        self._patient: zarr.Array[Any] = zarr.Array(patient)
        self._in_sight = False

    def read(self, first: int, last: int) -> tuple[Array, tuple[int, ...]]:
        """Return rows `first` to `last` (exclusive), decoded, and which of their chunks (or shards) are absent.

        Those have the fill value. They are numbered along the array's grid, the last axis fastest. Of a sharded
        array only whole shards can be absent: chunks left out inside of one are its writer's affair.

        Raises
        ------
        OSError
            A chunk cannot be read or decoded, and the message names it; or this process does not see the array.
        """
        self._store.absent.clear()
        x = self._values(first, last)
        absent = self._absent(first, last) if self._store.absent else ()
        if absent:
            before = self._in_sight
            self._look()  # every time: what is written from these rows may be kept
            if not before:
                return self.read(first, last)  # it may have come into sight just now
        return x if self.decoding is None else self.decoding(x), absent

    def end(self) -> None:
        """Look again whether the array is there, after the last read, if anything was absent: see `read`."""
        if self._in_sight:
            self._look()

    def _values(self, first: int, last: int) -> Array:
        try:
            return np.asarray(self._patient[first:last])
        except MemoryError:
            raise
        except (Exception, BaseExceptionGroup) as error:  # codecs raise whatever they like
            self._check_attempts(error, first, last)
        return self._one_by_one(first, last)

    def _one_by_one(self, first: int, last: int) -> Array:
        """Read again by single chunks, to find the one that is at fault."""
        stops = last, *self.array.shape[1:]
        x = np.empty((last - first, *stops[1:]), self.array.dtype)
        starts = first, *(0 for _ in stops[1:])
        for corner in itertools.product(*map(range, starts, stops, self.array.chunks)):
            edges = zip(corner, self.array.chunks, stops, strict=True)
            rows, *rest = (slice(a, min(a + n, stop)) for a, n, stop in edges)
            try:
                x[(slice(rows.start - first, rows.stop - first), *rest)] = self._patient[(rows, *rest)]
            except (Exception, BaseExceptionGroup) as error:
                self._check_attempts(error, first, last)
                index = tuple(a // n for a, n in zip(corner, unit_shape(self.array), strict=True))
                where = unit_text(self.array, self.name, index)
                raise OSError(f"Cannot read {where}: {type(error).__name__}: {error}") from error
        return x

    def _check_attempts(self, error: BaseException, first: int, last: int) -> None:
        """Raise OSError if the store gave a key up after several attempts: more of them would not help."""
        failure = _store_error(error)
        if failure is None:
            return
        index = next((index for index, key in self._keys(first, last) if key == failure.key), None)
        where = failure.key if index is None else unit_text(self.array, self.name, index)
        raise OSError(f"Cannot read {where} after {failure.attempts} attempts: {failure.cause}") from error

    def _keys(self, first: int, last: int) -> Iterator[tuple[Index, str]]:
        """Yield the place in the grid, and the store's key, of each chunk (or shard) of these rows."""
        rows = unit_shape(self.array)[0]
        spans = range(first // rows, -(-last // rows)), *map(range, grid_shape(self.array)[1:])
        for index in itertools.product(*spans):
            yield index, f"{self.array.path}/{self.array.metadata.encode_chunk_key(index)}".lstrip("/")

    def _absent(self, first: int, last: int) -> tuple[int, ...]:
        grid = grid_shape(self.array)
        missed = (index for index, key in self._keys(first, last) if key in self._store.absent)
        return tuple(int(np.ravel_multi_index(index, grid)) for index in missed)

    def _look(self) -> None:
        """Refuse to take a store that is out of sight for one without chunks."""
        document = "zarr.json" if self.array.metadata.zarr_format == 3 else ".zarray"
        path = StorePath(self._store, f"{self.array.path}/{document}")
        if sync(path.get()) is None:
            raise OSError(
                f"{self.name} is not to be seen from {socket.gethostname()}, where a part of it was to be read: "
                "put it where all workers can read it, and leave it there."
            )
        self._in_sight = True


def _store_error(error: BaseException) -> StoreReadError | None:
    """Return the failure of the store that an error is, or is a group of."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for inner in error.exceptions if (found := _store_error(inner))), None)
    return error if isinstance(error, StoreReadError) else None


T = TypeVar("T")


def read_ahead(items: Iterator[T]) -> Iterator[T]:
    """Yield the items in order, while a thread makes the next one.

    Besides the item that was yielded there is one more at most, made or in the making. An error is raised when
    its item is due. Where the caller stops early, the thread ends with the item that it has begun.
    """
    end = object()
    with ThreadPoolExecutor(1, "dem-ahead") as reader:
        coming = reader.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = reader.submit(next, items, end)
            yield item  # type: ignore[misc]
            del item  # before the next but one is begun
