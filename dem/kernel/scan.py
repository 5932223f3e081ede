"""The first pass by the native kernel: ranges and sums of a block of rows.

The sources are `dem/kernel/source/scan.cpp`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Array, Float
from dem.kernel.estep import address, rows_of
from dem.kernel.kernel_id import KernelId
from dem.kernel.pieces import RowPieces
from dem.kernel.runner import Runner
from dem.kernel.tasks import ScanTask

TILE_ROWS = 96
"""`tile_rows` of rows.h in float64."""


@dataclass(frozen=True)
class ScanStep:
    """A `Step`: ranges and sums of rows.

    Attributes
    ----------
    d : int
        Columns.
    scatter : bool
        Compute the products of all columns, not only the squares.
    unit : int
        Number of rows that are left out together if a value is not finite.
    dtype : dtype
        That of rows: float64 or float32.
    """

    d: int
    scatter: bool
    unit: int
    dtype: np.dtype[Any]

    @property
    def function(self) -> str:
        """The function for this dtype."""
        return f"dem_scan_{self.dtype.name}"

    def task(self) -> ScanTask:
        """Return the task, still without rows."""
        return ScanTask(rows_of(0, self.d), scatter=self.scatter, unit=self.unit)


@dataclass(frozen=True, eq=False)
class ScanSums:
    """Ranges and sums of the rows of positive weight in those units in which all values are finite.

    Attributes
    ----------
    weight : float
        The sum of the weights.
    low, high : array of shape (d,)
        The lowest and highest values; infinity and minus infinity if there are no rows.
    first : array of shape (d,)
        Weighted sums of x - shift.
    second : array of shape (d, d) or (d,)
        Weighted sums of the products, or of the squares, of x - shift.
    left_out : bool array of shape (units,)
        The units with a value that is not finite: nothing is added of them.
    """

    weight: float
    low: Float
    high: Float
    first: Float
    second: Float
    left_out: NDArray[np.bool_]


class NativeScan:
    """Scans blocks. It keeps its workspace between calls, so each task has its own.

    Parameters
    ----------
    d, scatter, unit
        See `ScanStep`.
    kernel : KernelId
    """

    def __init__(self, d: int, scatter: bool, unit: int, kernel: KernelId) -> None:
        self._kernel = kernel
        self._use(ScanStep(d, scatter, unit, np.dtype(np.float64)))

    def _use(self, step: ScanStep) -> None:
        self._step, self._runner = step, Runner(step, self._kernel, RowPieces(step.dtype, step.unit))

    @property
    def workspace_bytes(self) -> int:
        """The bytes of its workspace."""
        return self._runner.workspace_bytes

    def __call__(self, x: Array, weight: Array | None, shift: Float) -> ScanSums:
        """Return ranges and sums of the rows x (n, d) about a shift (d,). All sums are in float64."""
        dtype = np.dtype(np.float32 if x.dtype == np.float32 else np.float64)
        if dtype != self._step.dtype:
            self._use(replace(self._step, dtype=dtype))
        d, task = self._step.d, self._runner.task
        left_out, total = np.zeros(-(-len(x) // self._step.unit), np.bool_), np.zeros(1)
        low, high, first = np.empty(d), np.empty(d), np.empty(d)
        second = np.empty((d, d) if self._step.scatter else d)
        task.shift, task.left_out, task.total = address(shift), address(left_out), address(total)
        task.low, task.high = address(low), address(high)
        task.first, task.second = address(first), address(second)
        self._runner(x, weight)
        return ScanSums(float(total[0]), low + 0.0, high + 0.0, first, second, left_out)


def native_scan_bytes(d: int, unit: int, *, scatter: bool) -> int:
    """Return the bytes that a `NativeScan` needs at most, with converted rows and its sums."""
    padded = (d + 7) // 8 * 8
    tiles = (2 if scatter else 1) * min(TILE_ROWS, unit) * padded + unit * d
    return 8 * (tiles + 3 * (padded if scatter else 1) * padded + 8 * padded) + 2048
