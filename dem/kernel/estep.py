"""The native E-step of a block of rows: it adds sums, and returns the log-likelihood.

The functions are in dem/kernel/source/estep.cpp. While one runs, other threads of Python run too.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from ctypes import c_int, c_int64, c_void_p
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Array, Float
from dem.kernel.kernel_id import KernelId
from dem.kernel.library import library, reason

ALIGNMENT = 64
PIECE_BYTES, LEAST_PIECE = 2**18, 192
"""Rows of another dtype or layout are converted in pieces of about so many bytes, but of at least so many rows."""

Ints = NDArray[np.int32]


class Rows(ctypes.Structure):
    """`Rows` of estep.cpp."""

    _fields_ = (
        ("x", c_void_p),
        ("weight", c_void_p),
        ("n", c_int64),
        ("d", c_int64),
        ("k_count", c_int64),
        ("sums", c_void_p),
        ("log_likelihood", c_void_p),
        ("workspace", c_void_p),
    )


class LinearTask(ctypes.Structure):
    """`LinearTask` of estep.cpp."""

    _fields_ = (
        ("rows", Rows),
        ("shift", c_void_p),
        ("scale", c_void_p),
        ("square_column", c_int64),
        ("f_count", c_int64),
        ("first", c_void_p),
        ("second", c_void_p),
        ("eta", c_void_p),
        ("triangle", c_int64),
        ("squares", c_int64),
    )


class CentredTask(ctypes.Structure):
    """`CentredTask` of estep.cpp."""

    _fields_ = (("rows", Rows), ("means", c_void_p), ("factors", c_void_p), ("constants", c_void_p))


Task = LinearTask | CentredTask


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
            int(is_triangle(self.pairs, d)),
            int(is_squares(self.pairs, d)),
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
    """Runs an `EStep` on blocks; it keeps its workspace between calls, so each task has its own."""

    def __init__(self, of: EStep, kernel: KernelId) -> None:
        self.of, self._function = of, function_of(kernel, of.function)
        self._task = of.task()
        self._workspace = aligned_bytes(self._function(ctypes.byref(self._task), 0))
        self._task.rows.workspace = self._workspace.ctypes.data

    def __call__(self, x: Array, weight: Array | None, sums: Float) -> float:
        """Add the sums of the rows x (n, d) to `sums` (F, K); return their log-likelihood in nats.

        Rows of weight 0 are left out, whatever values they have.
        """
        total = np.zeros(1)
        rows = self._task.rows
        rows.sums, rows.log_likelihood = sums.ctypes.data, total.ctypes.data
        for part, part_weight in pieces(x, weight, self.of.dtype):
            rows.x, rows.n = part.ctypes.data, len(part)
            rows.weight = None if part_weight is None else part_weight.ctypes.data
            self._function(ctypes.byref(self._task), 1)
        return float(total[0])


def function_of(kernel: KernelId, name: str) -> Any:
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
    function = getattr(found.functions, name)
    function.restype, function.argtypes = c_int64, (c_void_p, c_int)
    return function


def linear_workspace(kernel: KernelId, f: int, k: int, d: int) -> int:
    """Return the workspace, in bytes, of F features of K components of d columns, in float64."""
    function = function_of(kernel, "dem_linear_float64")
    forms = (int(f == 1 + d + d * (d + 1) // 2), 0), (0, int(f == 1 + 2 * d))
    tasks = [LinearTask(rows_of(k, d), None, None, 1, f, None, None, None, *form) for form in forms]
    return max(int(function(ctypes.byref(task), 0)) for task in tasks)


def centred_workspace(kernel: KernelId, k: int, d: int, *, independent: bool) -> int:
    """Return the workspace, in bytes, of K Gaussians of d columns about their own means."""
    task = CentredTask(rows_of(k, d), None, None, None)
    return int(function_of(kernel, "dem_independent" if independent else "dem_whitened")(ctypes.byref(task), 0))


def pieces(x: Array, weight: Array | None, dtype: np.dtype[Any]) -> Iterator[tuple[Array, Float | None]]:
    """Yield the rows as contiguous arrays of a dtype, with float64 weights: whole if they already are such an array."""
    ready = x.dtype == dtype and x.flags.c_contiguous and x.flags.aligned
    step = max(1, len(x)) if ready else max(LEAST_PIECE, PIECE_BYTES // (dtype.itemsize * x.shape[1]))
    for start in range(0, len(x), step):
        part = x[start : start + step]
        some = None if weight is None else np.ascontiguousarray(weight[start : start + step], dtype=np.float64)
        yield part if ready else np.array(part, dtype=dtype, order="C"), some


def is_triangle(pairs: Ints, d: int) -> bool:
    """Whether the features (2, F) are 1, the d columns, and all products of two columns, row by row of the triangle."""
    return _are_columns_and(pairs, np.stack(np.triu_indices(d)), d)


def is_squares(pairs: Ints, d: int) -> bool:
    """Whether the features (2, F) are 1, the d columns, and their squares."""
    return d > 1 and _are_columns_and(pairs, np.stack([np.arange(d)] * 2), d)


def _are_columns_and(pairs: Ints, products: NDArray[np.intp], d: int) -> bool:
    columns = np.stack([np.zeros(1 + d, np.intp), np.arange(1 + d)])
    return np.array_equal(pairs, np.concatenate([columns, 1 + products], axis=1))


def rows_of(k: int, d: int) -> Rows:
    """Return `Rows` with their shapes only."""
    return Rows(None, None, 0, d, k, None, None, None)


def address(array: Array) -> int:
    """Return where a contiguous array is in memory."""
    assert array.flags.c_contiguous
    return array.ctypes.data


def aligned_bytes(n: int) -> NDArray[np.uint8]:
    """Return n bytes at an address that is a multiple of `ALIGNMENT`."""
    memory = np.empty(n + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + n]
