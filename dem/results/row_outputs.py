"""Row-wise results (labels, responsibilities, scores, latents): lazy, in memory, or written to a store.

All three take a `make_rows`, which is small and picklable and is called once per task. It returns a function that maps
a block to one entry (or row) per row of the block; the function must also accept a block without rows.
"""

from __future__ import annotations

import math
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
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
from dem.core.error_state import default_error_state
from dem.core.stats import Additive
from dem.em.row_output import RowOutput
from dem.engine.sweep.serial import PartitionSweep, SerialSweep, empty_block
from dem.engine.sweep.threads import ThreadSweep
from dem.results import regions
from dem.results.new_array import MARK, new_array
from dem.source import Delayed, Partition, Source
from dem.source.generated import GeneratedSource
from dem.source.stores import address, array_location
from dem.storage.encoding import digest

MakeRows = Callable[[], Callable[[Block], Array]]
RESULT_BYTES = 64 * 2**20
"""Most bytes of a lazy block (its results, and its rows), of a chunk of results, and of the results computed at a
time."""
WRITE_COPIES = 3
"""Copies of the results while they are written: as computed, as chunks of the output's dtype, and encoded."""
CODECS = [{"name": "zstd", "configuration": {"level": 0, "checksum": False}}, {"name": "crc32c"}]
"""Zarr's default codec, and a checksum that detects damaged chunks."""


@dataclass(frozen=True)
class Destination:
    """Where results are written, and as what.

    Attributes
    ----------
    path : str or Path
        A path, or a URL that zarr can write.
    output : RowOutput
        Which results: name, dtype and columns of the array.
    attributes : mapping
        More attributes of the array, as JSON takes them.
    overwrite : bool
        Replace an existing array that `write` wrote.
    job : JSON
        Everything that determines the results. Without it, an interrupted pass leaves nothing.
    """

    path: str | os.PathLike[str]
    output: RowOutput
    attributes: Mapping[str, Any] = field(default_factory=dict)
    overwrite: bool = False
    job: Any = None


@dataclass(frozen=True)
class Written(Additive):
    """The statistics of a pass that writes results.

    Attributes
    ----------
    rows : int
        The number of rows written.
    missing : int
        The number of rows with missing results.
    """

    missing: int


def missing_result(dtype: DTypeLike) -> float:
    """Return the value of a missing result, also used as the fill value on disk: NaN for floats, -1 for labels."""
    return {"f": np.nan, "i": -1}.get(np.dtype(dtype).kind, 0)


def lazy(source: Source, make_rows: MakeRows, output: RowOutput) -> da.Array:
    """Return the results as a Dask array of blocks of about `RESULT_BYTES`, where the chunks of the rows allow it.

    Parameters
    ----------
    source : Source
    make_rows : callable
    output : RowOutput
        Dtype and columns of the results.
    """
    token = uuid.uuid4().hex
    name, maker = f"dem-rows-{token}", f"dem-make-rows-{token}"
    empty = np.empty(output.shape(0), output.dtype)
    inner = empty.shape[1:]
    source = source.for_results(output.row_bytes, RESULT_BYTES).reading_ahead(1)  # no plan of memory limits these tasks
    graph: dict[Any, Any] = {maker: Task(maker, _itself, make_rows)}
    for i, partition in enumerate(source.partitions):
        if isinstance(partition, Delayed):
            graph.update(partition.dask)
        rows = TaskRef(partition.key) if isinstance(partition, Delayed) else partition
        key = (name, i) + (0,) * len(inner)
        graph[key] = Task(key, _rows_of, TaskRef(maker), rows, empty, source.name)
    chunks = (source.row_chunks, *((k,) for k in inner))
    return da.Array(graph, name, chunks, dtype=output.dtype, meta=empty)


def _itself(value: MakeRows) -> MakeRows:
    return value


@default_error_state()
def _rows_of(make_rows: MakeRows, partition: Partition, empty: Array, name: str) -> Array:
    rows, at = make_rows(), 0
    out = np.empty((partition.rows, *empty.shape[1:]), empty.dtype)
    for block in partition.blocks():
        if block.absent:  # this warning of Dask reaches the client also from a cluster
            warn(
                f"some chunks of {name} are not in the store, and read as the fill value "
                "(to refuse such chunks: dem.open_source(..., missing_chunks='error'))"
            )
        for part in slices(block, empty):
            out[at : at + len(part.x)] = rows(part)
            at += len(part.x)
            del part
        del block  # before the next one is read
    return out


def slices(block: Block, like: Array | zarr.Array[Any], unit: int = 1) -> Iterator[Block]:
    """Yield a block in parts of some `unit` rows, each with results (arrays like `like`) of at most `RESULT_BYTES`."""
    step = result_rows(row_bytes(like), unit)
    for a in range(0, len(block.x), step):
        weight = None if block.weight is None else block.weight[a : a + step]
        yield Block(block.x[a : a + step], weight, block.first + a)


