"""Rows of counts, such as words of documents: log p(x) = sum of x_j log p_j + log n! - sum of log x_j!, n their total.

The totals are taken as given: the model says how they are shared among the columns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from dem.families.exponential_family import ExponentialFamily, Theta, log, not_counts
from dem.frame import Frame
from dem.model import Array, Float
from dem.scan import Scan


@dataclass(frozen=True)
class Multinomial(ExponentialFamily):
    """All columns together multinomial: "probabilities" (K, d).

    Attributes
    ----------
    n_trials : int or None
        The total of rows that are drawn; None for the mean total of the data.
    """

    n_trials: int | None = None

    wants: ClassVar[str] = "counts: 0, 1, 2, ..."

    def bind(self, scan: Scan, frame: Frame) -> Self:
        """Take the mean total."""
        return self if self.n_trials is not None else replace(self, n_trials=round(float(scan.moments.mean.sum())))

    def statistics(self, x: Array) -> tuple[Array, ...]:
        """Return x."""
        return (x,)

    def natural_parameters(self, theta: Theta) -> tuple[Float, ...]:
        """Return 0 and log p."""
        return np.zeros(len(theta["probabilities"])), log(theta["probabilities"])

    def from_means(self, *means: Float) -> Theta:
        """Return each column's share of the total; equal shares where there is nothing to share."""
        total = means[0].sum(axis=1, keepdims=True)
        shares = means[0] / np.where(total > 0, total, 1)
        return {"probabilities": np.where(total > 0, shares, 1 / means[0].shape[1])}

    def sample(self, theta: Theta, n: int, rng: np.random.Generator) -> Float:
        """Return rows of counts with the total `n_trials`."""
        share = theta["probabilities"] / theta["probabilities"].sum()
        return rng.multinomial(1 if self.n_trials is None else self.n_trials, share, size=n).astype(np.float64)

    def log_base(self, x: Float) -> Float:
        """Return log n! - sum of log x_j!."""
        return np.asarray(gammaln(x.sum(axis=0) + 1) - gammaln(x + 1).sum(axis=0))

    def outside(self, x: Float) -> NDArray[np.bool_]:
        """Return where x is no count."""
        return not_counts(x)

    def coordinates(self, x: Float) -> Float:
        """Return the square roots of the shares: their distances are Hellinger's."""
        return np.asarray(np.sqrt(x / np.maximum(x.sum(axis=1, keepdims=True), 1)))

    def n_parameters(self, k: int, d: int) -> int:
        """Return K (d - 1): probabilities sum to 1."""
        return k * (d - 1)
