"""Angles: log p(x) = kappa cos(x - mu) - log(2 pi I_0(kappa))   (PRML 2.179)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from scipy.special import i0e, i1e

from dem.core.block import Float
from dem.families.exponential_family import TINY, OpFamily, Theta
from dem.families.feature_columns import Op
from dem.families.vonmises_fisher import concentration, log_area, log_partition

MAX_TURNS = 2
"""A fit warns about columns with values beyond this number of turns (4 pi): they are probably degrees."""


class VonMises(OpFamily):
    """Each column is an angle in radians, modulo 2 pi: "mean_direction" in (-pi, pi] and "concentration", both (K, d).

    A fit warns about columns with values beyond 4 pi, two turns: they may be degrees.
    """

    wants: ClassVar[str] = "angles in radians"
    takes_squares: ClassVar[bool] = False
    ops: ClassVar[tuple[Op, ...]] = (Op.COS, Op.SIN)

    def range_warnings(self, low: Float, high: Float) -> dict[int, str]:
        """Return a warning for each column with values beyond `MAX_TURNS` turns: they may be degrees."""
        far = np.flatnonzero(np.maximum(np.abs(low), np.abs(high)) > MAX_TURNS * 2 * np.pi)
        words = f"but {type(self).__name__} expects {self.wants}: if they are degrees, convert them by numpy.deg2rad"
        return dict.fromkeys(far.tolist(), words)

    def natural_parameters(self, theta: Theta) -> tuple[Float, ...]:
        """Return -log(2 pi I_0), kappa cos mu and kappa sin mu."""
        kappa, mu = theta["concentration"], theta["mean_direction"]
        return -log_area(2) - log_partition(2, kappa), kappa * np.cos(mu), kappa * np.sin(mu)

    def from_means(self, *means: Float) -> Theta:
        """Return the direction of the mean vector, and the concentration at its length   (PRML 2.184, 2.185)."""
        cosine, sine = means
        return {
            "mean_direction": np.arctan2(sine, cosine),
            "concentration": concentration(2, np.hypot(cosine, sine)),
        }

    @property
    def can_fill(self) -> bool:
        """True: `moments_of_missing` does not need `moments`."""
        return True

    def moments_of_missing(self, theta: Theta, x: Float, resp: Float) -> tuple[Float, Float]:
        """Return the mean directions, and the squared circular standard deviations, -2 log(mean resultant length)."""
        kappa, mu = theta["concentration"], theta["mean_direction"]
        length = i1e(kappa) / i0e(kappa)
        cosine, sine = (length * np.cos(mu)).T @ resp, (length * np.sin(mu)).T @ resp
        missing = np.isnan(x)
        spread = -2 * np.log(np.clip(np.hypot(cosine, sine), TINY, 1.0))
        return np.where(missing, np.arctan2(sine, cosine), x), np.where(missing, spread, 0.0)

    def sample(self, theta: Theta, n: int, rng: np.random.Generator) -> Float:
        """Return random angles in [-pi, pi]."""
        mu, kappa = theta["mean_direction"], theta["concentration"]
        return rng.vonmises(mu, kappa, size=(n, len(mu)))

    def seeding_points(self, x: Float) -> Float:
        """Return the cosines and sines: points on circles."""
        return np.hstack([np.cos(x), np.sin(x)])
