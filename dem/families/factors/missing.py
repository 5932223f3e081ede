"""Factor analysers of rows in which values are missing: the observed ones' exact density, in q dimensions.

The E-step is in `dem.families.factors.missing_e_step`, the M-step in `dem.families.factors.missing_algebra`. Sums have
the size O(d q^2); a row costs O(d q^2 + q^3), whatever is missing in it.
"""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np

from dem.core.block import Float
from dem.core.coordinate_frame import Frame
from dem.core.linalg import triangle_size
from dem.families.factors import missing_e_step
from dem.families.factors.algebra import FactorAnalysers, upright
from dem.families.factors.missing_algebra import Sums
from dem.families.factors.missing_e_step import Posteriors, add_sums, e_step
from dem.families.factors.noise import NoiseKind
from dem.families.family import EMPTY, Filling

TILE_BYTES = 2**24
"""More than a second-level cache holds: a tile takes some q^2 operations, and threads wait for each other's end."""


class ObservedFactors(NoiseKind):
    """Mixed into a family of factor analysers, makes it one of rows with missing values; theta is the same."""

    tile_bytes: ClassVar[int] = TILE_BYTES

    @property
    def filling(self) -> Filling[FactorAnalysers]:
        """The family itself."""
        return self

    def with_missing(self) -> Self:
        """Return the family itself."""
        return self

    def log_density(self, theta: FactorAnalysers, x: Float, out: Float) -> Posteriors:
        """Write the log-densities of what is observed, 0 where nothing is; return the latents."""
        return e_step(theta, x, out)

    def sums(self, theta: FactorAnalysers, x: Float, reuse: Posteriors, resp: Float, out: Float) -> None:
        """Add the expected sums, column by column."""
        add_sums(theta, reuse, resp, out)

    def estimate(self, sums: Float, frame: Frame, previous: FactorAnalysers | None) -> FactorAnalysers:
        """Return mean, loadings and noise by the M-step of PX-EM, as the complete rows' family does.

        Columns of which a component has no rows stay as they are, beside what all latents are shifted and turned by.

        Raises
        ------
        ValueError
            If a noise variance falls to 0.
        """
        assert previous is not None  # the sums are about its residuals
        _, d, q = previous.loadings.shape
        found = Sums.unpack(sums, d, q)
        step = found.step()
        loadings = previous.loadings + step[:, :, 1:]
        counts, least = self.pool(found.counts), EMPTY * sums[0].sum()
        squares = self.pool(found.squares_after(step)) / np.maximum(counts, least)
        noise = np.where(counts <= least, previous.noise_variances, self.floored(squares, previous))
        self.check_noise(loadings, noise)
        shift, turn = found.latent_moments()
        turn = upright(turn, loadings, noise)
        means = previous.means + step[:, :, 0] + np.einsum("kdq,kq->kd", loadings, shift)
        return FactorAnalysers(means, loadings @ turn, noise)

    def expected(self, theta: FactorAnalysers, sums: Float, frame: Frame, previous: FactorAnalysers) -> float:
        """Return the bound of the observed values' log-density that touches it at the old parameters (PRML 9.70).

        Each component's better one of two: with the latents as they are, and with those that `estimate` has shifted and
        stretched.
        """
        found = Sums.unpack(sums, *theta.loadings.shape[1:])
        shift, turn = found.latent_moments()
        turn = upright(turn, previous.loadings + found.step()[:, :, 1:], theta.noise_variances)
        return float(found.best_bound(theta, previous, shift, turn).sum())

    def fill(self, theta: FactorAnalysers, x: Float, reuse: Posteriors, resp: Float) -> tuple[Float, Float]:
        """Return mean and variance (d, n) of what is missing, given what is observed."""
        return missing_e_step.fill(theta, reuse, resp)

    def n_centred(self, d: int) -> int:
        """Return those of the latents' moments of all rows and of each column's, and d (2 + q) + 1 more."""
        a = 1 + self.n_factors
        return (1 + d) * triangle_size(a) + d * (a + 1) + 1

    def tile_width(self, k: int, d: int) -> int:
        """Return x, its mask, residuals and fits, each component's latents and their covariance, and what makes it."""
        q = self.n_factors
        return 7 * d + k * (q + 4 + triangle_size(q)) + 4 * q * q + 4 * triangle_size(1 + q)

    def factor_size(self, k: int, d: int) -> int:
        """Return the size of the columns' outer products."""
        return k * d * (triangle_size(self.n_factors) + 2 * self.n_factors)
