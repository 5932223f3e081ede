"""Base classes of families, with the defaults of the contract in `dem.families.family`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Array, Float
from dem.core.coordinate_frame import Frame
from dem.core.layout import Order, reordered
from dem.families.family import CACHE_BYTES, ByPattern, Filling, Linear, Settable
from dem.families.features import Features
from dem.scan.scanner import Scan

M_STEP_ROWS = 128
"""An M-step takes about as long as the E-step of this number of rows (measured)."""

OF_ROWS = ("outside", "log_base", "observed_log_base")
"""The functions of a family that the first pass calls with the rows."""


class FamilyBase(ABC):
    """Base of all families. By default all numbers are in the support, the frame is the data's own coordinates.

    By default a family has none of the optional roles.

    Attributes
    ----------
    wants : str
        The values in the support, in words for error messages.
    needs_scatter : bool
        Whether `bind` needs the (d, d) scatter of all rows.
    takes_squares : bool
        Whether the family squares values. If so, values whose squares float64 cannot hold are an error.
    tile_bytes : int
        Bytes that a tile of the exact path may take.
    """

    wants: ClassVar[str] = "finite numbers"
    needs_scatter: ClassVar[bool] = False
    takes_squares: ClassVar[bool] = True
    tile_bytes: ClassVar[int] = CACHE_BYTES

    @property
    def members(self) -> tuple[Any, ...]:
        """The family itself."""
        return (self,)

    def reordered(self, theta: Any, order: Order) -> Any:
        """Return the parameters with the components in this order: each array has them on its first axis."""
        return reordered(theta, order)

    @property
    def linear(self) -> Linear[Any] | None:
        """None: the family has only the exact path."""
        return None

    @property
    def settable(self) -> Settable[Any] | None:
        """None: users cannot set first parameters."""
        return None

    @property
    def filling(self) -> Filling[Any] | None:
        """None: the family is for complete rows."""
        return None

    @property
    def by_pattern(self) -> ByPattern[Any] | None:
        """None: rows are not grouped by pattern."""
        return None

    def with_missing(self) -> Any:
        """Return None: there is no family for rows with missing values."""
        return None

    def squares_used(self, variances: Float) -> Float:
        """Return the variances; ones if `takes_squares` is False."""
        return variances if self.takes_squares else np.ones_like(variances)

    def wants_in_column(self, column: int) -> str:
        """Return `wants`: all columns have the same support."""
        return self.wants

    def check_columns(self, d: int) -> None:
        """Accept any number of columns."""
        return

    @property
    def checks_rows(self) -> bool:
        """Whether the family has its own support or base measure."""
        own = type(self)
        return any(getattr(own, name) is not getattr(FamilyBase, name) for name in OF_ROWS)

    def outside(self, x: Float) -> NDArray[np.bool_] | None:
        """Return a mask of the entries of a tile x (d, n) outside the support; None: there are none."""
        return None

    def range_warnings(self, low: Float, high: Float) -> dict[int, str]:
        """Return no warnings."""
        return {}

    def log_base(self, x: Float) -> Float | None:
        """Return log h (n,), in nats, of the rows in a tile x (d, n); None if it is 0 for all."""
        return None

    def observed_log_base(self, x: Float) -> Float | None:
        """Return the sum of log h (n,), in nats, over the observed columns of each row."""
        total = np.zeros(x.shape[1])
        for column in x:
            observed = ~np.isnan(column)
            base = self.log_base(column[None, observed])
            if base is None:
                return None
            total[observed] += base
        return total

    def work(self, x: Array, k: int) -> float:
        """Return the operations of two products with each sum for every row, and of an M-step."""
        return 4.0 * k * self.n_exact_sums(x.shape[1]) * (len(x) + M_STEP_ROWS)

    @abstractmethod
    def n_exact_sums(self, d: int) -> int:
        """Return F', the number of sums of the exact path."""

    def frame(self, x: Float) -> Frame:
        """Return the data's own coordinates."""
        return Frame.at(np.zeros(x.shape[1]))

    def bind(self, scan: Scan, frame: Frame) -> Self:
        """Return the family unchanged."""
        return self

    def seeding_points(self, x: Float) -> Float:
        """Return the rows unchanged."""
        return x

    def pseudo_rows(self, x: Float) -> Float:
        """Return the sample unchanged."""
        return x


class LinearFamily(FamilyBase):
    """Base of families that have the fast path; by default log p has no shared term."""

    has_shared_term: ClassVar[bool] = False

    @property
    def linear(self) -> Linear[Any] | None:
        """The family itself."""
        return self

    @abstractmethod
    def n_features(self, d: int) -> int:
        """Return F, the number of features."""

    @abstractmethod
    def features(self, d: int, frame: Frame) -> Features:
        """Return the features t(x) in a frame."""

    @abstractmethod
    def natural(self, theta: Any, frame: Frame) -> Float:
        """Return the natural parameters (K, F)."""

    @abstractmethod
    def largest_magnitudes(self, low: Float, high: Float, frame: Frame) -> Float:
        """Return the largest magnitude of each feature (F,)."""

    @abstractmethod
    def typical_magnitudes(self, scan: Scan, frame: Frame) -> Float:
        """Return the typical magnitude of each feature (F,)."""

    def n_exact_sums(self, d: int) -> int:
        """Return the number of features: the exact path has the same sums, in other coordinates."""
        return self.n_features(d)

    def expected(self, theta: Any, sums: Float, frame: Frame, previous: Any) -> float:
        """Return the sum of eta * S over all entries: the sum of r (log p - log h) over rows and components."""
        return float(np.einsum("kf,fk->", self.natural(theta, frame), sums))

    def shared_term(self, theta: Any) -> float:
        """Return 0: there is no such term."""
        return 0.0

    def shared_term_size(self, theta: Any) -> float:
        """Return 0: there is no such term."""
        return 0.0
