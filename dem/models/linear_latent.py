"""What linear models with Gaussian latents share: the statistics, their kernel, and what is said of rows.

Statistics are taken about the residuals r = x - mu - W E[z | x] of the parameters they were made with, which
loses no digits, and have the size O(d q); d^2 is never formed. An M-step changes W by a step V, and the
residuals by -V E[z | x].
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, NamedTuple, Self, TypeVar

import numpy as np

from dem.model import Array, Block, Float
from dem.models.latent_algebra import (
    LatentParams,
    expected_log_joint,
    inverse_noise,
    log_normaliser,
    noise_of,
    posterior_covariance,
    projection,
)
from dem.models.rowwise import check_finite, named
from dem.scan import Moments, Scan, scan_bytes
from dem.stats import ARITY, Additive

TILE_BYTES, MIN_TILE, MAX_TILE = 2**20, 16, 4096

L = TypeVar("L", bound=LatentParams)


@dataclass(frozen=True)
class LatentStats(Additive):
    """Expected statistics about the residuals r.

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


class Means(NamedTuple):
    """Means over the rows.

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
        """Return E[(x - mu - W z)^2 | x] of each column (d,), for `new` W, the statistics being made with `old`."""
        step = new - old
        found = self.rr - 2 * np.sum(step * self.rz, axis=1) + np.sum((step @ self.zz) * step, axis=1)
        return np.asarray(found + np.sum((new @ self.posterior) * new, axis=1))


def means(params: LatentParams, stats: LatentStats) -> Means:
    """Return the means over the rows of statistics that were made with `params`."""
    n = stats.weight
    return Means(posterior_covariance(params), stats.zz / n, stats.rz / n, stats.rr / n)


@dataclass(frozen=True)
class LatentModel(Generic[L]):
    """Base of the linear models with Gaussian latents.

    Attributes
    ----------
    n_components : int
        q.
    mean : array of shape (d,) or None
        The mean of all rows, which is the maximum-likelihood mu on complete data and replaces that of any
        parameters; None before `bind`.
    """

    n_components: int
    mean: Float | None = None

    needs_scatter = False
    measure = None

    def bind(self, scan: Scan) -> Self:
        """Take the mean."""
        return replace(self, mean=scan.moments.mean)

    def bound(self, params: L) -> L:
        """Return the parameters with the mean of all rows: a start on a sample has the sample's."""
        return params if self.mean is None else replace(params, mean=self.mean)

    @abstractmethod
    def start(self, sample: Block, rng: np.random.Generator) -> L:
        """Return first parameters from a sample."""

    @abstractmethod
    def m_step(self, params: L, stats: LatentStats) -> L:
        """Return new parameters."""

    @abstractmethod
    def n_parameters(self, d: int) -> int:
        """Return the number of free parameters for data of d columns."""

    @abstractmethod
    def canonical(self, params: L) -> tuple[L, Float]:
        """Return the same model with W turned as one reads it, and its directions or loadings (q, d)."""

    def kernel(self, params: L) -> Callable[[Block], LatentStats]:
        """Return the E-step of one block."""
        return LatentKernel(self.bound(params))

    def objective(self, params: L, stats: LatentStats) -> float:
        """Return the log-likelihood."""
        return self.log_likelihood(params, stats)

    def log_likelihood(self, params: L, stats: LatentStats) -> float:
        """Return the log-likelihood in nats a row."""
        return stats.log_likelihood / stats.weight

    def expected(self, params: L, stats: LatentStats, new: L) -> float | None:
        """Return Q(new; stats) in nats a row   (PRML 12.53)."""
        params, new = self.bound(params), self.bound(new)
        found = means(params, stats)
        return expected_log_joint(noise_of(new), found.squares(params.loadings, new.loadings), found.second)

    def exact(self, params: L) -> L:
        """Return the parameters as they are: all arithmetic is float64."""
        return params

    def fresh(self, params: L) -> L:
        """Return the parameters as they are."""
        return params

    def rows(self, params: L, what: str) -> Callable[[Block], Array]:
        """Return the function from a block to its "latent" posterior means or "score"."""
        return partial(self._rows, params, what)

    def output(self, params: L, what: str) -> tuple[np.dtype[Any], int | None]:
        """Return dtype and columns: "latent" (n, q), "score" (n,) in nats, both float64."""
        outputs: dict[str, int | None] = {"latent": self.n_components, "score": None}
        return np.dtype(np.float64), named(outputs, what)

    def _rows(self, params: L, what: str, block: Block) -> Array:
        """Return one output of a block of shape (n, d)."""
        x = block.x
        dtype, columns = self.output(params, what)
        out = np.empty(len(x) if columns is None else (len(x), columns), dtype)
        if len(x):
            check_finite(block)
        kernel = LatentKernel(params)
        for start in range(0, len(x), kernel.tile):
            rows = slice(start, start + kernel.tile)
            z, residuals = kernel.latent(x[rows])
            out[rows] = z if what == "latent" else kernel.log_density(z, residuals)
        return out

    def draw(self, params: L, n: int, rng: np.random.Generator) -> tuple[Float, Array]:
        """Return n rows (n, d) drawn from the model, and their latents (n, q)."""
        d, q = params.loadings.shape
        z = rng.standard_normal((n, q))
        noise = np.sqrt(params.noise_variance) * rng.standard_normal((n, d))
        return z @ params.loadings.T + params.mean + noise, z

    def workspace_bytes(self, d: int) -> int:
        """Return what a task allocates beside its block, in bytes: a node of the tree holds `ARITY` sums and more."""
        q = self.n_components
        e_step = 4 * 8 * d * tile_rows(d) + 8 * (ARITY + 6) * (d + q) * (q + 1)
        return max(e_step, scan_bytes(d, scatter=self.needs_scatter))


