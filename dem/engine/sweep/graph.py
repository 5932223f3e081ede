"""One pass as a Dask graph: one task per partition, and a tree of tasks that adds their sums."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar, cast

from dask.task_spec import List, Task, TaskRef

from dem.core.blas import limit_blas_in_worker
from dem.core.block import Block, MakeKernel
from dem.core.stats import ARITY, S, add_up, groups
from dem.engine.sweep.fused import fused
from dem.engine.sweep.serial import empty_block, sum_partition
from dem.source import Delayed, Partition, Source

T = TypeVar("T")

MAX_PROGRESS_KEYS = 256
"""About the most tasks that a client waits for: each costs client and scheduler a third of a millisecond."""

_running: set[int] = set()


@dataclass(frozen=True)
class SharedInputs(Generic[S]):
    """The inputs that all tasks of a pass share. They are the result of one task: if it is lost, Dask runs it again.

    Attributes
    ----------
    make_kernel : callable
    empty : Block
        A block without rows.
    source : Source or None
        If given, tasks make their partition from it by number, and the graph contains no partitions.
    """

    make_kernel: MakeKernel[S]
    empty: Block
    source: Source | None


@dataclass(frozen=True)
class PassGraph:
    """The low-level graph of one pass.

    Attributes
    ----------
    tasks : dict
    leaves : list
        Keys of the partitions' sums, in the order of the partitions.
    root : key
        Key of the total.
    progress_keys : dict
        Keys whose completion shows the progress of the pass, with the number of partitions of each.
    """

    tasks: dict[Any, Any]
    leaves: list[Any]
    root: Any
    progress_keys: dict[Any, int]


def pass_graph(source: Source, make_kernel: MakeKernel[S]) -> PassGraph:
    """Return the graph of one pass. Its keys are new, so that a scheduler never returns the result of an older pass."""
    token = uuid.uuid4().hex[:12]  # short, since every message about a task contains it
    shared = f"dem-pass-{token}"
    remade = replace(cast(Any, source)) if source.compact else None  # a copy, without cached partitions
    tasks: dict[Any, Any] = {shared: Task(shared, _identity, SharedInputs(make_kernel, empty_block(source), remade))}
    leaves = [(f"dem-sum-{token}", i) for i in range(len(source.partitions))]
    if remade is not None:
        tasks.update((key, Task(key, _sum_by_number, TaskRef(shared), key[1])) for key in leaves)
    else:
        merged = None
        for key, partition in zip(leaves, source.partitions, strict=True):
            if isinstance(partition, Delayed):
                if partition.dask is not merged:  # usually all partitions share one graph
                    tasks.update(merged := partition.dask)
                tasks[key] = Task(key, _sum_in_task, TaskRef(shared), TaskRef(partition.key))
            else:
                tasks[key] = Task(key, _sum_in_task, TaskRef(shared), partition)
        if merged is not None:
            tasks = fused(tasks, leaves)
    levels: list[list[Any]] = [leaves]
    while len(levels[-1]) > 1:
        name = f"dem-add-{token}"
        nodes = {(name, len(levels), i): group for i, group in enumerate(groups(levels[-1]))}
        tasks.update((key, Task(key, add_up, List(*map(TaskRef, group)))) for key, group in nodes.items())
        levels.append(list(nodes))
    progress_keys = dict.fromkeys(leaves, 1)
    if len(leaves) > MAX_PROGRESS_KEYS:
        progress_keys = {key: min(ARITY, len(leaves) - i * ARITY) for i, key in enumerate(levels[1])}
    return PassGraph(tasks, leaves, levels[-1][0], progress_keys)


def running_here() -> int:
    """Return how many partitions this process is summing now. It is called on every worker."""
    return len(_running)


def _identity(value: T) -> T:
    return value


def _sum_by_number(shared: SharedInputs[S], i: int) -> S:
    assert shared.source is not None
    return _sum_in_task(shared, cast(Partition, shared.source.partitions[i]))


def _sum_in_task(shared: SharedInputs[S], partition: Partition) -> S:
    """Sum one partition in a task, with single-threaded BLAS."""
    limit_blas_in_worker()
    me = threading.get_ident()
    _running.add(me)
    try:
        return sum_partition(shared.make_kernel, partition, shared.empty)
    finally:
        _running.discard(me)
