"""Gaussians of independent columns whose missing values are filled in, for families with latent scales of rows.

Given its scale a row's missing columns are N(mu, s) each, so that the sums are those of completed rows: residuals of 0,
and s in the squares. (Plain Gaussians need no filling in: see `observed_columns`.)
"""

from __future__ import annotations

import numpy as np

from dem.families.gaussian import LOG_2PI, Gaussians
from dem.families.gaussian_diag import DiagonalGaussian
from dem.model import Float


class FilledDiagonal(DiagonalGaussian):
    """Variances of shape (K, d); the methods that the latent scales ask for are those of `ObservedGaussian`."""

    def log_density(self, theta: Gaussians, x: Float, out: Float) -> None:
        """Write the log-densities of the observed entries."""
        for k, (mean, root) in enumerate(zip(theta.means, theta.precisions_cholesky, strict=True)):
            whitened = np.nan_to_num(x - mean[:, None], copy=False)
            whitened *= root[:, None]
            np.einsum("ij,ij->j", whitened, whitened, out=out[k])
        out *= -0.5
        out += self.constant(theta, x, None)

    def constant(self, theta: Gaussians, x: Float, reuse: None) -> Float:
        """Return the log-densities (K, n) but for the squared distances."""
        return np.asarray((np.log(theta.precisions_cholesky) - 0.5 * LOG_2PI) @ ~np.isnan(x))

    def add(self, theta: Gaussians, x: Float, reuse: None, weights: Float, counts: Float, out: Float) -> None:
        """Add the sums about the means, residuals weighted by `weights` (K, n), variances by `counts` (K, n)."""
        d, missing = len(x), np.isnan(x)
        for k, mean in enumerate(theta.means):
            centred = np.nan_to_num(x - mean[:, None], copy=False)
            out[0, k] += weights[k].sum()
            out[1 : 1 + d, k] += centred @ weights[k]
            centred *= centred
            out[1 + d :, k] += centred @ weights[k]
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
