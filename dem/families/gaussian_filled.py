"""Gaussians of independent columns whose missing values are filled in, for families with latent scales of rows.

Given its scale a row's missing columns are N(mu, s) each, so that the sums are those of completed rows: residuals of 0,
and s in the squares. (Plain Gaussians need no filling in: see `observed_columns`.)
"""

from __future__ import annotations

import numpy as np

from dem.families.filling import centred
from dem.families.gaussian import Gaussians
from dem.families.gaussian_diag import DiagonalGaussian, ObservedDiagonal, observed_normaliser
from dem.model import Float


class FilledDiagonal(DiagonalGaussian):
    """Variances of shape (K, d); the methods that the latent scales ask for are those of `ObservedGaussian`."""

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
