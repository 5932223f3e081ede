"""Partitions computed by Dask: Delayed objects that share one low-level graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.delayed import Delayed
from dask.task_spec import Task, TaskRef

from dem.core.block import Float
from dem.source.checks import check_weight_values


def delayed_partitions(
    make: Callable[..., Any], arrays: Sequence[da.Array], arguments: Iterable[tuple[Any, ...]]
) -> list[Delayed]:
    """Return a Delayed ``make(*blocks, *arguments)`` for each row of chunks.

    Parameters
    ----------
    make : callable
        Takes one computed block of each array, then the additional arguments.
    arrays : sequence of dask.array.Array
        They have the same chunks along the rows and a single chunk along the columns.
    arguments : iterable of tuples
        The additional arguments, one tuple for each row of chunks.
    """
    arguments = list(arguments)
    name = f"dem-rows-{tokenize(make, [a.name for a in arrays], arguments)}"
    graph: dict[Any, Any] = {}
    for a in arrays:
        graph.update(a.__dask_graph__())
    keys = []
    for i, more in enumerate(arguments):
        blocks = [TaskRef((a.name, i) + (0,) * (a.ndim - 1)) for a in arrays]
        keys.append((name, i))
        graph[name, i] = Task((name, i), make, *blocks, *more)
    return [Delayed(key, graph) for key in keys]


def mapped_partitions(make: Callable[..., Any], partitions: Sequence[Delayed], *arguments: Any) -> list[Delayed]:
    """Return a Delayed ``make(partition, *arguments)`` for each Delayed partition; they share one low-level graph."""
    name = f"dem-mapped-{tokenize(make, [p.key for p in partitions], *arguments)}"
    graph: dict[Any, Any] = {}
    merged = None
    for partition in partitions:
        if partition.dask is not merged:  # usually all partitions share one graph
            graph.update(merged := partition.dask)
    for i, partition in enumerate(partitions):
        graph[name, i] = Task((name, i), make, TaskRef(partition.key), *arguments)
    return [Delayed((name, i), graph) for i in range(len(partitions))]


def mapped(make: Callable[..., Any], partitions: Sequence[Any], *arguments: Any) -> list[Any]:
    """Return ``make(partition, *arguments)`` for each partition, as Delayed objects where the partitions are."""
    if any(isinstance(partition, Delayed) for partition in partitions):
        return list(mapped_partitions(make, partitions, *arguments))
    return [make(partition, *arguments) for partition in partitions]


def block_weight(weight: Any, n_rows: int, first: int | None = None) -> Float:
    """Return one computed block of the weights as float64, after checking its length and values.

    `first` is the number of its first row, if rows are numbered in the order of the block.
    """
    w: Float = np.asarray(weight).astype(np.float64, copy=False)
    if w.shape != (n_rows,):
        raise ValueError(
            f"A block of the weights has shape {w.shape}, but the block of data has {n_rows} rows: "
            "give the weights the same chunks as the data."
        )
    check_weight_values(w, "the Dask array of weights", first)
    return w
