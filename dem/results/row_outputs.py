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
from dask.task_spec import Task, TaskRef
from distributed import warn

from dem.core import human
from dem.core.block import Array, Block, Sweep
from dem.core.error_state import default_error_state
from dem.core.rows import RowKeys, grid_indices, grid_sizes
from dem.core.stats import Additive
from dem.em.row_output import RowOutput
from dem.engine.sweep.serial import PartitionSweep, SerialSweep, empty_block
from dem.engine.sweep.threads import ThreadSweep
from dem.results import regions
from dem.results.new_array import new_output
from dem.results.output_attributes import missing_result
from dem.results.output_plan import output_plan
from dem.source import Delayed, Partition, Source
from dem.source.generated import GeneratedSource
from dem.source.stores import ZarrNode, array_location, open_node
from dem.source.variables import RESULT_MARK
from dem.storage.encoding import digest

MakeRows = Callable[[], Callable[[Block], Array]]
RESULT_BYTES = 64 * 2**20
"""Most bytes of a lazy block (its results, and its rows), of a chunk of results, and of the results computed at a
time."""
WRITE_COPIES = 3
"""Copies of the results while they are written: as computed, as chunks of the output's dtype, and encoded."""


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
    boxes = [box for (box,) in source.boxes]  # none if the number of rows is unknown
    places = grid_indices(boxes) if boxes else [(i,) for i in range(len(source.partitions))]
    graph: dict[Any, Any] = {maker: Task(maker, _itself, make_rows)}
    for i, partition in enumerate(source.partitions):
        if isinstance(partition, Delayed):
            graph.update(partition.dask)
        rows = TaskRef(partition.key) if isinstance(partition, Delayed) else partition
        key = (name, *places[i]) + (0,) * len(inner)
        shape = boxes[i].shape if boxes else None
        graph[key] = Task(key, _rows_of, TaskRef(maker), rows, empty, source.name, shape)
    of_rows: tuple[tuple[float, ...], ...] = grid_sizes(boxes) if boxes else (source.row_chunks,)
    chunks = (*of_rows, *((k,) for k in inner))
    meta = empty.reshape((0,) * len(of_rows) + inner) if all(inner) else empty
    return da.Array(graph, name, chunks, dtype=output.dtype, meta=meta)


def _itself(value: MakeRows) -> MakeRows:
    return value


@default_error_state()
def _rows_of(
    make_rows: MakeRows, partition: Partition, empty: Array, name: str, shape: tuple[int, ...] | None
) -> Array:
    rows, at = make_rows(), 0
    out = np.empty((partition.rows, *empty.shape[1:]), empty.dtype)
    for block in partition.blocks():
        if block.absent:  # this warning of Dask reaches the client also from a cluster
            warn(
                f"some chunks of {name} are not in the store, and read as the fill value "
                "(to refuse such chunks: dem.open_source(..., missing_chunks='error'))"
            )
        for part in slices(block, row_bytes(empty)):
            out[at : at + len(part.x)] = rows(part)
            at += len(part.x)
            del part
        del block  # before the next one is read
    return out if shape is None else out.reshape(shape + empty.shape[1:])


def slices(block: Block, row_bytes: int, unit: int = 1) -> Iterator[Block]:
    """Yield a block in parts, each with results of at most `RESULT_BYTES`, at `row_bytes` a row.

    A part has the rows of some `unit` indices along the first sample dimension.
    """
    step = block.keys.slab * result_rows(block.keys.slab * row_bytes, unit)
    for a in range(0, len(block.x), step):
        yield block.part(a, a + step)


