"""Statistics that add: the one law, and the tree that sums them.

Statistics are a commutative monoid: they add, an empty block gives zero, and neither the order
nor the grouping matters beyond the last bits. Anyone may save statistics and add them later.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Generic, Protocol, Self, TypeVar

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


class TreeSum(Generic[S]):
    """A sum in a tree of fixed shape, folded while its items come: one sum is held for each level.

    The shape depends on the number of items alone, so that every executor that keeps to it gives
    the same bits. It is the tree whose levels are `groups` of the one below, each added by `add_up`.
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
        """Return the sum of all items so far, of which there must be one at least."""
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
