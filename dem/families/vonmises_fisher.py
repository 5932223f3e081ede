"""Directions in d dimensions: log p(x) = kappa mu . x - log(area Z_d(kappa))   (Banerjee et al. 2005).

Z_d(kappa), the mean of exp(kappa mu . x) over the unit sphere, is 0F1(; d/2; kappa^2/4), Bessel's I of order d/2 - 1
but for a power (Mardia and Jupp 2000, 9.3.4). The functions of it serve the von Mises family too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, hyp0f1, ive

from dem.core.block import Array, Float
from dem.core.coordinate_frame import Frame
from dem.families.exponential_family import TINY, OpFamily, Theta
from dem.families.family import Filling
from dem.families.features import Features

LARGEST = 1e8
"""The largest concentration: where all directions are equal the likelihood has no bound."""
SERIES = 500.0
"""Where log Z is surely smaller than this, the hypergeometric function does not overflow."""


def log_area(d: int) -> float:
    """Return the log of the surface of the unit sphere in d dimensions."""
    return float(np.log(2) + d / 2 * np.log(np.pi) - gammaln(d / 2))


def log_partition(d: int, kappa: Float) -> Float:
    """Return log Z_d(kappa)."""
    order, half = d / 2 - 1, kappa / 2
    small = half**2 < SERIES * d / 2
    series = np.log(hyp0f1(d / 2, np.where(small, half, 0) ** 2))
    far = np.where(small, 1.0, kappa)
    bessel = gammaln(d / 2) - order * np.log(far / 2) + np.log(np.where(small, 1.0, ive(order, far))) + far
    return np.asarray(np.where(small, series, bessel))


def mean_length(d: int, kappa: Float) -> Float:
    """Return A_d(kappa), the length of the mean direction, the derivative of log Z."""
    order, half = d / 2 - 1, kappa / 2
    small = half**2 < SERIES * d / 2
    square = np.where(small, half, 0) ** 2
    series = half / (d / 2) * hyp0f1(d / 2 + 1, square) / hyp0f1(d / 2, square)
    far = np.where(small, d, kappa)
    return np.asarray(np.where(small, series, ive(order + 1, far) / ive(order, far)))


def concentration(d: int, length: Float) -> Float:
    """Return the kappa at which A_d(kappa) = length, the maximum-likelihood estimate, at most `LARGEST`.

    The inverse of A_d is nearly r (d - r^2) / (1 - r^2) (Banerjee et al. 2005), so the error in it is nearly the error
    of kappa: subtracting it again and again converges for all kappa, where Newton's method loses all digits.
    """

    def nearly(r: Float) -> Float:
        return np.asarray(r * (d - r**2) / ((1 - r) * (1 + r)))

    length = np.minimum(length, 1 - 1e-12)
    kappa = np.minimum(nearly(length), LARGEST)
    for _ in range(40):
        step = nearly(length) - nearly(mean_length(d, kappa))
        kappa = np.clip(kappa + step, 0, LARGEST)
        if (np.abs(step) <= 1e-13 * kappa).all():
            break
    return kappa


MOST_COLUMNS = 2000
"""Beyond, Bessel functions of such orders are not to be had in float64."""


class VonMisesFisher(OpFamily):
    """Rows on the unit sphere: "mean_direction" (K, d) and "concentration" (K,)."""

    wants: ClassVar[str] = "rows of length 1"
    takes_squares: ClassVar[bool] = False

    def check_columns(self, d: int) -> None:
        """Refuse one column, and too many."""
        if not 2 <= d <= MOST_COLUMNS:
            raise ValueError(f"von Mises-Fisher needs 2 to {MOST_COLUMNS:,} columns, got {d}")

    def with_missing(self) -> Any:
        """Return the family itself, which refuses such rows: other parts of a product may lack values."""
        return WholeVonMisesFisher()

    def natural_parameters(self, theta: Theta) -> tuple[Float, ...]:
        """Return the normaliser and kappa mu."""
        mu, kappa = theta["mean_direction"], theta["concentration"]
        d = mu.shape[1]
        return -log_area(d) - log_partition(d, kappa), kappa[:, None] * mu

    def from_means(self, *means: Float) -> Theta:
        """Return the direction of the mean vector, and the concentration at its length."""
        d = means[0].shape[1]
        length = np.sqrt((means[0] ** 2).sum(axis=1))
        anywhere = np.full(d, d**-0.5)  # where the directions cancel
        mu = np.where(length[:, None] > TINY, means[0] / np.maximum(length, TINY)[:, None], anywhere)
        return {"mean_direction": mu, "concentration": concentration(d, length)}

    def sample(self, theta: Theta, n: int, rng: np.random.Generator) -> Float:
        """Return directions, by SciPy's rejection sampling."""
        from scipy.stats import vonmises_fisher  # here: it takes 20 MB, and the E-step does without

        mu, kappa = theta["mean_direction"], float(theta["concentration"])
        if n == 0:
            return np.empty((0, len(mu)))
        drawn = vonmises_fisher(mu / np.linalg.norm(mu), max(kappa, 1e-12)).rvs(n, random_state=rng)
        return np.asarray(drawn, dtype=np.float64).reshape(n, len(mu))

    def outside(self, x: Float) -> NDArray[np.bool_]:
        """Return the rows whose length is not 1, up to the rounding of float32, or of float16 if it is exact in it."""
        off = np.abs(np.einsum("ij,ij->j", x, x) - 1)
        bad = off > 1e-6
        if bad.any():
            with np.errstate(over="ignore"):
                bad &= (off > 2e-3) | (x != x.astype(np.float16)).any(axis=0)
        return np.broadcast_to(bad, x.shape)


class WholeVonMisesFisher(VonMisesFisher):
    """The same where values may be missing, but not of these columns: the marginal has no closed form."""

    def features(self, d: int, frame: Frame) -> Features:
        """Return x, of rows that are whole."""
        return WholeRows(super().features(d, frame))

    @property
    def filling(self) -> Filling[Theta]:
        """The family itself: nothing is missing."""
        return self

    def log_density(self, theta: Theta, x: Float, out: Float) -> Float:
        """Write the log-densities of directions that are whole."""
        check_whole(x)
        return super().log_density(theta, x, out)

    def fill(self, theta: Theta, x: Float, reuse: Float, resp: Float) -> tuple[Float, Float]:
        """Return x: nothing is missing."""
        return x, np.zeros_like(x)


@dataclass(frozen=True)
class WholeRows:
    """Features of rows in which nothing may be missing.

    Attributes
    ----------
    of : Features
        They are NaN where a value is missing.
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
        check_whole(out)


def check_whole(x: Array) -> None:
    """Refuse directions (d, n) of which a column is missing.

    Raises
    ------
    ValueError
    """
    if np.isnan(x).any():
        raise ValueError(
            "the von Mises-Fisher density of rows with missing values (NaN) has no closed form: remove such rows, "
            "fill them in, or use another family"
        )
