"""The E-step of K-means on one block: the nearest centres, and sums about them.

Arrays are row-major here, unlike the mixture's: an argmax along contiguous rows and a sparse product (one entry a row)
beat a maximum over components and a product with a one-hot matrix by 1.5 times, at 64 clusters of 32 columns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array
from scipy.spatial.distance import cdist

from dem.frame import Frame
from dem.model import Array, Block, Float
from dem.models.mixture_kernel import CACHE_BYTES, MIN_TILE, Precision, tile_rows
from dem.stats import ARITY

Labels = NDArray[np.intp]


@dataclass(frozen=True)
class Farthest:
    """The rows farthest from their centres, the farthest first: at most one for each cluster.

    Attributes
    ----------
    square : array of shape (m,)
        Their squared distances, all positive.
    key : int64 array of shape (m,)
        Of equally far rows the one with the lowest key counts, whatever the chunking.
    label : array of shape (m,)
    weight : array of shape (m,)
        All positive.
    residual : array of shape (m, d)
        The rows less their centres.
    """

    square: Float
    key: NDArray[np.int64]
    label: Labels
    weight: Float
    residual: Float

    @classmethod
    def none(cls, d: int) -> Farthest:
        """Return no rows."""
        return cls(np.empty(0), np.empty(0, np.int64), np.empty(0, np.intp), np.empty(0), np.empty((0, d)))

    def merge(self, other: Farthest, k: int) -> Farthest:
        """Return the farthest k of both."""
        if not len(other.key):
            return self
        square, key = np.concatenate([self.square, other.square]), np.concatenate([self.key, other.key])
        order = np.lexsort((key, -square))[:k]
        return Farthest(
            square[order],
            key[order],
            np.concatenate([self.label, other.label])[order],
            np.concatenate([self.weight, other.weight])[order],
            np.concatenate([self.residual, other.residual])[order],
        )


@dataclass(frozen=True)
class KMeansStats:
    """Sums over rows, each about the centre nearest to it.

    Attributes
    ----------
    rows : int
    weight : float
        Sum of the rows' weights.
    counts : array of shape (K,)
        Weights by cluster.
    sums : array of shape (K, d)
        Weighted sums of x - c_k.
    inertia : array of shape (K,)
        Weighted sums of |x - c_k|^2.
    farthest : Farthest
    centers : Frame
        The centres: statistics about others do not add.
    """

    rows: int
    weight: float
    counts: Float
    sums: Float
    inertia: Float
    farthest: Farthest
    centers: Frame

    def __add__(self, other: KMeansStats) -> KMeansStats:
        """Return the statistics of both sets of rows.

        Raises
        ------
        ValueError
            If they were taken about different centres.
        """
        if not self.centers.same(other.centers):
            raise ValueError("these statistics were taken about different centres: they do not add")
        return KMeansStats(
            self.rows + other.rows,
            self.weight + other.weight,
            self.counts + other.counts,
            self.sums + other.sums,
            self.inertia + other.inertia,
            self.farthest.merge(other.farthest, len(self.counts)),
            self.centers,
        )


def relocated(stats: KMeansStats) -> KMeansStats:
    """Return the statistics after the farthest rows have moved to the empty clusters, one to each, as in scikit-learn.

    With no row away from its centre none moves, and the clusters stay empty.
    """
    empty = np.flatnonzero(stats.counts == 0)
    if not len(empty):
        return stats
    counts, sums, inertia = stats.counts.copy(), stats.sums.copy(), stats.inertia.copy()
    centers, far = stats.centers.shift, stats.farthest
    for new, old, weight, residual in zip(empty, far.label, far.weight, far.residual, strict=False):
        counts[old] -= weight
        sums[old] -= weight * residual
        inertia[old] -= weight * (residual @ residual)
        there = residual + centers[old] - centers[new]
        counts[new], sums[new], inertia[new] = weight, weight * there, weight * (there @ there)
    counts[counts < 1e-12 * stats.counts] = 0  # all its rows have left: what rounding leaves is no row
    return replace(stats, counts=counts, sums=sums, inertia=inertia)


class Nearest:
    """The nearest centres of tiles of rows, in one arithmetic; holds the workspaces of a task.

    Parameters
    ----------
    centers : array of shape (K, d)
    frame : Frame
        Where products are made.
    precision : Precision
        That of the products; CENTRED for differences.
    """

    def __init__(self, centers: Float, frame: Frame, precision: Precision) -> None:
        k, d = centers.shape
        dtype = np.float32 if precision == Precision.SINGLE else np.float64
        self.centers, self.frame, self.precision = centers, frame, precision
        c = (centers - frame.shift) * frame.scale
        eta = np.concatenate([-0.5 * np.einsum("ij,ij->i", c, c)[:, None], c], axis=1)
        self.eta = np.ascontiguousarray(eta.T.astype(dtype))
        self.tile = tile_rows(self.eta.itemsize * (d + 1 + k) + 8 * d)
        self._features = np.ones((self.tile, d + 1), dtype)
        self._joint = np.empty((self.tile, k), dtype)
        self._residuals = np.empty((self.tile, d))

    def labels(self, rows: Array) -> Labels:
        """Return the number of the centre nearest to each of the rows (n, d), the lowest where several are."""
        n = len(rows)
        if self.precision == Precision.CENTRED:
            return np.asarray(cdist(rows, self.centers, "sqeuclidean").argmin(axis=1))
        features = self._features[:n]
        self.frame.tile(rows, features[:, 1:].T)
        return np.asarray(np.matmul(features, self.eta, out=self._joint[:n]).argmax(axis=1))

    def residuals(self, rows: Array, labels: Labels) -> tuple[Float, Float]:
        """Return x - c (n, d), in a workspace, and |x - c|^2 (n,), with c the centres of these labels."""
        residuals = self._residuals[: len(rows)]
        np.take(self.centers, labels, axis=0, out=residuals, mode="clip")
        np.subtract(rows, residuals, out=residuals)
        return residuals, np.einsum("ij,ij->i", residuals, residuals)

    def distances(self, rows: Array) -> Float:
        """Return the distances (n, K) to all centres."""
        return np.asarray(cdist(rows, self.centers))


class KMeansKernel:
    """From a block to its statistics."""

    def __init__(self, nearest: Nearest) -> None:
        self.nearest = nearest

    def __call__(self, block: Block) -> KMeansStats:
        """Return the statistics of a block of shape (n, d)."""
        nearest, x = self.nearest, block.x
        k, d = nearest.centers.shape
        sums, counts, inertia, farthest = np.zeros((k, d)), np.zeros(k), np.zeros(k), Farthest.none(d)
        start_of_row = np.arange(nearest.tile + 1)
        for start in range(0, len(x), nearest.tile):
            rows = x[start : start + nearest.tile]
            n = len(rows)
            weight = np.ones(n)
            if block.weight is not None:
                weight = np.asarray(block.weight[start : start + n], dtype=np.float64)
            labels = nearest.labels(rows)
            residuals, squares = nearest.residuals(rows, labels)
            sums += csc_array((weight, labels, start_of_row[: n + 1]), shape=(k, n)) @ residuals
            counts += np.bincount(labels, weight, k)
            inertia += np.bincount(labels, weight * squares, k)
            far = candidates(squares, weight, farthest.square[-1] if len(farthest.key) == k else 0.0, k)
            found = Farthest(squares[far], block.first + start + far, labels[far], weight[far], residuals[far])
            farthest = farthest.merge(found, k)
        total = float(len(x)) if block.weight is None else float(block.weight.sum(dtype=np.float64))
        return KMeansStats(len(x), total, counts, sums, inertia, farthest, Frame.at(nearest.centers))


def candidates(squares: Float, weight: Float, least: float, k: int) -> Labels:
    """Return which rows of positive weight may be among the k farthest: those beyond `least`, and few more than k."""
    far = np.flatnonzero((squares > least) & (weight > 0))
    if len(far) > k:
        far = far[squares[far] >= np.partition(squares[far], len(far) - k)[len(far) - k]]
    return np.asarray(far)


def workspace(k: int, d: int) -> int:
    """Return what a task of k clusters and d columns allocates, in bytes: a node of the tree has `ARITY` sums."""
    tile = max(8 * (3 * d + 2 * k) * MIN_TILE, 2 * CACHE_BYTES)
    return tile + 8 * (ARITY + 6) * k * (2 * d + 6)
