"""Types that the maths and the engine share: a block of rows, a kernel that sums it, a sweep over all blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from dem.core.rows import NUMBERED, RowKeys
from dem.core.stats import S

Array = NDArray[Any]
Float = NDArray[np.float64]


class Block(NamedTuple):
    """Rows that a task holds in memory at one time.

    Attributes
    ----------
    x : array of shape (n, d)
        The rows, of any real dtype. Missing values are NaN.
    weight : array of shape (n,) or None
        The weights of the rows, finite and not negative; None means weight 1 for each row.
    keys : RowKeys
        The keys of the rows: if the length of the source is known, their indices in the whole data, which do not
        depend on the chunking.
    absent : tuple of int
        Numbers of the chunks (or shards) of these rows that are missing from the store. Chunks are numbered in C
        order over the grid; chunks of stored weights are numbered after all chunks of the data. Rows of missing
        chunks hold the fill value.
    """

    x: Array
    weight: Array | None = None
    keys: RowKeys = NUMBERED
    absent: tuple[int, ...] = ()

    def part(self, start: int, stop: int) -> Block:
        """Return rows `start` to `stop` (exclusive) as a block, without the list of absent chunks."""
        weight = None if self.weight is None else self.weight[start:stop]
        return Block(self.x[start:stop], weight, self.keys.after(start))


ENTRIES_AT_ONCE = 2**18
"""Number of entries that are checked in one step."""


def find_empty_rows(x: Array) -> NDArray[np.bool_] | None:
    """Return a mask (n,) of the rows of x (n, d) in which all values are missing; None if there are no such rows.

    Most rows have a value in the first column; for them no other column is checked.
    """
    if x.dtype.kind != "f":
        return None
    empty, start = np.flatnonzero(np.isnan(x[:, 0])), 1
    while len(empty) and start < x.shape[1]:
        columns = slice(start, start + max(1, ENTRIES_AT_ONCE // len(empty)))
        empty, start = empty[np.isnan(x[empty, columns]).all(axis=1)], columns.stop
    if not len(empty):
        return None
    found = np.zeros(len(x), np.bool_)
    found[empty] = True
    return found


MakeKernel = Callable[[], Callable[[Block], S]]
"""A small picklable function that is sent to the tasks. Each task calls it once to build its own kernel: a function
that takes a block and returns its statistics, and that keeps workspaces between calls."""


class Sweep(Protocol):
    """One full pass over the rows. The statistics of the blocks are summed in a tree of fixed shape."""

    def __call__(self, make_kernel: MakeKernel[S]) -> S:
        """Return the sum of the kernel's statistics over all blocks."""
