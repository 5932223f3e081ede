"""Row-wise results (labels, responsibilities, scores, latents): lazy, in memory, or written to a store.

All three forms take a `make_rows`: small and picklable, called once per task, it returns the
function from a block to one entry (or row) per row, which must also accept a block without rows.
"""

from __future__ import annotations

import math
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import zarr
from dask.task_spec import Task, TaskRef
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from numpy.typing import DTypeLike
from zarr.core.sync import sync

from dem.model import Array, Block, Sweep
from dem.source import Delayed, Partition, Source
from dem.source.generated import GeneratedSource
from dem.source.places import overlap, place_at
from dem.source.stores import address, is_url
from dem.stats import Additive
from dem.sweep.serial import SerialSweep, empty_block
from dem.sweep.threads import ThreadSweep

MakeRows = Callable[[], Callable[[Block], Array]]
MARK = "dem_output"
"""The attribute that tells an array which dem wrote, and may replace, from any other."""
RESULT_BYTES = 64 * 2**20
"""What a lazy block should have, of results and of rows, at most; so should a chunk of results, and what is computed
at a time."""
WRITE_COPIES = 3
"""Results as they are computed, as chunks of the output's dtype, and encoded."""
Written = Additive
"""The statistics of a pass that writes: how many rows it wrote."""


def lazy(source: Source, make_rows: MakeRows, dtype: DTypeLike, columns: int | None = None) -> da.Array:
    """Return the results as a Dask array of blocks of about `RESULT_BYTES`, where the chunks of the rows allow it.

    Parameters
    ----------
    source : Source
    make_rows : callable
    dtype : dtype of the results
    columns : int, optional
        Results have shape (n, columns); without it, (n,).
    """
    token = uuid.uuid4().hex
    name, maker = f"dem-rows-{token}", f"dem-make-rows-{token}"
    inner = () if columns is None else (columns,)
    empty = np.empty((0, *inner), dtype)
    source = source.cut(np.dtype(dtype).itemsize * (1 if columns is None else columns), RESULT_BYTES)
    graph: dict[Any, Any] = {maker: Task(maker, _itself, make_rows)}
    for i, partition in enumerate(source.partitions):
        if isinstance(partition, Delayed):
            graph.update(partition.dask)
        rows = TaskRef(partition.key) if isinstance(partition, Delayed) else partition
        key = (name, i) + (0,) * len(inner)
        graph[key] = Task(key, _rows_of, TaskRef(maker), rows, empty)
    chunks = (source.row_chunks, *((k,) for k in inner))
    return da.Array(graph, name, chunks, dtype=dtype, meta=empty)


def _itself(value: MakeRows) -> MakeRows:
    return value


def _rows_of(make_rows: MakeRows, partition: Partition, empty: Array) -> Array:
    rows, at = make_rows(), 0
    out = np.empty((partition.rows, *empty.shape[1:]), empty.dtype)
    for block in partition.blocks():
        for part in slices(block, empty):
            out[at : at + len(part.x)] = rows(part)
            at += len(part.x)
    return out


def slices(block: Block, like: Array | zarr.Array[Any], unit: int = 1) -> Iterator[Block]:
    """Yield a block by parts of some `unit` rows, whose results (arrays like `like`) have `RESULT_BYTES` at most."""
    step = result_rows(row_bytes(like), unit)
    for a in range(0, len(block.x), step):
        weight = None if block.weight is None else block.weight[a : a + step]
        yield Block(block.x[a : a + step], weight, block.first + a)


