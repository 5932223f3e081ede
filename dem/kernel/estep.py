"""E-steps as values that the native kernel reads: arrays and shapes. `dem.kernel.runner` runs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Array, Float
from dem.core.linalg import triangle
from dem.kernel.columns import Columns
from dem.kernel.tasks import (
    GENERAL,
    SQUARES,
    TRIANGLE,
    AnyTask,
    CentredTask,
    LinearTask,
    PatternTask,
    Rows,
    StudentTask,
    Task,
)

Ints = NDArray[np.int32]


class Step(Protocol[AnyTask]):
    """What a function of the library computes: the arrays that it reads."""

    @property
    def function(self) -> str:
        """The name of the function."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of rows."""

    def task(self) -> AnyTask:
        """Return the task, still without rows. The arrays must live as long as it does."""


class EStep(Step[Task], Protocol):
    """A step whose sums are an array (F, K)."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """F, K and d."""


@dataclass(frozen=True, eq=False)
class LinearEStep:
    """An exponential family: L = H T, S = T R'.

    Attributes
    ----------
    eta : array of shape (K, F), float64 or float32
        H. Its dtype is that of the arithmetic.
    columns : Columns
    pairs : int32 array of shape (2, F)
        The two columns of each feature: 0 is the constant 1.
    """

    eta: Array
    columns: Columns
    pairs: Ints

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
        return self.eta.shape[1], self.eta.shape[0], self.columns.d

    def task(self) -> LinearTask:
        """Return the task, still without rows."""
        (f, k, d), columns = self.shape, self.columns
        return LinearTask(
            rows_of(k, d),
            source=columns.source,
            shift=address(columns.shift),
            scale=address(columns.scale),
            items=address(columns.items),
            item_count=len(columns.items),
            column_count=columns.count,
            f_count=f,
            first=address(self.pairs[0]),
            second=address(self.pairs[1]),
            eta=address(self.eta),
            form=form_of(self.pairs, columns.count),
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


@dataclass(frozen=True, eq=False)
class StudentEStep:
    """Student's t: log t(x) = constant - (nu + d) / 2 log(1 + D / nu), with D = |U' (x - m)|^2.

    The sums are those of the Gaussians with r E u for r, then r and r log(1 + D / nu).

    Attributes
    ----------
    gaussians : CentredEStep
        Means, factors, and the constants of Student's t.
    degrees_of_freedom : array of shape (K,)
        nu.
    """

    gaussians: CentredEStep
    degrees_of_freedom: Float

    @property
    def dtype(self) -> np.dtype[Any]:
        """Float64."""
        return self.gaussians.dtype

    @property
    def function(self) -> str:
        """The function for this form of U."""
        return self.gaussians.function.replace("dem_", "dem_student_")

    @property
    def shape(self) -> tuple[int, int, int]:
        """F, K and d."""
        f, k, d = self.gaussians.shape
        return f + 2, k, d

    def task(self) -> StudentTask:
        """Return the task, still without rows."""
        of = self.gaussians.task()
        return StudentTask(of.rows, of.means, of.factors, of.constants, address(self.degrees_of_freedom))


@dataclass(frozen=True, eq=False)
class PatternEStep:
    """Gaussians of rows with missing values. Rows with the same missing columns should be next to each other.

    The sums are those of completed rows about the means, and the entropies of the missing values. The conditional
    covariances of rows of which more than half of the columns are missing are left out. Instead, for these rows with
    observed columns o there are the sums of r inv(S_oo), as a triangle (d (d + 1) / 2), and then those of r.

    Attributes
    ----------
    gaussians : CentredEStep
        Means, factors U, and the constants of complete rows.
    precisions : array of shape (K, d, d)
        P = U U'.
    covariances : array of shape (K, d, d)
        S = inv(P).
    log_dets : array of shape (K,)
        log |P|.
    """

    gaussians: CentredEStep
    precisions: Float
    covariances: Float
    log_dets: Float

    @property
    def dtype(self) -> np.dtype[Any]:
        """Float64."""
        return self.gaussians.dtype

    @property
    def function(self) -> str:
        """The function."""
        return "dem_patterns"

    @property
    def shape(self) -> tuple[int, int, int]:
        """F, K and d."""
        f, k, d = self.gaussians.shape
        return f + 1 + d * (d + 1) // 2 + 1, k, d

    def task(self) -> PatternTask:
        """Return the task, still without rows."""
        of = self.gaussians.task()
        own = (address(array) for array in (self.precisions, self.covariances, self.log_dets))
        return PatternTask(of.rows, of.means, of.factors, of.constants, *own)


def form_of(pairs: Ints, d: int) -> int:
    """Return the form of features (2, F) of d columns.

    TRIANGLE: 1, the columns, and all products of two columns, row by row of the triangle. SQUARES: 1, the columns,
    and their squares. GENERAL: any others.
    """
    form = form_of_size(pairs.shape[1], d)
    if form == GENERAL:
        return GENERAL
    products = np.stack(triangle(d)) if form == TRIANGLE else np.stack([np.arange(d)] * 2)
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
