"""Trials until the first success: log p(x) = (x - first) log(1 - p) + log p."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Float
from dem.families.exponential_family import OpFamily, Theta, log, not_counts


@dataclass(frozen=True)
class Geometric(OpFamily):
    """Each column is geometric: "probability" (K, d) of success in one trial.

    Attributes
    ----------
    first : int
        The smallest value: 1 if values count trials, including the success; 0 if they count failures.
    """

    first: int = 1
    takes_squares: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.first not in (0, 1):
            raise ValueError(f"first must be 1 (values count trials) or 0 (values count failures), got {self.first!r}")

    @property
    def wants(self) -> str:  # type: ignore[override]
        """The supported counts, as text."""
        return "the counts 1, 2, 3, ..." if self.first else "the counts 0, 1, 2, ..."

    def natural_parameters(self, theta: Theta) -> tuple[Float, ...]:
        """Return log p - first log(1 - p) and log(1 - p)."""
        failure = log(1 - theta["probability"])
        return log(theta["probability"]) - self.first * failure, failure

    def from_means(self, *means: Float) -> Theta:
        """Return p = 1 / (mean number of trials)."""
        return {"probability": 1 / (1 + np.maximum(means[0] - self.first, 0))}

    def moments(self, theta: Theta) -> tuple[Float, Float]:
        """Return first + (1 - p) / p, and (1 - p) / p^2."""
        p = theta["probability"]
        return (1 - p) / p + self.first, (1 - p) / p**2

    def sample(self, theta: Theta, n: int, rng: np.random.Generator) -> Float:
        """Return random counts of trials (or failures)."""
        trials = rng.geometric(theta["probability"], size=(n, len(theta["probability"])))
        return np.asarray(trials - 1.0 + self.first)

    def outside(self, x: Float) -> NDArray[np.bool_]:
        """Return a mask: True where x is not such a count."""
        return not_counts(x - self.first)

    def seeding_points(self, x: Float) -> Float:
        """Return log(1 + failures), because the standard deviation is proportional to the mean."""
        return np.log1p(x - self.first)
