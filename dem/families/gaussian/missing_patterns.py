"""For one pattern of missing columns: the Gaussians of the observed columns, and the distribution of the missing ones.

With the missing columns first, and the observed ones after them in reverse order, the precision has the factor

    P = L L',  L = [L_mm 0; L_om L_oo],  so that  inv(S_oo) = L_oo L_oo',  E[x_m | x_o] = mu_m + B (x_o - mu_o),
    B = -inv(L_mm') L_om',  cov[x_m | x_o] = inv(L_mm L_mm') = C   (PRML 2.81, 2.82)

L' is the R factor of a QR decomposition of U' (P = U U', rows of U reordered). No matrix is squared, so a badly
conditioned covariance loses no digits. In the order of the data L_oo is upper triangular, as all precision factors are.
Rows of one pattern are complete rows of the Gaussians of x_o. Their sums are turned into sums of whole rows once, by
x - mu = A (x_o - mu_o), A = [I; B], and N C.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Float
from dem.core.linalg import triangle, triangle_size, unpack
from dem.families.gaussian.base import LOG_2PI, Gaussians, add_centred_sums, matrix_map


@dataclass(frozen=True)
class GaussianMarginal:
    """The marginal and conditional Gaussians of one pattern, for K components; G is K, or 1 for a shared covariance.

    Attributes
    ----------
    missing : bool array of shape (d,)
    theta : Gaussians
        Gaussians of the observed columns. They have only means (K, o) and precision factors (K, o, o).
    expand : array of shape (G, d, o)
        A.
    conditional : array of shape (G, d, d)
        C among the missing columns, 0 elsewhere.
    entropy : array of shape (G,)
        Entropy of x_m given x_o, in nats.
    """

    missing: NDArray[np.bool_]
    theta: Gaussians
    expand: Float
    conditional: Float
    entropy: Float

    @classmethod
    def of(cls, theta: Gaussians, missing: NDArray[np.bool_]) -> GaussianMarginal:
        """Return the marginal of full or tied Gaussians."""
        upper = precision_factors(theta)
        (g, d, _), m = upper.shape, int(missing.sum())
        lacking, observed = np.flatnonzero(missing), np.flatnonzero(~missing)
        turned = upper[:, np.concatenate([lacking, observed[::-1]])]
        root = np.linalg.qr(np.swapaxes(turned, 1, 2), mode="r")
        root *= np.sign(np.einsum("gii->gi", root))[:, :, None]
        lower = np.swapaxes(root, 1, 2)
        inverse = np.linalg.inv(root[:, :m, :m])  # inv(L_mm')
        expand, conditional = np.zeros((g, d, d - m)), np.zeros((g, d, d))
        expand[:, observed, np.arange(d - m)] = 1
        expand[:, lacking] = (-inverse @ root[:, :m, m:])[:, :, ::-1]
        conditional[:, lacking[:, None], lacking] = inverse @ np.swapaxes(inverse, 1, 2)
        entropy = 0.5 * m * (1 + LOG_2PI) - np.log(np.einsum("gii->gi", root)[:, :m]).sum(axis=1)
        means = theta.means[:, observed]
        own = np.ascontiguousarray(lower[:, m:, m:][:, ::-1, ::-1])
        own = np.broadcast_to(own, (len(means), d - m, d - m))
        return cls(missing, Gaussians(means, np.empty(0), own), expand, conditional, entropy)

    @property
    def nbytes(self) -> int:
        """Memory, in bytes."""
        return 2 * self.expand.nbytes + self.conditional.nbytes + self.theta.means.nbytes

    def add(self, sums: Float, counts: Float, out: Float) -> None:
        """Add the sums of whole rows to `out`, from the sums of the observed columns about their means.

        Parameters
        ----------
        sums : array of shape (1 + o + o (o + 1) / 2, K)
        counts : array of shape (K,)
            How many times the conditional covariance is added: the sums of the responsibilities.
        out : array of shape (1 + d + d (d + 1) / 2 + 1, K)
            The last row is for the entropies.
        """
        _, d, o = self.expand.shape
        row, column = triangle(d)
        second = self.expand @ unpack(sums[1 + o :].T, o) @ np.swapaxes(self.expand, 1, 2)
        second += counts[:, None, None] * self.conditional
        out[0] += sums[0]
        out[1 : 1 + d] += (self.expand @ sums[1 : 1 + o].T[:, :, None])[:, :, 0].T
        out[1 + d : -1] += second[:, row, column].T
        out[-1] += counts * self.entropy


def precision_factors(theta: Gaussians) -> Float:
    """Return the precision factors (G, d, d): one for each component, or one for all."""
    upper = theta.precisions_cholesky
    return upper[None] if upper.ndim == 2 else upper


@dataclass(frozen=True)
class PatternRows:
    """Rows of a tile with the same missing columns.

    Attributes
    ----------
    marginal : GaussianMarginal
    rows : int array of shape (n,)
        Their indices in the tile.
    x : array of shape (o, n)
        Their observed values.
    """

    marginal: GaussianMarginal
    rows: NDArray[np.intp]
    x: Float

    @classmethod
    def of(
        cls, theta: Gaussians, x: Float, rows: NDArray[np.intp], missing: NDArray[np.bool_], out: Float
    ) -> PatternRows:
        """Write the log-densities of rows of the tile x (d, n) to `out` (K, n); return the rows with their marginal."""
        marginal = marginal_of(theta, missing)
        observed = x[np.ix_(~missing, rows)]
        found, centred = np.empty(len(rows)), matrix_map(marginal.theta)
        for k in range(len(out)):
            centred.component_log_density(k, observed, found)
            out[k, rows] = found
        return cls(marginal, rows, observed)

    @property
    def constant(self) -> Float:
        """The log-densities without the squared distances, (K, 1)."""
        root = np.einsum("kii->ki", self.marginal.theta.precisions_cholesky)
        return np.asarray(np.log(root).sum(axis=1) - 0.5 * len(self.x) * LOG_2PI)[:, None]

    def add(self, weights: Float, counts: Float, out: Float) -> None:
        """Add sums about the means with `weights` (K, n), and C with weights `counts` (K, n), to `out` (F, K)."""
        o = len(self.x)
        sums = np.zeros((1 + o + triangle_size(o), len(weights)))
        add_centred_sums(self.marginal.theta.means, self.x, weights, sums)
        self.marginal.add(sums, counts.sum(axis=1), out)

    def moments(self) -> tuple[Float, Float]:
        """Return the conditional means minus mu, and the conditional variances; both (K, d, n)."""
        residuals = self.marginal.expand @ (self.x - self.marginal.theta.means[:, :, None])
        variances = np.einsum("gii->gi", self.marginal.conditional)[:, :, None]
        return residuals, np.broadcast_to(variances, residuals.shape)


def marginal_of(theta: Gaussians, missing: NDArray[np.bool_]) -> GaussianMarginal:
    """Return the marginal of a pattern; the parameters keep it in a cache."""
    found: GaussianMarginal = theta.by_pattern.get(missing.tobytes(), lambda: GaussianMarginal.of(theta, missing))
    return found
