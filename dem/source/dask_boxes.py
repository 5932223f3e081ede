"""Dask arrays with sample dimensions as a source: each block of their common chunk grid is a partition."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import dask.array as da
import numpy as np
from dask.highlevelgraph import HighLevelGraph
from dask.task_spec import Task, TaskRef

from dem.core.block import Array, Float
from dem.core.rows import Box, Rows
from dem.source.checks import check_weight_values
from dem.source.dask_array import DaskSource, open_dask
from dem.source.dimensions import common_dtype
from dem.source.read_options import DEFAULTS, ReadOptions


def boxes_of_dask(
    arrays: Sequence[da.Array], rows: Rows, weights: Float | None = None, options: ReadOptions = DEFAULTS
) -> DaskSource:
    """Return the source of Dask arrays side by side.

    Chunks are divided where those of the arrays differ, and joined along the other dimensions; no rows are moved.

    Parameters
    ----------
    arrays : sequence of dask.array.Array
        Their first dimensions are the sample dimensions; the others make columns.
    rows : Rows
    weights : array of the shape of the rows, or None
    options : ReadOptions
    """
    k = len(rows.shape)
    aligned = _common_chunks(arrays, k)
    dtype = common_dtype([np.dtype(a.dtype) for a in aligned])
    chunks = aligned[0].chunks[:k]
    boxes = _boxes(chunks)
    widths = tuple(math.prod(a.shape[k:]) for a in aligned)
    x = _joined("rows", aligned, boxes, partial(_rows_of_blocks, dtype, widths), dtype, sum(widths))
    w = None
    if weights is not None:
        lazy = da.from_array(weights, chunks=chunks, name=False, asarray=False)
        w = _joined("weights", [lazy], boxes, _weights_of_block, np.dtype(np.float64), None)
    source = open_dask(x, w, options)
    return DaskSource(source.x, source.weight, source.decoding, rows, tuple(boxes))


def _common_chunks(arrays: Sequence[da.Array], k: int) -> list[da.Array]:
    """Return the arrays with the same chunks along the first k dimensions, and one chunk along the others."""
    whole = [a.rechunk(dict.fromkeys(range(k, a.ndim), -1)) for a in arrays]
    labels: list[Any] = []
    for i, a in enumerate(whole):
        labels += [a, (*range(k), *((i, axis) for axis in range(k, a.ndim)))]
    _, same = da.core.unify_chunks(*labels)
    return list(same)


def _boxes(chunks: Sequence[Sequence[int]]) -> list[Box]:
    edges = [list(itertools.pairwise(itertools.accumulate(sizes, initial=0))) for sizes in chunks]
    return [Box(tuple(a for a, _ in sides), tuple(b for _, b in sides)) for sides in itertools.product(*edges)]


def _joined(
    what: str, arrays: Sequence[da.Array], boxes: Sequence[Box], make: Any, dtype: np.dtype[Any], width: int | None
) -> da.Array:
    """Return the Dask array whose chunk i is made of the blocks of the arrays with number i, in C order."""
    places = [(box.start, box.stop) for box in boxes]
    name = f"dem-{what}-{da.core.tokenize([a.name for a in arrays], make, places)}"
    layer: dict[Any, Any] = {}
    for i, blocks in enumerate(zip(*(_keys(a, len(boxes)) for a in arrays), strict=True)):
        key = (name, i) if width is None else (name, i, 0)
        layer[key] = Task(key, make, *(TaskRef(block) for block in blocks))
    graph = HighLevelGraph.from_collections(name, layer, dependencies=cast(Any, arrays))
    sizes = tuple(box.size for box in boxes)
    return da.Array(graph, name, (sizes,) if width is None else (sizes, (width,)), dtype=dtype)


def _keys(array: da.Array, n: int) -> list[Any]:
    keys = [(array.name, *index) for index in itertools.product(*map(range, array.numblocks))]
    assert len(keys) == n
    return keys


def _rows_of_blocks(dtype: np.dtype[Any], widths: tuple[int, ...], *blocks: Array) -> Array:
    """Return the rows (n, d) of blocks side by side, whose first dimensions are the sample dimensions."""
    flat = [np.asarray(block).reshape(-1, width) for block, width in zip(blocks, widths, strict=True)]
    return flat[0].astype(dtype, copy=False) if len(flat) == 1 else np.concatenate(flat, axis=1, dtype=dtype)


def _weights_of_block(block: Array) -> Float:
    weights: Float = np.asarray(block, np.float64).reshape(-1)
    check_weight_values(weights, "sample_weight")
    return weights
