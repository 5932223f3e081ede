"""The regions of an array of results: tasks write them; a later run finds and checks them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import zarr
from zarr.core.sync import sync

from dem.core.block import Array
from dem.core.rows import Box, RowKeys
from dem.results.nodes import Target
from dem.source import Source
from dem.storage.files import raise_cannot_write


class TakenOverError(FileExistsError):
    """Another run is writing the array now."""


def write_region(targets: Sequence[Target], name: str, keys: RowKeys, values: Array) -> None:
    """Write the rows with these keys, which form a box, to all arrays of an output. Tasks call this.

    Raises
    ------
    TakenOverError
        Another run is writing the array: this run must stop.
    OSError
        The rows cannot be written.
    """
    check_owner(targets[0].array, name)
    box = keys.box(len(values))
    for target in targets:
        try:
            target.array[box.slices] = target.values(values, box)
        except MemoryError:
            raise
        except Exception as error:  # stores may raise any error
            raise_cannot_write(f"{box} of {name}", error)


def check_owner(out: zarr.Array[Any], name: str) -> None:
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


def has_chunks(out: zarr.Array[Any]) -> bool:
    """Whether any chunk is written; true if the store cannot be listed."""
    try:
        keys = _listing(out)
    except Exception:  # stores may raise any error
        return True
    return keys is None or any(key in keys for key in _chunk_keys(out))


def unfinished_partitions(
    outs: Sequence[zarr.Array[Any]], source: Source, rows: int, note: Callable[[str], None]
) -> list[int]:
    """Return the numbers of the partitions of `source` whose results are incomplete or damaged.

    One listing finds the partitions that have all their chunks. Reading these chunks checks them against the checksums
    that were written with them.

    Parameters
    ----------
    outs : sequence of zarr.Array
        The arrays of an output.
    source : Source
    rows : int
        About how many rows may be in memory at a time.
    note : callable
        Called with a sentence about the regions found.
    """
    boxes, chunk = source.boxes, outs[0].chunks[0]
    keys = [_listing(out) or set() for out in outs]
    found = [i for i, of in enumerate(boxes) if all(_are_there(outs, keys, box) for box in of)]
    if not found:
        return list(range(len(boxes)))
    note(f"continuing: {len(found)} of {len(boxes)} regions are written already; checking them")
    step = max(1, rows // math.prod(source.chunk_sides) // chunk) * chunk
    whole = {i for i in found if all(_is_whole(out, box, step) for out in outs for box in boxes[i])}
    if len(whole) < len(found):
        note(f"{len(found) - len(whole)} of these regions are damaged: writing them again")
    return [i for i in range(len(boxes)) if i not in whole]


def _are_there(outs: Sequence[zarr.Array[Any]], keys: Sequence[set[str]], box: Box) -> bool:
    """Whether the store has all chunks of a box; `keys` are those that it has for each array."""
    return all(key in there for out, there in zip(outs, keys, strict=True) for key in _chunk_keys(out, box))


def _is_whole(out: zarr.Array[Any], box: Box, step: int) -> bool:
    first, last = box.start[0], box.stop[0]
    try:
        for a in range(first, last, step):
            out[box.along_first(a, min(a + step, last)).slices]
    except MemoryError:
        raise
    except Exception:  # codecs may raise any error; the region is written again
        return False
    return True


def check_all_written(out: zarr.Array[Any], name: str) -> None:
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


def _chunk_keys(out: zarr.Array[Any], box: Box | None = None) -> Iterator[str]:
    """Yield the keys of the chunks of a box of rows, or of all chunks. The grid has one chunk along other axes."""
    start, stop = ((0,) * out.ndim, out.shape) if box is None else (box.start, box.stop)
    sides = zip(start, stop, out.chunks, strict=False)
    ranges = [range(a // chunk, -(-b // chunk)) for a, b, chunk in sides]
    for index in itertools.product(*ranges, *[(0,)] * (out.ndim - len(ranges))):
        yield out.metadata.encode_chunk_key(index)


def _prefix(out: zarr.Array[Any]) -> str:
    return f"{out.path}/" if out.path else ""


def _listing(out: zarr.Array[Any]) -> set[str] | None:
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
