"""Gaussians with one variance for all columns: features 1, x and |x|^2."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from dem.core.block import Array, Float
from dem.core.coordinate_frame import Frame
from dem.families.family import EMPTY, safe_counts
from dem.families.feature_columns import Column, Op
from dem.families.feature_map import FeatureMap, feature_map
from dem.families.gaussian.base import LOG_2PI, GaussianFamily, Gaussians, offsets_of
from dem.families.gaussian.diag import inverse_root
from dem.families.gaussian.missing_columns import ObservedColumns
from dem.families.plain import centred


class SphericalGaussian(GaussianFamily):
    """Variances of shape (K,)."""

    isotropic: ClassVar[bool] = True

    def with_missing(self) -> GaussianFamily:
        """Return the family of rows with missing values."""
        return ObservedSpherical(self.reg_covar)

    def squared(self, variances: Float) -> Float:
        """Return the mean: narrow columns are little beside wide ones."""
        return np.full_like(variances, variances.mean())

    def n_features(self, d: int) -> int:
        """Return d + 2."""
        return d + 2

    def from_columns(self, columns: tuple[Column, ...]) -> FeatureMap:
        """Return x and |x|^2."""
        return feature_map((*columns, Column(Op.SUM_OF_SQUARES, 1, argument=len(columns))))

    def natural(self, theta: Gaussians, frame: Frame) -> Float:
        """Return eta: (log-normaliser, p m, -p / 2), p the precisions and m the means in the frame."""
        root = theta.precisions_cholesky / frame.scale[0]
        offsets = offsets_of(theta, frame)
        d = offsets.shape[1]
        squares = (offsets**2).sum(axis=1)
        constant = d * np.log(theta.precisions_cholesky) - 0.5 * (d * LOG_2PI + root**2 * squares)
        precision = (root**2)[:, None]
        return np.concatenate([constant[:, None], precision * offsets, -0.5 * precision], axis=1)

    def covariances(self, sums: Float, frame: Frame, offsets: Float) -> Float:
        """Return the mean of the columns' variances, plus reg_covar."""
        d = len(frame.scale)
        second = sums[1 + d] / safe_counts(sums[0])
        return np.asarray((second - (offsets**2).sum(axis=1)) / (d * frame.scale[0] ** 2) + self.added)

    def factor(self, covariances: Float) -> Float:
        """Return 1 / sqrt of the variances."""
        return inverse_root(covariances)

    def invert(self, precisions_cholesky: Float) -> Float:
        """Return the variances."""
        return np.asarray(1 / precisions_cholesky**2)

    def log_density(self, theta: Gaussians, x: Float, out: Float) -> None:
        """Write -0.5 |x - mu|^2 / sigma^2 and the normaliser."""
        d = len(x)
        for k, (mean, root) in enumerate(zip(theta.means, theta.precisions_cholesky, strict=True)):
            centred = x - mean[:, None]
            np.einsum("ij,ij->j", centred, centred, out=out[k])
            out[k] *= -0.5 * root**2
            out[k] += d * (np.log(root) - 0.5 * LOG_2PI)

    def sums(self, theta: Gaussians, x: Float, reuse: None, resp: Float, out: Float) -> None:
        """Add 1, x - mu and |x - mu|^2, each times the responsibility."""
        d = len(x)
        for k, mean in enumerate(theta.means):
            centred = x - mean[:, None]
            out[0, k] += resp[k].sum()
            out[1 : 1 + d, k] += centred @ resp[k]
            out[1 + d, k] += np.einsum("ij,ij->j", centred, centred) @ resp[k]

    def draw(self, theta: Gaussians, component: int, n: int, rng: np.random.Generator) -> Float:
        """Return mu + z sigma."""
        z = rng.standard_normal((n, theta.means.shape[1]))
        return np.asarray(theta.means[component] + z / theta.precisions_cholesky[component])

    def factor_size(self, k: int, d: int) -> int:
        """Return K d: there are no matrices."""
        return k * d

    def n_parameters(self, k: int, d: int) -> int:
        """Return K d + K."""
        return k * d + k


class ObservedSpherical(ObservedColumns, SphericalGaussian):
    """One variance for all columns: 1, x, |x|^2 and the indicators, 2 d + 2 features."""

    def natural(self, theta: Gaussians, frame: Frame) -> Float:
        """Return eta: (0, p m, -p / 2, log-normalisers), p the precisions and m the means in the frame."""
        root = (theta.precisions_cholesky / frame.scale[0])[:, None]
        offsets = offsets_of(theta, frame)
        normaliser = np.log(theta.precisions_cholesky)[:, None] - 0.5 * (LOG_2PI + (root * offsets) ** 2)
        return np.concatenate([np.zeros((len(root), 1)), root**2 * offsets, -0.5 * root**2, normaliser], axis=1)

    def covariances(self, sums: Float, frame: Frame, offsets: Float) -> Float:
        """Return the variance over all values of the columns, plus reg_covar."""
        d = len(frame.scale)
        counts = sums[-d:].T
        total = np.maximum(counts.sum(axis=1), EMPTY * d * sums[0].sum())
        squares = sums[1 + d] - (counts * offsets**2).sum(axis=1)
        return np.asarray(squares / (total * frame.scale[0] ** 2) + self.added)

    def keep(self, new: Float, old: Float, empty: Array) -> Float:
        """Return `new`, and `old` for components none of whose columns has rows."""
        return np.asarray(np.where(empty.all(axis=1), old, new))

    def column_variances(self, theta: Gaussians) -> Float:
        """Return the variance of each column (K, d): the same."""
        return np.broadcast_to(theta.covariances[:, None], theta.means.shape)

    def with_expected(self, sums: Float, x: Float, squares: Float) -> Float:
        """Return sums (F, K) to which x (d, K) and its squares (d, K) are added."""
        d = len(x)
        sums[1 : 1 + d] += x
        sums[1 + d] += squares.sum(axis=0)
        return sums

    def log_density(self, theta: Gaussians, x: Float, out: Float) -> None:
        """Write -0.5 |x - mu|^2 / sigma^2 and the normaliser, over the observed columns."""
        missing = np.isnan(x)
        observed = (~missing).sum(axis=0)
        for k, (mean, root) in enumerate(zip(theta.means, theta.precisions_cholesky, strict=True)):
            rest = centred(x, mean, missing)
            np.einsum("ij,ij->j", rest, rest, out=out[k])
            out[k] *= -0.5 * root**2
            out[k] += observed * (np.log(root) - 0.5 * LOG_2PI)

    def sums(self, theta: Gaussians, x: Float, reuse: None, resp: Float, out: Float) -> None:
        """Add 1, x - mu, |x - mu|^2 and the indicators, each times the responsibility."""
        d, missing = len(x), np.isnan(x)
        out[0] += resp.sum(axis=1)
        out[-d:] += ~missing @ resp.T
        for k, mean in enumerate(theta.means):
            rest = centred(x, mean, missing)
            out[1 : 1 + d, k] += rest @ resp[k]
            out[1 + d, k] += np.einsum("ij,ij->j", rest, rest) @ resp[k]
