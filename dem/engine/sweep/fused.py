"""Fuse a Dask graph: a task that only one partition needs becomes part of that partition's task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import TopologicalSorter
from typing import Any

from dask.task_spec import GraphNode, Task
from distributed import Future


def fused(tasks: Mapping[Any, Any], leaves: Iterable[Any]) -> dict[Any, Any]:
    """Return the graph in which each leaf is fused with all tasks that only this leaf needs.

    Without fusing, loaded chunks would wait on the workers: Dask loads more chunks than are being summed, and another
    worker may sum them. In a fused task a chunk is in memory only while it is summed, so a worker holds one band of
    rows per thread.

    Parameters
    ----------
    tasks : mapping of key to node
    leaves : iterable of keys
        Tasks that several leaves need are not fused, and neither are nodes that are not tasks, such as persisted data.
    """
    if not all(isinstance(node, GraphNode | Future) for node in tasks.values()):
        return dict(tasks)  # tuples of older Dask: only Dask can find their dependencies
    needs = {key: _needs(node) & tasks.keys() for key, node in tasks.items()}
    owner = {leaf: leaf for leaf in leaves}
    for key in reversed(list(TopologicalSorter(needs).static_order())):  # each key after all keys that need it
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
