"""Row-wise results (labels, responsibilities, scores, latents): lazy, in memory, or written to a store.

All three forms take a `make_rows`: small and picklable, called once per task, it returns the
function from a block to one entry (or row) per row, which must also accept a block without rows.
"""

from __future__ import annotations

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
from fsspec.core import url_to_fs  # type: ignore[import-untyped]
from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]
from numpy.typing import DTypeLike
from zarr.core.sync import sync

from dem.model import Array, Block, Sweep
from dem.source import Delayed, Partition, Source
from dem.source.places import overlap, place_at
from dem.source.stores import address, is_url
from dem.stats import Additive
from dem.sweep.serial import SerialSweep, empty_block
from dem.sweep.threads import ThreadSweep

MakeRows = Callable[[], Callable[[Block], Array]]
MARK = "dem_output"
"""The attribute that tells an array which dem wrote, and may replace, from any other."""
Written = Additive
"""The statistics of a pass that writes: how many rows it wrote."""


def lazy(source: Source, make_rows: MakeRows, dtype: DTypeLike, columns: int | None = None) -> da.Array:
    """Return the results as a Dask array with one block per partition.

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
    rows = make_rows()
    done = [rows(block).astype(empty.dtype, copy=False) for block in partition.blocks()]
    return np.concatenate([empty, *done]) if len(done) != 1 else done[0]


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

    The array is chunked like the rows of the source, so that no two tasks share a chunk. On a
    local disk it is written under a hidden name beside `path` and moved there once it is whole.
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
        "chunks": (min(source.chunk_rows, source.n_rows), *inner),
        "dtype": np.dtype(dtype),
        "zarr_format": 3,
    }
    where = address(path)
    check_free = partial(_check_free, path, where, source, overwrite)
    check_free()
    marked = {MARK: dict(attributes or {}).get("what", "rows"), **(attributes or {})}
    new_array = _new_at_url(where, layout, marked) if is_url(where) else _new_on_disk(where, layout, marked, check_free)
    with new_array as out:
        sweep(partial(_writer, make_rows, out))
    return zarr.open_array(where, mode="r")


def _writer(make_rows: MakeRows, out: Array | zarr.Array[Any]) -> Callable[[Block], Written]:
    """Return the kernel that writes a block's results to its rows of `out`."""
    rows = make_rows()

    def kernel(block: Block) -> Written:
        n = len(block.x)
        if n:
            out[block.first : block.first + n] = rows(block)
        return Written(n)

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
