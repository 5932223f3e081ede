"""The E-step of K-means on rows with missing values: distances over the observed columns, scaled to all columns.

    |x - c|^2 = d / |o| * sum over the observed columns o of (x_j - c_j)^2

This is scikit-learn's `nan_euclidean_distances`. The inertia is the sum of these distances, so a row counts d / |o|
times in each of its observed columns, and each coordinate of a centre is a weighted mean of the observed values:

    c_kj = sum of s o_j x_j / sum of s o_j, over the rows of cluster k, with s = weight * d / |o|

The nearest centres are found by products of eta_kj = (-c_kj^2 / 2, c_kj) with the features (o_j, o_j x_j). Rows without
any value are left out before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

from dem.core.block import Array, Block, Float
from dem.core.coordinate_frame import Frame
from dem.models.kmeans.kernel import (
    WEIGHT_ROUNDING,
    Farthest,
    KMeansStats,
    Labels,
    Nearest,
    farthest_candidates,
    rows_weights_and_keys,
    total_weight,
)
from dem.models.mixture.precision import Precision


@dataclass(frozen=True)
class ObservedStats(KMeansStats):
    """Sums over the observed values, each about the centre nearest to its row.

    `counts` are the weights of the rows that have a value; `sums` and `inertia` are scaled as the distances are.

    Attributes
    ----------
    observed : array of shape (K, d)
        Scaled weights of the rows in which the column is observed.
    """

    observed: Float

    def __add__(self, other: Self) -> Self:
        """Return the statistics of both sets of rows."""
        return replace(super().__add__(other), observed=self.observed + other.observed)

    def step(self) -> Float:
        """Return how far the columns' means (K, d) are from the centres; 0 if a column is not observed in any row."""
        return np.divide(self.sums, self.observed, out=np.zeros_like(self.sums), where=self.observed > 0)

    def distortion(self, step: Float) -> float:
        """Return the inertia of the same labels after a step (K, d) of the centres."""
        return float(self.inertia.sum() + np.vdot(step, self.observed * step - 2 * self.sums))

    def relocated(self) -> Self:
        """Return the statistics after the farthest rows have moved to the empty clusters, one to each.

        In columns that a moved row lacks, the new centre gets the coordinate of the old centre: the sums of the new
        cluster are about the old centre.
        """
        empty = np.flatnonzero(self.counts == 0)
        if not len(empty):
            return self
        counts, sums, inertia, observed = (a.copy() for a in (self.counts, self.sums, self.inertia, self.observed))
        centers, far = self.centers.shift.copy(), self.farthest
        for new, old, weight, row in zip(empty, far.label, far.weight, far.residual, strict=False):
            has = ~np.isnan(row)
            residual, scaled = np.where(has, row, 0.0), weight * missing_scale(has[None])[0]
            here = weight, scaled * residual, scaled * (residual @ residual), scaled * has
            for total, value in zip((counts, sums, inertia, observed), here, strict=True):
                total[old] -= value
                total[new] = value
            centers[new] = self.centers.shift[old]
        counts[counts < WEIGHT_ROUNDING * self.counts] = 0
        observed[observed < WEIGHT_ROUNDING * self.observed] = 0
        return replace(
            self,
            counts=counts,
            sums=sums,
            inertia=inertia,
            observed=observed,
            centers=replace(self.centers, shift=centers),
        )


def missing_scale(observed: NDArray[np.bool_]) -> Float:
    """Return d / |o| for rows with the columns `observed` (n, d), as (n,); 0 for rows without any."""
    found = observed.sum(axis=1)
    return np.where(found > 0, observed.shape[1] / np.maximum(found, 1), 0.0)


class NearestObserved(Nearest):
    """Finds the nearest centres of tiles of rows with missing values."""

    tile_copies = 3

    def coefficients(self, c: Float) -> Float:
        """Return eta (K, F) of the centres c (K, d) in the frame: of the features o and o x."""
        return np.concatenate([-0.5 * c**2, c], axis=1)

    def labels(self, rows: Array) -> Labels:
        """Return the number of the centre nearest to each of the rows (n, d), of equally near ones the lowest."""
        if self.precision == Precision.CENTRED:
            return np.asarray(self._squares(rows).argmin(axis=1))
        n, d = rows.shape
        observed, x = self._features[:n, :d], self._features[:n, d:]
        np.equal(rows, rows, out=observed)
        self.frame.tile(rows, x.T)
        np.copyto(x, 0, where=observed == 0)
        return np.asarray(np.matmul(self._features[:n], self.eta, out=self._joint[:n]).argmax(axis=1))

    def residuals(self, rows: Array, labels: Labels) -> tuple[Float, Float]:
        """Return x - c (n, d), 0 where missing, in a workspace, and |x - c|^2 (n,), with c the labels' centres."""
        residuals = self._residuals[: len(rows)]
        np.take(self.centers, labels, axis=0, out=residuals, mode="clip")
        np.subtract(rows, residuals, out=residuals)
        missing = np.isnan(rows)
        np.copyto(residuals, 0, where=missing)
        return residuals, np.einsum("ij,ij->i", residuals, residuals) * missing_scale(~missing)

    def distances(self, rows: Array) -> Float:
        """Return the distances (n, K) to all centres."""
        return np.asarray(np.sqrt(self._squares(rows)))

    def _squares(self, rows: Array) -> Float:
        """Return the squared distances (n, K) to all centres, by differences."""
        n, k = len(rows), len(self.centers)
        squares = np.empty((n, k))
        for j in range(k):
            squares[:, j] = self.residuals(rows, np.full(n, j))[1]
        return squares


class ObservedKernel:
    """The function from a block with missing values to its statistics."""

    def __init__(self, nearest: NearestObserved) -> None:
        self.nearest = nearest

    def __call__(self, block: Block) -> ObservedStats:
        """Return the statistics of a block of shape (n, d)."""
        nearest, x = self.nearest, block.x
        k, d = nearest.centers.shape
        sums, observed = np.zeros((2, k, d))
        counts, inertia, farthest = np.zeros(k), np.zeros(k), Farthest.none(d)
        start_of_row = np.arange(nearest.tile + 1)
        for start in range(0, len(x), nearest.tile):
            rows, weight, keys = rows_weights_and_keys(block.part(start, start + nearest.tile))
            n, has = len(rows), ~np.isnan(rows)
            scale = missing_scale(has)
            labels = nearest.labels(rows)
            residuals, squares = nearest.residuals(rows, labels)
            of_cluster = csc_array((weight * scale, labels, start_of_row[: n + 1]), shape=(k, n))
            sums += of_cluster @ residuals
            observed += of_cluster @ has.astype(np.float64)
            counts += np.bincount(labels, weight * (scale > 0), k)
            inertia += np.bincount(labels, weight * squares, k)
            far = farthest_candidates(squares, weight, farthest.threshold(k), k)
            rest = np.where(has[far], residuals[far], np.nan)
            found = Farthest(squares[far], keys[far], labels[far], weight[far], rest)
            farthest = farthest.merge(found, k)
        about = Frame.at(nearest.centers)
        return ObservedStats(len(x), total_weight(block), counts, sums, inertia, farthest, about, observed)
