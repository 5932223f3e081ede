"""The noise of factor analysers: one variance for all columns, or one for each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dem.core.block import Float
from dem.families.factors.algebra import FactorAnalysers
from dem.families.factors.e_step import TOLERANCE
from dem.families.reg_covar import RegCovar

EPS = float(np.finfo(np.float64).eps)
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

    pooled: ClassVar[bool]
    """Whether all columns have one variance."""
    rounding: ClassVar[float] = EPS
    """Share of what the factors explain that the noise must exceed."""

    @abstractmethod
    def squares(self, x: Float) -> Float:
        """Return x^2 of a tile (d, n) as the noise sums it: (1, n) or (d, n)."""

    @abstractmethod
    def pool(self, columns: Float) -> Float:
        """Return sums (K, d) over the columns that share a variance: (K, 1) or (K, d)."""

    @abstractmethod
    def n_noise(self, d: int) -> int:
        """Return the number of variances: 1 or d."""

    @abstractmethod
    def floor(self, d: int) -> Float:
        """Return the least noise variances, (1,) or (d,)."""

    @abstractmethod
    def units(self, variances: Float) -> Float:
        """Return the units (d,) in which a start measures columns of these variances."""

    def floored(self, noise: Float, previous: FactorAnalysers) -> Float:
        """Return the noise of an M-step, (K, 1) or (K, d), not below the floor, and 0 where it is rounding.

        It is a difference of sums, whose error may be `TOLERANCE` times the old noise: what is not above that counts as
        0. An M-step makes it so small only where a component collapses.
        """
        floor = self.floor(previous.means.shape[1])
        return np.maximum(np.where(noise > TOLERANCE * previous.noise_variances, noise, 0.0), floor)

    def check_noise(self, loadings: Float, noise: Float) -> None:
        """Refuse noise (K, 1) or (K, d) that is rounding of the loadings (K, d, q)."""
        explained = self.pool((loadings**2).sum(axis=2))
        d = loadings.shape[1]
        least = self.rounding * explained * (self.n_noise(d) / d)
        if not (np.isfinite(explained).all() and (noise > least).all()):
            raise ValueError(NO_NOISE)
