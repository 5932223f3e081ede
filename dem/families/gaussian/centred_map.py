"""The exact path of Gaussians as a small value, which every implementation of the E-step can read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dem.core.block import Float


@dataclass(frozen=True, eq=False)
class CentredMap:
    """K Gaussians: log N(x) = constant - 0.5 |U' (x - mu)|^2. Their sums are taken about the same means.

    Attributes
    ----------
    means : array of shape (K, d)
    factors : array of shape (K, d, d), or (K, d) if the columns are independent
        U, upper triangular with inv(C) = U U'; or 1 / sigma.
    constants : array of shape (K,)
        The log-normalisers, in nats.
    """

    means: Float
    factors: Float
    constants: Float

    def log_density(self, x: Float, out: Float) -> None:
        """Write the log-densities of the columns of x (d, n) into `out` (K, n); U must be matrices."""
        for k in range(len(self.means)):
            self.component_log_density(k, x, out[k])

    def component_log_density(self, k: int, x: Float, out: Float) -> None:
        """Write the log-densities of one component into `out` (n,)."""
        whitened = self.factors[k].T @ (x - self.means[k][:, None])
        np.einsum("ij,ij->j", whitened, whitened, out=out)
        out *= -0.5
        out += self.constants[k]
