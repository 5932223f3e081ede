"""What the distributions of directions share: the partition function on the sphere, and its inverse problem.

On the unit sphere of d dimensions p(x) = exp(kappa mu . x) / (area Z_d(kappa)), where Z_d(kappa), the mean of
exp(kappa mu . x) over the sphere, is 0F1(; d/2; kappa^2/4), Bessel's I of order d/2 - 1 but for a power (Mardia and
Jupp 2000, 9.3.4).
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln, hyp0f1, ive

from dem.model import Float

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
