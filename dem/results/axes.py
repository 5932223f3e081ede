"""The names of the axes of results in a Zarr group: xarray needs each name to have one length in the whole group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Axis:
    """An axis of an array of results.

    Attributes
    ----------
    size : int
    kind : str
        What it stands for, for a new name: "row", "column", "component".
    name : str or None
        The name that it gets if this name is free.
    labels : tuple or None
        The coordinates along it, if the results have them.
    """

    size: int
    kind: str
    name: str | None = None
    labels: tuple[Any, ...] | None = None


Taken = Mapping[str, Sequence[int | Axis]]
"""The axis names of a group, each with the sizes that it has, or with the axes that have it."""


def axis_names(own: str, axes: Sequence[Axis], taken: Taken, output: str | None = None) -> list[str]:
    """Return the names of the axes of an array: those wanted if they fit into the group, else new ones.

    Parameters
    ----------
    own : str
        The name of the array.
    axes : sequence of Axis
    taken : mapping
    output : str, optional
        The name of the output that the array is a part of: its arrays have the same rows.
    """
    found: list[str] = []
    for axis in axes:
        wanted = [] if axis.name is None or axis.name in (own, *found) else [axis.name]
        before = output if output is not None and axis.kind == "row" else own
        fresh = (f"{before}_{axis.kind}{i or ''}" for i in range(len(taken) + len(axes) + 1))
        words = (word for word in (*wanted, *fresh) if word not in found)
        found.append(next(word for word in words if all(other in (axis, axis.size) for other in taken.get(word, ()))))
    return found
