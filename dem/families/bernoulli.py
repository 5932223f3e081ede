"""Binary data: log p(x) = x log p + (1 - x) log(1 - p)   (PRML 9.3.3)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Float
from dem.families.exponential_family import OpFamily, Theta, log


class Bernoulli(OpFamily):
    """Each column is 0 or 1: "probability" (K, d) is the probability of 1."""

    wants: ClassVar[str] = "0 or 1"
    takes_squares: ClassVar[bool] = False

    def natural_parameters(self, theta: Theta) -> tuple[Float, ...]:
        """Return log(1 - p) and the log-odds   (PRML 2.198)."""
        no = log(1 - theta["probability"])
        return no, log(theta["probability"]) - no

    def from_means(self, *means: Float) -> Theta:
        """Return p = mean   (PRML 9.59)."""
        return {"probability": np.clip(means[0], 0, 1)}

    def moments(self, theta: Theta) -> tuple[Float, Float]:
        """Return p and p (1 - p)."""
        p = theta["probability"]
        return p, p * (1 - p)

    def sample(self, theta: Theta, n: int, rng: np.random.Generator) -> Float:
        """Return zeros and ones."""
        return (rng.random((n, len(theta["probability"]))) < theta["probability"]).astype(np.float64)

    def outside(self, x: Float) -> NDArray[np.bool_]:
        """Return a mask: True where x is neither 0 nor 1."""
        return np.asarray((x != 0) & (x != 1))

    def pseudo_rows(self, x: Float) -> Float:
        """Return rows of zeros and rows of ones, half each: so a prior keeps probabilities away from 0 and 1."""
        m, d = x.shape
        return np.asarray(np.repeat([[0.0], [1.0]], [m - m // 2, m // 2], axis=0) * np.ones(d))
