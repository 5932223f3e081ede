"""Positive quantities of any skewness: log p(x) = shape log rate - log Gamma(shape) + (shape - 1) log x - rate x.

It is computed in y = x / reference, near 1, so that large shapes (narrow distributions) lose no digits:

    log p(x) = c(shape) + shape (log y - (1 + delta) (y - 1) + log(1 + delta) - delta) - log x,

with 1 + delta = rate reference / shape and c(a) = a log a - a - log Gamma(a).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, gammaln, polygamma

from dem.core.block import Float
from dem.core.coordinate_frame import Frame
from dem.families.exponential_family import OpFamily, Theta, log
from dem.families.feature_columns import Column, Op
from dem.scan.scanner import Scan

LARGEST_SHAPE = 1e10
"""Largest shape: standard deviations are at least 1e-5 of the mean. Otherwise equal values have infinite likelihood."""


@dataclass(frozen=True)
class Gamma(OpFamily):
    """Each column is gamma: "shape" (K, d) and "rate" (K, d), in the inverse of the column's unit.

    Attributes
    ----------
    reference : array of shape (d,) or None
        A typical value of each column, set by `bind`; None means 1.
    """

    reference: Float | None = None

    wants: ClassVar[str] = "numbers > 0"
    takes_squares: ClassVar[bool] = False

    def bind(self, scan: Scan, frame: Frame) -> Self:
        """Return the family with a reference: the mean of the sample, if none is set."""
        x = np.asarray(scan.sample.x[scan.sample.weight > 0], dtype=np.float64)
        return self if self.reference is not None else replace(self, reference=x.mean(axis=0))

    def columns(self, d: int) -> tuple[tuple[Column, ...], ...]:
        """Return y - 1 and log y."""
        reference = [1.0] * d if self.reference is None else self.reference.tolist()
        y = tuple(Column(Op.X, j, shift=1.0, argument=r) for j, r in enumerate(reference))
        return y, tuple(Column(Op.LOG, j, argument=r) for j, r in enumerate(reference))

    def natural_parameters(self, theta: Theta) -> tuple[Float, ...]:
        """Return the constant, and the coefficients of y - 1 and log y."""
        shape = theta["shape"]
        ratio = theta["rate"] * (1.0 if self.reference is None else self.reference) / shape
        constant = log_peak(shape) + shape * (np.log1p(ratio - 1) - (ratio - 1))
        return constant, -shape * ratio, shape

    def from_means(self, *means: Float) -> Theta:
        """Return the shape by Minka's Newton method, and rate = shape / mean."""
        shape = shape_of(np.log1p(means[0]) - means[1])
        unit = 1.0 if self.reference is None else self.reference
        return {"shape": shape, "rate": shape / (unit * (1 + means[0]))}

    def moments(self, theta: Theta) -> tuple[Float, Float]:
        """Return shape / rate and shape / rate^2."""
        mean = theta["shape"] / theta["rate"]
        return mean, mean / theta["rate"]

    def sample(self, theta: Theta, n: int, rng: np.random.Generator) -> Float:
        """Return random values."""
        return rng.gamma(theta["shape"], 1 / theta["rate"], size=(n, len(theta["shape"])))

    def log_base(self, x: Float) -> Float:
        """Return the sum of -log x."""
        return np.asarray(-log(x).sum(axis=0))

    def outside(self, x: Float) -> NDArray[np.bool_]:
        """Return a mask: True where x <= 0."""
        return np.asarray(x <= 0)

    def seeding_points(self, x: Float) -> Float:
        """Return x to the power 1/3, whose distribution is nearly normal (Wilson and Hilferty 1931)."""
        return np.cbrt(x)


def shape_of(excess: Float) -> Float:
    """Return the shape a of gamma distributions with log mean - mean log = `excess`: log a - digamma(a) = excess.

    Newton's method in 1/a (Minka 2002, "Estimating a Gamma distribution"), from the solution for large a.
    """
    excess = np.maximum(excess, 0.5 / LARGEST_SHAPE)
    a = (1 + np.sqrt(1 + 4 / 3 * excess)) / (4 * excess)  # relative error: 1 / (60 a^3)
    for _ in range(8):
        step = (np.log(a) - digamma(a) - excess) / (a - a**2 * polygamma(1, a))
        a = np.where(excess > 1e-4, 1 / (1 / a + step), a)
    return np.asarray(np.minimum(a, LARGEST_SHAPE))


def log_peak(a: Float) -> Float:
    """Return a log a - a - log Gamma(a); for large a by Stirling's series, because the terms cancel."""
    series = 0.5 * np.log(a / (2 * np.pi)) - 1 / (12 * a) + 1 / (360 * a**3)
    return np.asarray(np.where(a > 200, series, a * np.log(a) - a - gammaln(a)))
