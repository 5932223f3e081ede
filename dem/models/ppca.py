"""Probabilistic PCA by EM: a pass per iteration with statistics of size O(d q), or none on the moments.

E-step: E[z | x] = inv(M) W' (x - mu)   (PRML 12.48). M-step: W and s^2 from the sums   (PRML 12.56, 12.57).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from dem.model import Array, Block, Float
from dem.models.ppca_algebra import NO_DENSITY, PPCAParams, latent_precision, log_normaliser, projection
from dem.models.rowwise import check_finite, named
from dem.scan import Moments, Scan, scan_bytes
from dem.stats import ARITY, Additive

TILE_BYTES = 2**20


@dataclass(frozen=True)
class PPCAStats(Additive):
    """Expected statistics about the residuals r = x - mu - W E[z | x], which lose no digits.

    Attributes
    ----------
    weight, log_likelihood : float
    zz : array of shape (q, q)
        Sum of E[z | x] E[z | x]'.
    rz : array of shape (d, q)
        Sum of r E[z | x]'.
    rr : float
        Sum of |r|^2.
    """

    weight: float
    log_likelihood: float
    zz: Float
    rz: Float
    rr: float


@dataclass(frozen=True)
class PPCAModel:
    """Probabilistic PCA fitted by EM, with statistics of size O(d q).

    Attributes
    ----------
    n_components : int
    mean : array of shape (d,) or None
        The mean of all rows, which is the maximum-likelihood mu on complete data and replaces that of any
        parameters; None before `bind`.
    """

    n_components: int
    mean: Float | None = None

    needs_scatter = False
    measure = None

    def bind(self, scan: Scan) -> PPCAModel:
        """Take the mean."""
        return replace(self, mean=scan.moments.mean)

    def start(self, sample: Block, rng: np.random.Generator) -> PPCAParams:
        """Return the closed form on the sample, by its singular values: d^2 need not fit."""
        x = np.asarray(sample.x, dtype=np.float64)
        weight = np.ones(len(x)) if sample.weight is None else np.asarray(sample.weight, dtype=np.float64)
        total = weight.sum()
        mean = weight @ x / total
        centred = (x - mean) * np.sqrt(weight / total)[:, None]
        d, q = x.shape[1], self.n_components
        _, lengths, directions = np.linalg.svd(centred, full_matrices=False)
        values = np.zeros(max(q, len(lengths)))
        values[: len(lengths)] = lengths**2
        noise = float(values[q:].sum() / (d - q))
        if not noise > 0:  # too few rows to see any noise: leave a share of the variance to it
            noise = max(1e-3 * float(values.sum() / d), np.finfo(np.float64).tiny ** 0.5)
        loadings = 1e-3 * noise**0.5 * rng.standard_normal((d, q))
        found = min(q, len(lengths))
        loadings[:, :found] += directions[:found].T * np.sqrt(np.maximum(values[:found] - noise, 0.0))
        return self._centred(PPCAParams(mean, loadings, noise))

    def kernel(self, params: PPCAParams) -> Callable[[Block], PPCAStats]:
        """Return the E-step of one block."""
        return PPCAKernel(self._centred(params))

    def m_step(self, params: PPCAParams, stats: PPCAStats) -> PPCAParams:
        """Return W and s^2   (PRML 12.56, 12.57), as updates by the residuals about the old W."""
        w, noise = params.loadings, params.noise_variance
        d = len(w)
        posterior = noise * np.linalg.inv(latent_precision(params))
        second = stats.zz / stats.weight + posterior  # mean of E[z z']
        # sum x z' = rz + W zz, so the new W differs from the old by (rz / n - W posterior) inv(second).
        cross = stats.rz / stats.weight
        step = np.linalg.solve(second, (cross - w @ posterior).T).T
        new = w + step
        # |x - mu - new z|^2 = |r - step z|^2, summed
        residual = stats.rr / stats.weight - 2 * np.sum(step * cross)
        residual += np.sum((step @ (stats.zz / stats.weight)) * step)
        noise = float((residual + np.sum((new @ posterior) * new)) / d)
        if not noise > np.finfo(np.float64).eps * np.sum(new**2) / d:
            raise ValueError(NO_DENSITY)
        return self._centred(PPCAParams(params.mean, new, noise))

    def _centred(self, params: PPCAParams) -> PPCAParams:
        """Return the parameters with the mean of all rows: a start on a sample has the sample's."""
        return params if self.mean is None else replace(params, mean=self.mean)

    def objective(self, params: PPCAParams, stats: PPCAStats) -> float:
        """Return the log-likelihood."""
        return self.log_likelihood(params, stats)

    def log_likelihood(self, params: PPCAParams, stats: PPCAStats) -> float:
        """Return the log-likelihood in nats a row."""
        return stats.log_likelihood / stats.weight

    def expected(self, params: PPCAParams, stats: PPCAStats, new: PPCAParams) -> None:
        """Return None: the statistics are taken about the old W, and serve the M-step alone."""
        return

    def exact(self, params: PPCAParams) -> PPCAParams:
        """Return the parameters as they are: all arithmetic is float64."""
        return params

    def fresh(self, params: PPCAParams) -> PPCAParams:
        """Return the parameters as they are."""
        return params

    def rows(self, params: PPCAParams, what: str) -> Callable[[Block], Array]:
        """Return the function from a block to its "latent" posterior means or "score"."""
        return partial(self._rows, params, what)

    def output(self, params: PPCAParams, what: str) -> tuple[np.dtype[Any], int | None]:
        """Return dtype and columns: "latent" (n, q), "score" (n,) in nats, both float64."""
        outputs: dict[str, int | None] = {"latent": self.n_components, "score": None}
        return np.dtype(np.float64), named(outputs, what)

    def _rows(self, params: PPCAParams, what: str, block: Block) -> Array:
        """Return one output of a block of shape (n, d)."""
        x = block.x
        dtype, columns = self.output(params, what)
        out = np.empty(len(x) if columns is None else (len(x), columns), dtype)
        if len(x):
            check_finite(block)
        kernel = PPCAKernel(params)
        for start in range(0, len(x), kernel.tile):
            rows = slice(start, start + kernel.tile)
            z, residuals = kernel.latent(x[rows])
            out[rows] = z if what == "latent" else kernel.log_density(z, residuals)
        return out

    def draw(self, params: PPCAParams, n: int, rng: np.random.Generator) -> tuple[Float, Array]:
        """Return n rows (n, d) drawn from the model, and their latents (n, q)."""
        d, q = params.loadings.shape
        z = rng.standard_normal((n, q))
        noise = params.noise_variance**0.5 * rng.standard_normal((n, d))
        return z @ params.loadings.T + params.mean + noise, z

    def n_parameters(self, d: int) -> int:
        """Return d + 1 + d q - q (q - 1) / 2: W is known up to a rotation (PRML, after 12.58).

        With q = d the covariance is free, as it is with q = d - 1.
        """
        q = min(self.n_components, d - 1)
        return d + 1 + d * q - q * (q - 1) // 2

    def workspace_bytes(self, d: int) -> int:
        """Return what a task allocates beside its block, in bytes: a node of the tree holds `ARITY` sums and more."""
        q = self.n_components
        e_step = 4 * TILE_BYTES + 8 * (ARITY + 6) * (d + q) * q
        return max(e_step, scan_bytes(d, scatter=self.needs_scatter))