def result_rows(row_bytes: int, unit: int = 1) -> int:
    """Return for how many rows results are computed at a time: as many units as fit in `RESULT_BYTES`, at least one."""
    return unit * max(1, RESULT_BYTES // (unit * max(1, row_bytes)))


def row_bytes(like: Array) -> int:
    """Return the bytes of one row of an array."""
    return int(np.prod(like.shape[1:], dtype=np.int64)) * np.dtype(like.dtype).itemsize


def collect(source: Source, make_rows: MakeRows, n_threads: int = 1) -> Array:
    """Return the results as one array in memory, with the dtype and the columns of an empty block's results."""
    if source.n_rows is None or source.rows is None:
        raise ValueError(f"{source.name} has an unknown number of rows: call its compute_chunk_sizes() first.")
    example = make_rows()(empty_block(source))
    out = np.empty((source.n_rows, *example.shape[1:]), example.dtype)
    sweep: Sweep = ThreadSweep(source, n_threads) if n_threads > 1 else SerialSweep(source)

    def put(keys: RowKeys, values: Array) -> None:
        out[keys.first : keys.first + len(values)] = values

    sweep(partial(_writing_kernel, make_rows, row_bytes(out), put))
    return out.reshape(source.rows.shape + out.shape[1:])


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
) -> ZarrNode:
    """Write the results to a Zarr array, or a group of arrays, in one pass, each block to its own rows.

    See `dem.results.output_plan` for the arrays. They have the sample dimensions and the chunks of the source. If a
    chunk would exceed `RESULT_BYTES`, it is divided by a whole number, so that no two tasks share a chunk. See
    `dem.results.new_array` for the place of incomplete outputs. An interrupted job leaves the regions that it has
    written. The same job continues from there: regions with correct checksums stay, and the pass covers the others.

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
        `to.path` exists; with `to.overwrite`, it exists and is not an output that dem wrote. Or the data are at
        this path, inside it or around it.
    ValueError
        The rows of the source are not in chunks of equal size.
    """
    if source.rows is None or source.chunk_rows is None:
        raise ValueError(
            f"Results for {source.name} cannot be written region by region, because its chunks have unknown or "
            f"unequal sizes: {_even_chunks(source)}."
        )
    output, path = to.output, str(to.path)
    plan = output_plan(source, output, (output_rows(source, output.row_bytes), *source.chunk_sides))
    attributes = {RESULT_MARK: output.word, "what": output.word, **to.attributes}
    job = None if to.job is None else digest([to.job, plan.identity])
    with new_output(to.path, source, plan, attributes, overwrite=to.overwrite, job=job) as targets:
        arrays = [target.array for target in targets]
        require(array_location(arrays[0]))
        every = list(range(len(source.row_chunks)))
        held = rows_at_a_time(source, output.row_bytes)
        left = every if job is None else regions.unfinished_partitions(arrays, source, held, note)
        if left:
            part = sweep if left == every else sweep.only(left)
            put = partial(regions.write_region, targets, path)
            done = part(partial(_writing_kernel, make_rows, output.row_bytes, put, arrays[0].chunks[0]))
            if done.missing:
                note(
                    f"{human.plural(done.missing, 'row')} of {source.name} without any value: marked as missing "
                    f"({missing_result(output.dtype):g}) in {path}"
                )
        for array in arrays:
            regions.check_all_written(array, path)
    return open_node(to.path)


def _even_chunks(source: Source) -> str:
    """Return text that says how to get chunks of known and equal sizes."""
    if source.rows is not None and source.rows.dims is not None:
        sizes = ", ".join(f"{dim}={min(n, 100)}" for dim, n in zip(source.rows.dims, source.rows.shape, strict=True))
        return f"give all variables the same even chunks along {', '.join(source.rows.dims)}, as in ds.chunk({sizes})"
    return (
        "call its compute_chunk_sizes() or rechunk() first (of a Dask DataFrame, pass df.to_dask_array(lengths=True))"
    )


def output_rows(source: Source, row_bytes: int) -> int:
    """Return the extent of a chunk of results along the first sample dimension.

    It is that of a chunk of the source, or a divisor if the results are too large.

    If no divisor gives chunks between a sixteenth of `RESULT_BYTES` and `RESULT_BYTES`, the chunks are larger.
    """
    assert source.rows is not None
    assert source.chunk_rows is not None
    extent, slab = source.rows.shape[0], math.prod(source.chunk_sides)
    rows, most = min(source.chunk_rows, extent), max(1, RESULT_BYTES // max(1, slab * row_bytes))
    if rows <= most or isinstance(source, GeneratedSource):  # its chunks are those that the user asked for
        return rows
    if rows == extent and slab == source.rows.size // extent:  # one block: no other task writes
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
    slab = math.prod(source.chunk_sides)
    block = source.block_bytes // (source.n_columns * source.dtype.itemsize) or int(max(source.row_chunks))
    at_a_time = slab * result_rows(slab * row_bytes, output_rows(source, row_bytes))
    return min(block, at_a_time, source.n_rows)


def _writing_kernel(
    make_rows: MakeRows, row_bytes: int, put: Callable[[RowKeys, Array], None], unit: int = 1
) -> Callable[[Block], Written]:
    """Return the kernel that passes a block's results to `put`, some units at a time; see `slices`."""
    rows = make_rows()

    def kernel(block: Block) -> Written:
        missing = 0
        for part in slices(block, row_bytes, unit):
            values = rows(part)
            missing += count_missing(values)
            put(part.keys, values)
        return Written(len(block.x), missing)

    return kernel


def count_missing(values: Array) -> int:
    """Return how many rows of results (n, ...) are missing. The first entry decides, since whole rows are missing."""
    if values.dtype.kind not in "fi":
        return 0
    first = values.reshape(len(values), -1)[:, 0] if values.ndim > 1 else values
    return int(np.count_nonzero(np.isnan(first) if values.dtype.kind == "f" else first == missing_result(values.dtype)))
