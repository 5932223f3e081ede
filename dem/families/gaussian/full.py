"""Gaussians with a full covariance each: features 1, x and the upper triangle of x x'."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
import scipy.linalg

from dem.core.block import Array, Float
from dem.core.coordinate_frame import Frame
from dem.core.linalg import covariances_from, precisions_cholesky, triangle, triangle_size, unpack
from dem.families.family import safe_counts
from dem.families.feature_columns import Column
from dem.families.feature_map import FeatureMap, feature_map
from dem.families.gaussian.base import (
    LOG_2PI,
    GaussianFamily,
    Gaussians,
    add_centred_sums,
    matrix_map,
    means_in_frame,
)
from dem.families.gaussian.missing import ObservedGaussian
from dem.families.gaussian.missing_patterns import GaussianMarginal, marginal_of


class MatrixGaussian(GaussianFamily):
    """Base of `FullGaussian` and `TiedGaussian`: covariances are matrices, one for each component or one for all."""

    def factor(self, covariances: Float) -> Float:
        """Return U, upper triangular with inv(C) = U U'."""
        return precisions_cholesky(covariances)

    def invert(self, precisions_cholesky: Float) -> Float:
        """Return C = inv(U U')."""
        return covariances_from(precisions_cholesky)

    def log_density(self, theta: Gaussians, x: Float, out: Float) -> None:
        """Write -0.5 |U' (x - mu)|^2, plus the log-normaliser."""
        matrix_map(theta).log_density(x, out)

    def add_sums(self, theta: Gaussians, x: Float, reuse: None, resp: Float, out: Float) -> None:
        """Add 1, x - mu and the triangle of (x - mu)(x - mu)', each times the responsibility."""
        add_centred_sums(theta.means, x, resp, out)


class FullGaussian(MatrixGaussian):
    """Covariances of shape (K, d, d)."""

    def with_missing(self) -> GaussianFamily:
        """Return the family for rows with missing values."""
        return ObservedFull(self.reg_covar)

    def n_features(self, d: int) -> int:
        """Return 1 + d + d (d + 1) / 2."""
        return 1 + d + triangle_size(d)

    def feature_map_of(self, columns: tuple[Column, ...]) -> FeatureMap:
        """Return x, and x_i x_j for i <= j, row by row of the triangle."""
        return feature_map(columns, 1 + np.stack(triangle(len(columns)), axis=1))

    def natural(self, theta: Gaussians, frame: Frame) -> Float:
        """Return eta: (log-normaliser, P m, -P_ii / 2 and -P_ij), with means m in the frame."""
        return full_natural(means_in_frame(theta, frame), theta.precisions_cholesky, frame)

    def work(self, x: Array, k: int) -> float:
        """Return the operations of the base class, plus those of the Cholesky factors, which may need long doubles."""
        return super().work(x, k) + float(20 * k * x.shape[1] ** 3)

    def covariances(self, sums: Float, frame: Frame, offsets: Float) -> Float:
        """Return the second moments about the means, plus reg_covar."""
        d = len(frame.scale)
        second = unpack(sums[1 + d :].T / safe_counts(sums[0])[:, None], d)
        central = second - offsets[:, :, None] * offsets[:, None, :]
        central /= frame.scale[:, None] * frame.scale
        return add_to_diagonal(central, self.reg_covar_values)

    def draw(self, theta: Gaussians, component: int, n: int, rng: np.random.Generator) -> Float:
        """Return mu + inv(U') z."""
        return draw_full(theta.means[component], theta.precisions_cholesky[component], n, rng)

    def n_parameters(self, k: int, d: int) -> int:
        """Return K d + K d (d + 1) / 2."""
        return k * d + k * triangle_size(d)


@lru_cache(maxsize=16)
def full_features(d: int) -> FeatureMap:
    """Return the features in the data's own coordinates. Cached: making them is slow compared with a few rows."""
    return FullGaussian().features(d, Frame.at(np.zeros(d)))


@dataclass(frozen=True)
class FullMarginals:
    """Rows of full or tied Gaussians in which the same columns are missing: complete rows of full Gaussians."""

    marginals: ClassVar[FullGaussian] = FullGaussian()

    def features(self, d: int) -> FeatureMap:
        """Return x and the triangle of x x', for d columns."""
        return full_features(d)

    def marginal(self, theta: Gaussians, missing: Array) -> GaussianMarginal:
        """Return the marginal of a pattern (d,); the parameters keep it in a cache."""
        return marginal_of(theta, missing)


class ObservedFull(ObservedGaussian, FullGaussian):
    """Full Gaussians of rows with missing values."""

    @property
    def by_pattern(self) -> FullMarginals:
        """The marginals of patterns: full Gaussians."""
        return FullMarginals()


def full_natural(offsets: Float, upper: Float, frame: Frame) -> Float:
    """Return the natural parameters (K, F) of full Gaussians with means `offsets` (K, d) in the frame."""
    d = offsets.shape[1]
    scaled = upper / frame.scale[:, None]  # the factor of the precision in the frame's units
    precision = scaled @ np.swapaxes(scaled, -1, -2)
    whitened = np.einsum("kij,ki->kj", scaled, offsets)
    linear = np.einsum("kij,kj->ki", scaled, whitened)
    log_det = np.log(np.einsum("kii->ki", upper)).sum(axis=1)
    constant = log_det - 0.5 * (d * LOG_2PI + (whitened**2).sum(axis=1))
    row, column = triangle(d)
    quadratic = np.where(row == column, -0.5, -1.0) * precision[:, row, column]
    return np.concatenate([constant[:, None], linear, quadratic], axis=1)


def draw_full(mean: Float, upper: Float, n: int, rng: np.random.Generator) -> Float:
    """Return n random rows of N(mean, inv(U U'))."""
    z = rng.standard_normal((len(mean), n))
    return np.asarray(mean + scipy.linalg.solve_triangular(upper, z, trans="T").T)


def add_to_diagonal(covariances: Float, reg_covar: float | Float) -> Float:
    """Return the covariances (..., d, d) with reg_covar, one number or (d,), added to their diagonals."""
    index = np.arange(covariances.shape[-1])
    covariances[..., index, index] += reg_covar
    return covariances
