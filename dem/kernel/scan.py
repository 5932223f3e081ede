"""The first pass by the native kernel: ranges and sums of a block of rows.

The sources are `dem/kernel/source/scan.cpp`.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Array, Float
from dem.kernel.estep import address
from dem.kernel.kernel_id import KernelId
from dem.kernel.pieces import RowPieces
from dem.kernel.runner import aligned_bytes, function_of
from dem.kernel.tasks import ADD, BEGIN, COUNT, END, ScanTask

TILE_ROWS = 96
"""`most_rows` of scan.cpp."""


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
    d : int
        Columns.
    scatter : bool
        Compute the products of all columns, not only the squares.
    unit : int
        Number of rows that are left out together if a value is not finite.
    kernel : KernelId
    """

    def __init__(self, d: int, scatter: bool, unit: int, kernel: KernelId) -> None:
        self.d, self.unit = d, unit
        self.task = ScanTask(d=d, scatter=scatter, unit=unit)
        self._functions = {
            np.dtype(dtype): function_of(kernel, f"dem_scan_{dtype}") for dtype in ("float64", "float32")
        }
        self._workspace = aligned_bytes(self._run(np.dtype(np.float64), COUNT))
        self.task.workspace = self._workspace.ctypes.data

    def _run(self, dtype: np.dtype[np.float64], phases: int) -> int:
        return self._functions[dtype](ctypes.byref(self.task), phases)

    def __call__(self, x: Array, weight: Array | None, shift: Float) -> ScanSums:
        """Return ranges and sums of the rows x (n, d) about a shift (d,). All sums are in float64."""
        task, d = self.task, self.d
        dtype = x.dtype if x.dtype in self._functions else np.dtype(np.float64)
        left_out, total = np.zeros(-(-len(x) // self.unit), np.bool_), np.zeros(1)
        low, high, first = np.empty(d), np.empty(d), np.empty(d)
        second = np.empty((d, d) if task.scatter else d)
        task.shift, task.total, task.low, task.high = address(shift), address(total), address(low), address(high)
        task.first, task.second = address(first), address(second)
        self._run(dtype, BEGIN)
        done = 0
        for piece in RowPieces(dtype, self.unit)(x, weight):
            task.x, task.n = piece.x.ctypes.data, piece.n
            task.weight = None if piece.weight is None else piece.weight.ctypes.data
            task.left_out = left_out.ctypes.data + done // self.unit
            self._run(dtype, ADD)
            done += piece.n
        self._run(dtype, END)
        return ScanSums(float(total[0]), low + 0.0, high + 0.0, first, second, left_out)


def native_scan_bytes(d: int, unit: int, *, scatter: bool) -> int:
    """Return the bytes that a `NativeScan` needs at most, with converted rows and its sums."""
    padded = (d + 7) // 8 * 8
    tiles = (2 if scatter else 1) * min(TILE_ROWS, unit) * padded + unit * d
    return 8 * (tiles + 3 * (padded if scatter else 1) * padded + 8 * padded) + 2048
