"""The noise of factor analysers: one variance for all columns, or one for each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from dem.core.block import Float
from dem.families.factors.algebra import FactorAnalysers
from dem.families.factors.e_step import TOLERANCE
from dem.families.reg_covar import RegCovar, added

NO_NOISE = (
    "a component's noise variance has fallen to 0: it has collapsed onto too few or equal rows, or its factors explain "
    "a column wholly (a Heywood case); use fewer components or factors, or a larger reg_covar"
)


@dataclass(frozen=True)
class NoiseKind(ABC):
    """What a kind of noise is asked for.

    Attributes
    ----------
    n_factors : int
        q.
    reg_covar : float, FromData or None
        The least noise variance, in the data's units squared: see `dem.families.reg_covar`. It is a floor and no
        addend: the M-step remains exact, and the log-likelihood never falls by its doing.
    """

    n_factors: int
    reg_covar: RegCovar = 0.0

    @abstractmethod
    def squares(self, x: Float) -> Float:
        """Return x^2 of a tile (d, n) as the noise sums it: (1, n) or (d, n)."""

    @abstractmethod
    def pool(self, columns: Float) -> Float:
        """Return sums (K, d) over the columns that share a variance: (K, 1) or (K, d)."""

    @abstractmethod
    def n_noise(self, d: int) -> int:
        """Return the number of variances: 1 or d."""

    def floored(self, noise: Float, previous: FactorAnalysers) -> Float:
        """Return the noise of an M-step, (K, 1) or (K, d), not below the floor, and 0 where it is rounding.

        It is a difference of sums, whose error may be `TOLERANCE` times the old noise: what is not above that counts as
        0. An M-step makes it so small only where a component collapses.
        """
        return np.maximum(np.where(noise > TOLERANCE * previous.noise_variances, noise, 0.0), added(self.reg_covar))

    def check_noise(self, theta: FactorAnalysers) -> None:
        """Refuse noise that is rounding of the loadings."""
        explained = self.pool((theta.loadings**2).sum(axis=2))
        least = np.finfo(np.float64).eps * explained * (self.n_noise(theta.means.shape[1]) / theta.means.shape[1])
        if not (np.isfinite(explained).all() and (theta.noise_variances > least).all()):
            raise ValueError(NO_NOISE)
