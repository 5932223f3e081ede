"""What families answer that ask nothing particular; and what several say of missing entries, column by column."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Array, Float
from dem.core.coordinate_frame import Frame
from dem.families.family import CACHE_BYTES, Given
from dem.scan.scanner import Scan

M_STEP_ROWS = 128
"""Rows whose part in an E-step takes about as long as an M-step (measured)."""


class Plain:
    """Base of families that take any numbers, and whose features are taken in the data's own coordinates."""

    wants: ClassVar[str] = "finite numbers"
    complete: ClassVar[bool] = True
    needs_scatter: ClassVar[bool] = False
    takes_squares: ClassVar[bool] = True
    tile_bytes: ClassVar[int] = CACHE_BYTES

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

    def with_missing(self) -> Any:
        """Refuse: a family says itself how its rows may lack values.

        Raises
        ------
        ValueError
        """
        raise ValueError(
            f"{type(self).__name__} has no density of rows with missing values: leave such rows out, fill them in, or "
            "take another family"
        )

    def fill(self, theta: Any, x: Float, reuse: Any, resp: Float) -> tuple[Float, Float]:
        """Refuse likewise."""
        raise NotImplementedError(f"{type(self).__name__} does not fill in missing values")

    def work(self, x: Array, k: int) -> float:
        """Return two products with each sum of every row, and an M-step as of some rows more."""
        return 4.0 * k * self.n_centred(x.shape[1]) * (len(x) + M_STEP_ROWS)

    def n_centred(self, d: int) -> int:
        """Return the number of sums."""
        raise NotImplementedError

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

    def shared(self, theta: Any) -> float:
        """Return 0: all of log p is in the features."""
        return 0.0

    def shared_size(self, theta: Any) -> float:
        """Return 0."""
        return 0.0

    def override(self, theta: Any, given: Given) -> Any:
        """Return `theta`: the user sets all parameters or none."""
        return theta

    def known(self, given: Given) -> Any:
        """Return None: what `Given` holds are means and precisions."""
        return


class ExactFamily(Plain):
    """Base of families whose `linear` is False; the five methods that only the fast path asks for refuse."""

    linear: ClassVar[bool] = False

    def n_features(self, d: int) -> NoReturn:
        """Refuse: there are no features."""
        raise NotImplementedError("this family is not linear: it has no features")

    def features(self, rows: Array, frame: Frame, out: Array) -> None:
        """Refuse."""
        self.n_features(len(out))

    def natural(self, theta: Any, frame: Frame) -> Float:
        """Refuse."""
        self.n_features(len(frame.scale))

    def largest(self, low: Float, high: Float, frame: Frame) -> Float:
        """Refuse."""
        self.n_features(len(low))

    def typical(self, scan: Scan, frame: Frame) -> Float:
        """Refuse."""
        self.n_features(len(frame.scale))


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