def result_rows(row_bytes: int, unit: int = 1) -> int:
    """Return for how many rows results are computed at a time: as many units as fit in `RESULT_BYTES`, at least one."""
    return unit * max(1, RESULT_BYTES // (unit * max(1, row_bytes)))


def row_bytes(like: Array | zarr.Array[Any]) -> int:
    """Return the bytes of one row of an array."""
    return int(np.prod(like.shape[1:], dtype=np.int64)) * np.dtype(like.dtype).itemsize


def collect(source: Source, make_rows: MakeRows, n_threads: int = 1) -> Array:
    """Return the results as one array in memory, with the dtype and the columns of an empty block's results."""
    if source.n_rows is None:
        raise ValueError(f"{source.name} has an unknown number of rows: call its compute_chunk_sizes() first.")
    example = make_rows()(empty_block(source))
    out = np.empty((source.n_rows, *example.shape[1:]), example.dtype)
    sweep: Sweep = ThreadSweep(source, n_threads) if n_threads > 1 else SerialSweep(source)

    def put(first: int, values: Array) -> None:
        out[first : first + len(values)] = values

    sweep(partial(_writing_kernel, make_rows, out, put))
    return out


def _ignore(value: object) -> None:
    pass


def write(
    sweep: PartitionSweep,
    source: Source,
    make_rows: MakeRows,
    to: Destination,
    *,
    note: Callable[[str], None] = _ignore,
    require: Callable[[tuple[str, ...]], None] = _ignore,
) -> zarr.Array[Any]:
    """Write the results to a Zarr array in one pass, each block to its own rows.

    The array has the row chunks of the source. If a chunk would exceed `RESULT_BYTES`, it is divided by a whole number,
    so that no two tasks share a chunk. See `dem.results.new_array` for the place of the incomplete array. An
    interrupted job leaves the regions that it has written. The same job continues from there: regions with correct
    checksums stay, and the pass covers the others.

    Parameters
    ----------
    sweep : PartitionSweep
        A sweep over `source`.
    source : Source
    make_rows : callable
    to : Destination
    note : callable, optional
        Called with a sentence about the regions that an earlier run has written.
    require : callable, optional
        Called with the places that all workers must be able to see, before they write.

    Raises
    ------
    FileExistsError
        `to.path` exists; with `to.overwrite`, it exists and is not an array of row-wise results. Or the data are at
        this path, inside it or around it.
    ValueError
        The rows of the source are not in chunks of equal size.
    """
    if source.n_rows is None or source.chunk_rows is None:
        raise ValueError(
            f"Results for {source.name} cannot be written region by region, because its chunks have unknown or "
            "unequal sizes: call its compute_chunk_sizes() or rechunk() first (of a Dask DataFrame, pass "
            "df.to_dask_array(lengths=True))."
        )
    output, path = to.output, str(to.path)
    layout = {
        "shape": output.shape(source.n_rows),
        "chunks": output.shape(output_rows(source, output.row_bytes)),
        "dtype": output.dtype.str,
        "fill_value": missing_result(output.dtype),
        "zarr_format": 3,
        "compressors": CODECS,
    }
    attributes = {MARK: output.word, "what": output.word, **to.attributes}
    job = None if to.job is None else digest([to.job, layout])
    with new_array(to.path, source, layout, attributes, overwrite=to.overwrite, job=job) as out:
        require(array_location(out))
        every = list(range(len(source.row_chunks)))
        held = rows_at_a_time(source, row_bytes(out))
        left = every if job is None else regions.unfinished_partitions(out, source, held, note)
        if left:
            part = sweep if left == every else sweep.only(left)
            done = part(
                partial(_writing_kernel, make_rows, out, partial(regions.write_region, out, path), out.chunks[0])
            )
            if done.missing:
                note(
                    f"{human.plural(done.missing, 'row')} of {source.name} without any value: marked as missing "
                    f"({missing_result(output.dtype):g}) in {path}"
                )
        regions.check_all_written(out, path)
    return zarr.open_array(address(to.path), mode="r")


def output_rows(source: Source, row_bytes: int) -> int:
    """Return the rows of a chunk of results: those of a chunk of the source, or a divisor if they are too many.

    If no divisor gives chunks between a sixteenth of `RESULT_BYTES` and `RESULT_BYTES`, the chunks are larger.
    """
    assert source.n_rows is not None
    assert source.chunk_rows is not None
    rows, most = min(source.chunk_rows, source.n_rows), max(1, RESULT_BYTES // max(1, row_bytes))
    if rows <= most or isinstance(source, GeneratedSource):  # its chunks are those that the user asked for
        return rows
    if rows == source.n_rows:  # one block: no other task writes
        return most
    small = [k for k in range(1, math.isqrt(rows) + 1) if rows % k == 0]
    divisors = sorted({*small, *(rows // k for k in small)})
    fit = max(r for r in divisors if r <= most)
    return fit if 16 * fit >= most else min(r for r in divisors if r > most)


def results_bytes(source: Source, output: RowOutput) -> int:
    """Return the most bytes that a task of `write` needs in addition to its block and the model's workspace.

    They are `WRITE_COPIES` copies of the results computed at a time: those of the block, or those of as many output
    chunks as fit in `RESULT_BYTES`, at least one. 0 for a source that `write` refuses.
    """
    if source.n_rows is None or source.chunk_rows is None:
        return 0
    return WRITE_COPIES * output.row_bytes * rows_at_a_time(source, output.row_bytes)


def rows_at_a_time(source: Source, row_bytes: int) -> int:
    """Return for how many rows a task of `write` holds results at a time."""
    assert source.n_rows is not None
    block = source.block_bytes // (source.n_columns * source.dtype.itemsize) or int(max(source.row_chunks))
    return min(block, result_rows(row_bytes, output_rows(source, row_bytes)), source.n_rows)


def _writing_kernel(
    make_rows: MakeRows, like: Array | zarr.Array[Any], put: Callable[[int, Array], None], unit: int = 1
) -> Callable[[Block], Written]:
    """Return the kernel that passes a block's results to `put`, some units of rows at a time; `like`: see `slices`."""
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
    """Return how many rows of results (n, ...) are missing. The first entry decides, since whole rows are missing."""
    if values.dtype.kind not in "fi":
        return 0
    first = values.reshape(len(values), -1)[:, 0] if values.ndim > 1 else values
    return int(np.count_nonzero(np.isnan(first) if values.dtype.kind == "f" else first == missing_result(values.dtype)))
