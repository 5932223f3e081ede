"""Directions in d dimensions: log p(x) = kappa mu . x - log(area Z_d(kappa))   (Banerjee et al. 2005).

Z_d(kappa) is the mean of exp(kappa mu . x) over the unit sphere: 0F1(; d/2; kappa^2/4), which is a power of kappa times
Bessel's I of order d/2 - 1 (Mardia and Jupp 2000, 9.3.4). The von Mises family uses the functions of this file too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, hyp0f1, i0e, i1e, ive

from dem.core.block import Array, Float
from dem.core.coordinate_frame import Frame
from dem.families.exponential_family import TINY, OpFamily, Theta
from dem.families.family import Filling
from dem.families.features import Features

LARGEST_CONCENTRATION = 1e8
"""Largest concentration: if all directions are equal, the likelihood has no upper bound."""
SERIES_LIMIT = 500.0
"""The hypergeometric function is used if a bound of log Z is smaller than this: it cannot overflow."""


def log_area(d: int) -> float:
    """Return the log of the surface of the unit sphere in d dimensions."""
    return float(np.log(2) + d / 2 * np.log(np.pi) - gammaln(d / 2))


def log_partition(d: int, kappa: Float) -> Float:
    """Return log Z_d(kappa)."""
    order, half = d / 2 - 1, kappa / 2
    small = half**2 < SERIES_LIMIT * d / 2
    series = np.log(hyp0f1(d / 2, np.where(small, half, 0) ** 2))
    far = np.where(small, 1.0, kappa)
    bessel = gammaln(d / 2) - order * np.log(far / 2) + np.log(np.where(small, 1.0, ive(order, far))) + far
    return np.asarray(np.where(small, series, bessel))


def mean_length(d: int, kappa: Float) -> Float:
    """Return A_d(kappa), the mean resultant length: the derivative of log Z."""
    if d == 2:
        return np.asarray(i1e(kappa) / i0e(kappa))  # several times as fast as what follows
    order, half = d / 2 - 1, kappa / 2
    small = half**2 < SERIES_LIMIT * d / 2
    square = np.where(small, half, 0) ** 2
    series = half / (d / 2) * hyp0f1(d / 2 + 1, square) / hyp0f1(d / 2, square)
    far = np.where(small, d, kappa)
    return np.asarray(np.where(small, series, ive(order + 1, far) / ive(order, far)))


def concentration(d: int, length: Float) -> Float:
    """Return the kappa at which A_d(kappa) = length, the maximum-likelihood estimate, at most `LARGEST_CONCENTRATION`.

    The inverse of A_d is nearly r (d - r^2) / (1 - r^2) (Banerjee et al. 2005). So its error is nearly the error of
    kappa, and subtracting it repeatedly converges for all kappa, also where Newton's method loses all digits.
    """

    def approximate_kappa(r: Float) -> Float:
        return np.asarray(r * (d - r**2) / ((1 - r) * (1 + r)))

    length = np.minimum(length, 1 - 1e-12)
    kappa = np.minimum(approximate_kappa(length), LARGEST_CONCENTRATION)
    for _ in range(40):
        step = approximate_kappa(length) - approximate_kappa(mean_length(d, kappa))
        kappa = np.clip(kappa + step, 0, LARGEST_CONCENTRATION)
        if (np.abs(step) <= 1e-13 * kappa).all():
            break
    return kappa


MAX_COLUMNS = 2000
"""Largest number of columns: for more, float64 cannot hold the Bessel functions."""


class VonMisesFisher(OpFamily):
    """Rows on the unit sphere: "mean_direction" (K, d) and "concentration" (K,)."""

    wants: ClassVar[str] = "rows of length 1"
    takes_squares: ClassVar[bool] = False

    def check_columns(self, d: int) -> None:
        """Raise a ValueError if there is one column, or more than `MAX_COLUMNS`."""
        if not 2 <= d <= MAX_COLUMNS:
            raise ValueError(f"von Mises-Fisher supports 2 to {MAX_COLUMNS:,} columns, got {d}")

    def with_missing(self) -> Any:
        """Return a family that raises an error for missing values: only other parts of a product may have them."""
        return CompleteVonMisesFisher()

    def natural_parameters(self, theta: Theta) -> tuple[Float, ...]:
        """Return the log-normaliser and kappa mu."""
        mu, kappa = theta["mean_direction"], theta["concentration"]
        d = mu.shape[1]
        return -log_area(d) - log_partition(d, kappa), kappa[:, None] * mu

    def from_means(self, *means: Float) -> Theta:
        """Return the direction of the mean vector, and the concentration for its length."""
        d = means[0].shape[1]
        length = np.sqrt((means[0] ** 2).sum(axis=1))
        diagonal = np.full(d, d**-0.5)  # any direction, if the mean vector is 0
        mu = np.where(length[:, None] > TINY, means[0] / np.maximum(length, TINY)[:, None], diagonal)
        return {"mean_direction": mu, "concentration": concentration(d, length)}

    def sample(self, theta: Theta, n: int, rng: np.random.Generator) -> Float:
        """Return random directions, by SciPy's rejection sampling."""
        from scipy.stats import vonmises_fisher  # imported here: it needs 20 MB, and the E-step does not use it

        mu, kappa = theta["mean_direction"], float(theta["concentration"])
        if n == 0:
            return np.empty((0, len(mu)))
        drawn = vonmises_fisher(mu / np.linalg.norm(mu), max(kappa, 1e-12)).rvs(n, random_state=rng)
        return np.asarray(drawn, dtype=np.float64).reshape(n, len(mu))

    def outside(self, x: Float) -> NDArray[np.bool_]:
        """Return a mask of rows whose length is not 1, up to rounding in float32 (float16 if the values fit in it)."""
        off = np.abs(np.einsum("ij,ij->j", x, x) - 1)
        bad = off > 1e-6
        if bad.any():
            with np.errstate(over="ignore"):
                bad &= (off > 2e-3) | (x != x.astype(np.float16)).any(axis=0)
        return np.broadcast_to(bad, x.shape)


