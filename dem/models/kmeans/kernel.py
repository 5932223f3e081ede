"""The E-step of K-means on one block: the nearest centres, and sums about them.

Arrays are row-major here, unlike in the mixture: at 64 clusters of 32 columns, an argmax along contiguous rows and a
sparse product (one entry a row) are 1.5 times faster than a maximum over components and a product with a one-hot
matrix.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array
from scipy.spatial.distance import cdist

from dem.core.block import Array, Block, Float
from dem.core.coordinate_frame import Frame
from dem.core.stats import ARITY
from dem.families.family import CACHE_BYTES
from dem.kernel.kernel_id import NUMPY, KernelId
from dem.models.mixture.kernel import positive_weight_rows, tile_rows
from dem.models.mixture.precision import Precision

Labels = NDArray[np.intp]
WEIGHT_ROUNDING = 1e-12
"""After rows have left a cluster, a rest below this share of its weight is rounding: no row is left."""


@dataclass(frozen=True)
class Farthest:
    """The rows farthest from their centres, the farthest first: at most one for each cluster.

    Attributes
    ----------
    square : array of shape (m,)
        Their squared distances, all positive.
    key : int64 array of shape (m,)
        Of equally far rows, the one with the lowest key comes first, for any chunks.
    label : array of shape (m,)
    weight : array of shape (m,)
        All positive.
    residual : array of shape (m, d)
        The rows less their centres; NaN where a value is missing.
    """

    square: Float
    key: NDArray[np.int64]
    label: Labels
    weight: Float
    residual: Float

    @classmethod
    def none(cls, d: int) -> Farthest:
        """Return an empty set of rows of d columns."""
        return cls(np.empty(0), np.empty(0, np.int64), np.empty(0, np.intp), np.empty(0), np.empty((0, d)))

    def merge(self, other: Farthest, k: int) -> Farthest:
        """Return the k farthest rows of both sets."""
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

    def threshold(self, k: int) -> float:
        """Return the squared distance that a row must exceed to be among the farthest k."""
        return float(self.square[-1]) if len(self.key) == k else 0.0


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
        The centres. Only statistics about the same centres can be added.
    kernel : KernelId
        The implementation of the E-step: statistics of different ones cannot be added either.
    """

    rows: int
    weight: float
    counts: Float
    sums: Float
    inertia: Float
    farthest: Farthest
    centers: Frame
    kernel: KernelId = field(default=NUMPY, kw_only=True)

    def __add__(self, other: Self) -> Self:
        """Return the statistics of both sets of rows.

        Raises
        ------
        ValueError
            If they are about different centres, or of different kernels.
        """
        if not self.centers.same(other.centers):
            raise ValueError("these statistics are about different centres: add only statistics of the same centres")
        if self.kernel != other.kernel:
            raise ValueError(f"cannot add statistics of different kernels: {self.kernel} and {other.kernel}")
        return replace(
            self,
            rows=self.rows + other.rows,
            weight=self.weight + other.weight,
            counts=self.counts + other.counts,
            sums=self.sums + other.sums,
            inertia=self.inertia + other.inertia,
            farthest=self.farthest.merge(other.farthest, len(self.counts)),
        )

    def step(self) -> Float:
        """Return how far the clusters' means (K, d) are from their centres; 0 for empty clusters   (PRML 9.4)."""
        counts = self.counts[:, None]
        return np.divide(self.sums, counts, out=np.zeros_like(self.sums), where=counts > 0)

    def distortion(self, step: Float) -> float:
        """Return the inertia of the same labels after a step (K, d) of the centres   (PRML 9.1)."""
        squares = np.einsum("ij,ij->i", step, step)
        return float(self.inertia.sum() - 2 * np.vdot(self.sums, step) + self.counts @ squares)

    def relocated(self) -> Self:
        """Return the statistics after the farthest rows have moved to the empty clusters, one to each.

        As in scikit-learn. If all rows lie on their centres, none moves, and the clusters stay empty.
        """
        empty = np.flatnonzero(self.counts == 0)
        if not len(empty):
            return self
        counts, sums, inertia = self.counts.copy(), self.sums.copy(), self.inertia.copy()
        centers, far = self.centers.shift, self.farthest
        for new, old, weight, residual in zip(empty, far.label, far.weight, far.residual, strict=False):
            counts[old] -= weight
            sums[old] -= weight * residual
            inertia[old] -= weight * (residual @ residual)
            there = residual + centers[old] - centers[new]
            counts[new], sums[new], inertia[new] = weight, weight * there, weight * (there @ there)
        counts[counts < WEIGHT_ROUNDING * self.counts] = 0
        return replace(self, counts=counts, sums=sums, inertia=inertia)


