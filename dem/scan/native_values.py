"""The values of a block by the native kernel; NumPy adds the rows among which a value is missing or infinite."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Block, Float
from dem.kernel.kernel_id import KernelId
from dem.kernel.scan import NativeScan
from dem.scan.moments import moments_about
from dem.scan.values import BlockValues, scan_tile_rows

SHIFT_ROWS = 64
"""Sums are about the mean of at least so many rows from all parts of the block, or of all its rows if it has fewer."""


class NativeValues:
    """Adds the rows of a block, like `BlockValues.add`. It has a workspace, so each task has its own.

    Parameters
    ----------
    d : int
        Columns.
    scatter : bool
        Compute the full (d, d) scatter, not only its diagonal.
    kernel : KernelId
    """

    def __init__(self, d: int, scatter: bool, kernel: KernelId) -> None:
        self._unit = scan_tile_rows(d)
        self._scan = NativeScan(d, scatter, self._unit, kernel)

    def __call__(self, values: BlockValues, block: Block) -> None:
        """Add the rows of a block."""
        shift = middle(block)
        if shift is None:
            values.add(block)
            return
        found = self._scan(block.x, block.weight, shift)
        if found.weight:
            values.add_finite(moments_about(shift, found.weight, found.first, found.second), found.low, found.high)
        for start, stop in runs(found.left_out):
            values.add(block.part(start * self._unit, stop * self._unit))


def middle(block: Block) -> Float | None:
    """Return a point near the mean of the rows, (d,): the mean of some that have all values; None if there are none.

    It is near compared with the spread of the rows, so sums about it lose little to rounding.
    """
    some = slice(None, None, max(1, len(block.x) // SHIFT_ROWS))
    rows = np.asarray(block.x[some], dtype=np.float64)
    kept = np.isfinite(rows).all(axis=1)
    if block.weight is not None:
        kept &= block.weight[some] > 0
    if not kept.any():
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        mean: Float = rows[kept].mean(axis=0)
    return mean if np.isfinite(mean).all() else None


def runs(flags: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield start and stop (exclusive) of each run of True in `flags` (n,)."""
    if not flags.any():
        return
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
