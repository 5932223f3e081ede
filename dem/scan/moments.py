"""Mergeable moments (Chan, Golub and LeVeque 1983). Raw sums would lose digits if the data are far from zero."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Array, Float


@dataclass(frozen=True)
class Moments:
    """Weighted moments of complete rows; `+` gives the moments of two sets of rows together.

    Attributes
    ----------
    weight : float
        The sum of the weights.
    centre : long double array of shape (d,)
        The mean. If the data are far from zero, float64 has too few digits for the scatter about the mean.
    scatter : array of shape (d,) or (d, d)
        Sum of the weighted squares (or outer products) of deviations from the mean.
    """

    weight: float
    centre: NDArray[np.longdouble]
    scatter: Float

    def __add__(self, other: Moments) -> Moments:
        """Return the moments of both sets together (Chan et al. 1983, eq. 1.3)."""
        weight = self.weight + other.weight
        if weight == 0:
            return self
        share = other.weight / weight
        step = other.centre - self.centre
        delta = step.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            between = np.outer(delta, delta) if self.scatter.ndim == 2 else delta * delta
            scatter = self.scatter + other.scatter + between * (self.weight * share)
        return Moments(weight, self.centre + share * step, scatter)

    @property
    def mean(self) -> Float:
        """The mean, (d,)."""
        return self.centre.astype(np.float64)

    @property
    def covariance(self) -> Float:
        """The maximum-likelihood covariance, (d, d), or the variances, (d,)."""
        return self.scatter / self.weight

    @property
    def variances(self) -> Float:
        """The maximum-likelihood variance of each column, (d,)."""
        return np.asarray((np.diag(self.scatter) if self.scatter.ndim == 2 else self.scatter) / self.weight)


@dataclass(frozen=True)
class ColumnMoments:
    """Weighted moments of the observed values of each column. If values are missing, columns have different weights.

    Attributes
    ----------
    rows : float
        The sum of the weights of all rows, complete or not.
    weight : array of shape (d,)
        The sum of the weights of the rows in which the column has a value.
    centre : long double array of shape (d,)
    scatter : array of shape (d,)
    """

    rows: float
    weight: Float
    centre: NDArray[np.longdouble]
    scatter: Float

    @classmethod
    def none(cls, d: int) -> ColumnMoments:
        """Return the moments of no rows."""
        return cls(0.0, np.zeros(d), np.zeros(d, np.longdouble), np.zeros(d))

    @classmethod
    def of_complete_rows(cls, moments: Moments) -> ColumnMoments:
        """Return the moments of each column, given the moments of complete rows."""
        scatter = np.diag(moments.scatter) if moments.scatter.ndim == 2 else moments.scatter
        weight = np.full(len(moments.centre), moments.weight)
        return cls(moments.weight, weight, moments.centre, np.asarray(scatter))

    @classmethod
    def of(cls, x: Float, observed: NDArray[np.bool_], weight: Array | None) -> ColumnMoments:
        """Return the moments of the observed entries of x (d, n)."""
        w = np.ones(x.shape[1]) if weight is None else np.asarray(weight, dtype=np.float64)
        weights = observed @ w
        safe = np.where(weights > 0, weights, 1.0)
        with np.errstate(over="ignore", invalid="ignore"):  # reported by `dem.run.check_data.check_values`
            filled = np.where(observed, x, 0.0)
            centre = filled @ w / safe
            filled -= np.where(observed, centre[:, None], 0.0)
            rest = filled @ w / safe
            scatter = (filled * filled) @ w - weights * rest**2
        return cls(float(w.sum()), weights, centre.astype(np.longdouble) + rest, scatter)

    def __add__(self, other: ColumnMoments) -> ColumnMoments:
        """Return the moments of both sets together (Chan et al. 1983, eq. 1.3)."""
        weight = self.weight + other.weight
        share = np.divide(other.weight, weight, out=np.zeros_like(weight), where=weight > 0)
        step = np.where(self.weight > 0, other.centre - self.centre, other.centre)
        delta = np.where((self.weight > 0) & (other.weight > 0), step, 0).astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            scatter = self.scatter + other.scatter + delta * delta * (self.weight * share)
        start = np.where(self.weight > 0, self.centre, 0)
        return ColumnMoments(self.rows + other.rows, weight, start + share * step, scatter)

    def columns(self, at: slice | list[int]) -> ColumnMoments:
        """Return the moments of the selected columns."""
        return ColumnMoments(self.rows, self.weight[at], self.centre[at], self.scatter[at])

    @property
    def variances(self) -> Float:
        """The maximum-likelihood variance of each column's values, (d,); 0 where there are none."""
        return np.divide(self.scatter, self.weight, out=np.zeros_like(self.scatter), where=self.weight > 0)


class BlockSums:
    """Weighted sums over one block, about the mean of its first tile.

    This mean is near the mean of the block compared with the spread of its rows, so little is lost to rounding.
    """

    def __init__(self, d: int, scatter: bool) -> None:
        self.weight = 0.0
        self.centre: Float | None = None
        self.first = np.zeros(d)
        self.second = np.zeros((d, d) if scatter else d)

    def add(self, tile: Float, weight: Array | None) -> None:
        """Add the rows of a tile (d, n). The tile is changed: its centre is subtracted."""
        if tile.shape[1] == 0:
            return
        if self.centre is None:
            self.centre = tile.mean(axis=1)
        with np.errstate(over="ignore", invalid="ignore"):  # reported by `dem.run.check_data.check_values`
            tile -= self.centre[:, None]
            weighted = tile if weight is None else tile * weight
            self.weight += tile.shape[1] if weight is None else float(weight.sum(dtype=np.float64))
            self.first += weighted.sum(axis=1)
            if self.second.ndim == 2:
                self.second += weighted @ tile.T
            else:
                self.second += np.einsum("ij,ij->i", weighted, tile)

    def moments(self) -> Moments:
        """Return the moments of the rows added so far."""
        centre = np.zeros(len(self.first)) if self.centre is None else self.centre
        return moments_about(centre, self.weight, self.first, self.second)


def moments_about(centre: Float, weight: float, first: Float, second: Float) -> Moments:
    """Return the moments of some rows, given sums about a point near their mean.

    Parameters
    ----------
    centre : array of shape (d,)
        The point.
    weight : float
        The sum of the weights.
    first : array of shape (d,)
        Weighted sums of the deviations from this point.
    second : array of shape (d,) or (d, d)
        Weighted sums of their squares, or of their products.
    """
    if weight == 0:
        return Moments(0.0, np.zeros(len(first), np.longdouble), np.zeros_like(second))
    rest = first / weight
    with np.errstate(over="ignore", invalid="ignore"):
        between = np.outer(rest, rest) if second.ndim == 2 else rest * rest
        scatter = second - weight * between
    return Moments(weight, centre.astype(np.longdouble) + rest, scatter)
