"""The regions of an array of results: tasks write them; a later run finds and checks them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import zarr
from zarr.core.sync import sync

from dem.core.block import Array
from dem.source import Source
from dem.storage.files import raise_cannot_write


class TakenOverError(FileExistsError):
    """Another run is writing the array now."""


def write_region(out: zarr.Array, name: str, first: int, values: Array) -> None:
    """Write the rows from `first` on. Tasks call this.

    Raises
    ------
    TakenOverError
        Another run is writing the array: this run must stop.
    OSError
        The rows cannot be written.
    """
    check_owner(out, name)
    try:
        out[first : first + len(values)] = values
    except MemoryError:
        raise
    except Exception as error:  # stores may raise any error
        raise_cannot_write(f"rows {first} to {first + len(values) - 1} of {name}", error)


def check_owner(out: zarr.Array, name: str) -> None:
    """Stop if a later run has taken over the array. Only needed at URLs: outputs on a disk are locked.

    Raises
    ------
    TakenOverError
    """
    run = out.attrs.get("run")
    if run is None:
        return
    try:
        there = zarr.open_array(out.store, path=out.path, mode="r", zarr_format=out.metadata.zarr_format)
        holder = there.attrs.get("run")
    except FileNotFoundError:
        holder = None
    if holder != run:
        raise TakenOverError(f"Another run is writing {name}: this run stops.")


def has_chunks(out: zarr.Array) -> bool:
    """Whether any chunk is written; true if the store cannot be listed."""
    try:
        keys = _listing(out)
    except Exception:  # stores may raise any error
        return True
    return keys is None or any(key in keys for key in _chunk_keys(out))


def unfinished_partitions(out: zarr.Array, source: Source, rows: int, note: Callable[[str], None]) -> list[int]:
    """Return the numbers of the partitions of `source` whose results are incomplete or damaged.

    One listing finds the partitions that have all their chunks. Reading these chunks checks them against the checksums
    that were written with them.

    Parameters
    ----------
    out : zarr.Array
    source : Source
    rows : int
        About how many rows may be in memory at a time.
    note : callable
        Called with a sentence about the regions found.
    """
    ranges, keys, chunk = _ranges(source), _listing(out) or set(), out.chunks[0]
    there = [key in keys for key in _chunk_keys(out)]
    found = [i for i, (first, last) in enumerate(ranges) if all(there[first // chunk : -(-last // chunk)])]
    if not found:
        return list(range(len(ranges)))
    note(f"continuing: {len(found)} of {len(ranges)} regions are written already; checking them")
    whole = {i for i in found if _is_whole(out, *ranges[i], max(1, rows // chunk) * chunk)}
    if len(whole) < len(found):
        note(f"{len(found) - len(whole)} of these regions are damaged: writing them again")
    return [i for i in range(len(ranges)) if i not in whole]


def _is_whole(out: zarr.Array, first: int, last: int, step: int) -> bool:
    try:
        for a in range(first, last, step):
            out[a : min(a + step, last)]
    except MemoryError:
        raise
    except Exception:  # codecs may raise any error; the region is written again
        return False
    return True


def check_all_written(out: zarr.Array, name: str) -> None:
    """Check that all chunks are in the store after the pass, and remove the temporary files of killed writers.

    Raises
    ------
    OSError
        Chunks are missing; they would read as the fill value.
    """
    keys = _listing(out)
    if keys is None:
        return
    missing = [key for key in _chunk_keys(out) if key not in keys]
    if missing:
        raise OSError(
            f"{len(missing):,} of the {out.nchunks:,} chunks of {name} are missing after they were written, such as "
            f"{missing[0]}: check that all workers write to the same disk, and that nothing else removes files there."
        )
    for key in keys:
        if key.endswith(".partial"):  # zarr gives this name to a file while it is written; the writer was killed
            sync(out.store_path.store.delete(f"{_prefix(out)}{key}"))


def _ranges(source: Source) -> list[tuple[int, int]]:
    """Return the first and last (exclusive) row of each partition."""
    return list(pairwise([0, *np.cumsum(source.row_chunks, dtype=np.int64).tolist()]))


def _chunk_keys(out: zarr.Array) -> Iterator[str]:
    """Yield the keys of the array's chunks; the chunk grid has one column."""
    columns = (0,) * (out.ndim - 1)
    for i in range(-(-out.shape[0] // out.chunks[0])):
        yield out.metadata.encode_chunk_key((i, *columns))


def _prefix(out: zarr.Array) -> str:
    return f"{out.path}/" if out.path else ""


def _listing(out: zarr.Array) -> set[str] | None:
    """Return all keys that the array has in the store now; None if the store cannot be listed."""
    store, prefix = out.store_path.store, _prefix(out)
    if not store.supports_listing:
        return None
    forget = getattr(getattr(store, "fs", None), "invalidate_cache", None)
    if forget is not None:  # fsspec caches listings, but workers have written since
        forget()

    async def keys() -> set[str]:
        return {key.removeprefix(prefix) async for key in store.list_prefix(prefix)}

    return sync(keys())
