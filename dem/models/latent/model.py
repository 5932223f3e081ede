"""The base of linear models with Gaussian latents: likelihood, bound and row outputs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Generic, NoReturn, Self, TypeVar

import numpy as np

from dem.core.block import Array, Block, Float
from dem.core.stats import ARITY
from dem.em.model import Step
from dem.em.row_output import REAL, RowOutput, RowOutputs
from dem.models.latent import rows as latent_rows
from dem.models.latent.algebra import LatentParams, expected_log_joint, noise_diagonal
from dem.models.latent.kernel import (
    LatentKernel,
    LatentStats,
    about_mean,
    latent_tile_rows,
    mean_stats,
    squared_distance,
    stats_of_covariance,
)
from dem.models.latent.spectrum import square_root
from dem.scan.moments import Moments
from dem.scan.scanner import Scan, scan_bytes

L = TypeVar("L", bound=LatentParams)

LARGEST_MOVE = 1e4
"""The largest squared distance of the means, per column, over which statistics are moved: four digits are lost."""


@dataclass(frozen=True)
class LatentModel(Generic[L]):
    """Base of the linear models with Gaussian latents.

    Attributes
    ----------
    n_components : int
        q.
    mean : array of shape (d,) or None
        The mean of all rows, which is the maximum-likelihood mu on complete data. It replaces the mean of any
        parameters. None before `bind`.
    base: float
        The mean of the log base measure over all rows, in nats; known after `bind`.
    """

    n_components: int
    mean: Float | None = None
    base: float = field(default=0.0, kw_only=True, repr=False)

    needs_scatter = False
    measure = None

    def squared(self, variances: Float) -> Float:
        """Return the variances: every column keeps its digits."""
        return variances

    def bind(self, scan: Scan) -> LatentModel[L]:
        """Return the model with its values from a scan; if values are missing, the model for such rows."""
        bound = self.with_scan(scan)
        return replace(bound.with_missing() if scan.lacking.any() else bound, base=scan.mean_base)

    def with_scan(self, scan: Scan) -> Self:
        """Return the model with the values that it needs from a scan: the mean."""
        return replace(self, mean=scan.moments.mean)

    def bind_like(self, scan: Scan, guess: LatentModel[L], params: L) -> LatentModel[L] | None:
        """Return the bound model; None if in the pass of `guess` the parameters or the kind of rows were others.

        The mean may differ (see `own_stats`), unless it is so far away that digits would be lost.
        """
        bound = self.bind(scan)
        own, theirs = bound.constrained(params), guess.constrained(params)
        same = type(bound) is type(guess) and np.array_equal(own.noise_variance, theirs.noise_variance)
        return bound if same and squared_distance(theirs, own.mean) <= LARGEST_MOVE * len(own.mean) else None

    def own_stats(self, params: L, stats: Any, guess: LatentModel[L]) -> Any:
        """Return the statistics about the mean of all rows, given those about the mean of `guess`."""
        return stats if self.mean is None else about_mean(guess.constrained(params), stats, self.mean)

    @abstractmethod
    def with_missing(self) -> LatentModel[L]:
        """Return the model of rows in which values are missing."""

    def constrained(self, params: L) -> L:
        """Return the parameters with the mean of all rows, in place of the mean of a sample."""
        return params if self.mean is None else replace(params, mean=self.mean)

    @abstractmethod
    def start(self, sample: Block, rng: np.random.Generator) -> L:
        """Return first parameters from a sample."""

    @abstractmethod
    def m_step(self, params: L, stats: LatentStats) -> Step[L]:
        """Return new parameters."""

    @abstractmethod
    def n_parameters(self, d: int) -> int:
        """Return the number of free parameters for data of d columns."""

    @abstractmethod
    def canonical(self, params: L) -> tuple[L, Float]:
        """Return the parameters with W in its usual rotation, and its directions or loadings (q, d)."""

    def kernel(self, params: L) -> Callable[[Block], LatentStats]:
        """Return the E-step of one block."""
        return LatentKernel(self.constrained(params))

    def objective(self, params: L, stats: LatentStats) -> float:
        """Return the log-likelihood."""
        return self.log_likelihood(params, stats)

    def log_likelihood(self, params: L, stats: LatentStats) -> float:
        """Return the log-likelihood in nats a row."""
        return stats.log_likelihood / stats.weight + self.base

    def expected(self, params: L, stats: LatentStats, new: L) -> float | None:
        """Return Q(new; stats) in nats a row   (PRML 12.53), plus the change of the entropy of q if z is stretched."""
        stretch = stretch_between(params, new)
        back = np.linalg.inv(stretch)
        found = mean_stats(self.constrained(params), stats)
        squares = found.squares(params.loadings, new.loadings @ back)
        joint = expected_log_joint(noise_diagonal(self.constrained(new)), squares, back @ found.second @ back.T)
        return joint - float(np.linalg.slogdet(stretch)[1])

    def is_exact(self, params: L) -> bool:
        """Return True: all arithmetic is float64."""
        return True

    def exact(self, params: L) -> L:
        """Return the same parameters: all arithmetic is float64."""
        return params

    def for_new_fit(self, params: L) -> L:
        """Return the same parameters: a fit leaves no marks."""
        return params

    def row_outputs(self, params: L, dtype: np.dtype[Any] = REAL) -> RowOutputs:
        """Return the table of outputs: see `dem.models.latent.rows`."""
        d, q = params.loadings.shape
        return latent_rows.latent_outputs(q, d, dtype)

    def rows(self, params: L, output: RowOutput) -> Callable[[Block], Array]:
        """Return the function from a block to one of the outputs."""
        return partial(latent_rows.compute_latent_output, params, output)

    def draw(self, params: L, n: int, rng: np.random.Generator) -> tuple[Float, Array]:
        """Return n rows (n, d) drawn from the model, and their latents (n, q)."""
        d, q = params.loadings.shape
        z = rng.standard_normal((n, q))
        noise = np.sqrt(params.noise_variance) * rng.standard_normal((n, d))
        return z @ params.loadings.T + params.mean + noise, z

    def work(self, x: Array) -> float:
        """Return the operations of two products of every row with the loadings, or with their squares for NaN."""
        q = self.n_components + 1
        return 4.0 * x.size * (q * q if np.isnan(x).any() else q)

    def workspace_bytes(self, d: int) -> int:
        """Return the bytes that a task needs in addition to its block; a node of the tree has `ARITY` sums and more."""
        q = self.n_components
        e_step = 4 * 8 * d * latent_tile_rows(d) + 8 * (ARITY + 6) * (d + q) * (q + 1)
        return max(e_step, scan_bytes(d, scatter=self.needs_scatter))

    def rows_bytes(self, d: int) -> int:
        """Return the bytes that a task needs for row outputs, also with missing values."""
        return latent_rows.rows_bytes(self.n_components, d)


def stretch_between(old: L, new: L) -> Float:
    """Return T (q, q) of the M-step from `old` to `new`; the identity if it had none or no step was made."""
    no_step = new is old  # `old.stretch` is that of the step before
    return np.eye(old.loadings.shape[1]) if no_step or new.stretch is None else new.stretch


@dataclass(frozen=True)
class OnMoments(LatentModel[L]):
    """Mixin that fits a model to the moments of the data: its kernel needs no rows.

    Attributes
    ----------
    moments : Moments or None
        The moments of all rows, with the whole scatter; None before `bind`.
    root : array of shape (d, r) or None
        F, where F F' is their covariance; None before `bind`.
    n_rows : int
    """

    moments: Moments | None = None
    root: Float | None = None
    n_rows: int = 0

    needs_scatter = True

    def with_scan(self, scan: Scan) -> Self:
        """Return the model with the moments from a scan."""
        root = square_root(scan.moments.covariance)
        return replace(super().with_scan(scan), moments=scan.moments, root=root, n_rows=scan.rows_with_value)

    def bind(self, scan: Scan) -> LatentModel[L]:
        """Return the model with the moments from a scan; missing values in rows of weight 0 do not matter."""
        return self.with_missing() if scan.incomplete.rows > 0 else replace(self.with_scan(scan), base=scan.mean_base)

    def with_missing(self) -> NoReturn:
        """Raise an error: moments are sufficient only if no value is missing.

        Raises
        ------
        ValueError
        """
        raise ValueError("with missing values moments are not sufficient: use EM with a pass per iteration")

    def kernel(self, params: L) -> Callable[[Block], LatentStats]:
        """Return the E-step of all rows at once; it ignores the block."""
        if self.moments is None or self.root is None:
            raise ValueError("the model is not bound to data: call bind(scan) first")
        stats = stats_of_covariance(self.root, self.moments.weight, self.n_rows, self.constrained(params))
        return lambda block: stats
