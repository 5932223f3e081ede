"""Rows that one task holds, and what is made of them: the words between the maths and the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from dem.core.stats import S

Array = NDArray[Any]
Float = NDArray[np.float64]


class Block(NamedTuple):
    """Rows that one task holds.

    Attributes
    ----------
    x : array of shape (n, d)
        The rows, of any real dtype; NaN where a value is missing.
    weight : array of shape (n,) or None
        The rows' weights, finite and not negative; None means 1 each.
    first : int
        The key of the first row; row i has the key ``first + i``. For a source whose length is
        known this is the global row index, so that it does not depend on the chunking.
    absent : tuple of int
        The chunks (or shards) of these rows that their store does not hold, numbered along the grid, the last
        axis fastest; behind all of them, those of stored weights. Their rows have the fill value.
    """

    x: Array
    weight: Array | None = None
    first: int = 0
    absent: tuple[int, ...] = ()

    def part(self, start: int, stop: int) -> Block:
        """Return rows `start` to `stop` (exclusive) as a block, which no longer tells of absent chunks."""
        weight = None if self.weight is None else self.weight[start:stop]
        return Block(self.x[start:stop], weight, self.first + start)


NUMBERS = 2**18
"""Entries that are looked at together."""


def without_value(x: Array) -> NDArray[np.bool_] | None:
    """Return which rows of x (n, d) have no value at all, (n,); None where every row has some.

    Rows that have the first column, mostly all, are not looked at any further.
    """
    if x.dtype.kind != "f":
        return None
    empty, start = np.flatnonzero(np.isnan(x[:, 0])), 1
    while len(empty) and start < x.shape[1]:
        columns = slice(start, start + max(1, NUMBERS // len(empty)))
        empty, start = empty[np.isnan(x[empty, columns]).all(axis=1)], columns.stop
    if not len(empty):
        return None
    found = np.zeros(len(x), np.bool_)
    found[empty] = True
    return found


MakeKernel = Callable[[], Callable[[Block], S]]
"""What travels to the tasks: small, picklable; called once per task to build the kernel, the function from a
block to its statistics, which holds workspaces and belongs to that task."""


class Sweep(Protocol):
    """One full pass over the rows, summed in a fixed tree."""

    def __call__(self, make_kernel: MakeKernel[S]) -> S:
        """Return the sum of the kernel's statistics over all blocks."""
