"""Statistics that add: the one law, and the tree that sums them.

Statistics are a commutative monoid: they add, an empty block gives zero, and neither the order
nor the grouping matters beyond the last bits. Anyone may save statistics and add them later.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Protocol, Self, TypeVar

ARITY = 8
"""Statistics that one node of the tree adds. Part of the result's last bits: never a setting."""


class Statistics(Protocol):
    """What a kernel returns: it adds, and knows how many rows it has seen."""

    @property
    def rows(self) -> int:
        """The number of rows summed, whatever their weights."""

    def __add__(self, other: Self, /) -> Self:
        """Return the statistics of both sets of rows together."""


S = TypeVar("S", bound=Statistics)
T = TypeVar("T")


@dataclass(frozen=True)
class Additive:
    """A frozen dataclass whose fields (numbers and arrays) add one by one."""

    rows: int

    def __add__(self, other: Self, /) -> Self:
        """Return the field-by-field sum."""
        return type(self)(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def add_up(group: Sequence[S]) -> S:
    """Return the sum of a group from left to right: one node of the tree."""
    total = group[0]
    for item in group[1:]:
        total = total + item
    return total


def groups(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Cut `items` into runs of `ARITY`: one level of the tree."""
    for start in range(0, len(items), ARITY):
        yield items[start : start + ARITY]


def tree_sum(items: Sequence[S]) -> S:
    """Return the sum of `items` in a tree of fixed shape.

    The shape depends on the number of items alone, so that every executor that keeps to it gives
    the same bits.
    """
    level = list(items)
    while len(level) > 1:
        level = [add_up(group) for group in groups(level)]
    return level[0]
