"""The regions of an array of results: written by tasks, found again by a later run, checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import zarr
from zarr.core.sync import sync

from dem.core.block import Array
from dem.source import Source
from dem.storage.files import cannot_write


class TakenOverError(FileExistsError):
    """Another run writes the array now."""


def write_rows(out: zarr.Array[Any], name: str, first: int, values: Array) -> None:
    """Write rows of the array, in a task.

    Raises
    ------
    TakenOverError
        Another run has taken the array over: this one must write no more.
    OSError
        They cannot be written, for whatever reason.
    """
    check_held(out, name)
    try:
        out[first : first + len(values)] = values
    except MemoryError:
        raise
    except Exception as error:  # stores raise whatever they like
        cannot_write(f"rows {first} to {first + len(values) - 1} of {name}", error)


def check_held(out: zarr.Array[Any], name: str) -> None:
    """Refuse to go on with an array that a later run holds. Only at URLs: files are claimed."""
    run = out.attrs.get("run")
    if run is None:
        return
    try:
        there = zarr.open_array(out.store, path=out.path, mode="r", zarr_format=out.metadata.zarr_format)
        holder = there.attrs.get("run")
    except FileNotFoundError:
        holder = None
    if holder != run:
        raise TakenOverError(f"{name} has been taken over by another run: this one ends, and leaves it to that one.")


def begun(out: zarr.Array[Any]) -> bool:
    """Whether anything is written; true where that cannot be told."""
    try:
        keys = _listing(out)
    except Exception:  # stores raise whatever they like
        return True
    return keys is None or any(key in keys for key in _chunk_keys(out))


def unwritten(out: zarr.Array[Any], source: Source, rows: int, note: Callable[[str], None]) -> list[int]:
    """Return the partitions of `source` whose results are not all there, or damaged.

    One listing tells which have all their chunks; those chunks are read, and so compared with the checksums that
    they were written with.

    Parameters
    ----------
    out : zarr.Array
    source : Source
    rows : int
        About how many may be held at a time.
    note : callable
        Is told what is found.
    """
    ranges, keys, chunk = _ranges(source), _listing(out) or set(), out.chunks[0]
    there = [key in keys for key in _chunk_keys(out)]
    found = [i for i, (first, last) in enumerate(ranges) if all(there[first // chunk : -(-last // chunk)])]
    if not found:
        return list(range(len(ranges)))
    note(f"goes on: {len(found)} of {len(ranges)} regions are written, and are read to check them")
    whole = {i for i in found if _is_whole(out, *ranges[i], max(1, rows // chunk) * chunk)}
    if len(whole) < len(found):
        note(f"{len(found) - len(whole)} of these regions are damaged, and are written again")
    return [i for i in range(len(ranges)) if i not in whole]


def _is_whole(out: zarr.Array[Any], first: int, last: int, step: int) -> bool:
    try:
        for a in range(first, last, step):
            out[a : min(a + step, last)]
    except MemoryError:
        raise
    except Exception:  # codecs raise whatever they like; it is written again
        return False
    return True


def check_whole(out: zarr.Array[Any], name: str) -> None:
    """Refuse an array that lacks chunks after all have been written, and remove what dead writers left.

    Raises
    ------
    OSError
        Chunks are missing, which would be read as zeros.
    """
    keys = _listing(out)
    if keys is None:
        return
    missing = [key for key in _chunk_keys(out) if key not in keys]
    if missing:
        raise OSError(
            f"{len(missing):,} of {name}'s {out.nchunks:,} chunks are not there after they were written, such as "
            f"{missing[0]}: do the workers write to the same disk? Does something else remove files?"
        )
    for key in keys:
        if key.endswith(".partial"):  # zarr's name for a file that is being written; its writer was killed
            sync(out.store_path.store.delete(f"{_prefix(out)}{key}"))


def _ranges(source: Source) -> list[tuple[int, int]]:
    """Return the first and last (exclusive) row of each partition."""
    return list(pairwise([0, *np.cumsum(source.row_chunks, dtype=np.int64).tolist()]))


def _chunk_keys(out: zarr.Array[Any]) -> Iterator[str]:
    """Yield the keys of the array's chunks, whose grid has one column."""
    columns = (0,) * (out.ndim - 1)
    for i in range(-(-out.shape[0] // out.chunks[0])):
        yield out.metadata.encode_chunk_key((i, *columns))


def _prefix(out: zarr.Array[Any]) -> str:
    return f"{out.path}/" if out.path else ""


def _listing(out: zarr.Array[Any]) -> set[str] | None:
    """Return all keys below the array, as they are now; None where the store cannot list."""
    store, prefix = out.store_path.store, _prefix(out)
    if not store.supports_listing:
        return None
    forget = getattr(getattr(store, "fs", None), "invalidate_cache", None)
    if forget is not None:  # fsspec keeps listings, and others have written meanwhile
        forget()

    async def keys() -> set[str]:
        return {key.removeprefix(prefix) async for key in store.list_prefix(prefix)}

    return sync(keys())
