"""Linear latent models: the statistics, the kernel that computes them, and the M-step for W.

The statistics are sums of the residuals r = x - mu - W E[z | x] of the current parameters, so that no digits are lost.
They have the size O(d q); no array has the size d^2. If an M-step changes W by V, the residuals change by -V E[z | x].

Parameter expansion (Liu, Rubin and Wu 1998): let z ~ N(0, L L'). The M-step estimates L L' = E[z z'] too. Then W is
replaced by W L, so that z is N(0, I) again. If the noise is small compared with the signal, plain EM changes the
lengths of W very slowly; this finds them at once. The bound in the history uses the stretched posterior.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from dem.core.block import Array, Block, Float
from dem.core.stats import Additive
from dem.families.factors.algebra import HIGH_SNR
from dem.models.latent.algebra import (
    LatentParams,
    inverse_noise,
    log_normaliser,
    posterior_covariance,
    projection,
)
from dem.models.mixture.kernel import positive_weight_rows

TILE_BYTES, MIN_TILE, MAX_TILE = 2**20, 16, 4096


@dataclass(frozen=True)
class LatentStats(Additive):
    """Expected statistics, from the residuals r.

    Attributes
    ----------
    weight, log_likelihood : float
    zz : array of shape (q, q)
        Sum of E[z | x] E[z | x]'.
    rz : array of shape (d, q)
        Sum of r E[z | x]'.
    rr : array of shape (d,)
        Sum of r^2, column by column.
    """

    weight: float
    log_likelihood: float
    zz: Float
    rz: Float
    rr: Float


class MeanStats(NamedTuple):
    """The statistics as means over the rows.

    Attributes
    ----------
    posterior : array of shape (q, q)
        The covariance of z given x.
    zz, rz, rr
        As in `LatentStats`, divided by the weight.
    """

    posterior: Float
    zz: Float
    rz: Float
    rr: Float

    @property
    def second(self) -> Float:
        """E[z z' | x], (q, q)   (PRML 12.55)."""
        return self.zz + self.posterior

    def squares(self, old: Float, new: Float) -> Float:
        """Return E[(x - mu - W z)^2 | x] of each column (d,) for the `new` W; the statistics are those of `old` W."""
        step = new - old
        found = self.rr - 2 * np.sum(step * self.rz, axis=1) + np.sum((step @ self.zz) * step, axis=1)
        return np.asarray(found + np.sum((new @ self.posterior) * new, axis=1))


class LoadingsUpdate(NamedTuple):
    """The result of an M-step for W.

    Attributes
    ----------
    loadings : array of shape (d, q)
        The new W for the old scale of z.
    stretch : array of shape (q, q)
        L, lower triangular; the new W for z ~ N(0, I) is `loadings` L.
    """

    loadings: Float
    stretch: Float


def updated_loadings(found: MeanStats, old: Float) -> LoadingsUpdate:
    """Return the new W   (PRML 12.56) and its stretch L.

    Because sum x z' = rz + W zz, the new W is the old W plus (rz / n - W posterior) inv(second).
    """
    step = np.linalg.solve(found.second, (found.rz - old @ found.posterior).T).T
    return LoadingsUpdate(old + step, np.asarray(np.linalg.cholesky(found.second)))


def mean_stats(params: LatentParams, stats: LatentStats) -> MeanStats:
    """Return statistics, made with `params`, as means over the rows."""
    n = stats.weight
    return MeanStats(posterior_covariance(params), stats.zz / n, stats.rz / n, stats.rr / n)


def latent_tile_rows(d: int) -> int:
    """Return the number of rows in a tile of d columns; at least `MIN_TILE`, so that W is not read too often."""
    return max(MIN_TILE, min(MAX_TILE, TILE_BYTES // (8 * d)))


class LatentKernel:
    """Computes the statistics of a block."""

    def __init__(self, params: LatentParams) -> None:
        self.params = params
        self.tile = latent_tile_rows(len(params.mean))
        self.project = projection(params)
        self.inverse_noise = inverse_noise(params)
        signal = np.sum(params.loadings**2, axis=1) * self.inverse_noise
        self.posterior = posterior_covariance(params) if (signal > HIGH_SNR).any() else None

    def latent(self, x: Array) -> tuple[Float, Float]:
        """Return E[z | x] (n, q) and the residuals x - mu - W E[z | x] (n, d) of rows x (n, d).

        The rounding of W E[z | x] is a share of x, which can be much larger than the noise. If it is, a second step
        corrects z and the residuals.
        """
        w = self.params.loadings
        centred = x - self.params.mean
        z = centred @ self.project
        centred -= z @ w.T
        if self.posterior is not None:
            step = ((centred * self.inverse_noise) @ w - z) @ self.posterior
            z += step
            centred -= step @ w.T
        return z, centred

    def log_density(self, z: Float, residuals: Float) -> Float:
        """Return log p(x) (n,).

        (x - mu)' inv(C) (x - mu) = r' inv(Psi) r + |E[z | x]|^2, a sum without cancellation.
        """
        squares = np.einsum("ij,ij->i", z, z)
        squares += np.einsum("ij,ij,j->i", residuals, residuals, self.inverse_noise)
        return np.asarray(log_normaliser(self.params) - 0.5 * squares)

    def __call__(self, block: Block) -> LatentStats:
        """Return the statistics of a block of shape (n, d)."""
        d, q = self.params.loadings.shape
        zz, rz, rr, log_likelihood = np.zeros((q, q)), np.zeros((d, q)), np.zeros(d), 0.0
        for start in range(0, len(block.x), self.tile):
            rows, weight = positive_weight_rows(block.part(start, start + self.tile))
            z, r = self.latent(rows)
            log_density = self.log_density(z, r)
            if weight is None:
                zw, rw = z, r
                log_likelihood += float(log_density.sum())
            else:
                weight = np.asarray(weight, dtype=np.float64)
                zw, rw = z * weight[:, None], r * weight[:, None]
                log_likelihood += float(log_density @ weight)
            zz += zw.T @ z
            rz += r.T @ zw
            rr += np.einsum("ij,ij->j", r, rw)
        n = len(block.x)
        total = float(n) if block.weight is None else float(block.weight.sum(dtype=np.float64))
        return LatentStats(n, total, log_likelihood, zz, rz, rr)


def about_mean(params: LatentParams, stats: LatentStats, mean: Float) -> LatentStats:
    """Return the statistics about the mean of the rows, given those about the mean of `params`.

    Latents and residuals are linear in x - mu, so that their sums follow from those of the rows.

    Parameters
    ----------
    params : LatentParams
        With which the statistics were computed.
    stats : LatentStats
    mean : array of shape (d,)
        The weighted mean of all rows in the statistics.
    """
    z, r = _of_step(params, mean)
    n = stats.weight
    log_likelihood = stats.log_likelihood + 0.5 * n * squared_distance(params, mean)
    return replace(
        stats,
        log_likelihood=log_likelihood,
        zz=stats.zz - n * np.outer(z, z),
        rz=stats.rz - n * np.outer(r, z),
        rr=stats.rr - n * r**2,
    )


def squared_distance(params: LatentParams, mean: Float) -> float:
    """Return (m - mu)' inv(C) (m - mu) of a point m (d,)."""
    z, r = _of_step(params, mean)
    return float(z @ z + (r * inverse_noise(params)) @ r)


def _of_step(params: LatentParams, mean: Float) -> tuple[Float, Float]:
    """Return E[z | x] (q,) and the residual (d,) of x = m."""
    kernel = LatentKernel(replace(params, mean=np.zeros(len(mean))))
    z, r = kernel.latent((mean - params.mean)[None])
    return z[0], r[0]


def stats_of_covariance(root: Float, weight: float, rows: int, params: LatentParams) -> LatentStats:
    """Return the statistics of data with covariance F F' about the mean of the parameters: EM without the data.

    The columns of F are used like rows, and their residuals are computed. Differences of variances would lose the
    digits of noise that is small compared with the variance of a column.

    Parameters
    ----------
    root : array of shape (d, r)
        F.
    weight, rows
        The total weight and the number of rows, for the statistics.
    params : LatentParams
    """
    kernel = LatentKernel(replace(params, mean=np.zeros(len(root))))
    z, r = kernel.latent(root.T)
    zz, rz, rr = z.T @ z, r.T @ z, np.einsum("ij,ij->j", r, r)
    mean = log_normaliser(params) - 0.5 * float(rr @ kernel.inverse_noise + np.trace(zz))
    return LatentStats(rows, weight, mean * weight, zz * weight, rz * weight, rr * weight)
