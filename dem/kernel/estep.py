"""The native E-step of a block of rows: it adds sums, and returns the log-likelihood.

The functions are in dem/kernel/source/estep.cpp. While one runs, other threads of Python run too.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from ctypes import c_int, c_int64, c_void_p
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Array, Float
from dem.kernel.kernel_id import KernelId
from dem.kernel.library import library, reason
from dem.kernel.tasks import ADD, BEGIN, COUNT, END, GENERAL, SQUARES, TRIANGLE, CentredTask, LinearTask, Rows, Task

ALIGNMENT = 64
PIECE_BYTES, LEAST_PIECE = 2**18, 192
"""Rows of another dtype or layout are converted in pieces of about so many bytes, but of at least so many rows."""

Ints = NDArray[np.int32]


class EStep(Protocol):
    """What a function of the library computes: arrays that it reads, and shapes."""

    @property
    def function(self) -> str:
        """The name of the function."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of rows."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """F, K and d."""

    def task(self) -> Task:
        """Return the task, still without rows. The arrays must live as long as it does."""


@dataclass(frozen=True, eq=False)
class LinearEStep:
    """An exponential family: L = H T, S = T R'.

    Attributes
    ----------
    eta : array of shape (K, F), float64 or float32
        H. Its dtype is that of the arithmetic.
    shift, scale : array of shape (d,)
        Of the same dtype: columns are (x - shift) * scale.
    pairs : int32 array of shape (2, F)
        The two columns of each feature: 0 is the constant 1, and 1 to d are columns of the data.
    has_square : bool
        Whether column d + 1 is the sum of squares of all columns.
    """

    eta: Array
    shift: Array
    scale: Array
    pairs: Ints
    has_square: bool

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of H."""
        return self.eta.dtype

    @property
    def function(self) -> str:
        """The function for this dtype."""
        return f"dem_linear_{self.dtype.name}"

    @property
    def shape(self) -> tuple[int, int, int]:
        """F, K and d."""
        return self.eta.shape[1], self.eta.shape[0], len(self.shift)

    def task(self) -> LinearTask:
        """Return the task, still without rows."""
        f, k, d = self.shape
        return LinearTask(
            rows_of(k, d),
            address(self.shift),
            address(self.scale),
            int(self.has_square),
            f,
            address(self.pairs[0]),
            address(self.pairs[1]),
            address(self.eta),
            form_of(self.pairs, d),
        )


@dataclass(frozen=True, eq=False)
class CentredEStep:
    """Gaussians about their own means, in float64: log N(x) = constant - 0.5 |U' (x - m)|^2.

    Attributes
    ----------
    means : array of shape (K, d)
    factors : array of shape (K, d, d), or (K, d) if the columns are independent
        U, upper triangular.
    constants : array of shape (K,)
        The log-normalisers, plus the log-weights.
    """

    means: Float
    factors: Float
    constants: Float

    @property
    def dtype(self) -> np.dtype[Any]:
        """Float64."""
        return np.dtype(np.float64)

    @property
    def function(self) -> str:
        """The function for this form of U."""
        return "dem_whitened" if self.factors.ndim == 3 else "dem_independent"

    @property
    def shape(self) -> tuple[int, int, int]:
        """F, K and d."""
        k, d = self.means.shape
        return (1 + d + d * (d + 1) // 2 if self.factors.ndim == 3 else 1 + 2 * d), k, d

    def task(self) -> CentredTask:
        """Return the task, still without rows."""
        _, k, d = self.shape
        return CentredTask(rows_of(k, d), address(self.means), address(self.factors), address(self.constants))


class NativeEStep:
    """Runs an `EStep` on blocks. It keeps its workspace between calls, so each task has its own."""

    def __init__(self, step: EStep, kernel: KernelId) -> None:
        self.step, self._function = step, function_of(kernel, step.function)
        self._task = step.task()
        self._workspace = aligned_bytes(self._function(ctypes.byref(self._task), COUNT))
        self._task.rows.workspace = self._workspace.ctypes.data

    def __call__(self, x: Array, weight: Array | None, sums: Float) -> float:
        """Add the sums of the rows x (n, d) to `sums` (F, K); return their log-likelihood in nats.

        Rows of weight 0 are left out, whatever values they have.
        """
        total = np.zeros(1)
        rows = self._task.rows
        rows.sums, rows.log_likelihood = sums.ctypes.data, total.ctypes.data
        self._run(BEGIN)
        for part, part_weight in pieces(x, weight, self.step.dtype):
            rows.x, rows.n = part.ctypes.data, len(part)
            rows.weight = None if part_weight is None else part_weight.ctypes.data
            self._run(ADD)
        self._run(END)
        return float(total[0])

    def _run(self, phases: int) -> None:
        self._function(ctypes.byref(self._task), phases)


def function_of(kernel: KernelId, name: str) -> Callable[..., int]:
    """Return a function of the library that the client has chosen.

    Raises
    ------
    RuntimeError
        If this machine has no such library.
    """
    found = library()
    if found is None or found.digest != kernel.digest:
        why = reason() if found is None else "Its native kernel was built from other sources than the client's."
        raise RuntimeError(
            f"This machine cannot use the {kernel}. {why} Install the same dem on all machines, or set "
            "DEM_KERNEL=numpy where the fit is started."
        )
    prototype = ctypes.CFUNCTYPE(c_int64, c_void_p, c_int)
    return prototype((name, found.functions))


def workspace_bytes(kernel: KernelId, name: str, f: int, k: int, d: int) -> int:
    """Return the workspace of a function for F sums of K components of d columns, and of converted rows, in bytes.

    It does not depend on the width of the vectors here: K is rounded up to the widest.
    """
    shape, form = rows_of((k + 15) // 16 * 16, d), form_of_size(f, d)
    linear = name.startswith("dem_linear")
    task = LinearTask(shape, square_column=1, f_count=f, form=form) if linear else CentredTask(shape)
    size = function_of(kernel, name)(ctypes.byref(task), COUNT)
    return size + 2 * max(PIECE_BYTES, 8 * LEAST_PIECE * d)


def pieces(x: Array, weight: Array | None, dtype: np.dtype[Any]) -> Iterator[tuple[Array, Float | None]]:
    """Yield the rows as contiguous arrays of a dtype, with float64 weights: whole if they already are such an array."""
    ready = x.dtype == dtype and x.flags.c_contiguous and x.flags.aligned
    step = max(1, len(x)) if ready else max(LEAST_PIECE, PIECE_BYTES // (dtype.itemsize * x.shape[1]))
    for start in range(0, len(x), step):
        part = x[start : start + step]
        some = None if weight is None else np.ascontiguousarray(weight[start : start + step], dtype=np.float64)
        yield part if ready else np.array(part, dtype=dtype, order="C"), some


def form_of(pairs: Ints, d: int) -> int:
    """Return the form of features (2, F).

    TRIANGLE: 1, the d columns, and all products of two columns, row by row of the triangle. SQUARES: 1, the columns,
    and their squares. GENERAL: any others.
    """
    form = form_of_size(pairs.shape[1], d)
    if form == GENERAL:
        return GENERAL
    products = np.stack(np.triu_indices(d)) if form == TRIANGLE else np.stack([np.arange(d)] * 2)
    columns = np.stack([np.zeros(1 + d, np.intp), np.arange(1 + d)])
    return form if np.array_equal(pairs, np.concatenate([columns, 1 + products], axis=1)) else GENERAL


def form_of_size(f: int, d: int) -> int:
    """Return the form that F features may have."""
    return {1 + 2 * d: SQUARES, 1 + d + d * (d + 1) // 2: TRIANGLE}.get(f, GENERAL)


def rows_of(k: int, d: int) -> Rows:
    """Return `Rows` with their shapes only."""
    return Rows(d=d, k_count=k)


def address(array: Array) -> int:
    """Return where a contiguous array is in memory."""
    assert array.flags.c_contiguous
    return array.ctypes.data


def aligned_bytes(n: int) -> NDArray[np.uint8]:
    """Return n bytes at an address that is a multiple of `ALIGNMENT`."""
    memory = np.empty(n + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + n]
