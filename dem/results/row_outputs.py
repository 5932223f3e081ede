"""Row-wise results (labels, responsibilities, scores, latents): lazy, in memory, or written to a store.

All three forms take a `make_rows`: small and picklable, called once per task, it returns the
function from a block to one entry (or row) per row, which must also accept a block without rows.
"""

from __future__ import annotations

import math
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import zarr
from dask.task_spec import Task, TaskRef
from distributed import warn
from numpy.typing import DTypeLike

from dem.core import human
from dem.core.block import Array, Block, Sweep
from dem.core.error_state import own_errors
from dem.core.stats import Additive
from dem.engine.sweep.serial import Divisible, SerialSweep, empty_block
from dem.engine.sweep.threads import ThreadSweep
from dem.results import regions
from dem.results.new_array import MARK, new_array
from dem.source import Delayed, Partition, Source
from dem.source.generated import GeneratedSource
from dem.source.stores import address, place_of
from dem.storage.encoding import digest

MakeRows = Callable[[], Callable[[Block], Array]]
RESULT_BYTES = 64 * 2**20
"""What a lazy block should have, of results and of rows, at most; so should a chunk of results, and what is computed
at a time."""
WRITE_COPIES = 3
"""Results as they are computed, as chunks of the output's dtype, and encoded."""
CODECS = [{"name": "zstd", "configuration": {"level": 0, "checksum": False}}, {"name": "crc32c"}]
"""Zarr's default, and a checksum, which tells what is whole from what is damaged."""


@dataclass(frozen=True)
class Written(Additive):
    """The statistics of a pass that writes.

    Attributes
    ----------
    rows : int
        How many rows it wrote.
    missing : int
        How many of them have missing results.
    """

    missing: int


def missing_value(dtype: DTypeLike) -> float:
    """Return what stands for a missing result, and is the fill value of arrays on disk: NaN, of labels -1."""
    return {"f": np.nan, "i": -1}.get(np.dtype(dtype).kind, 0)


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
        graph[key] = Task(key, _rows_of, TaskRef(maker), rows, empty, source.name)
    chunks = (source.row_chunks, *((k,) for k in inner))
    return da.Array(graph, name, chunks, dtype=dtype, meta=empty)


def _itself(value: MakeRows) -> MakeRows:
    return value


@own_errors()
def _rows_of(make_rows: MakeRows, partition: Partition, empty: Array, name: str) -> Array:
    rows, at = make_rows(), 0
    out = np.empty((partition.rows, *empty.shape[1:]), empty.dtype)
    for block in partition.blocks():
        if block.absent:  # on a cluster, the client is told
            warn(
                f"chunks of {name} are not in the store, read as the fill value "
                "(dem.open_source(..., missing_chunks='error') refuses them)"
            )
        for part in slices(block, empty):
            out[at : at + len(part.x)] = rows(part)
            at += len(part.x)
            del part
        del block  # before the next one is asked for
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

    def put(first: int, values: Array) -> None:
        out[first : first + len(values)] = values

    sweep(partial(_writer, make_rows, out, put))
    return out


def _ignore(told: object) -> None:
    pass


def write(
    sweep: Divisible,
    source: Source,
    make_rows: MakeRows,
    path: str | os.PathLike[str],
    dtype: DTypeLike,
    columns: int | None = None,
    attributes: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    *,
    job: Any = None,
    note: Callable[[str], None] = _ignore,
    require: Callable[[tuple[str, ...]], None] = _ignore,
) -> zarr.Array[Any]:
    """Write the results to a Zarr array in one pass, each block to its own rows.

    The array is chunked like the rows of the source, or finer by a whole number where a chunk would pass
    `RESULT_BYTES`, so that no two tasks share a chunk. See `dem.results.new_array` for where it is written until it is
    whole. A job that was broken off leaves what it has written. The same job goes on from there: regions that are there
    and decode to their checksums stay, and the pass covers the rest.

    Parameters
    ----------
    sweep : Divisible
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
    job : JSON, optional
        All that determines the results. Without it, nothing is left of a pass that was broken off.
    note : callable, optional
        Is told in a sentence what was found of an earlier run.
    require : callable, optional
        Is given the places that all workers must see, before they write.

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
        "dtype": np.dtype(dtype).str,
        "fill_value": missing_value(dtype),
        "zarr_format": 3,
        "compressors": CODECS,
    }
    marked = {MARK: dict(attributes or {}).get("what", "rows"), **(attributes or {})}
    known = None if job is None else digest([job, layout])
    with new_array(path, source, layout, marked, overwrite=overwrite, job=known) as out:
        require(place_of(out))
        every = list(range(len(source.row_chunks)))
        held = held_rows(source, row_bytes(out))
        left = every if known is None else regions.unwritten(out, source, held, note)
        if left:
            part = sweep if left == every else sweep.only(left)
            done = part(partial(_writer, make_rows, out, partial(regions.write_rows, out, str(path)), out.chunks[0]))
            if done.missing:
                note(
                    f"{human.plural(done.missing, 'row')} of {source.name} without any value: in {path} they are "
                    f"missing ({missing_value(dtype):g})"
                )
        regions.check_whole(out, str(path))
    return zarr.open_array(address(path), mode="r")


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
    return WRITE_COPIES * size * held_rows(source, size)


def held_rows(source: Source, row_bytes: int) -> int:
    """Return the rows whose results a task of `write` holds at a time."""
    assert source.n_rows is not None
    block = source.block_bytes // (source.n_columns * source.dtype.itemsize) or int(max(source.row_chunks))
    return min(block, result_rows(row_bytes, output_rows(source, row_bytes)), source.n_rows)


def _writer(
    make_rows: MakeRows, like: Array | zarr.Array[Any], put: Callable[[int, Array], None], unit: int = 1
) -> Callable[[Block], Written]:
    """Return the kernel that puts a block's results (arrays like `like`) at its rows, some units of rows at a time."""
    rows = make_rows()

    def kernel(block: Block) -> Written:
        missing = 0
        for part in slices(block, like, unit):
            values = rows(part)
            missing += count_missing(values)
            put(part.first, values)
        return Written(len(block.x), missing)

    return kernel


def count_missing(values: Array) -> int:
    """Return how many rows of results (n, ...) are missing: as a whole, so that one entry tells."""
    if values.dtype.kind not in "fi":
        return 0
    first = values.reshape(len(values), -1)[:, 0] if values.ndim > 1 else values
    return int(np.count_nonzero(np.isnan(first) if values.dtype.kind == "f" else first == missing_value(values.dtype)))
