"""Rows with different missing columns, but the same number of them: small linear systems, solved for all rows together.

If few columns are missing, with P the precision and e = x - mu, 0 where x is missing (`FewMissing`):

    g = P e,   e_m = -inv(P_mm) g_m = E[x_m | x_o] - mu_m,   cov[x_m | x_o] = inv(P_mm) = C
    (x_o - mu_o)' inv(S_oo) (x_o - mu_o) = e' P e at that e_m,   log |S_oo| = log |P_mm| - log |P|   (PRML 2.73 to 2.75)

If few columns are observed, with S the covariance (`FewObserved`):

    y = inv(S_oo) e_o,   e = S_.o y,   C = S - S_.o inv(S_oo) S_o.   (PRML 2.81, 2.82)

In both cases the systems have at most d / 2 unknowns, and each pattern is solved once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Float
from dem.core.linalg import block_inverses, gram_inverses, triangle
from dem.families.gaussian.base import LOG_2PI, Gaussians
from dem.families.gaussian.missing_patterns import precision_factors

CHUNK_BYTES = 2**20
"""Memory for the inverses of all rows, and for the largest of the other arrays, in bytes."""
LARGEST_INFLATION = 1e5
"""Largest variance inflation factor for which P = U U' is computed: above it, too many digits would be lost."""