class Nearest:
    """Finds the nearest centres of tiles of rows, in one precision; holds the workspaces of a task.

    Parameters
    ----------
    centers : array of shape (K, d)
    frame : Frame
        The coordinates for products.
    precision : Precision
        The precision of products; CENTRED uses differences instead.
    """

    tile_copies: ClassVar[int] = 1
    """The number of float64 arrays of the shape of the rows that a tile needs."""

    def __init__(self, centers: Float, frame: Frame, precision: Precision) -> None:
        k, d = centers.shape
        dtype = precision.dtype
        self.centers, self.frame, self.precision = centers, frame, precision
        eta = self.coefficients((centers - frame.shift) * frame.scale)
        self.eta = np.ascontiguousarray(eta.T.astype(dtype))
        width = len(self.eta)
        self.tile = tile_rows(self.eta.itemsize * (width + k) + self.tile_copies * 8 * d)
        self._features = np.ones((self.tile, width), dtype)
        self._joint = np.empty((self.tile, k), dtype)
        self._residuals = np.empty((self.tile, d))

    def coefficients(self, c: Float) -> Float:
        """Return eta (K, F) of the centres c (K, d) in the frame: of the features 1 and x."""
        return product_coefficients(c)

    def labels(self, rows: Array) -> Labels:
        """Return the number of the centre nearest to each of the rows (n, d), of equally near ones the lowest."""
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
    """The function from a block to its statistics."""

    def __init__(self, nearest: Nearest) -> None:
        self.nearest = nearest

    def __call__(self, block: Block) -> KMeansStats:
        """Return the statistics of a block of shape (n, d)."""
        nearest, x = self.nearest, block.x
        k, d = nearest.centers.shape
        sums, counts, inertia, farthest = np.zeros((k, d)), np.zeros(k), np.zeros(k), Farthest.none(d)
        start_of_row = np.arange(nearest.tile + 1)
        for start in range(0, len(x), nearest.tile):
            rows, weight, keys = rows_weights_and_keys(block.part(start, start + nearest.tile))
            n = len(rows)
            labels = nearest.labels(rows)
            residuals, squares = nearest.residuals(rows, labels)
            sums += csc_array((weight, labels, start_of_row[: n + 1]), shape=(k, n)) @ residuals
            counts += np.bincount(labels, weight, k)
            inertia += np.bincount(labels, weight * squares, k)
            far = farthest_candidates(squares, weight, farthest.threshold(k), k)
            found = Farthest(squares[far], keys[far], labels[far], weight[far], residuals[far])
            farthest = farthest.merge(found, k)
        return KMeansStats(len(x), total_weight(block), counts, sums, inertia, farthest, Frame.at(nearest.centers))


def product_coefficients(c: Float) -> Float:
    """Return eta (K, 1 + d), (-|c|^2 / 2, c), of the centres c (K, d): the nearest has the largest eta' (1, x)."""
    return np.concatenate([-0.5 * np.einsum("ij,ij->i", c, c)[:, None], c], axis=1)


def rows_weights_and_keys(tile: Block) -> tuple[Array, Float, NDArray[np.int64]]:
    """Return the rows of positive weight, their weights (n,) and keys; other rows may have values that overflow."""
    rows, weight = positive_weight_rows(tile)
    keys = tile.keys.of(np.arange(len(tile.x)))
    if tile.weight is None or weight is None:
        return rows, np.ones(len(rows)), keys
    return rows, np.asarray(weight, dtype=np.float64), keys[tile.weight > 0]


def total_weight(block: Block) -> float:
    """Return the sum of the rows' weights."""
    return float(len(block.x)) if block.weight is None else float(block.weight.sum(dtype=np.float64))


def farthest_candidates(squares: Float, weight: Float, least: float, k: int) -> Labels:
    """Return the rows of positive weight that can be among the k farthest; their squares must exceed `least`."""
    far = np.flatnonzero((squares > least) & (weight > 0))
    if len(far) > k:
        far = far[squares[far] >= np.partition(squares[far], len(far) - k)[len(far) - k]]
    return np.asarray(far)


def kernel_bytes(k: int, d: int) -> int:
    """Return the bytes that a task of k clusters and d columns needs; a node of the tree has `ARITY` sums."""
    width = 8 * (3 * d + 2 * k)
    tile = max(width * tile_rows(width, 0), 2 * CACHE_BYTES)
    return tile + 8 * (ARITY + 6) * k * (2 * d + 6)
