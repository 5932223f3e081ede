"""Tasks that make their own blocks: what one task alone needs of a Dask graph is made within it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import TopologicalSorter
from typing import Any

from dask.task_spec import GraphNode, Task
from distributed import Future


def fused(tasks: Mapping[Any, Any], leaves: Iterable[Any]) -> dict[Any, Any]:
    """Return the graph with each leaf, and all tasks that lead to it alone, as one task.

    As keys of their own, loaded chunks would wait on the workers for their turn: Dask begins to load more than are
    worked on, and whoever sums one may be another worker. Within one task they are there while they are summed, so that
    a worker holds one band of rows for each of its threads.

    Parameters
    ----------
    tasks : mapping of key to node
    leaves : iterable of keys
        What several of them need stays a task of its own, and so does what is no task, such as persisted data.
    """
    if not all(isinstance(node, GraphNode | Future) for node in tasks.values()):
        return dict(tasks)  # tuples of older Dask: what they depend on is for Dask to find out
    needs = {key: _needs(node) & tasks.keys() for key, node in tasks.items()}
    owner = {leaf: leaf for leaf in leaves}
    for key in reversed(list(TopologicalSorter(needs).static_order())):  # after all that depend on it
        for need in needs[key]:
            mine = owner.get(key) if isinstance(tasks[need], Task) else None
            owner[need] = mine if owner.setdefault(need, mine) == mine else None
    parts: dict[Any, list[Task]] = {}
    rest = {}
    for key, node in tasks.items():
        if owner.get(key) is None:
            rest[key] = node
        else:
            parts.setdefault(owner[key], []).append(node)
    return rest | {leaf: Task.fuse(*part, key=leaf) for leaf, part in parts.items()}


def _needs(node: Any) -> set[Any]:
    return set(node.dependencies) if isinstance(node, GraphNode) else set()
