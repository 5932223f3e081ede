"""The E-step of a Gaussian mixture on a block with missing values, by patterns.

Rows in which the same columns are missing are complete rows of the marginal Gaussian of the other columns. So if a
pattern has many rows in a block, the kernel for complete rows is used. Its sums are turned into sums of completed rows
once for the whole pattern (`dem.families.gaussian.missing_patterns`). The rows of all other patterns use the exact path
of the family, sorted by their number of missing columns. NumPy or the native kernel computes these E-steps
(`NumPyKernels`; `dem.models.mixture.native_patterns`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Array, Block, Float
from dem.core.coordinate_frame import Frame
from dem.core.linalg import triangle, triangle_places, triangle_size
from dem.families.family import ByPattern, Family
from dem.families.features import Features
from dem.families.gaussian.base import Gaussians, means_in_frame
from dem.families.patterns import group_by_pattern
from dem.kernel.kernel_id import NUMPY, KernelId
from dem.models.mixture.kernel import (
    CentredDensities,
    Densities,
    LinearDensities,
    MixtureKernel,
    MixtureParams,
    MixtureStats,
    Restore,
    eta_of,
    unchanged,
    weight_of,
)
from dem.models.mixture.precision import Precision, double_suffices

BAND_BYTES, BAND_ROWS = 2**24, 2**17
"""A block is sorted in bands of at most this number of bytes (as float64) and of rows."""


@dataclass(frozen=True)
class ProductBounds:
    """The frame of features, and their largest magnitudes, which bound the error of matrix products.

    Attributes
    ----------
    frame : Frame
    largest : array of shape (F,)
        The largest magnitude of each feature of complete rows in the frame.
    """

    frame: Frame
    largest: Float

    def of(self, columns: NDArray[np.intp]) -> ProductBounds:
        """Return the frame and the magnitudes for some of the columns."""
        d = len(self.frame.shift)
        pairs = triangle_places(d)[np.ix_(columns, columns)][triangle(len(columns))]
        features = np.concatenate([[0], 1 + columns, 1 + d + pairs])
        return ProductBounds(Frame(self.frame.shift[columns], self.frame.scale[columns]), self.largest[features])

    def eta(self, family: Family[Gaussians], theta: Gaussians, log_weights: Float) -> Float | None:
        """Return H (K, F) of a family of complete rows; None if products with it are not exact enough."""
        if (linear := family.linear) is None:
            return None
        eta = eta_of(linear, theta, log_weights, self.frame)
        return eta if double_suffices(float((np.abs(eta) @ self.largest).max())) else None


@dataclass(frozen=True)
class FeaturesInFrame:
    """Features of rows in a frame: the rows are moved to the frame first, so that `of` is the same for all patterns.

    Attributes
    ----------
    of : Features
    frame : Frame
    """

    of: Features
    frame: Frame

    @property
    def n_features(self) -> int:
        """F, the constant 1 included."""
        return self.of.n_features

    def write(self, rows: Array, out: Array) -> None:
        """Write the features of the rows (n, d) in the frame."""
        x = np.empty(rows.T.shape, out.dtype)
        self.frame.tile(rows, x)
        self.of.write(x.T, out)


@dataclass(frozen=True, eq=False)
class RowsKernel:
    """The E-step of some rows of a block, and perhaps of some columns.

    Attributes
    ----------
    kernel : callable
        From a block to its statistics.
    tile : int
        The number of rows that are copied at a time.
    restore : callable
        From the sums of the kernel to sums about the means.
    """

    kernel: Callable[[Block], MixtureStats]
    tile: int
    restore: Restore

    def __call__(
        self, block: Block, rows: NDArray[np.intp], columns: NDArray[np.intp] | None = None
    ) -> tuple[Float, float]:
        """Return the sums (F, K) of some rows about the means, and their log-likelihood."""
        sums, total = np.zeros(()), 0.0
        for some in split_rows(rows, self.tile):
            stats = self.kernel(select(block, some, columns))
            sums = sums + stats.sums
            total += stats.log_likelihood
        return self.restore(sums), total


class PatternKernels(Protocol):
    """The E-steps of which `PatternKernel` is made.

    Attributes
    ----------
    kernel_id : KernelId
    frequent : int
        A pattern with at least this number of rows in a band gets its own kernel.
    rare : RowsKernel
        For rows of any patterns; rows of a pattern are next to each other.
    """

    kernel_id: KernelId
    frequent: int
    rare: RowsKernel

    def complete(self, theta: Gaussians, columns: NDArray[np.intp]) -> RowsKernel:
        """Return the E-step of complete rows, given the marginal Gaussians of some columns."""


class NumPyKernels:
    """The E-steps by NumPy: complete rows by matrix products if these are exact enough."""

    kernel_id = NUMPY
    frequent = 256

    def __init__(
        self,
        family: Family[Gaussians],
        by_pattern: ByPattern[Gaussians],
        params: MixtureParams,
        products: ProductBounds,
    ) -> None:
        self.by_pattern, self.log_weights, self.products = by_pattern, params.log_weights, products
        densities = CentredDensities(family, params.theta, self.log_weights)
        self.rare = rows_kernel(densities, len(params.weights), unchanged)

    def complete(self, theta: Gaussians, columns: NDArray[np.intp]) -> RowsKernel:
        """Return the E-step of complete rows, given the marginal Gaussians of some columns."""
        (k, d), family, products = theta.means.shape, self.by_pattern.marginals, self.products.of(columns)
        if (eta := products.eta(family, theta, self.log_weights)) is None:
            return rows_kernel(CentredDensities(family, theta, self.log_weights), k, unchanged)
        frame = products.frame
        features = FeaturesInFrame(self.by_pattern.features(d), frame)
        restore = partial(about_means, theta=theta, frame=frame)
        return rows_kernel(LinearDensities(features, eta, frame, Precision.DOUBLE), k, restore)


class PatternKernel:
    """The E-step: a function from a block to its statistics, which are taken about the means.

    Parameters
    ----------
    by_pattern : ByPattern
    theta : Gaussians
    kernels : PatternKernels
    """

    def __init__(self, by_pattern: ByPattern[Gaussians], theta: Gaussians, kernels: PatternKernels) -> None:
        self.by_pattern, self.theta, self.kernels = by_pattern, theta, kernels
        self.n_components, self.d = theta.means.shape

    def __call__(self, block: Block) -> MixtureStats:
        """Return the statistics of a block of shape (n, d)."""
        sums, log_likelihood = np.zeros((1 + self.d + triangle_size(self.d) + 1, self.n_components)), 0.0
        step = max(1, min(BAND_ROWS, BAND_BYTES // (8 * self.d)))
        for start in range(0, len(block.x), step):
            log_likelihood += self._add(block.part(start, start + step), sums)
        n, frame, kernel_id = len(block.x), Frame.at(self.theta.means), self.kernels.kernel_id
        return MixtureStats(n, weight_of(block), log_likelihood, sums, frame, Precision.CENTRED, kernel_id)

    def _add(self, band: Block, out: Float) -> float:
        """Add the sums of a band of rows to `out`; return their log-likelihood."""
        x, weight = band.x, band.weight
        positive = np.arange(len(x)) if weight is None else np.flatnonzero(weight > 0)
        groups = group_by_pattern(np.isnan(x)[positive])
        frequent = groups.sizes >= self.kernels.frequent
        frequent &= ~groups.missing.all(axis=1)  # of rows without any value no columns are left
        total = 0.0
        for i in np.flatnonzero(frequent).tolist():
            total += self._add_pattern(band, positive[groups.rows(i)], groups.missing[i], out)
        rows = positive[groups.order[np.repeat(~frequent, groups.sizes)]]
        if len(rows):
            sums, log_likelihood = self.kernels.rare(band, rows)
            out += sums
            total += log_likelihood
        return total

    def _add_pattern(self, band: Block, rows: NDArray[np.intp], missing: NDArray[np.bool_], out: Float) -> float:
        """Add the sums of the rows of one pattern to `out`; return their log-likelihood."""
        marginal = self.by_pattern.marginal(self.theta, missing)
        columns = np.flatnonzero(~missing)
        kernel = self.kernels.complete(marginal.theta, columns)
        sums, log_likelihood = kernel(band, rows, columns if missing.any() else None)
        marginal.add(sums, sums[0], out)
        return log_likelihood


def rows_kernel(densities: Densities, k: int, restore: Restore) -> RowsKernel:
    """Return the E-step by NumPy with these densities of K components."""
    return RowsKernel(MixtureKernel(densities, k), densities.tile, restore)


def about_means(sums: Float, theta: Gaussians, frame: Frame) -> Float:
    """Turn sums (F, K) of 1, x and the triangle of x x' in a frame into those of x - mu, in the units of the data."""
    d = len(frame.scale)
    means = means_in_frame(theta, frame).T
    row, column = triangle(d)
    first = sums[1 : 1 + d] - sums[0] * means
    # sum of (x - m)(x - m)' = sum of x x' - m (sum of x)' - (sum of x - m) m'
    second = sums[1 + d :] - means[row] * sums[1 + column] - first[row] * means[column]
    scale = frame.scale[:, None]
    return np.concatenate([sums[:1], first / scale, second / (scale[row] * scale[column])])


def split_rows(rows: NDArray[np.intp], size: int) -> list[NDArray[np.intp]]:
    """Return the rows in parts of at most `size` rows."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def select(block: Block, rows: NDArray[np.intp], columns: NDArray[np.intp] | None = None) -> Block:
    """Return some rows of a block; if `columns` are given, only these columns."""
    x: Array = np.take(block.x, rows, axis=0)
    if columns is not None:
        x = np.take(x, columns, axis=1)
    return Block(x, None if block.weight is None else block.weight[rows])
