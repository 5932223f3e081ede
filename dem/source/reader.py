"""Read rows of a Zarr array: retry failed reads, record missing chunks, and read several blocks ahead."""

from __future__ import annotations

import asyncio
import itertools
import math
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
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
from dem.source.retry import Attempts, StoreReadError, read_with_retries

Index = tuple[int, ...]
Span = tuple[slice, ...]
"""A slice with a start and a stop for each axis."""


Axes = tuple[tuple[int, str], ...]
ROWS_FIRST: Axes = ((0, "rows"),)


def unit_shape(array: zarr.Array[Any]) -> tuple[int, ...]:
    """Return the shape of a unit of the store (one key): a shard if the array is sharded, else a chunk."""
    return array.shards or array.chunks


def grid_shape(array: zarr.Array[Any]) -> tuple[int, ...]:
    """Return the number of chunks (or shards) along each axis."""
    return tuple(-(-n // unit) for n, unit in zip(array.shape, unit_shape(array), strict=True))


def n_units(array: zarr.Array[Any]) -> int:
    """Return the number of chunks (or shards)."""
    return math.prod(grid_shape(array))


def unit_index(array: zarr.Array[Any], number: int) -> Index:
    """Return the grid index of a chunk (or shard), given its number. Numbers are in C order over the grid."""
    return tuple(int(i) for i in np.unravel_index(number, grid_shape(array)))


def unit_text(array: zarr.Array[Any], name: str, index: Index, axes: Axes = ROWS_FIRST) -> str:
    """Return text for a chunk (or shard), given its grid index: "chunk c/3/0 (rows 300 to 399) of x.zarr".

    `axes` are the axes along which rows lie, each with a word for it.
    """
    what, parts = "shard" if array.shards else "chunk", []
    for axis, word in axes:
        n = unit_shape(array)[axis]
        first, last = index[axis] * n, min((index[axis] + 1) * n, array.shape[axis]) - 1
        parts.append(f"{word} {first} to {last}" if last > first or word == "rows" else f"{word} {first}")
    return f"{what} {array.metadata.encode_chunk_key(index)} ({', '.join(parts)}) of {name}"


def absent_error(first: str, count: int, start: int, stop: int, axis: str = "rows") -> OSError:
    """Return the error for absent chunks: text for the first one, and their number in rows `start` to `stop`.

    `axis` is the word for the axis of these numbers.
    """
    return OSError(
        f"The store does not hold {first}: {human.plural(count, 'chunk')} of {axis} {start} to {stop - 1} "
        f"{'is' if count == 1 else 'are'} missing. Write the missing chunks again, or read them as the fill value "
        "(missing_chunks='fill', --missing-chunks fill)."
    )


class RetryingStore(WrapperStore[Store]):
    """A store that retries failed reads, and records the keys that are absent."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.absent: set[str] = set()

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Return the bytes of a key, or None if the key is absent; see `Attempts.pause` for errors."""
        attempts = Attempts(key)
        while True:
            try:
                return self._noted(key, await self._store.get(key, prototype, byte_range))
            except Exception as error:  # stores raise many kinds of errors
                pause = attempts.pause(error)
            await asyncio.sleep(pause)

    def get_sync(
        self, key: str, *, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return the same as `get`, without an event loop. Newer Zarr calls it if the store has this method."""
        store: Any = self._store
        return self._noted(
            key, read_with_retries(key, lambda: store.get_sync(key, prototype=prototype, byte_range=byte_range))
        )

    if hasattr(Store, "get_ranges"):  # newer Zarr reads parts of a shard by it; the base class calls `get`
        get_ranges = Store.get_ranges

    def _noted(self, key: str, value: Buffer | None) -> Buffer | None:
        if value is None:
            self.absent.add(key)
        return value


class Reader:
    """Reads parts of an array. Each task has its own reader.

    Parameters
    ----------
    array : zarr.Array
    name : str
        The name of the array in messages.
    decoding : Decoding, optional
        How entries are decoded.
    axes : tuple of (int, str)
        The axes along which rows lie, each with a word for it, for messages.
    """

    def __init__(
        self, array: zarr.Array[Any], name: str, decoding: Decoding | None = None, axes: Axes = ROWS_FIRST
    ) -> None:
        self.array, self.name, self.decoding, self.axes = array, name, decoding, axes
        self._store = RetryingStore(array.store)
        inner = array._async_array  # there is no public way to change the store of an array
        config = inner.config if hasattr(inner, "config") else inner._config  # zarr before 3.1.6 has no `config`
        patient = zarr.AsyncArray(inner.metadata, StorePath(self._store, array.path), config)
        self._patient: zarr.Array[Any] = zarr.Array(patient)
        self._visible = False

    def read(self, index: Span) -> tuple[Array, tuple[int, ...]]:
        """Return the entries with an index, decoded, and which of their chunks (or shards) are absent.

        The index has a slice for each axis, with a start and a stop. Entries of absent chunks have the fill value.
        Chunks are numbered in C order over the grid of the array. In a sharded array only whole shards count as absent,
        not chunks that are missing inside a shard.

        Raises
        ------
        OSError
            A chunk cannot be read or decoded (the message names it), or the array is not visible to this process.
        """
        self._store.absent.clear()
        x = self._values(index)
        absent = self._absent(index) if self._store.absent else ()
        if absent:
            before = self._visible
            self._check_visible()  # every time, because results of these rows may be kept
            if not before:
                return self.read(index)  # it may have become visible only now
        return x if self.decoding is None else self.decoding(x), absent

    def finish(self) -> None:
        """Call this after the last read. If chunks were absent, it checks again that the array is visible."""
        if self._visible:
            self._check_visible()

    def _values(self, index: Span) -> Array:
        try:
            return np.asarray(self._patient[index])
        except MemoryError:
            raise
        except (Exception, BaseExceptionGroup) as error:  # codecs raise many kinds of errors
            self._check_attempts(error, index)
        return self._one_by_one(index)

    def _one_by_one(self, index: Span) -> Array:
        """Read the entries again chunk by chunk, to find the chunk that fails."""
        x = np.empty([part.stop - part.start for part in index], self.array.dtype)
        for parts in itertools.product(*map(_within_chunks, index, self.array.chunks)):
            here = tuple(slice(p.start - of.start, p.stop - of.start) for p, of in zip(parts, index, strict=True))
            try:
                x[here] = self._patient[parts]
            except (Exception, BaseExceptionGroup) as error:
                self._check_attempts(error, index)
                unit = tuple(p.start // n for p, n in zip(parts, unit_shape(self.array), strict=True))
                where = unit_text(self.array, self.name, unit, self.axes)
                raise OSError(f"Cannot read {where}: {type(error).__name__}: {error}") from error
        return x

    def _check_attempts(self, error: BaseException, read: Span) -> None:
        """Raise OSError if the store has already failed several times for a key, so that more attempts are useless."""
        failure = _store_error(error)
        if failure is None:
            return
        index = next((index for index, key in self._keys(read) if key == failure.key), None)
        where = failure.key if index is None else unit_text(self.array, self.name, index, self.axes)
        raise OSError(f"Cannot read {where} after {failure.attempts} attempts: {failure.cause}") from error

    def _keys(self, read: Span) -> Iterator[tuple[Index, str]]:
        """Yield the grid index and the store key of each chunk (or shard) of the entries with an index."""
        units = zip(read, unit_shape(self.array), strict=True)
        spans = [range(part.start // n, -(-part.stop // n)) for part, n in units]
        for index in itertools.product(*spans):
            yield index, f"{self.array.path}/{self.array.metadata.encode_chunk_key(index)}".lstrip("/")

    def _absent(self, read: Span) -> tuple[int, ...]:
        grid = grid_shape(self.array)
        missed = (index for index, key in self._keys(read) if key in self._store.absent)
        return tuple(int(np.ravel_multi_index(index, grid)) for index in missed)

    def _check_visible(self) -> None:
        """Raise OSError if the metadata of the array is not visible: then its chunks only seem to be absent."""
        document = "zarr.json" if self.array.metadata.zarr_format == 3 else ".zarray"
        path = StorePath(self._store, f"{self.array.path}/{document}")
        if sync(path.get()) is None:
            raise OSError(
                f"{self.name} is not visible on {socket.gethostname()}, which has to read a part of it: "
                "put it where all workers can read it, and do not move it during a run."
            )
        self._visible = True


def _within_chunks(span: slice, chunk: int) -> list[slice]:
    """Return the parts of a slice that lie in one chunk each."""
    edges = [span.start, *range(span.start // chunk * chunk + chunk, span.stop, chunk), span.stop]
    return [slice(a, b) for a, b in itertools.pairwise(edges)]


def _store_error(error: BaseException) -> StoreReadError | None:
    """Return the StoreReadError that `error` is or contains; None if there is none."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for inner in error.exceptions if (found := _store_error(inner))), None)
    return error if isinstance(error, StoreReadError) else None


S = TypeVar("S")
T = TypeVar("T")


def read_ahead(read: Callable[[S], T], spans: Sequence[S], n: int) -> Iterator[T]:
    """Yield ``read(span)`` for all spans in order, while n threads make the next n.

    In addition to the item that was yielded, at most n more exist or are being made. An error is raised when its item
    is requested. If the caller stops early, the threads end after their current items.
    """
    with ThreadPoolExecutor(n, "dem-ahead") as readers:
        coming = deque(readers.submit(read, span) for span in spans[:n])
        later = iter(spans[n:])
        try:
            while coming:
                item = coming.popleft().result()
                coming.extend(readers.submit(read, span) for span in itertools.islice(later, 1))
                yield item
                del item  # free it before the next read begins
        finally:
            readers.shutdown(wait=False, cancel_futures=True)
