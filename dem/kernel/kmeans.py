"""K-means by the native kernel: the E-step of a block of rows, and results for rows.

The sources are `dem/kernel/source/kmeans.cpp` and `nearest.h`.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Array, Float
from dem.kernel.estep import address
from dem.kernel.kernel_id import KernelId
from dem.kernel.pieces import RowPieces, piece_bytes
from dem.kernel.runner import aligned_bytes, function_of
from dem.kernel.tasks import ADD, BEGIN, COUNT, KMeansTask

Integers = NDArray[np.int64]
Result = Literal["labels", "scores", "distances"]
"""For each row the number of the nearest centre, of equally near ones the lowest; minus the squared distance to it; the
distances to all centres."""


@dataclass(frozen=True, eq=False)
class Centers:
    """Centres, and how their distances from rows are compared.

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
    def arithmetic(self) -> str:
        """The end of the functions' names."""
        return "differences" if self.differences else self.eta.dtype.name

    def task(self) -> KMeansTask:
        """Return the task, still without rows. The arrays must live as long as it does."""
        k, d = self.centers.shape
        arrays = {name: address(getattr(self, name)) for name in ("centers", "eta", "shift", "scale")}
        return KMeansTask(d=d, k_count=k, **arrays)


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


class KMeansRunner:
    """Runs a function of the library on blocks. It keeps its workspace between calls, so each task has its own."""

    def __init__(self, function: str, centers: Centers, kernel: KernelId) -> None:
        self.centers, self.task = centers, centers.task()
        self._function = function_of(kernel, function)
        self._workspace = aligned_bytes(self._run(COUNT))
        self.task.workspace = self._workspace.ctypes.data
        self._run(BEGIN)

    def _run(self, phases: int) -> int:
        return self._function(ctypes.byref(self.task), phases)

    def add(self, x: Array, weight: Array | None, row_bytes: dict[str, int]) -> None:
        """Run on the rows x (n, d). `row_bytes` are the bytes of a row in those arrays of the task that have rows."""
        task, task.first = self.task, 0
        starts = {name: getattr(task, name) for name in row_bytes}
        for piece in RowPieces(self.centers.eta.dtype)(x, weight):
            task.x, task.n = piece.x.ctypes.data, piece.n
            task.weight = None if piece.weight is None else piece.weight.ctypes.data
            for name, size in row_bytes.items():
                setattr(task, name, starts[name] + task.first * size)
            self._run(ADD)
            task.first += piece.n


class KMeansEStep:
    """The E-step of K-means."""

    def __init__(self, centers: Centers, kernel: KernelId) -> None:
        self._runner = KMeansRunner(f"dem_kmeans_{centers.arithmetic}", centers, kernel)

    def __call__(self, x: Array, weight: Array | None) -> ClusterSums:
        """Return the sums of the rows x (n, d). Rows of weight 0 are left out, whatever values they have."""
        k, d = self._runner.centers.centers.shape
        task, count = self._runner.task, np.zeros(1, np.int64)
        square, row, label = np.empty(k), np.empty(k, np.int64), np.empty(k, np.int64)
        counts, sums, inertia = np.zeros(k), np.zeros((k, d)), np.zeros(k)
        task.counts, task.sums, task.inertia = address(counts), address(sums), address(inertia)
        task.far_count, task.far_square = address(count), address(square)
        task.far_row, task.far_label = address(row), address(label)
        self._runner.add(x, weight, {})
        found = slice(int(count[0]))
        return ClusterSums(counts, sums, inertia, square[found], row[found], label[found])


def write_rows(what: Result, x: Array, centers: Centers, out: Array, kernel: KernelId) -> None:
    """Write a result for each of the rows x (n, d).

    Parameters
    ----------
    what : {"labels", "scores", "distances"}
    x : array of shape (n, d)
    centers : Centers
        In float64; for distances, of differences.
    out : array
        Contiguous, of shape (n,) and a signed integer dtype, of shape (n,) and float64, or (n, K) and float64.
    kernel : KernelId
    """
    assert centers.differences or what != "distances"
    function = "distances" if what == "distances" else f"rows_{centers.arithmetic}"
    runner = KMeansRunner(f"dem_kmeans_{function}", centers, kernel)
    runner.task.label_bytes = out.itemsize
    setattr(runner.task, what, address(out))
    runner.add(x, None, {what: out.strides[0]})


def kmeans_bytes(kernel: KernelId, k: int, d: int) -> int:
    """Return the workspace of any of the functions for K centres of d columns, and of converted rows, in bytes."""
    task = KMeansTask(d=d, k_count=k)
    names = ("float64", "float32", "differences", "rows_float64", "rows_differences", "distances")
    sizes = [function_of(kernel, f"dem_kmeans_{name}")(ctypes.byref(task), COUNT) for name in names]
    return max(sizes) + 2 * piece_bytes(d)
