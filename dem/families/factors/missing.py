"""Factor analysers for rows with missing values: the exact density of the observed values.

The E-step is in `dem.families.factors.missing_e_step`, the M-step in `dem.families.factors.missing_algebra`. Sums have
the size O(d q^2); a row costs O(d q^2 + q^3), for any pattern of missing values.
"""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np

from dem.core.block import Float
from dem.core.coordinate_frame import Frame
from dem.core.linalg import triangle_size
from dem.families.factors import missing_e_step
from dem.families.factors.algebra import FactorAnalysers, diagonalising_root
from dem.families.factors.missing_algebra import ColumnwiseSums
from dem.families.factors.missing_e_step import Posteriors, add_sums, observed_e_step
from dem.families.factors.noise import NoiseKind
from dem.families.family import EMPTY_SHARE, Filling

TILE_BYTES = 2**24
"""Larger than a second-level cache: each number takes about q^2 operations, and with small tiles threads would often
wait for each other."""


class ObservedFactors(NoiseKind):
    """Mixin that makes a family of factor analysers accept missing values; the parameters are the same."""

    tile_bytes: ClassVar[int] = TILE_BYTES

    @property
    def filling(self) -> Filling[FactorAnalysers]:
        """The family itself."""
        return self

    def with_missing(self) -> Self:
        """Return the family itself."""
        return self

    def log_density(self, theta: FactorAnalysers, x: Float, out: Float) -> Posteriors:
        """Write the log-densities of the observed values, 0 for rows without any; return the latents."""
        return observed_e_step(theta, x, out)

    def add_sums(self, theta: FactorAnalysers, x: Float, reuse: Posteriors, resp: Float, out: Float) -> None:
        """Add the expected sums, column by column."""
        add_sums(theta, reuse, resp, out)

    def estimate(self, sums: Float, frame: Frame, previous: FactorAnalysers | None) -> FactorAnalysers:
        """Return mean, loadings and noise by the M-step of PX-EM, as for complete rows.

        If a column is missing in all rows of a component, its mean and loadings change only by a and T of the latents.

        Raises
        ------
        ValueError
            If a noise variance falls to 0.
        """
        assert previous is not None  # the sums are made from its residuals
        _, d, q = previous.loadings.shape
        found = ColumnwiseSums.unpack(sums, d, q)
        step = found.step()
        loadings = previous.loadings + step[:, :, 1:]
        counts, least = self.pool(found.counts), EMPTY_SHARE * sums[0].sum()
        squares = self.pool(found.squares_after(step)) / np.maximum(counts, least)
        noise = np.where(counts <= least, previous.noise_variances, self.floored(squares, previous))
        self.check_noise(loadings, noise)
        shift, turn = found.latent_moments()
        turn = diagonalising_root(turn, loadings, noise)
        means = previous.means + step[:, :, 0] + np.einsum("kdq,kq->kd", loadings, shift)
        return FactorAnalysers(means, loadings @ turn, noise)

    def expected(self, theta: FactorAnalysers, sums: Float, frame: Frame, previous: FactorAnalysers) -> float:
        """Return a lower bound of the observed values' log-likelihood, equal to it at the old parameters (PRML 9.70).

        Each component has two bounds, with the prior N(0, I) of the latents and with N(a, T T') of `estimate`. The
        larger one counts.
        """
        found = ColumnwiseSums.unpack(sums, *theta.loadings.shape[1:])
        shift, turn = found.latent_moments()
        turn = diagonalising_root(turn, previous.loadings + found.step()[:, :, 1:], theta.noise_variances)
        return float(found.best_bound(theta, previous, shift, turn).sum())

    def conditional_moments(
        self, theta: FactorAnalysers, x: Float, reuse: Posteriors, resp: Float
    ) -> tuple[Float, Float]:
        """Return mean and variance (d, n) of the missing values, given the observed ones."""
        return missing_e_step.conditional_moments(theta, reuse, resp)

    def n_exact_sums(self, d: int) -> int:
        """Return the number of latent moments, of all rows and of the rows of each column, plus d (2 + q) + 1."""
        a = 1 + self.n_factors
        return (1 + d) * triangle_size(a) + d * (a + 1) + 1

    def tile_width(self, k: int, d: int) -> int:
        """Count x, its mask, residuals and fits; latents and their covariance for each component; and work arrays."""
        q = self.n_factors
        return 7 * d + k * (q + 4 + triangle_size(q)) + 4 * q * q + 4 * triangle_size(1 + q)

    def parameter_size(self, k: int, d: int) -> int:
        """Return the number of entries of `ColumnTerms`."""
        return k * d * (triangle_size(self.n_factors) + 2 * self.n_factors)
