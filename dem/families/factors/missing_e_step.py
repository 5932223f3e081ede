"""The E-step of K factor analysers on one tile with missing values: log-densities, latents, expected sums.

    log p(x_o) = -0.5 (sum over the observed j of log (2 pi psi_j) + r_j^2 / psi_j, + log |H| + |E[z | x_o]|^2)

with the residuals r = x - mu - W E[z | x_o]   (Woodbury; no cancellation). The matrices H of all rows are factorised
together, with vector operations over the rows (`dem.core.linalg.cholesky_stack`). Rows that lose digits this way are
factorised by QR (`dem.families.factors.qr_posterior`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Float
from dem.core.linalg import (
    cholesky_stack,
    gram_stack,
    inverse_stack,
    outer_triangle,
    triangle,
    triangle_places,
    triangle_size,
)
from dem.families.factors.algebra import HIGH_SNR, FactorAnalysers
from dem.families.factors.missing_algebra import TOO_FEW
from dem.families.factors.qr_posterior import QRPosterior, Rows, qr_posteriors, rows_needing_qr
from dem.families.independent_columns import residuals


@dataclass(frozen=True)
class Posteriors:
    """Result of the E-step of a tile.

    Attributes
    ----------
    x : array of shape (d, n)
        The tile itself, NaN where missing.
    missing : bool array of shape (d, n)
    observed : array of shape (d, n)
        1 where x is observed, else 0.
    z : array of shape (1 + q, K, n)
        E[z^ | x_o].
    covariance : array of shape (K, q (q + 1) / 2, n)
        The upper triangles of G.
    log_det : array of shape (K, n)
        log |H|.
    qr_rows : tuple of int arrays
        For each component, the rows whose posteriors come from `dem.families.factors.qr_posterior`.
    last : array of shape (d, n)
        The residuals of the last component, kept because the sums need them again.
    """

    x: Float
    missing: NDArray[np.bool_]
    observed: Float
    z: Float
    covariance: Float
    log_det: Float
    qr_rows: tuple[Rows, ...]
    last: Float

    def residuals(self, theta: FactorAnalysers, k: int) -> Float:
        """Return x - mu - W E[z | x_o] of component k, (d, n); 0 where x is missing."""
        if k == len(self.covariance) - 1:
            return self.last
        rest = residuals(self.x, theta.means[k], self.missing)
        return subtract_fit(rest, theta.loadings[k], self.z[1:, k], self.observed)

    def qr_posteriors_of(self, theta: FactorAnalysers, k: int) -> Iterator[QRPosterior]:
        """Return the posteriors of the rows `qr_rows[k]`, a part of the rows at a time."""
        if not len(rows := self.qr_rows[k]):
            return iter(())
        return qr_posteriors(theta, k, rows, residuals(self.x, theta.means[k], self.missing), self.observed)


def subtract_fit(rest: Float, loadings: Float, z: Float, observed: Float) -> Float:
    """Subtract W z (d, n) from `rest`, set it to 0 where x is missing, and return it."""
    rest -= loadings @ z
    rest *= observed
    return rest


def solve(inverse: Float, y: Float) -> Float:
    """Return inv(L L') y for the columns of y (q, n); M = inv(L) (q, q, n) is given for each column."""
    return np.asarray(np.einsum("jin,jn->in", inverse, np.einsum("ijn,jn->in", inverse, y)))


def observed_e_step(theta: FactorAnalysers, x: Float, out: Float) -> Posteriors:
    """Write log p(x_o | k) of the columns of x (d, n), NaN where missing, into `out` (K, n); return the latents."""
    n, (k, _, q) = x.shape[1], theta.loadings.shape
    columns, missing = theta.column_terms, np.isnan(x)
    observed = np.subtract(1.0, missing, dtype=np.float64)
    z = np.ones((1 + q, k, n))
    covariance, log_det = np.empty((k, triangle_size(q), n)), np.empty((k, n))
    qr_rows = []
    for i in range(k):
        systems = (columns.outer[i].T @ observed)[triangle_places(q)]
        systems[np.arange(q), np.arange(q)] += 1
        try:
            lower = cholesky_stack(systems, least=1.0)
        except np.linalg.LinAlgError:
            raise ValueError(TOO_FEW) from None
        inverse = inverse_stack(lower)
        gram_stack(inverse, out=covariance[i])
        np.sum(np.log(np.einsum("jjn->jn", lower)), axis=0, out=log_det[i])
        log_det[i] *= 2
        rest = residuals(x, theta.means[i], missing)
        whitened = np.einsum("ijn,jn->in", inverse, columns.scaled[i].T @ rest)
        latent = np.einsum("jin,jn->in", inverse, whitened)
        qr_rows.append(rows_needing_qr(systems, lower))
        for part in qr_posteriors(theta, i, qr_rows[i], rest, observed):
            gram = np.empty((triangle_size(q), len(part.rows)))
            gram_stack(part.inverse, out=gram)
            covariance[i][:, part.rows], log_det[i, part.rows] = gram, part.log_det
            latent[:, part.rows] = np.einsum("jim,jm->im", part.inverse, part.whitened)
        subtract_fit(rest, theta.loadings[i], latent, observed)
        if (np.sum(theta.loadings[i] ** 2, axis=1) * columns.inverse[i] > HIGH_SNR).any():  # one step of refinement
            gradient = columns.scaled[i].T @ rest - latent
            step = solve(inverse, gradient)
            for part in qr_posteriors(theta, i, qr_rows[i], rest, observed):
                step[:, part.rows] = solve(part.inverse, gradient[:, part.rows])
            latent += step
            subtract_fit(rest, theta.loadings[i], step, observed)
        out[i] = columns.log_noise[i] @ observed + columns.inverse[i] @ (rest * rest)
        out[i] += log_det[i] + np.einsum("jn,jn->n", latent, latent)
        z[1:, i] = latent
    out *= -0.5
    return Posteriors(x, missing, observed, z, covariance, log_det, tuple(qr_rows), rest)


def add_sums(theta: FactorAnalysers, found: Posteriors, resp: Float, out: Float) -> None:
    """Add the expected sums of a tile, weighted by `resp` (K, n), to `out` (F', K): see `ColumnwiseSums`.

    For each column, over the rows in which it is observed: E[z^ z^' | x_o]; and, with e = x - mu - W z of the old
    parameters, E[e z^' | x_o] = r E[z^' | x_o] - (0, w_j' G) and E[e^2 | x_o] = r^2 + w_j' G w_j.
    """
    a, k, n = found.z.shape
    size = triangle_size(a)
    features = np.empty((size + triangle_size(a - 1), n))
    for i in range(k):
        z, g, w = found.z[:, i], found.covariance[i], theta.loadings[i]
        outer_triangle(z, features[:size])
        features[a:size] += g  # the triangle without its first row belongs to the latents
        features[size:] = g
        features[size:, found.qr_rows[i]] = 0  # added below by QR: w_j' G w_j can be much smaller than its terms
        features *= resp[i]
        second = found.observed @ features.T
        spread = times_triangle(second[:, size:], w)
        within = np.einsum("dj,dj->d", spread, w)
        for part in found.qr_posteriors_of(theta, i):
            root, share = part.spread(w), found.observed[:, part.rows] * resp[i, part.rows]
            spread += np.einsum("ijm,dim,dm->dj", part.inverse, root, share)
            within += np.einsum("dim,dim,dm->d", root, root, share)
        rest = found.residuals(theta, i)
        cross = rest @ (z * resp[i]).T
        cross[:, 1:] -= spread
        squares = (rest * rest) @ resp[i] + within
        all_rows = features[:size].sum(axis=1)
        log_det = found.log_det[i] @ resp[i]
        out[:, i] += np.concatenate([all_rows, second[:, :size].ravel(), cross.ravel(), squares, [log_det]])


def times_triangle(packed: Float, w: Float) -> Float:
    """Return G_j w_j (d, q) for symmetric G_j, given as upper triangles (d, q (q + 1) / 2), row by row."""
    out, start, q = np.zeros(w.shape), 0, w.shape[1]
    for i in range(q):
        row = packed[:, start : start + q - i]
        out[:, i] += np.einsum("dj,dj->d", row, w[:, i:])
        out[:, i + 1 :] += row[:, 1:] * w[:, i : i + 1]
        start += q - i
    return out


def conditional_moments(theta: FactorAnalysers, found: Posteriors, resp: Float) -> tuple[Float, Float]:
    """Return mean and variance (d, n) of x given x_o; where x is observed, they are x and 0.

    For component k they are mu + W E[z | x_o] and w_j' G w_j + psi_j. The variance of the mixture is the mean of the
    components' variances plus the variance of their means.
    """
    k, d, q = theta.loadings.shape
    row, column = triangle(q)
    doubled = np.where(row == column, 1.0, 2.0)
    means = [theta.means[i][:, None] + theta.loadings[i] @ found.z[1:, i] for i in range(k)]
    mean = np.asarray(sum(r * m for r, m in zip(resp, means, strict=True)))
    variance = np.zeros(mean.shape)
    for i in range(k):
        w = theta.loadings[i]
        within = (w[:, row] * w[:, column] * doubled) @ found.covariance[i]
        for part in found.qr_posteriors_of(theta, i):
            within[:, part.rows] = (part.spread(w) ** 2).sum(axis=1)
        within += np.broadcast_to(theta.noise_variances[i], d)[:, None]
        variance += resp[i] * (within + (means[i] - mean) ** 2)
    return np.where(found.missing, mean, found.x), np.where(found.missing, variance, 0.0)
