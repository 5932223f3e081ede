"""Gaussians with a variance for each column: features 1, x and x^2."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Array, Float
from dem.core.coordinate_frame import Frame
from dem.families.family import EMPTY, safe_counts
from dem.families.feature_columns import Column
from dem.families.feature_map import FeatureMap, feature_map
from dem.families.gaussian.base import LOG_2PI, GaussianFamily, Gaussians, offsets_of
from dem.families.gaussian.missing_columns import ObservedColumns
from dem.families.plain import centred


class DiagonalGaussian(GaussianFamily):
    """Variances of shape (K, d)."""

    def with_missing(self) -> GaussianFamily:
        """Return the family of rows with missing values."""
        return ObservedDiagonal(self.reg_covar)

    def n_features(self, d: int) -> int:
        """Return 1 + 2 d."""
        return 1 + 2 * d

    def from_columns(self, columns: tuple[Column, ...]) -> FeatureMap:
        """Return x and x^2."""
        own = np.arange(1, 1 + len(columns))
        return feature_map(columns, np.stack([own, own], axis=1))

    def natural(self, theta: Gaussians, frame: Frame) -> Float:
        """Return eta: (log-normaliser, p m, -p / 2), p the precisions and m the means in the frame."""
        root = theta.precisions_cholesky / frame.scale
        precision = root**2
        offsets = offsets_of(theta, frame)
        log_det = np.log(theta.precisions_cholesky).sum(axis=1)
        constant = log_det - 0.5 * (offsets.shape[1] * LOG_2PI + ((root * offsets) ** 2).sum(axis=1))
        return np.concatenate([constant[:, None], precision * offsets, -0.5 * precision], axis=1)

    def covariances(self, sums: Float, frame: Frame, offsets: Float) -> Float:
        """Return the variances, plus reg_covar."""
        second = sums[1 + len(frame.scale) :].T / safe_counts(sums[0])[:, None]
        return np.asarray((second - offsets**2) / frame.scale**2 + self.added)

    def factor(self, covariances: Float) -> Float:
        """Return 1 / sqrt of the variances."""
        return inverse_root(covariances)

    def invert(self, precisions_cholesky: Float) -> Float:
        """Return the variances."""
        return np.asarray(1 / precisions_cholesky**2)

    def log_density(self, theta: Gaussians, x: Float, out: Float) -> Any:
        """Write -0.5 sum of ((x - mu) / sigma)^2 and the normaliser."""
        for k, (mean, root) in enumerate(zip(theta.means, theta.precisions_cholesky, strict=True)):
            whitened = x - mean[:, None]
            whitened *= root[:, None]
            np.einsum("ij,ij->j", whitened, whitened, out=out[k])
            out[k] *= -0.5
            out[k] += np.log(root).sum() - 0.5 * len(mean) * LOG_2PI

    def sums(self, theta: Gaussians, x: Float, reuse: None, resp: Float, out: Float) -> None:
        """Add 1, x - mu and (x - mu)^2, each times the responsibility."""
        d = len(x)
        for k, mean in enumerate(theta.means):
            centred = x - mean[:, None]
            out[0, k] += resp[k].sum()
            out[1 : 1 + d, k] += centred @ resp[k]
            centred *= centred
            out[1 + d :, k] += centred @ resp[k]

    def draw(self, theta: Gaussians, component: int, n: int, rng: np.random.Generator) -> Float:
        """Return mu + z sigma."""
        deviation = 1 / theta.precisions_cholesky[component]
        z = rng.standard_normal((n, theta.means.shape[1]))
        return np.asarray(theta.means[component] + z * deviation)

    def factor_size(self, k: int, d: int) -> int:
        """Return K d: there are no matrices."""
        return k * d

    def n_parameters(self, k: int, d: int) -> int:
        """Return 2 K d."""
        return 2 * k * d


class ObservedDiagonal(ObservedColumns, DiagonalGaussian):
    """A variance for each column: 1, x, x^2 and the indicators, 3 d + 1 features."""

    def natural(self, theta: Gaussians, frame: Frame) -> Float:
        """Return eta: (0, p m, -p / 2, log-normalisers), p the precisions and m the means in the frame."""
        root = theta.precisions_cholesky / frame.scale
        precision, offsets = root**2, offsets_of(theta, frame)
        normaliser = np.log(theta.precisions_cholesky) - 0.5 * (LOG_2PI + (root * offsets) ** 2)
        return np.concatenate([np.zeros((len(root), 1)), precision * offsets, -0.5 * precision, normaliser], axis=1)

    def covariances(self, sums: Float, frame: Frame, offsets: Float) -> Float:
        """Return the variances, plus reg_covar."""
        d = len(frame.scale)
        counts = np.maximum(sums[-d:].T, EMPTY * sums[0].sum())
        second = sums[1 + d : 1 + 2 * d].T / counts
        return np.asarray((second - offsets**2) / frame.scale**2 + self.added)

    def keep(self, new: Float, old: Float, empty: Array) -> Float:
        """Return `new` with the entries of columns without rows (K, d) taken from `old`."""
        return np.asarray(np.where(empty, old, new))

    def log_density(self, theta: Gaussians, x: Float, out: Float) -> Any:
        """Write -0.5 sum of ((x - mu) / sigma)^2 and the normaliser, over the observed columns."""
        missing = np.isnan(x)
        out[...] = observed_normaliser(theta, missing)
        for k, (mean, root) in enumerate(zip(theta.means, theta.precisions_cholesky, strict=True)):
            whitened = centred(x, mean, missing)
            whitened *= root[:, None]
            out[k] -= 0.5 * np.einsum("ij,ij->j", whitened, whitened)

    def sums(self, theta: Gaussians, x: Float, reuse: None, resp: Float, out: Float) -> None:
        """Add 1, x - mu, (x - mu)^2 and the indicators, each times the responsibility."""
        d, missing = len(x), np.isnan(x)
        out[0] += resp.sum(axis=1)
        out[-d:] += ~missing @ resp.T
        for k, mean in enumerate(theta.means):
            rest = centred(x, mean, missing)
            out[1 : 1 + d, k] += rest @ resp[k]
            rest *= rest
            out[1 + d : 1 + 2 * d, k] += rest @ resp[k]


def observed_normaliser(theta: Gaussians, missing: NDArray[np.bool_]) -> Float:
    """Return the log-normalisers (K, n) of the columns that rows have."""
    return np.asarray((np.log(theta.precisions_cholesky) - 0.5 * LOG_2PI) @ ~missing)


def inverse_root(variances: Float) -> Float:
    """Return 1 / sqrt(variances).

    Raises
    ------
    numpy.linalg.LinAlgError
        If one is not positive and finite.
    """
    if not (np.isfinite(variances).all() and (variances > 0).all()):
        raise np.linalg.LinAlgError("a variance is not positive")
    return np.asarray(1 / np.sqrt(variances))


class FilledDiagonal(DiagonalGaussian):
    """Variances of shape (K, d), of rows with missing values and latent scales of their own (Student's t).

    Given its scale a row's missing columns are N(mu, s) each, so that the sums are those of completed rows: residuals
    of 0, and s in the squares. The methods that the latent scales ask for are those of `ObservedGaussian`.
    """

    def log_density(self, theta: Gaussians, x: Float, out: Float) -> None:
        """Write the log-densities of the observed entries."""
        ObservedDiagonal().log_density(theta, x, out)

    def constant(self, theta: Gaussians, x: Float, reuse: None) -> Float:
        """Return the log-densities (K, n) but for the squared distances."""
        return observed_normaliser(theta, np.isnan(x))

    def add(self, theta: Gaussians, x: Float, reuse: None, weights: Float, counts: Float, out: Float) -> None:
        """Add the sums about the means, residuals weighted by `weights` (K, n), variances by `counts` (K, n)."""
        d, missing = len(x), np.isnan(x)
        for k, mean in enumerate(theta.means):
            rest = centred(x, mean, missing)
            out[0, k] += weights[k].sum()
            out[1 : 1 + d, k] += rest @ weights[k]
            rest *= rest
            out[1 + d :, k] += rest @ weights[k]
        out[1 + d :] += (counts @ missing.T * theta.covariances).T

    def filled(self, theta: Gaussians, x: Float, reuse: None, resp: Float, spread: Float) -> tuple[Float, Float]:
        """Return the conditional mean and variance of x (d, n); the components' variances are times `spread` (K, n)."""
        missing = np.isnan(x)
        middle = theta.means.mean(axis=0)  # about which squares keep their digits
        offsets = (theta.means - middle).T
        mean = offsets @ resp
        variance = np.einsum("kd,kn->dn", theta.covariances, resp * spread)  # spread may be infinite
        variance += np.maximum((offsets**2) @ resp - mean**2, 0.0)
        return np.where(missing, middle[:, None] + mean, x), np.where(missing, variance, 0.0)
