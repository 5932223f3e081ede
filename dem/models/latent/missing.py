"""Linear latent models for rows with missing values: EM on the likelihood of the observed values.

The E-step and the sums are those of one factor analyser with missing values (`dem.families.factors.missing`). The mean
is estimated too: the mean of the observed values of a column is not its maximum-likelihood mean, because the other
columns contain information about the missing values.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from dem.core.block import Block, Float
from dem.core.stats import ARITY
from dem.em.model import Step
from dem.families.factors.family import FactorAnalysisFamily
from dem.families.factors.missing_algebra import ColumnwiseSums
from dem.models.latent.algebra import noise_diagonal
from dem.models.latent.model import L, LatentModel
from dem.models.latent.rows import analyser, observed_densities, rows_bytes
from dem.models.mixture.kernel import MixtureKernel
from dem.scan.scanner import Scan, scan_bytes


@dataclass(frozen=True)
class ObservedLatentModel(LatentModel[L]):
    """Mixin that makes a model accept rows with missing values (NaN); its `mean` is None."""

    least_starts: ClassVar[int] = 5
    """A fit makes at least so many starts on the sample, all but the first by `varied_start`."""

    def with_scan(self, scan: Scan) -> Self:
        """Return the model with what it takes from the scan, except the mean, which is estimated."""
        return replace(super().with_scan(scan), mean=None)

    def with_missing(self) -> Self:
        """Return the model itself."""
        return self

    def varied_start(self, sample: Block, rng: np.random.Generator) -> L:
        """Return first parameters with random loadings that explain half of each variance.

        With missing values the likelihood may have several maxima. `start`, which is not random, leads to one of them.
        """
        first = self.start(sample, rng)
        d, q = first.loadings.shape
        variance = noise_diagonal(first) + (first.loadings**2).sum(axis=1)
        loadings = np.sqrt(variance / (2 * q))[:, None] * rng.standard_normal((d, q))
        noise = variance / 2 if np.ndim(first.noise_variance) else np.asarray(variance.mean() / 2)
        return self.constrained(self.new_params(first, first.mean, loadings, noise))

    def kernel(self, params: L) -> Callable[[Block], Any]:
        """Return the E-step of one block."""
        return MixtureKernel(observed_densities(self.constrained(params)), 1)

    @abstractmethod
    def step(self, params: L, found: ColumnwiseSums) -> tuple[Float, Float]:
        """Return the change of W^ = (mu, W), (d, 1 + q), and the new noise."""

    @abstractmethod
    def new_params(self, params: L, mean: Float, loadings: Float, noise: Float) -> L:
        """Return new parameters."""

    def expansion(self, found: ColumnwiseSums) -> tuple[Float, Float]:
        """Return a (1, q) and T (1, q, q) of z ~ N(a, T T'), which PX-EM estimates too (Liu, Rubin and Wu 1998)."""
        return found.latent_moments()

    def m_step(self, params: L, stats: Any) -> Step[L]:
        """Return mean, loadings and noise; changes are computed from the residuals of the old parameters."""
        params = self.constrained(params)
        found = self.sums(params, stats)
        step, noise = self.step(params, found)
        loadings = params.loadings + step[:, 1:]
        shift, turn = self.expansion(found)
        mean = params.mean + step[:, 0] + loadings @ shift[0]
        new = self.new_params(params, mean, loadings @ turn[0], noise)
        return Step(self.constrained(replace(new, stretch=turn[0])))

    def expected(self, params: L, stats: Any, new: L) -> float:
        """Return Q(new; stats) plus the entropy of the posterior, in nats a row."""
        old, found = analyser(self.constrained(params)), self.sums(params, stats)
        theta, (shift, turn) = analyser(self.constrained(new)), self.expansion(found)
        turn = turn if new.stretch is None else new.stretch[None]
        return float(found.best_bound(theta, old, shift, turn)[0] / stats.weight)

    def sums(self, params: L, stats: Any) -> ColumnwiseSums:
        """Return the sums of a pass, split into arrays."""
        return ColumnwiseSums.unpack(stats.sums, *params.loadings.shape)

    def workspace_bytes(self, d: int) -> int:
        """Return the bytes that a task needs in addition to its block: a tree node holds `ARITY` sums and more."""
        sums = 8 * FactorAnalysisFamily(self.n_components).with_missing().n_exact_sums(d)
        return max(rows_bytes(self.n_components, d) + (ARITY + 4) * sums, scan_bytes(d, scatter=False))
