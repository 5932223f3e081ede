"""Partitions that a Dask graph makes: Delayed objects over one shared low-level graph."""

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
    """Return a Delayed ``make(*blocks, *arguments)`` for each row band.

    Parameters
    ----------
    make : callable
        Takes one evaluated block of each array, then the further arguments.
    arrays : sequence of dask.array.Array
        All with the same row bands, and with a single chunk along the columns.
    arguments : iterable of tuples
        The further arguments, one tuple for each row band.
    """
    name = f"dem-rows-{tokenize(*(a.name for a in arrays))}"
    graph: dict[Any, Any] = {}
    for a in arrays:
        graph.update(a.__dask_graph__())
    keys = []
    for i, more in enumerate(arguments):
        blocks = [TaskRef((a.name, i) + (0,) * (a.ndim - 1)) for a in arrays]
        keys.append((name, i))
        graph[name, i] = Task((name, i), make, *blocks, *more)
    return [Delayed(key, graph) for key in keys]


def block_weight(weight: Any, n_rows: int, first: int) -> Float:
    """Return one evaluated block of the weights as float64, checked against the rows it weighs."""
    w: Float = np.asarray(weight).astype(np.float64, copy=False)
    if w.shape != (n_rows,):
        raise ValueError(
            f"A block of the weights has shape {w.shape}, but it weighs {n_rows} rows: "
            "give the weights the same chunks as the data."
        )
    check_weight_values(w, first, "the Dask array of weights")
    return w
