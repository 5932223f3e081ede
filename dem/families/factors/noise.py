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
    "a component's noise variance has fallen to 0: the component has collapsed to too few rows or equal rows, or its "
    "factors explain a column completely (a Heywood case); use fewer components or factors, or a larger reg_covar"
)


@dataclass(frozen=True)
class NoiseKind(ABC):
    """Operations that depend on the kind of noise, isotropic or diagonal.

    Attributes
    ----------
    n_factors : int
        q.
    reg_covar : float, FromData or None
        The smallest noise variance, in squared units of the data: see `dem.families.reg_covar`. It is a lower limit and
        is not added: the M-step stays exact, and the log-likelihood never falls because of it.
    """

    n_factors: int
    reg_covar: RegCovar = 0.0

    pooled: ClassVar[bool]
    """Whether all columns share one noise variance."""
    rounding: ClassVar[float] = EPS
    """The noise must be larger than this share of the variance that the factors explain."""

    @abstractmethod
    def squares(self, x: Float) -> Float:
        """Return x^2 of a tile (d, n); if columns share a variance, summed over the columns: (1, n)."""

    @abstractmethod
    def pool(self, columns: Float) -> Float:
        """Sum an array (K, d) over the columns that share a variance: (K, 1) or (K, d)."""

    @abstractmethod
    def n_noise(self, d: int) -> int:
        """Return the number of noise variances: 1 or d."""

    @abstractmethod
    def floor(self, d: int) -> Float:
        """Return the smallest noise variances, (1,) or (d,)."""

    @abstractmethod
    def units(self, variances: Float) -> Float:
        """Return the units (d,) in which a start measures columns that have these variances."""

    def floored(self, noise: Float, previous: FactorAnalysers) -> Float:
        """Return the noise of an M-step, (K, 1) or (K, d), raised to the floor; rounding errors count as 0.

        The noise is a difference of sums, with an error of up to `TOLERANCE` times the old noise. A value that is not
        above this error counts as 0; it happens only if a component collapses.
        """
        floor = self.floor(previous.means.shape[1])
        return np.maximum(np.where(noise > TOLERANCE * previous.noise_variances, noise, 0.0), floor)

    def check_noise(self, loadings: Float, noise: Float) -> None:
        """Raise an error if noise (K, 1) or (K, d) is only rounding of the loadings (K, d, q)."""
        explained = self.pool((loadings**2).sum(axis=2))
        d = loadings.shape[1]
        least = self.rounding * explained * (self.n_noise(d) / d)
        if not (np.isfinite(explained).all() and (noise > least).all()):
            raise ValueError(NO_NOISE)