class CompleteVonMisesFisher(VonMisesFisher):
    """The von Mises-Fisher part of a product with missing values. Its own rows must be complete."""

    def features(self, d: int, frame: Frame) -> Features:
        """Return x of complete rows."""
        return CompleteRowFeatures(super().features(d, frame))

    @property
    def filling(self) -> Filling[Theta]:
        """The family itself: its rows are complete."""
        return self

    def log_density(self, theta: Theta, x: Float, out: Float) -> Float:
        """Write the log-densities of complete rows."""
        check_no_missing(x)
        return super().log_density(theta, x, out)

    def conditional_moments(self, theta: Theta, x: Float, reuse: Float, resp: Float) -> tuple[Float, Float]:
        """Return x, and variances of 0: the rows are complete."""
        return x, np.zeros_like(x)


@dataclass(frozen=True)
class CompleteRowFeatures:
    """Features of rows that must be complete.

    Attributes
    ----------
    of : Features
        NaN where a value is missing.
    """

    of: Features

    @property
    def n_features(self) -> int:
        """F, the constant 1 included."""
        return self.of.n_features

    def write(self, rows: Array, out: Array) -> None:
        """Write the features.

        Raises
        ------
        ValueError
            If a value is missing.
        """
        self.of.write(rows, out)
        check_no_missing(out)


def check_no_missing(x: Array) -> None:
    """Check that no value of x (d, n) is missing: the marginal density has no closed form.

    Raises
    ------
    ValueError
        If a value is missing.
    """
    if np.isnan(x).any():
        raise ValueError(
            "von Mises-Fisher does not support missing values: remove the rows that have them, fill them in, or choose "
            "another family"
        )
