"""The E-step of a Gaussian mixture on a block with missing values, by patterns.

Rows in which the same columns are missing are complete rows of the marginal Gaussian of the other columns. So if a
pattern has many rows in a block, the kernel for complete rows is used. Its sums are turned into sums of completed rows
once for the whole pattern (`dem.families.gaussian.missing_patterns`). The rows of all other patterns use the exact path
of the family, sorted by their number of missing columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Array, Block, Float
from dem.core.coordinate_frame import Frame
from dem.core.linalg import triangle, triangle_places
from dem.families.family import ByPattern, Family
from dem.families.features import Features
from dem.families.gaussian.base import Gaussians, means_in_frame
from dem.families.patterns import group_by_pattern
from dem.models.mixture.kernel import (
    CentredDensities,
    Densities,
    LinearDensities,
    MixtureKernel,
    MixtureParams,
    MixtureStats,
    eta_of,
)
from dem.models.mixture.precision import Precision, double_suffices

BAND_BYTES, BAND_ROWS = 2**24, 2**17
"""A block is sorted in bands of at most this number of bytes (as float64) and of rows."""
FREQUENT = 256
"""A pattern with at least this number of rows in a band gets its own kernel."""


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


class PatternKernel:
    """The E-step: a function from a block to its statistics, which are taken about the means."""

    def __init__(
        self,
        family: Family[Gaussians],
        by_pattern: ByPattern[Gaussians],
        params: MixtureParams,
        products: ProductBounds,
    ) -> None:
        self.theta: Gaussians = params.theta
        self.by_pattern = by_pattern
        self.log_weights, self.products = params.log_weights, products
        self.n_components, self.d = self.theta.means.shape
        self.rare = MixtureKernel(CentredDensities(family, self.theta, self.log_weights), self.n_components)

    def __call__(self, block: Block) -> MixtureStats:
        """Return the statistics of a block of shape (n, d)."""
        sums, log_likelihood = np.zeros((self.rare.densities.n_sums, self.n_components)), 0.0
        step = max(1, min(BAND_ROWS, BAND_BYTES // (8 * self.d)))
        for start in range(0, len(block.x), step):
            log_likelihood += self._add(block.part(start, start + step), sums)
        n, weight = len(block.x), block.weight
        total = float(n) if weight is None else float(weight.sum(dtype=np.float64))
        return MixtureStats(n, total, log_likelihood, sums, self.rare.densities.frame, Precision.CENTRED)

    def _add(self, band: Block, out: Float) -> float:
        """Add the sums of a band of rows to `out`; return their log-likelihood."""
        x, weight = band.x, band.weight
        positive = np.arange(len(x)) if weight is None else np.flatnonzero(weight > 0)
        groups = group_by_pattern(np.isnan(x)[positive])
        frequent = groups.sizes >= FREQUENT
        total = 0.0
        for i in np.flatnonzero(frequent).tolist():
            total += self._add_pattern(band, positive[groups.rows(i)], groups.missing[i], out)
        rows = positive[groups.order[np.repeat(~frequent, groups.sizes)]]
        for some in split_rows(rows, self.rare.densities.tile):
            stats = self.rare(select(band, some))
            out += stats.sums
            total += stats.log_likelihood
        return total

    def _add_pattern(self, band: Block, rows: NDArray[np.intp], missing: NDArray[np.bool_], out: Float) -> float:
        """Add the sums of the rows of one pattern to `out`; return their log-likelihood."""
        marginal = self.by_pattern.marginal(self.theta, missing)
        columns = np.flatnonzero(~missing)
        densities = self._densities(marginal.theta, self.products.of(columns))
        kernel = MixtureKernel(densities, self.n_components)
        total, sums = 0.0, np.zeros((densities.n_sums, self.n_components))
        for some in split_rows(rows, densities.tile):
            stats = kernel(select(band, some, columns if missing.any() else None))
            sums += stats.sums
            total += stats.log_likelihood
        if densities.precision != Precision.CENTRED:
            sums = about_means(sums, marginal.theta, densities.frame)
        marginal.add(sums, sums[0], out)
        return total

    def _densities(self, theta: Gaussians, products: ProductBounds) -> Densities:
        """Return the densities of complete rows: by matrix products if these are exact enough."""
        family, frame = self.by_pattern.marginals, products.frame
        if (linear := family.linear) is not None:
            eta = eta_of(linear, theta, self.log_weights, frame)
            if double_suffices(float((np.abs(eta) @ products.largest).max())):
                return LinearDensities(
                    FeaturesInFrame(self.by_pattern.features(theta.means.shape[1]), frame), eta, frame, Precision.DOUBLE
                )
        return CentredDensities(family, theta, self.log_weights)


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
