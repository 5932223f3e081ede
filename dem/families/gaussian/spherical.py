"""Gaussians with one variance for all columns: features 1, x and |x|^2."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from dem.core.block import Float
from dem.core.coordinate_frame import Frame
from dem.families.family import EMPTY_SHARE, safe_counts
from dem.families.feature_columns import Column, Op
from dem.families.feature_map import FeatureMap, feature_map
from dem.families.gaussian.base import LOG_2PI, GaussianFamily, Gaussians, means_in_frame
from dem.families.gaussian.independent import IndependentGaussian
from dem.families.gaussian.missing_columns import ObservedColumns
from dem.families.independent_columns import residuals


class SphericalGaussian(IndependentGaussian):
    """Variances of shape (K,)."""

    isotropic: ClassVar[bool] = True

    def with_missing(self) -> GaussianFamily:
        """Return the family for rows with missing values."""
        return ObservedSpherical(self.reg_covar)

    def squares_used(self, variances: Float) -> Float:
        """Return the mean variance for every column: squares of narrow columns are small compared with it."""
        return np.full_like(variances, variances.mean())

    def n_features(self, d: int) -> int:
        """Return d + 2."""
        return d + 2

    def feature_map_of(self, columns: tuple[Column, ...]) -> FeatureMap:
        """Return x and |x|^2."""
        return feature_map((*columns, Column(Op.SUM_OF_SQUARES, 1, argument=len(columns))))

    def natural(self, theta: Gaussians, frame: Frame) -> Float:
        """Return eta: (log-normaliser, p m, -p / 2), with precisions p and means m in the frame."""
        root = theta.precisions_cholesky / frame.scale[0]
        offsets = means_in_frame(theta, frame)
        d = offsets.shape[1]
        squares = (offsets**2).sum(axis=1)
        constant = d * np.log(theta.precisions_cholesky) - 0.5 * (d * LOG_2PI + root**2 * squares)
        precision = (root**2)[:, None]
        return np.concatenate([constant[:, None], precision * offsets, -0.5 * precision], axis=1)

    def covariances(self, sums: Float, frame: Frame, offsets: Float) -> Float:
        """Return the mean of the columns' variances, plus reg_covar."""
        d = len(frame.scale)
        second = sums[1 + d] / safe_counts(sums[0])
        return np.asarray((second - (offsets**2).sum(axis=1)) / (d * frame.scale[0] ** 2) + self.reg_covar_values)

    def log_density(self, theta: Gaussians, x: Float, out: Float) -> None:
        """Write -0.5 |x - mu|^2 / sigma^2, plus the log-normaliser."""
        d = len(x)
        for k, (mean, root) in enumerate(zip(theta.means, theta.precisions_cholesky, strict=True)):
            rest = x - mean[:, None]
            np.einsum("ij,ij->j", rest, rest, out=out[k])
            out[k] *= -0.5 * root**2
            out[k] += d * (np.log(root) - 0.5 * LOG_2PI)

    def weighted_squares(self, residuals: Float, weights: Float) -> Float:
        """Return the sum of the squares of all columns, (1,)."""
        return np.atleast_1d(np.einsum("ij,ij->j", residuals, residuals) @ weights)

    def draw(self, theta: Gaussians, component: int, n: int, rng: np.random.Generator) -> Float:
        """Return mu + z sigma."""
        z = rng.standard_normal((n, theta.means.shape[1]))
        return np.asarray(theta.means[component] + z / theta.precisions_cholesky[component])

    def n_parameters(self, k: int, d: int) -> int:
        """Return K d + K."""
        return k * d + k


class ObservedSpherical(ObservedColumns, SphericalGaussian):
    """Spherical Gaussians of rows with missing values: features 1, x, |x|^2 and the indicators, 2 d + 2 in all."""

    def natural(self, theta: Gaussians, frame: Frame) -> Float:
        """Return eta: (0, p m, -p / 2, log-normalisers), with precisions p and means m in the frame."""
        root = (theta.precisions_cholesky / frame.scale[0])[:, None]
        offsets = means_in_frame(theta, frame)
        normaliser = np.log(theta.precisions_cholesky)[:, None] - 0.5 * (LOG_2PI + (root * offsets) ** 2)
        return np.concatenate([np.zeros((len(root), 1)), root**2 * offsets, -0.5 * root**2, normaliser], axis=1)

    def covariances(self, sums: Float, frame: Frame, offsets: Float) -> Float:
        """Return the variance over all observed values of all columns, plus reg_covar."""
        d = len(frame.scale)
        counts = self.column_counts(sums, d)
        total = np.maximum(counts.sum(axis=1), EMPTY_SHARE * d * sums[0].sum())
        squares = sums[1 + d] - (counts * offsets**2).sum(axis=1)
        return np.asarray(squares / (total * frame.scale[0] ** 2) + self.reg_covar_values)

    def column_variances(self, theta: Gaussians) -> Float:
        """Return the variance of each column (K, d): the same for all columns."""
        return np.broadcast_to(theta.covariances[:, None], theta.means.shape)

    def with_expected(self, sums: Float, x: Float, squares: Float) -> Float:
        """Return sums (F, K) with x (d, K) and its squares (d, K) added."""
        d = len(x)
        sums[1 : 1 + d] += x
        sums[1 + d] += squares.sum(axis=0)
        return sums

    def log_density(self, theta: Gaussians, x: Float, out: Float) -> None:
        """Write -0.5 |x - mu|^2 / sigma^2, plus the log-normaliser, over the observed columns."""
        missing = np.isnan(x)
        observed = (~missing).sum(axis=0)
        for k, (mean, root) in enumerate(zip(theta.means, theta.precisions_cholesky, strict=True)):
            rest = residuals(x, mean, missing)
            np.einsum("ij,ij->j", rest, rest, out=out[k])
            out[k] *= -0.5 * root**2
            out[k] += observed * (np.log(root) - 0.5 * LOG_2PI)
