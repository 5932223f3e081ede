"""Counts of rare events: log p(x) = x log rate - rate - log x!."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from dem.core.block import Float
from dem.families.exponential_family import OpFamily, Theta, log, not_counts


class Poisson(OpFamily):
    """Each column is Poisson: "rate" (K, d), in events a row."""

    wants: ClassVar[str] = "the counts 0, 1, 2, ..."
    takes_squares: ClassVar[bool] = False

    def natural_parameters(self, theta: Theta) -> tuple[Float, ...]:
        """Return -rate and log rate."""
        return -theta["rate"], log(theta["rate"])

    def from_means(self, *means: Float) -> Theta:
        """Return rate = mean."""
        return {"rate": means[0]}

    def moments(self, theta: Theta) -> tuple[Float, Float]:
        """Return the rates: mean and variance are equal."""
        return theta["rate"], theta["rate"]

    def sample(self, theta: Theta, n: int, rng: np.random.Generator) -> Float:
        """Return random counts."""
        return rng.poisson(theta["rate"], size=(n, len(theta["rate"]))).astype(np.float64)

    def log_base(self, x: Float) -> Float:
        """Return the sum of -log x!."""
        return np.asarray(-gammaln(x + 1).sum(axis=0))

    def outside(self, x: Float) -> NDArray[np.bool_]:
        """Return a mask: True where x is not a count."""
        return not_counts(x)

    def seeding_points(self, x: Float) -> Float:
        """Return sqrt x: its variance is nearly independent of the rate (Bartlett 1936)."""
        return np.sqrt(x)
