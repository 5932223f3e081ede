"""Additive statistics, and the tree that sums them.

Statistics are a commutative monoid: they can be added, an empty block gives zero, and the order and grouping of
additions change only the last bits. Statistics can be saved and added later.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Generic, Protocol, Self, TypeVar

ARITY = 8
"""Number of statistics that one node of the tree adds. It changes the last bits of results, so it is not a setting."""


class Statistics(Protocol):
    """The result of a kernel: it can be added, and it counts its rows."""

    @property
    def rows(self) -> int:
        """The number of rows summed, including rows of weight 0."""

    def __add__(self, other: Self, /) -> Self:
        """Return the statistics of both sets of rows together."""


S = TypeVar("S", bound=Statistics)
T = TypeVar("T")


@dataclass(frozen=True)
class Additive:
    """Base of frozen dataclasses that are added field by field. Fields are numbers and arrays."""

    rows: int

    def __add__(self, other: Self, /) -> Self:
        """Return the field-by-field sum."""
        return type(self)(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def add_up(group: Sequence[S]) -> S:
    """Return the sum of a group, added from left to right: one node of the tree."""
    total = group[0]
    for item in group[1:]:
        total = total + item
    return total


def groups(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Split `items` into groups of `ARITY`: one level of the tree."""
    for start in range(0, len(items), ARITY):
        yield items[start : start + ARITY]


class TreeSum(Generic[S]):
    """A running sum in a tree of fixed shape. Only one partial sum per level is kept in memory.

    The shape depends only on the number of items, so all executors that use it give the same bits. Each level of
    the tree consists of `groups` of the level below, and each group is added by `add_up`.
    """

    def __init__(self) -> None:
        self._levels: list[tuple[int, S | None]] = []

    def push(self, item: S) -> None:
        """Add the next item."""
        for level, (count, total) in enumerate(self._levels):
            item = item if total is None else total + item
            if count + 1 < ARITY:
                self._levels[level] = count + 1, item
                return
            self._levels[level] = 0, None
        self._levels.append((1, item))

    def total(self) -> S:
        """Return the sum of all items so far. There must be at least one."""
        totals = [total for _, total in self._levels if total is not None]
        result = totals[0]
        for total in totals[1:]:
            result = total + result
        return result


def tree_sum(items: Sequence[S]) -> S:
    """Return the sum of `items` in the tree of `TreeSum`."""
    tree = TreeSum[S]()
    for item in items:
        tree.push(item)
    return tree.total()
