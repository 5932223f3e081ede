"""Exponential waiting times: log p(x) = log rate - rate x."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Float
from dem.core.coordinate_frame import Frame
from dem.families.exponential_family import OpFamily, Theta, log
from dem.scan.scanner import Scan


class Exponential(OpFamily):
    """Each column is exponential: "rate" (K, d), in the inverse of the column's unit."""

    wants: ClassVar[str] = "numbers >= 0"
    takes_squares: ClassVar[bool] = False

    def bind(self, scan: Scan, frame: Frame) -> Self:
        """Check that the values are not so small that rates overflow; return the family itself."""
        small = np.flatnonzero((scan.high > 0) & (scan.high < 100 * SMALLEST_MEAN))
        if len(small):
            columns = ", ".join(map(str, small[:20]))
            raise ValueError(
                f"values in columns {columns} are too small for exponential rates: multiply them by a constant"
            )
        return self

    def natural_parameters(self, theta: Theta) -> tuple[Float, ...]:
        """Return log rate and -rate."""
        return log(theta["rate"]), -theta["rate"]

    def from_means(self, *means: Float) -> Theta:
        """Return rate = 1 / mean, finite if all values are 0."""
        return {"rate": 1 / np.maximum(means[0], SMALLEST_MEAN)}

    def moments(self, theta: Theta) -> tuple[Float, Float]:
        """Return 1 / rate and its square."""
        mean = 1 / theta["rate"]
        with np.errstate(over="ignore"):
            return mean, mean**2

    def sample(self, theta: Theta, n: int, rng: np.random.Generator) -> Float:
        """Return random waiting times."""
        return rng.exponential(1 / theta["rate"], size=(n, len(theta["rate"])))

    def outside(self, x: Float) -> NDArray[np.bool_]:
        """Return a mask: True where x < 0."""
        return np.asarray(x < 0)

    def seeding_points(self, x: Float) -> Float:
        """Return x to the power 1/3, whose distribution is nearly normal (Wilson and Hilferty 1931)."""
        return np.cbrt(x)


SMALLEST_MEAN = 1e-150
"""Smallest mean for a rate. If all values are 0, the likelihood has no upper bound; this keeps 1 / rate^2 finite."""
