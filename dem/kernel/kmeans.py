"""K-means by the native kernel: centres, and the E-step of a block of rows.

The sources are `dem/kernel/source/kmeans.cpp` and `nearest.h`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Array, Float
from dem.kernel.estep import address, rows_of
from dem.kernel.kernel_id import KernelId
from dem.kernel.runner import Runner, workspace_bytes
from dem.kernel.tasks import DISTANCE, KMeansTask

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Centers:
    """A `Step`: centres, and how their distances from rows are compared.

    The function adds sums, or writes for each row the number of the nearest centre (of equally near ones the lowest),
    or minus the squared distance to it, or, by differences, the distances to all centres; outputs need float64.

    By products, as sums of eta_k0 + eta_k' z with z = (x - shift) * scale, eta_k0 = |c|^2 / 2 and -c, of centres c in
    these coordinates; or by differences, as |z - eta_k|^2 with eta_k0 = 0.

    Attributes
    ----------
    centers : array of shape (K, d)
    eta : array of shape (K, 1 + d), float64 or float32
        Its dtype is that of the arithmetic.
    shift, scale : array of shape (d,)
        Of the same dtype.
    differences : bool
    """

    centers: Float
    eta: Array
    shift: Array
    scale: Array
    differences: bool

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of rows."""
        return self.eta.dtype

    @property
    def function(self) -> str:
        """The function for this arithmetic."""
        return f"dem_kmeans_{'differences' if self.differences else self.dtype.name}"

    def task(self) -> KMeansTask:
        """Return the task, still without rows."""
        arrays = {name: address(getattr(self, name)) for name in ("centers", "eta", "shift", "scale")}
        return KMeansTask(rows_of(*self.centers.shape), **arrays)


@dataclass(frozen=True, eq=False)
class ClusterSums:
    """The sums of the rows of each cluster, and the rows farthest from their centres, in no order.

    Attributes
    ----------
    counts : array of shape (K,)
        Weights.
    sums : array of shape (K, d)
        Weighted sums of x - c_k.
    inertia : array of shape (K,)
        Weighted sums of |x - c_k|^2.
    far_square : array of shape (m,)
        Squared distances of at most K rows, all positive.
    far_row, far_label : int64 array of shape (m,)
        The numbers of these rows in the block, and of their centres.
    """

    counts: Float
    sums: Float
    inertia: Float
    far_square: Float
    far_row: Integers
    far_label: Integers


class KMeansEStep:
    """The E-step of K-means."""

    def __init__(self, centers: Centers, kernel: KernelId) -> None:
        self._runner, self._shape = Runner(centers, kernel), centers.centers.shape

    def __call__(self, x: Array, weight: Array | None) -> ClusterSums:
        """Return the sums of the rows x (n, d). Rows of weight 0 are left out, whatever values they have."""
        (k, d), task, count = self._shape, self._runner.task, np.zeros(1, np.int64)
        square, row, label = np.empty(k), np.empty(k, np.int64), np.empty(k, np.int64)
        counts, sums, inertia = np.zeros(k), np.zeros((k, d)), np.zeros(k)
        task.rows.sums, task.counts, task.inertia = address(sums), address(counts), address(inertia)
        task.far_count, task.far_square = address(count), address(square)
        task.far_row, task.far_label = address(row), address(label)
        self._runner(x, weight)
        found = slice(int(count[0]))
        return ClusterSums(counts, sums, inertia, square[found], row[found], label[found])


def kmeans_bytes(kernel: KernelId, k: int, d: int) -> int:
    """Return the workspace of any of the functions for K centres of d columns, and of converted rows, in bytes."""
    names = ("float64", "float32", "differences")
    return max(workspace_bytes(kernel, f"dem_kmeans_{name}", KMeansTask(rows_of(k, d)), DISTANCE) for name in names)
