"""The E-step of K factor analysers on one tile with missing values: log-densities, latents, expected sums.

    log p(x_o) = -0.5 (sum over the observed j of log (2 pi psi_j) + r_j^2 / psi_j, + log |H| + |E[z | x_o]|^2)

with the residuals r = x - mu - W E[z | x_o]   (Woodbury; no cancellation). The systems of all rows are factorised at
once, each step a vector operation over the rows (`dem.linalg.cholesky_stack`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dem.families.factor_algebra import FactorAnalysers
from dem.linalg import cholesky_stack, gram_stack, inverse_stack, triangle_places
from dem.model import Float


@dataclass(frozen=True)
class Posteriors:
    """What the E-step of a tile found.

    Attributes
    ----------
    observed : array of shape (1 + d, n)
        1 where x is observed, else 0; the first row all 1.
    x : array of shape (d, n)
        0 where missing.
    z : array of shape (1 + q, K, n)
        E[z^ | x_o].
    covariance : array of shape (K, q (q + 1) / 2, n)
        The upper triangles of G.
    log_det : array of shape (K, n)
        log |H|.
    """

    observed: Float
    x: Float
    z: Float
    covariance: Float
    log_det: Float

    def residuals(self, theta: FactorAnalysers, k: int) -> Float:
        """Return x - mu - W E[z | x_o] of component k, (d, n); 0 where x is missing."""
        rest = self.x - theta.means[k][:, None]
        rest -= theta.loadings[k] @ self.z[1:, k]
        rest *= self.observed[1:]
        return np.asarray(rest)


def e_step(theta: FactorAnalysers, x: Float, out: Float) -> Posteriors:
    """Write log p(x_o | k) of the columns of x (d, n), NaN where missing, into `out` (K, n); return the latents."""
    (d, n), (k, _, q) = x.shape, theta.loadings.shape
    columns = theta.columns
    observed = np.ones((n, 1 + d)).T if x.flags.f_contiguous else np.ones((1 + d, n))
    missing = np.isnan(x)
    np.logical_not(missing, out=observed[1:], casting="unsafe")
    known = x.copy(order="K")
    np.copyto(known, 0.0, where=missing)
    found = Posteriors(
        observed, known, np.ones((1 + q, k, n)), np.empty((k, len(columns.outer[0, 0]), n)), np.empty((k, n))
    )
    for i in range(k):
        systems = (columns.outer[i].T @ observed[1:])[triangle_places(q)]
        systems[np.arange(q), np.arange(q)] += 1
        lower = cholesky_stack(systems)
        inverse = inverse_stack(lower)
        found.covariance[i] = gram_stack(inverse)
        np.sum(np.log(np.einsum("jjn->jn", lower)), axis=0, out=found.log_det[i])
        found.log_det[i] *= 2
        centred = (known - theta.means[i][:, None]) * observed[1:]
        whitened = np.einsum("ijn,jn->in", inverse, columns.scaled[i].T @ centred)
        found.z[1:, i] = np.einsum("jin,jn->in", inverse, whitened)
        rest = found.residuals(theta, i)
        rest *= rest
        out[i] = columns.log_noise[i] @ observed[1:] + columns.inverse[i] @ rest
        out[i] += found.log_det[i] + np.einsum("jn,jn->n", found.z[1:, i], found.z[1:, i])
    out *= -0.5
    return found


def add_sums(theta: FactorAnalysers, found: Posteriors, resp: Float, out: Float) -> None:
    """Add the expected sums of a tile, weighted by `resp` (K, n), to `out` (F', K): see `factor_missing_algebra.Sums`.

    Of every column over the rows that have it, E[z^ z^' | x_o]; and about the old parameters' e = x - mu - W z,
    E[e z^' | x_o] = r E[z^' | x_o] - (0, w_j' G) and E[e^2 | x_o] = r^2 + w_j' G w_j.
    """
    a, k, _ = found.z.shape
    row, column = np.triu_indices(a)
    size = len(row)
    features = np.empty((size + len(found.covariance[0]), found.z.shape[2]))
    for i in range(k):
        z, g, w = found.z[:, i], found.covariance[i], theta.loadings[i]
        np.multiply(z[row], z[column], out=features[:size])
        features[a:size] += g  # the triangle without its first row: that of the latents
        features[size:] = g
        features *= resp[i]
        second = found.observed @ features.T
        spread = np.stack([np.einsum("dl,dl->d", second[1:, size + at], w) for at in triangle_places(a - 1)], axis=1)
        rest = found.residuals(theta, i)
        cross = rest @ (z * resp[i]).T
        cross[:, 1:] -= spread
        rest *= rest
        parts = (
            second[:, :size].ravel(),
            cross.ravel(),
            rest @ resp[i] + np.einsum("dj,dj->d", spread, w),
            [found.log_det[i] @ resp[i]],
        )
        out[:, i] += np.concatenate(parts)


def fill(theta: FactorAnalysers, found: Posteriors, resp: Float) -> tuple[Float, Float]:
    """Return mean and variance (d, n) of x given x_o, and x and 0 where it is observed.

    Those of component k are mu + W E[z | x_o] and w_j' G w_j + psi_j; a mixture's variance is the mean of its
    components', and the variance of their means.
    """
    k, d, q = theta.loadings.shape
    row, column = np.triu_indices(q)
    doubled = np.where(row == column, 1.0, 2.0)
    means = [theta.means[i][:, None] + theta.loadings[i] @ found.z[1:, i] for i in range(k)]
    mean = np.asarray(sum(r * m for r, m in zip(resp, means, strict=True)))
    variance = np.zeros(mean.shape)
    for i in range(k):
        w = theta.loadings[i]
        within = (w[:, row] * w[:, column] * doubled) @ found.covariance[i]
        within += np.broadcast_to(theta.noise_variances[i], d)[:, None]
        variance += resp[i] * (within + (means[i] - mean) ** 2)
    missing = found.observed[1:] == 0
    return np.where(missing, mean, found.x), np.where(missing, variance, 0.0)
