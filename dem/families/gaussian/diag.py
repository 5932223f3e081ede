"""Gaussians with a variance for each column: features 1, x and x^2."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Array, Float
from dem.core.coordinate_frame import Frame
from dem.families.feature_columns import Column
from dem.families.feature_map import FeatureMap, feature_map
from dem.families.gaussian.base import LOG_2PI, GaussianFamily, Gaussians, means_in_frame
from dem.families.gaussian.independent import IndependentGaussian
from dem.families.gaussian.missing_columns import ObservedColumns
from dem.families.independent_columns import residuals


class DiagonalGaussian(IndependentGaussian):
    """Variances of shape (K, d)."""

    def with_missing(self) -> GaussianFamily:
        """Return the family for rows with missing values."""
        return ObservedDiagonal(self.reg_covar)

    def n_features(self, d: int) -> int:
        """Return 1 + 2 d."""
        return 1 + 2 * d

    def feature_map_of(self, columns: tuple[Column, ...]) -> FeatureMap:
        """Return x and x^2."""
        own = np.arange(1, 1 + len(columns))
        return feature_map(columns, np.stack([own, own], axis=1))

    def natural(self, theta: Gaussians, frame: Frame) -> Float:
        """Return eta: (log-normaliser, p m, -p / 2), with precisions p and means m in the frame."""
        root = theta.precisions_cholesky / frame.scale
        precision = root**2
        offsets = means_in_frame(theta, frame)
        log_det = np.log(theta.precisions_cholesky).sum(axis=1)
        constant = log_det - 0.5 * (offsets.shape[1] * LOG_2PI + ((root * offsets) ** 2).sum(axis=1))
        return np.concatenate([constant[:, None], precision * offsets, -0.5 * precision], axis=1)

    def covariances(self, sums: Float, frame: Frame, offsets: Float) -> Float:
        """Return the variances, plus reg_covar."""
        d = len(frame.scale)
        second = sums[1 + d : 1 + 2 * d].T / self.safe_column_counts(sums, d)
        return np.asarray((second - offsets**2) / frame.scale**2 + self.reg_covar_values)

    def log_density(self, theta: Gaussians, x: Float, out: Float) -> Any:
        """Write -0.5 sum of ((x - mu) / sigma)^2, plus the log-normaliser."""
        for k, (mean, root) in enumerate(zip(theta.means, theta.precisions_cholesky, strict=True)):
            whitened = x - mean[:, None]
            whitened *= root[:, None]
            np.einsum("ij,ij->j", whitened, whitened, out=out[k])
            out[k] *= -0.5
            out[k] += np.log(root).sum() - 0.5 * len(mean) * LOG_2PI

    def weighted_squares(self, residuals: Float, weights: Float) -> Float:
        """Return the sum of the squares of each column, (d,)."""
        residuals *= residuals
        return residuals @ weights

    def draw(self, theta: Gaussians, component: int, n: int, rng: np.random.Generator) -> Float:
        """Return mu + z sigma."""
        deviation = 1 / theta.precisions_cholesky[component]
        z = rng.standard_normal((n, theta.means.shape[1]))
        return np.asarray(theta.means[component] + z * deviation)

    def n_parameters(self, k: int, d: int) -> int:
        """Return 2 K d."""
        return 2 * k * d


class ObservedDiagonal(ObservedColumns, DiagonalGaussian):
    """Diagonal Gaussians of rows with missing values: features 1, x, x^2 and the indicators, 3 d + 1 in all."""

    def natural(self, theta: Gaussians, frame: Frame) -> Float:
        """Return eta: (0, p m, -p / 2, log-normalisers), with precisions p and means m in the frame."""
        root = theta.precisions_cholesky / frame.scale
        precision, offsets = root**2, means_in_frame(theta, frame)
        normaliser = np.log(theta.precisions_cholesky) - 0.5 * (LOG_2PI + (root * offsets) ** 2)
        return np.concatenate([np.zeros((len(root), 1)), precision * offsets, -0.5 * precision, normaliser], axis=1)

    def restore_empty(self, new: Float, old: Float, empty: Array) -> Float:
        """Return `new`, with the entries of columns without rows, `empty` (K, d), taken from `old`."""
        return np.asarray(np.where(empty, old, new))

    def log_density(self, theta: Gaussians, x: Float, out: Float) -> Any:
        """Write -0.5 sum of ((x - mu) / sigma)^2, plus the log-normaliser, over the observed columns."""
        missing = np.isnan(x)
        out[...] = observed_normaliser(theta, missing)
        for k, (mean, root) in enumerate(zip(theta.means, theta.precisions_cholesky, strict=True)):
            whitened = residuals(x, mean, missing)
            whitened *= root[:, None]
            out[k] -= 0.5 * np.einsum("ij,ij->j", whitened, whitened)


def observed_normaliser(theta: Gaussians, missing: NDArray[np.bool_]) -> Float:
    """Return the log-normalisers (K, n) of the observed columns of each row."""
    return np.asarray((np.log(theta.precisions_cholesky) - 0.5 * LOG_2PI) @ ~missing)


class FilledDiagonal(DiagonalGaussian):
    """Variances of shape (K, d), of rows with missing values and a latent scale for each row (Student's t).

    Given the scale, the missing columns of a row are independent N(mu, sigma^2). So the sums are those of completed
    rows: the residuals of missing values are 0, and sigma^2 is added to their squares. The methods that Student's t
    needs have the names of those of `ObservedGaussian`.
    """

    def log_density(self, theta: Gaussians, x: Float, out: Float) -> None:
        """Write the log-densities of the observed values."""
        ObservedDiagonal().log_density(theta, x, out)

    def constant(self, theta: Gaussians, x: Float, reuse: None) -> Float:
        """Return the log-densities (K, n) without the squared distances."""
        return observed_normaliser(theta, np.isnan(x))

    def add(self, theta: Gaussians, x: Float, reuse: None, weights: Float, counts: Float, out: Float) -> None:
        """Add the sums about the means: residuals with `weights` (K, n), variances with `counts` (K, n)."""
        d, missing = len(x), np.isnan(x)
        for k, mean in enumerate(theta.means):
            out[0, k] += weights[k].sum()
            self.add_residuals(residuals(x, mean, missing), weights[k], out[:, k])
        out[1 + d :] += (counts @ missing.T * theta.covariances).T

    def scaled_conditional_moments(
        self, theta: Gaussians, x: Float, reuse: None, resp: Float, spread: Float
    ) -> tuple[Float, Float]:
        """Return the conditional mean and variance of x (d, n); variances are multiplied by `spread` (K, n)."""
        missing = np.isnan(x)
        centre = theta.means.mean(axis=0)  # squares of differences from it lose no digits
        offsets = (theta.means - centre).T
        mean = offsets @ resp
        variance = np.einsum("kd,kn->dn", theta.covariances, resp * spread)  # spread may be infinite
        variance += np.maximum((offsets**2) @ resp - mean**2, 0.0)
        return np.where(missing, centre[:, None] + mean, x), np.where(missing, variance, 0.0)