def tile_rows(d: int) -> int:
    """Return the rows of a tile of d columns; of very many columns, enough that W is not read for every row."""
    return max(MIN_TILE, min(MAX_TILE, TILE_BYTES // (8 * d)))


class LatentKernel:
    """From a block to its statistics."""

    def __init__(self, params: LatentParams) -> None:
        self.params = params
        self.tile = tile_rows(len(params.mean))
        self.project = projection(params)
        self.inverse_noise = inverse_noise(params)

    def latent(self, x: Array) -> tuple[Float, Float]:
        """Return E[z | x] (n, q) and the residuals x - mu - W E[z | x] (n, d) of rows x (n, d)."""
        centred = x - self.params.mean
        z = centred @ self.project
        centred -= z @ self.params.loadings.T
        return z, centred

    def log_density(self, z: Float, residuals: Float) -> Float:
        """Return log p(x) (n,).

        (x - mu)' inv(C) (x - mu) = r' inv(Psi) r + |E[z | x]|^2, which has no cancellation.
        """
        squares = np.einsum("ij,ij->i", z, z)
        squares += np.einsum("ij,ij,j->i", residuals, residuals, self.inverse_noise)
        return np.asarray(log_normaliser(self.params) - 0.5 * squares)

    def __call__(self, block: Block) -> LatentStats:
        """Return the statistics of a block of shape (n, d)."""
        d, q = self.params.loadings.shape
        zz, rz, rr, log_likelihood = np.zeros((q, q)), np.zeros((d, q)), np.zeros(d), 0.0
        for start in range(0, len(block.x), self.tile):
            z, r = self.latent(block.x[start : start + self.tile])
            log_density = self.log_density(z, r)
            if block.weight is None:
                zw, rw = z, r
                log_likelihood += float(log_density.sum())
            else:
                weight = np.asarray(block.weight[start : start + self.tile], dtype=np.float64)
                zw, rw = z * weight[:, None], r * weight[:, None]
                log_likelihood += float(log_density @ weight)
            zz += zw.T @ z
            rz += r.T @ zw
            rr += np.einsum("ij,ij->j", r, rw)
        n = len(block.x)
        total = float(n) if block.weight is None else float(block.weight.sum(dtype=np.float64))
        return LatentStats(n, total, log_likelihood, zz, rz, rr)


def moments_stats(covariance: Float, weight: float, rows: int, params: LatentParams) -> LatentStats:
    """Return the statistics of rows of this covariance (d, d) about the parameters' mean: EM without the data."""
    w, project = params.loadings, projection(params)
    cz = covariance @ project
    zz = project.T @ cz
    rz = cz - w @ zz
    # r = (x - mu) - W E[z | x], so its variances are those of x, less what E[z | x] tells of them
    rr = np.maximum(np.diag(covariance) - np.sum(w * (cz + rz), axis=1), 0.0)
    mean = log_normaliser(params) - 0.5 * float(rr @ inverse_noise(params) + np.trace(zz))
    return LatentStats(rows, weight, mean * weight, zz * weight, rz * weight, rr * weight)


@dataclass(frozen=True)
class OnMoments(LatentModel[L]):
    """Mixed into a model, makes it one on the moments of the data: its kernel needs no rows.

    Attributes
    ----------
    moments : Moments or None
        Of all rows, with the whole scatter; None before `bind`.
    n_rows : int
    """

    moments: Moments | None = None
    n_rows: int = 0

    needs_scatter = True

    def bind(self, scan: Scan) -> Self:
        """Take the moments."""
        return replace(super().bind(scan), moments=scan.moments, n_rows=scan.rows)

    @property
    def covariance(self) -> Float:
        """Of the data, (d, d)."""
        if self.moments is None:
            raise ValueError("the model is not bound to data: call bind(scan) first")
        return self.moments.covariance

    def kernel(self, params: L) -> Callable[[Block], LatentStats]:
        """Return the E-step of all rows at once, whatever the block."""
        weight = 0.0 if self.moments is None else self.moments.weight
        stats = moments_stats(self.covariance, weight, self.n_rows, self.bound(params))
        return lambda block: stats
