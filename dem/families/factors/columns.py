"""The contribution of each column to the posterior of the latents, for rows with missing values.

    H = I + sum over the observed columns j of w_j w_j' / psi_j,  G = inv(H)   (PRML 12.67, column by column)
    E[z | x_o] = G (sum over the observed columns j of w_j (x_j - mu_j) / psi_j)   (PRML 12.66)

So H of a row is the product of its mask and an array with q (q + 1) / 2 numbers for each column. No array has the size
d^2. Columns without noise are constant and do not count in the density.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dem.core.block import Float
from dem.core.linalg import triangle, triangle_size
from dem.families.gaussian.base import LOG_2PI


@dataclass(frozen=True)
class ColumnTerms:
    """Functions of the parameters of K components that the E-step with missing values uses.

    Attributes
    ----------
    inverse : array of shape (K, d)
        1 / psi_j; 0 without noise.
    log_noise : array of shape (K, d)
        log (2 pi psi_j); 0 without noise.
    scaled : array of shape (K, d, q)
        w_j / psi_j.
    outer : array of shape (K, d, q (q + 1) / 2)
        The upper triangles of w_j w_j' / psi_j, row by row.
    """

    inverse: Float
    log_noise: Float
    scaled: Float
    outer: Float

    @classmethod
    def of(cls, loadings: Float, noise_variances: Float) -> ColumnTerms:
        """Return the terms for loadings (K, d, q) and noise variances (K, 1) or (K, d)."""
        k, d, q = loadings.shape
        noise = np.broadcast_to(noise_variances, (k, d))
        noisy = noise > 0
        inverse = np.divide(1.0, noise, out=np.zeros((k, d)), where=noisy)
        log_noise = np.log(noise, out=np.zeros((k, d)), where=noisy) + LOG_2PI * noisy
        scaled = loadings * inverse[:, :, None]
        row, column = triangle(q)
        outer = np.empty((k, d, triangle_size(q)))
        np.multiply(loadings[:, :, row], scaled[:, :, column], out=outer)
        return cls(inverse, log_noise, scaled, outer)
