"""Rows that each lack other columns, as many of them: small systems, all rows and components at once.

With P the precision and e = x - mu, 0 where x is missing:

    g = P e,   e_m = -inv(P_mm) g_m = E[x_m | x_o] - mu_m,   cov[x_m | x_o] = inv(P_mm) = C
    (x_o - mu_o)' inv(S_oo) (x_o - mu_o) = e' P e at that e_m,   log |S_oo| = log |P_mm| - log |P|   (PRML 2.73 to 2.75)

e_m is found in two steps, the second from the gradient at the first (Bjorck's corrected seminormal equations), so that
squaring U (P = U U') costs no digits. Patterns that return among the rows are inverted once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dem.families.gaussian import LOG_2PI, Gaussians
from dem.families.marginal import factors
from dem.linalg import block_inverses, triangle
from dem.model import Float

CHUNK_BYTES = 2**20
"""What the inverses of all rows may take, and the largest of the other arrays."""


@dataclass(frozen=True)
class Scattered:
    """Some rows of a tile, of p patterns, that lack m columns each.

    Attributes
    ----------
    theta : Gaussians
        Full or tied.
    rows : int array of shape (n,)
        Where they stand in the tile, those of a pattern side by side.
    lacking : int array of shape (m, p)
        The columns that each pattern lacks.
    first : int array of shape (p,)
        Where each pattern's rows begin.
    residuals : array of shape (K, d, n)
        x - mu, the missing entries filled in by their conditional means.
    constant : array of shape (K, n)
        The log-densities but for the squared distances.
    """

    theta: Gaussians
    rows: NDArray[np.intp]
    lacking: NDArray[np.intp]
    first: NDArray[np.intp]
    residuals: Float
    constant: Float

    @classmethod
    def of(
        cls,
        theta: Gaussians,
        x: Float,
        rows: NDArray[np.intp],
        lacking: NDArray[np.intp],
        first: NDArray[np.intp],
        out: Float,
    ) -> Scattered:
        """Write the log-densities of rows of the tile x (d, n) into `out` (K, n); return what goes with them."""
        upper, m = factors(theta), len(lacking)
        residuals = np.subtract(np.take(x, rows, axis=1), theta.means[:, :, None], order="C")
        found = cls(theta, rows, lacking, first, residuals, np.empty((len(residuals), len(rows))))
        which, at = found._which, found._at
        flat = residuals.reshape(len(residuals), -1)
        flat[:, at] = 0
        inverses, log_det = found._conditional()
        if len(first) < len(rows):
            inverses = inverses[..., which]
        for _ in range(2):
            whitened = np.swapaxes(upper, 1, 2) @ residuals
            gradient = np.take((upper @ whitened).reshape(flat.shape), at, axis=1)
            step = np.einsum("ijgn,gjn->gin", inverses, gradient)
            flat[:, at] -= step
        distance = np.einsum("gin,gin->gn", whitened, whitened) - np.einsum("gin,gin->gn", gradient, step)
        log_root = np.log(np.einsum("gii->gi", upper)).sum(axis=1)[:, None]
        found.constant[...] = log_root - 0.5 * (log_det[:, which] + (len(x) - m) * LOG_2PI)
        out[:, rows] = found.constant - 0.5 * distance
        return found

    @property
    def _which(self) -> NDArray[np.intp]:
        """The pattern of each row."""
        return np.repeat(np.arange(len(self.first)), np.diff(np.append(self.first, len(self.rows))))

    @property
    def _at(self) -> NDArray[np.intp]:
        """Where the missing entries (m, n) stand in the residuals of a component."""
        n = len(self.rows)
        return self.lacking[:, self._which] * n + np.arange(n)

    def _conditional(self) -> tuple[Float, Float]:
        """Return C (m, m, G, p) and log |P_mm| (G, p)."""
        upper = factors(self.theta)
        return block_inverses(upper @ np.swapaxes(upper, 1, 2), self.lacking)

    def add(self, weights: Float, counts: Float, out: Float) -> None:
        """Add the sums about the means, weighted by `weights` (K, n), and `counts` (K, n) times C, to `out` (F, K)."""
        d, m = self.residuals.shape[1], len(self.lacking)
        inverses, log_det = self._conditional()
        of_patterns = np.add.reduceat(counts, self.first, axis=1)
        second = (self.residuals * weights[:, None]) @ np.swapaxes(self.residuals, 1, 2)
        at = (self.lacking[:, None] * d + self.lacking).ravel()
        for i, count in enumerate(of_patterns):
            spread = inverses[:, :, i % inverses.shape[2]] * count
            second[i] += np.bincount(at, spread.ravel(), d * d).reshape(d, d)
        row, column = triangle(d)
        out[0] += weights.sum(axis=1)
        out[1 : 1 + d] += (self.residuals @ weights[:, :, None])[:, :, 0].T
        out[1 + d : -1] += second[:, row, column].T
        out[-1] += 0.5 * (of_patterns * (m * (1 + LOG_2PI) - log_det)).sum(axis=1)

    def moments(self) -> tuple[Float, Float]:
        """Return the conditional means less mu, and the conditional variances, (K, d, n) both."""
        inverses, _ = self._conditional()
        variances = np.zeros_like(self.residuals)
        diagonal = np.einsum("iign->gin", inverses)[..., self._which]
        variances.reshape(len(variances), -1)[:, self._at] = diagonal
        return self.residuals, variances
