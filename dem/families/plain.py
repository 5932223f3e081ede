"""What families answer that ask nothing particular; and what several say of missing entries, column by column."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Array, Float
from dem.core.coordinate_frame import Frame
from dem.families.family import CACHE_BYTES, ByPattern, Filling, Linear, Settable
from dem.families.features import Features
from dem.scan.scanner import Scan

M_STEP_ROWS = 128
"""Rows whose part in an E-step takes about as long as an M-step (measured)."""


class Plain(ABC):
    """Base of families that take any numbers, and whose features are taken in the data's own coordinates.

    It has none of the optional roles.
    """

    wants: ClassVar[str] = "finite numbers"
    needs_scatter: ClassVar[bool] = False
    takes_squares: ClassVar[bool] = True
    tile_bytes: ClassVar[int] = CACHE_BYTES

    @property
    def members(self) -> tuple[Any, ...]:
        """The family itself."""
        return (self,)

    @property
    def linear(self) -> Linear[Any] | None:
        """None: the exact path is all."""
        return None

    @property
    def settable(self) -> Settable[Any] | None:
        """None: users set no first parameters."""
        return None

    @property
    def filling(self) -> Filling[Any] | None:
        """None: rows are complete."""
        return None

    @property
    def by_pattern(self) -> ByPattern[Any] | None:
        """None: rows are taken one by one."""
        return None

    def with_missing(self) -> Any:
        """Return None: there is no density of rows with missing values."""
        return None

    def squared(self, variances: Float) -> Float:
        """Return each column's; 1 where `takes_squares` is False."""
        return variances if self.takes_squares else np.ones_like(variances)

    def wants_in(self, column: int) -> str:
        """Return what is taken in a column: the same in all."""
        return self.wants

    def check_columns(self, d: int) -> None:
        """Take any number of columns."""
        return

    def outside(self, x: Float) -> NDArray[np.bool_] | None:
        """Return which entries of a tile x (d, n) the family does not take; None where it takes all."""
        return None

    def doubts(self, low: Float, high: Float) -> dict[int, str]:
        """Return what to tell of columns that are hardly meant: nothing."""
        return {}

    def log_base(self, x: Float) -> Float | None:
        """Return log h(x) of a tile x (d, n), as (n,); None where it is 0."""
        return None

    def observed_log_base(self, x: Float) -> Float | None:
        """Return the sum of the observed columns' own log h."""
        total = np.zeros(x.shape[1])
        for column in x:
            here = ~np.isnan(column)
            base = self.log_base(column[None, here])
            if base is None:
                return None
            total[here] += base
        return total

    def work(self, x: Array, k: int) -> float:
        """Return two products with each sum of every row, and an M-step as of some rows more."""
        return 4.0 * k * self.n_centred(x.shape[1]) * (len(x) + M_STEP_ROWS)

    @abstractmethod
    def n_centred(self, d: int) -> int:
        """Return the number of sums."""

    def frame(self, x: Float) -> Frame:
        """Return the data's own coordinates."""
        return Frame.at(np.zeros(x.shape[1]))

    def bind(self, scan: Scan, frame: Frame) -> Self:
        """Return the family itself."""
        return self

    def coordinates(self, x: Float) -> Float:
        """Return the rows as they are."""
        return x

    def pseudo_rows(self, x: Float) -> Float:
        """Return the sample as it is."""
        return x


class LinearFamily(Plain):
    """Base of families that have the fast path, and whose features are all of log p but for log h."""

    complete: ClassVar[bool] = True

    @property
    def linear(self) -> Linear[Any] | None:
        """The family itself."""
        return self

    @abstractmethod
    def n_features(self, d: int) -> int:
        """Return the number of features."""

    @abstractmethod
    def features(self, d: int, frame: Frame) -> Features:
        """Return the features in a frame."""

    @abstractmethod
    def natural(self, theta: Any, frame: Frame) -> Float:
        """Return the natural parameters (K, F)."""

    @abstractmethod
    def largest(self, low: Float, high: Float, frame: Frame) -> Float:
        """Return the features' largest magnitudes (F,)."""

    @abstractmethod
    def typical(self, scan: Scan, frame: Frame) -> Float:
        """Return the features' typical magnitudes (F,)."""

    def n_centred(self, d: int) -> int:
        """Return the number of features: the exact path has the same sums, in other coordinates."""
        return self.n_features(d)

    def shared(self, theta: Any) -> float:
        """Return 0: all of log p is in the features."""
        return 0.0

    def shared_size(self, theta: Any) -> float:
        """Return 0."""
        return 0.0


def centred(x: Float, mean: Float, missing: NDArray[np.bool_]) -> Float:
    """Return x - mu of a tile x (d, n), 0 where it is missing."""
    rest = x - mean[:, None]
    np.copyto(rest, 0.0, where=missing)
    return rest


def from_columns(x: Float, resp: Float, means: Float, variances: Float) -> tuple[Float, Float]:
    """Return the conditional mean and variance of each entry of x (d, n), and x itself and 0 where it is observed.

    A mixture's mean is the mean of its components'; its variance the mean of theirs, and the variance of their means.

    Parameters
    ----------
    x : array of shape (d, n)
        NaN where missing.
    resp : array of shape (K, n)
        Responsibilities.
    means, variances : array of shape (K, d)
        Of each column, given the component.
    """
    middle = means.mean(axis=0)[:, None]  # about which squares keep their digits
    offsets = means.T - middle
    mean = offsets @ resp
    variance = np.maximum((variances.T + offsets**2) @ resp - mean**2, 0.0)
    missing = np.isnan(x)
    return np.where(missing, middle + mean, x), np.where(missing, variance, 0.0)