def result_rows(row_bytes: int, unit: int = 1) -> int:
    """Return how many rows' results are computed at a time: as many units as have `RESULT_BYTES`, or one."""
    return unit * max(1, RESULT_BYTES // (unit * max(1, row_bytes)))


def row_bytes(like: Array | zarr.Array[Any]) -> int:
    """Return the bytes of one entry (or row) of an array."""
    return int(np.prod(like.shape[1:], dtype=np.int64)) * np.dtype(like.dtype).itemsize


def collect(source: Source, make_rows: MakeRows, n_threads: int = 1) -> Array:
    """Return the results as one array in memory; their dtype and shape are those of an empty block's."""
    if source.n_rows is None:
        raise ValueError(f"{source.name} has an unknown number of rows: call compute_chunk_sizes() first.")
    example = make_rows()(empty_block(source))
    out = np.empty((source.n_rows, *example.shape[1:]), example.dtype)
    sweep: Sweep = ThreadSweep(source, n_threads) if n_threads > 1 else SerialSweep(source)
    sweep(partial(_writer, make_rows, out))
    return out


def write(
    sweep: Sweep,
    source: Source,
    make_rows: MakeRows,
    path: str | os.PathLike[str],
    dtype: DTypeLike,
    columns: int | None = None,
    attributes: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> zarr.Array[Any]:
    """Write the results to a Zarr array in one pass, each block to its own rows.

    The array is chunked like the rows of the source, or finer by a whole number where a chunk would pass
    `RESULT_BYTES`, so that no two tasks share a chunk. On a local disk it is written under a hidden name
    beside `path` and moved there once it is whole.
    Object stores cannot rename. So at a URL it is written in place, and `overwrite` removes the old one
    at the start; after an error nothing is left there. What a killed process leaves has the attribute
    ``complete`` false, and is refused as data.

    Parameters
    ----------
    sweep : Sweep
        A sweep over `source`.
    source : Source
    make_rows : callable
    path : str or Path
        A path, or a URL that zarr can write.
    dtype : dtype of the results
    columns : int, optional
        Results have shape (n, columns); without it, (n,).
    attributes : mapping, optional
        Attributes of the array, as JSON takes them.
    overwrite : bool
        Replace what is there, if it is an array that this function wrote.

    Raises
    ------
    FileExistsError
        Something is at `path` already; with `overwrite`, something else than row-wise results. Or the data
        themselves are there, or within, or around it.
    ValueError
        The rows of the source are not in chunks of equal size.
    """
    if source.n_rows is None or source.chunk_rows is None:
        raise ValueError(
            f"Results for {source.name} cannot be written region by region, since its chunks have unknown or "
            "unequal sizes: call compute_chunk_sizes() or rechunk() on it first."
        )
    inner = () if columns is None else (columns,)
    layout = {
        "shape": (source.n_rows, *inner),
        "chunks": (output_rows(source, np.dtype(dtype).itemsize * math.prod(inner)), *inner),
        "dtype": np.dtype(dtype),
        "zarr_format": 3,
    }
    where = address(path)
    check_free = partial(_check_free, path, where, source, overwrite)
    check_free()
    marked = {MARK: dict(attributes or {}).get("what", "rows"), **(attributes or {})}
    new_array = _new_at_url(where, layout, marked) if is_url(where) else _new_on_disk(where, layout, marked, check_free)
    with new_array as out:
        sweep(partial(_writer, make_rows, out, out.chunks[0]))
    return zarr.open_array(where, mode="r")


def output_rows(source: Source, row_bytes: int) -> int:
    """Return the rows of a chunk of results: those of a chunk of the source, over a divisor where that is too much.

    Where no divisor gives chunks between a sixteenth of `RESULT_BYTES` and all of it, they are larger.
    """
    assert source.n_rows is not None
    assert source.chunk_rows is not None
    rows, most = min(source.chunk_rows, source.n_rows), max(1, RESULT_BYTES // max(1, row_bytes))
    if rows <= most or isinstance(source, GeneratedSource):  # whose chunks are those asked for
        return rows
    if rows == source.n_rows:  # one block, which shares with none
        return most
    small = [k for k in range(1, math.isqrt(rows) + 1) if rows % k == 0]
    divisors = sorted({*small, *(rows // k for k in small)})
    fit = max(r for r in divisors if r <= most)
    return fit if 16 * fit >= most else min(r for r in divisors if r > most)


def results_bytes(source: Source, columns: int | None, dtype: DTypeLike) -> int:
    """Return the bytes that a task of `write` holds at most beside its block and what the model works in.

    They are `WRITE_COPIES` of the results that are computed at a time: those of the block, or of as many chunks
    of the output as have `RESULT_BYTES`, or of one. Nothing for a source that `write` refuses.
    """
    if source.n_rows is None or source.chunk_rows is None:
        return 0
    size = np.dtype(dtype).itemsize * (1 if columns is None else columns)
    block = source.block_bytes // (source.n_columns * source.dtype.itemsize) or int(max(source.row_chunks))
    rows = result_rows(size, output_rows(source, size))
    return WRITE_COPIES * size * min(block, rows, source.n_rows)


def _writer(make_rows: MakeRows, out: Array | zarr.Array[Any], unit: int = 1) -> Callable[[Block], Written]:
    """Return the kernel that writes a block's results to its rows of `out`, some units of rows at a time."""
    rows = make_rows()

    def kernel(block: Block) -> Written:
        for part in slices(block, out, unit):
            out[part.first : part.first + len(part.x)] = rows(part)
        return Written(len(block.x))

    return kernel


def _check_free(path: str | os.PathLike[str], where: str, source: Source, overwrite: bool) -> None:
    """Refuse the places of the data, and what exists; with `overwrite`, all that is no array of row-wise results."""
    place = place_at(where)
    if any(overlap(place, data) for data in source.stored_at):
        raise FileExistsError(f"{path} is where {source.name} (or its weights) is stored: choose another name.")
    files, root = url_to_fs(where) if is_url(where) else (LocalFileSystem(), where)
    if not files.exists(root):
        return
    if not overwrite:
        raise FileExistsError(f"{path} exists already: choose another name, or allow overwriting.")
    if not _is_output(where):
        raise FileExistsError(f"{path} exists, and only results that dem wrote are overwritten: choose another name.")


def _is_output(where: str) -> bool:
    """Whether an array with dem's mark is there, whole or not."""
    try:
        node = zarr.open(where, mode="r")
    except Exception:  # stores and codecs raise whatever they like: then it is none of dem's
        return False
    return isinstance(node, zarr.Array) and MARK in node.attrs


@contextmanager
def _new_at_url(url: str, layout: dict[str, Any], attributes: dict[str, Any]) -> Iterator[zarr.Array[Any]]:
    """Give a new array to write to, in place of what is at the URL; after an error nothing is there."""
    out = zarr.create_array(url, **layout, overwrite=True, attributes={**attributes, "complete": False})
    try:
        yield out
        out.attrs["complete"] = True
    except BaseException:
        with suppress(Exception):  # the failure itself is what to report
            sync(out.store_path.delete_dir())
        raise


@contextmanager
def _new_on_disk(
    path: str, layout: dict[str, Any], attributes: dict[str, Any], check_free: Callable[[], None]
) -> Iterator[zarr.Array[Any]]:
    """Give a new array to write to; at the end it stands at `path`, and after an error what stood there before."""
    target = Path(path)
    with _folders_of(target), _hidden_beside(target) as new:
        yield zarr.create_array(new, **layout, attributes=attributes)
        check_free()  # again: much may have happened meanwhile
        _replace(target, new)


def _replace(target: Path, new: Path) -> None:
    """Put `new` in the place of `target`, whose old content is removed: a folder cannot be swapped at once."""
    old = _hidden_name(target)
    try:
        if target.exists():
            target.rename(old)
        new.rename(target)
    except BaseException:
        if old.exists() and not target.exists():
            old.rename(target)
        raise
    finally:
        if target.exists():  # else the old one is all there is
            _remove(old)


@contextmanager
def _folders_of(target: Path) -> Iterator[None]:
    """Make the folders that `target` is in; those made here and empty at the end are removed."""
    missing = [folder for folder in target.parents if not folder.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        with suppress(OSError):  # from the first that is not empty on
            for folder in missing:
                folder.rmdir()


@contextmanager
def _hidden_beside(target: Path) -> Iterator[Path]:
    """Give a hidden name in the same folder; whatever stands there at the end is removed."""
    path = _hidden_name(target)
    try:
        yield path
    finally:
        _remove(path)


def _hidden_name(target: Path) -> Path:
    return target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
