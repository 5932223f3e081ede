"""What Gaussians of independent columns share: precision factors are 1 / sigma, and there are no matrices."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from dem.core.block import Float
from dem.families.gaussian.base import GaussianFamily, Gaussians


class IndependentGaussian(GaussianFamily):
    """Base of `DiagonalGaussian` and `SphericalGaussian`."""

    def factor(self, covariances: Float) -> Float:
        """Return 1 / sigma."""
        return inverse_root(covariances)

    def invert(self, precisions_cholesky: Float) -> Float:
        """Return the variances."""
        return np.asarray(1 / precisions_cholesky**2)

    def add_sums(self, theta: Gaussians, x: Float, reuse: None, resp: Float, out: Float) -> None:
        """Add the responsibilities, and their products with x - mu and with its squares."""
        for k, mean in enumerate(theta.means):
            out[0, k] += resp[k].sum()
            self.add_residuals(x - mean[:, None], resp[k], out[:, k])

    def add_residuals(self, residuals: Float, weights: Float, out: Float) -> None:
        """Add the sums of residuals (d, n) and of their squares, with weights (n,), to `out` (F,).

        The residuals are overwritten.
        """
        d = len(residuals)
        out[1 : 1 + d] += residuals @ weights
        squares = self.weighted_squares(residuals, weights)
        out[1 + d : 1 + d + len(squares)] += squares

    @abstractmethod
    def weighted_squares(self, residuals: Float, weights: Float) -> Float:
        """Return the sums of the squares (m,): of each column, or of all columns. The residuals may be overwritten."""

    def parameter_size(self, k: int, d: int) -> int:
        """Return K d, the size of the means."""
        return k * d


def inverse_root(variances: Float) -> Float:
    """Return 1 / sqrt(variances).

    Raises
    ------
    numpy.linalg.LinAlgError
        If a variance is not positive and finite.
    """
    if not (np.isfinite(variances).all() and (variances > 0).all()):
        raise np.linalg.LinAlgError("a variance is not positive")
    return np.asarray(1 / np.sqrt(variances))