@dataclass(frozen=True)
class RowBatch(ABC):
    """Rows of a tile with m missing columns each, in p patterns.

    Attributes
    ----------
    theta : Gaussians
        Full or tied.
    rows : int array of shape (n,)
        Their indices in the tile; rows of one pattern are next to each other.
    index : int array of shape (s, p)
        The columns in the linear system of each pattern.
    first : int array of shape (p,)
        The position of the first row of each pattern.
    residuals : array of shape (K, d, n)
        x - mu; missing values are replaced by their conditional means.
    constant : array of shape (K, n)
        The log-densities without the squared distances.
    """

    theta: Gaussians
    rows: NDArray[np.intp]
    index: NDArray[np.intp]
    first: NDArray[np.intp]
    residuals: Float
    constant: Float

    @classmethod
    def of(
        cls,
        theta: Gaussians,
        x: Float,
        rows: NDArray[np.intp],
        index: NDArray[np.intp],
        first: NDArray[np.intp],
        out: Float,
    ) -> Self:
        """Write the log-densities of rows of the tile x (d, n) to `out` (K, n); return the rows, solved."""
        k, d = theta.means.shape
        found = cls(theta, rows, index, first, np.empty((k, d, len(rows))), np.empty((k, len(rows))))
        distance = found.solve(np.take(x, rows, axis=1))
        out[:, rows] = found.constant - 0.5 * distance
        return found

    @staticmethod
    @abstractmethod
    def system_columns(missing: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which columns are in the linear systems, for patterns (p, d)."""

    @abstractmethod
    def solve(self, x: Float) -> Float:
        """Compute `residuals` and `constant` of the rows x (d, n); return the squared distances (K, n)."""

    @abstractmethod
    def systems(self) -> tuple[Float, Float]:
        """Return the inverses (s, s, G, p) of the systems, and log |P_mm| (G, p)."""

    @abstractmethod
    def spread(self, inverses: Float, totals: Float) -> Float:
        """Return the weighted sum of C over the patterns, (K, d, d), from the weighted sum of their inverses (K, d, d).

        `totals` (K,) are the sums of the weights.
        """

    @abstractmethod
    def variances(self) -> Float:
        """Return the conditional variances (K, d, n)."""

    @property
    def pattern_of_row(self) -> NDArray[np.intp]:
        """The number of each row's pattern, (n,)."""
        return np.repeat(np.arange(len(self.first)), np.diff(np.append(self.first, len(self.rows))))

    @property
    def flat_index(self) -> NDArray[np.intp]:
        """The indices (s, n) of the unknowns of the systems in the flattened residuals of a component."""
        n = len(self.rows)
        return self.index[:, self.pattern_of_row] * n + np.arange(n)

    def inverses_of_rows(self, inverses: Float) -> Float:
        """Return the inverses for each row, (s, s, G, n), from those for each pattern."""
        return inverses if len(self.first) == len(self.rows) else inverses[..., self.pattern_of_row]

    def add(self, weights: Float, counts: Float, out: Float) -> None:
        """Add sums about the means with `weights` (K, n), and C with weights `counts` (K, n), to `out` (F, K)."""
        k, d, _ = self.residuals.shape
        inverses, log_det = self.systems()
        of_patterns = np.add.reduceat(counts, self.first, axis=1)
        places = (self.index[:, None] * d + self.index).ravel()
        summed = np.empty((k, d, d))
        for i, count in enumerate(of_patterns):
            weighted = inverses[:, :, i % inverses.shape[2]] * count
            summed[i] = np.bincount(places, weighted.ravel(), d * d).reshape(d, d)
        second = (self.residuals * weights[:, None]) @ np.swapaxes(self.residuals, 1, 2)
        second += self.spread(summed, of_patterns.sum(axis=1))
        row, column = triangle(d)
        out[0] += weights.sum(axis=1)
        out[1 : 1 + d] += (self.residuals @ weights[:, :, None])[:, :, 0].T
        out[1 + d : -1] += second[:, row, column].T
        out[-1] += 0.5 * (of_patterns * (self.n_missing * (1 + LOG_2PI) - log_det)).sum(axis=1)

    @property
    @abstractmethod
    def n_missing(self) -> int:
        """The number of missing columns of each row."""

    def moments(self) -> tuple[Float, Float]:
        """Return the conditional means minus mu, and the conditional variances; both (K, d, n)."""
        return self.residuals, self.variances()


class FewMissing(RowBatch):
    """Rows with few missing columns: the systems have the missing columns.

    e_m is computed in two steps; the second one uses the gradient after the first (Bjorck's corrected seminormal
    equations). So computing P = U U' loses no digits of e_m.
    """

    @staticmethod
    def system_columns(missing: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the missing columns."""
        return missing

    @property
    def n_missing(self) -> int:
        """The number of missing columns."""
        return len(self.index)

    def solve(self, x: Float) -> Float:
        """Compute e_m = -inv(P_mm) g_m."""
        upper, at = precision_factors(self.theta), self.flat_index
        residuals, flat = self.residuals, self.residuals.reshape(len(self.residuals), -1)
        np.subtract(x, self.theta.means[:, :, None], out=residuals)
        flat[:, at] = 0
        inverses, log_det = self.systems()
        of_rows = self.inverses_of_rows(inverses)
        for _ in range(2):
            whitened = np.swapaxes(upper, 1, 2) @ residuals
            gradient = np.take((upper @ whitened).reshape(flat.shape), at, axis=1)
            step = np.einsum("ijgn,gjn->gin", of_rows, gradient)
            flat[:, at] -= step
        observed = len(x) - self.n_missing
        self.constant[...] = 0.5 * (log_det_precision(upper) - log_det[:, self.pattern_of_row] - observed * LOG_2PI)
        return np.asarray(np.einsum("gin,gin->gn", whitened, whitened) - np.einsum("gin,gin->gn", gradient, step))

    def systems(self) -> tuple[Float, Float]:
        """Return C and log |P_mm|."""
        upper = precision_factors(self.theta)
        return block_inverses(upper @ np.swapaxes(upper, 1, 2), self.index)

    def spread(self, inverses: Float, totals: Float) -> Float:
        """Return the sum of the inverses: here they are C."""
        return inverses

    def variances(self) -> Float:
        """Return the diagonals of C."""
        out = np.zeros_like(self.residuals)
        diagonal = np.einsum("iign->gin", self.systems()[0])[..., self.pattern_of_row]
        out.reshape(len(out), -1)[:, self.flat_index] = diagonal
        return out


class FewMissingStable(FewMissing):
    """Rows with few missing columns, for nearly collinear columns: the systems are computed directly from U."""

    def systems(self) -> tuple[Float, Float]:
        """Return C and log |P_mm|."""
        upper, (m, p) = precision_factors(self.theta), self.index.shape
        step = max(1, CHUNK_BYTES // (8 * upper[0, 0].size * len(upper) * max(m, 1)))
        found = [gram_inverses(upper, self.index[:, i : i + step]) for i in range(0, p, step)]
        inverses, log_det = zip(*found, strict=True)
        return np.concatenate(inverses, axis=-1), np.concatenate(log_det, axis=-1)


class FewObserved(RowBatch):
    """Rows with few observed columns: the systems have the observed columns."""

    @staticmethod
    def system_columns(missing: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the observed columns."""
        return ~missing

    @property
    def n_missing(self) -> int:
        """The number of missing columns."""
        return int(self.residuals.shape[1]) - len(self.index)

    @property
    def covariances(self) -> Float:
        """S (G, d, d)."""
        covariances = self.theta.covariances
        return covariances[None] if covariances.ndim == 2 else covariances

    def solve(self, x: Float) -> Float:
        """Compute e = S_.o inv(S_oo) e_o."""
        at, flat = self.flat_index, self.residuals.reshape(len(self.residuals), -1)
        observed = np.take(x, at) - self.theta.means[:, self.index[:, self.pattern_of_row]]
        inverses, log_det = block_inverses(self.covariances, self.index)
        y = np.einsum("ijgn,gjn->gin", self.inverses_of_rows(inverses), observed)
        embedded = np.zeros_like(self.residuals)
        embedded.reshape(flat.shape)[:, at] = y
        np.matmul(self.covariances, embedded, out=self.residuals)
        flat[:, at] = observed
        self.constant[...] = -0.5 * (log_det[:, self.pattern_of_row] + len(self.index) * LOG_2PI)
        return np.asarray(np.einsum("gin,gin->gn", observed, y))

    def systems(self) -> tuple[Float, Float]:
        """Return inv(S_oo) and log |P_mm|."""
        inverses, log_det = block_inverses(self.covariances, self.index)
        return inverses, log_det + log_det_precision(precision_factors(self.theta))

    def spread(self, inverses: Float, totals: Float) -> Float:
        """Return the weighted sum of S - S inv(S_oo) S; it is 0 for observed columns."""
        s = self.covariances
        return np.asarray(totals[:, None, None] * s - s @ inverses @ s)

    def variances(self) -> Float:
        """Return the diagonals of C."""
        columns, out = self.index[:, self.pattern_of_row], np.empty_like(self.residuals)
        inverses = self.inverses_of_rows(block_inverses(self.covariances, self.index)[0])
        for i in range(len(out)):
            g = i % len(self.covariances)
            across = self.covariances[g][:, columns]
            explained = np.einsum("din,ijn,djn->dn", across, inverses[:, :, g], across, optimize=True)
            out[i] = np.maximum(np.diag(self.covariances[g])[:, None] - explained, 0)
        return out


def log_det_precision(upper: Float) -> Float:
    """Return log |P| (G, 1)."""
    return np.asarray(2 * np.log(np.einsum("gii->gi", upper)).sum(axis=1))[:, None]


def variance_inflation(theta: Gaussians) -> float:
    """Return the largest variance inflation factor P_jj S_jj; it is large if a column is nearly a sum of others."""
    variances = np.einsum("...ii->...i", theta.covariances)
    return float(((theta.precisions_cholesky**2).sum(axis=-1) * variances).max())
