"""What linear models with Gaussian latents share: their likelihood, their bound, and what is said of rows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, NoReturn, Self, TypeVar

import numpy as np

from dem.core.block import Array, Block, Float
from dem.core.stats import ARITY
from dem.em.model import Step
from dem.em.row_output import REAL, RowOutput, RowOutputs
from dem.models.latent import rows as latent_rows
from dem.models.latent.algebra import LatentParams, expected_log_joint, noise_diagonal
from dem.models.latent.kernel import LatentKernel, LatentStats, latent_tile_rows, mean_stats, stats_of_covariance
from dem.models.latent.spectrum import square_root
from dem.scan.moments import Moments
from dem.scan.scanner import Scan, scan_bytes

L = TypeVar("L", bound=LatentParams)


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

    def squared(self, variances: Float) -> Float:
        """Return all: each column keeps its digits."""
        return variances

    def bind(self, scan: Scan) -> LatentModel[L]:
        """Return the model with what it takes of a scan; of rows with missing values, the model of such rows."""
        bound = self.take(scan)
        return bound.with_missing() if scan.lacking.any() else bound

    def take(self, scan: Scan) -> Self:
        """Take the mean."""
        return replace(self, mean=scan.moments.mean)

    @abstractmethod
    def with_missing(self) -> LatentModel[L]:
        """Return the model of rows in which values are missing."""

    def bound(self, params: L) -> L:
        """Return the parameters with the mean of all rows: a start on a sample has the sample's."""
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
        """Return Q(new; stats) in nats a row   (PRML 12.53), and what stretching z adds to the entropy of q."""
        stretch = stretch_between(params, new)
        back = np.linalg.inv(stretch)
        found = mean_stats(self.bound(params), stats)
        squares = found.squares(params.loadings, new.loadings @ back)
        joint = expected_log_joint(noise_diagonal(self.bound(new)), squares, back @ found.second @ back.T)
        return joint - float(np.linalg.slogdet(stretch)[1])

    def is_exact(self, params: L) -> bool:
        """Whether a pass may be reported: always, since all arithmetic is float64."""
        return True

    def exact(self, params: L) -> L:
        """Return the parameters as they are: all arithmetic is float64."""
        return params

    def for_new_fit(self, params: L) -> L:
        """Return the parameters as they are: a fit leaves no marks."""
        return params

    def row_outputs(self, params: L, dtype: np.dtype[Any] = REAL) -> RowOutputs:
        """Return the table of outputs: see `dem.models.latent.rows`."""
        d, q = params.loadings.shape
        return latent_rows.latent_outputs(q, d, dtype)

    def rows(self, params: L, output: RowOutput) -> Callable[[Block], Array]:
        """Return the function from a block to one of the outputs."""
        return partial(latent_rows.rows, params, output)

    def draw(self, params: L, n: int, rng: np.random.Generator) -> tuple[Float, Array]:
        """Return n rows (n, d) drawn from the model, and their latents (n, q)."""
        d, q = params.loadings.shape
        z = rng.standard_normal((n, q))
        noise = np.sqrt(params.noise_variance) * rng.standard_normal((n, d))
        return z @ params.loadings.T + params.mean + noise, z

    def work(self, x: Array) -> float:
        """Return two products of every row with the loadings; with their squares where values are missing."""
        q = self.n_components + 1
        return 4.0 * x.size * (q * q if np.isnan(x).any() else q)

    def workspace_bytes(self, d: int) -> int:
        """Return what a task allocates beside its block, in bytes: a node of the tree holds `ARITY` sums and more."""
        q = self.n_components
        e_step = 4 * 8 * d * latent_tile_rows(d) + 8 * (ARITY + 6) * (d + q) * (q + 1)
        return max(e_step, scan_bytes(d, scatter=self.needs_scatter))

    def rows_bytes(self, d: int) -> int:
        """Return what a task allocates for outputs of rows, in bytes, whatever is missing in them."""
        return latent_rows.rows_bytes(self.n_components, d)


def stretch_between(old: L, new: L) -> Float:
    """Return T (q, q) of the M-step from `old` to `new`; the identity where it had none, or where no step was made."""
    no_step = new is old  # `old.stretch` is that of the step before
    return np.eye(old.loadings.shape[1]) if no_step or new.stretch is None else new.stretch


@dataclass(frozen=True)
class OnMoments(LatentModel[L]):
    """Mixed into a model, makes it one on the moments of the data: its kernel needs no rows.

    Attributes
    ----------
    moments : Moments or None
        Of all rows, with the whole scatter; None before `bind`.
    root : array of shape (d, r) or None
        F with F F' their covariance; None before `bind`.
    n_rows : int
    """

    moments: Moments | None = None
    root: Float | None = None
    n_rows: int = 0

    needs_scatter = True

    def take(self, scan: Scan) -> Self:
        """Take the moments."""
        root = square_root(scan.moments.covariance)
        return replace(super().take(scan), moments=scan.moments, root=root, n_rows=scan.rows_with_value)

    def bind(self, scan: Scan) -> LatentModel[L]:
        """Return the model with what it takes of a scan; what rows of weight 0 lack is not in the moments."""
        return self.with_missing() if scan.incomplete.rows > 0 else self.take(scan)

    def with_missing(self) -> NoReturn:
        """Refuse: moments say all of complete rows alone.

        Raises
        ------
        ValueError
        """
        raise ValueError(
            "values are missing: the moments are not enough for such rows, so use EM with one pass per iteration"
        )

    def kernel(self, params: L) -> Callable[[Block], LatentStats]:
        """Return the E-step of all rows at once, whatever the block."""
        if self.moments is None or self.root is None:
            raise ValueError("the model is not bound to data: call bind(scan) first")
        stats = stats_of_covariance(self.root, self.moments.weight, self.n_rows, self.bound(params))
        return lambda block: stats