class PPCAKernel:
    """From a block to its statistics."""

    def __init__(self, params: PPCAParams) -> None:
        self.params = params
        self.tile = max(1, min(4096, TILE_BYTES // (8 * len(params.mean))))
        self.project = projection(params)

    def latent(self, x: Array) -> tuple[Float, Float]:
        """Return E[z | x] (n, q) and the residuals x - mu - W E[z | x] (n, d) of rows x (n, d)."""
        centred = x - self.params.mean
        z = centred @ self.project
        centred -= z @ self.params.loadings.T
        return z, centred

    def log_density(self, z: Float, residuals: Float) -> Float:
        """Return log p(x) (n,).

        (x - mu)' inv(C) (x - mu) = |r|^2 / s^2 + |E[z | x]|^2, which has no cancellation.
        """
        constant = log_normaliser(self.params)
        squares = np.einsum("ij,ij->i", z, z)
        if z.shape[1] < residuals.shape[1]:
            squares += np.einsum("ij,ij->i", residuals, residuals) / self.params.noise_variance
        return np.asarray(constant - 0.5 * squares)

    def __call__(self, block: Block) -> PPCAStats:
        """Return the statistics of a block of shape (n, d)."""
        d, q = self.params.loadings.shape
        zz, rz, rr, log_likelihood = np.zeros((q, q)), np.zeros((d, q)), 0.0, 0.0
        for start in range(0, len(block.x), self.tile):
            z, r = self.latent(block.x[start : start + self.tile])
            log_density = self.log_density(z, r)
            if block.weight is None:
                zw, squares = z, np.vdot(r, r)
                log_likelihood += float(log_density.sum())
            else:
                weight = np.asarray(block.weight[start : start + self.tile], dtype=np.float64)
                zw, squares = z * weight[:, None], np.einsum("ij,ij,i->", r, r, weight)
                log_likelihood += float(log_density @ weight)
            zz += zw.T @ z
            rz += r.T @ zw
            rr += float(squares)
        n = len(block.x)
        total = float(n) if block.weight is None else float(block.weight.sum(dtype=np.float64))
        return PPCAStats(n, total, log_likelihood, zz, rz, rr)


@dataclass(frozen=True)
class MomentsPPCAModel(PPCAModel):
    """Probabilistic PCA by EM on the moments of the data: its kernel needs no rows.

    Attributes
    ----------
    moments : Moments or None
        Of all rows, with the whole scatter; None before `bind`.
    n_rows : int
    """

    moments: Moments | None = None
    n_rows: int = 0

    needs_scatter = True

    def bind(self, scan: Scan) -> MomentsPPCAModel:
        """Take the moments."""
        return replace(self, mean=scan.moments.mean, moments=scan.moments, n_rows=scan.rows)

    def kernel(self, params: PPCAParams) -> Callable[[Block], PPCAStats]:
        """Return the E-step of all rows at once, whatever the block."""
        if self.moments is None:
            raise ValueError("the model is not bound to data: call bind(scan) first")
        stats = moments_stats(self.moments, self.n_rows, params)
        return lambda block: stats


def moments_stats(moments: Moments, rows: int, params: PPCAParams) -> PPCAStats:
    """Return the statistics of all rows from their covariance (d, d): EM without the data."""
    w, covariance = params.loadings, moments.covariance
    project = projection(params)
    residual = np.eye(len(w)) - w @ project.T  # r = residual (x - mu)
    cz = covariance @ project
    zz = project.T @ cz
    rr = float(np.sum((residual @ covariance) * residual))
    mean = log_normaliser(params) - 0.5 * (rr / params.noise_variance + float(np.trace(zz)))
    n = moments.weight
    return PPCAStats(rows, n, mean * n, zz * n, residual @ cz * n, rr * n)
