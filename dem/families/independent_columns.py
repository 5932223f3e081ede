"""Missing values in columns that are independent given the component: residuals and conditional moments."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Float


def residuals(x: Float, mean: Float, missing: NDArray[np.bool_]) -> Float:
    """Return x - mean of a tile x (d, n); 0 where a value is missing."""
    rest = x - mean[:, None]
    np.copyto(rest, 0.0, where=missing)
    return rest


def mixture_moments(x: Float, resp: Float, means: Float, variances: Float) -> tuple[Float, Float]:
    """Return the conditional mean and variance (d, n) of missing values; x and 0 where a value is observed.

    The mean of a mixture is the weighted mean of the components' means. Its variance is the weighted mean of their
    variances, plus the variance of their means.

    Parameters
    ----------
    x : array of shape (d, n)
        NaN where missing.
    resp : array of shape (K, n)
        Responsibilities.
    means, variances : array of shape (K, d)
        The moments of each column, given the component.
    """
    centre = means.mean(axis=0)[:, None]  # squares of differences from it lose no digits
    offsets = means.T - centre
    mean = offsets @ resp
    variance = np.maximum((variances.T + offsets**2) @ resp - mean**2, 0.0)
    missing = np.isnan(x)
    return np.where(missing, centre + mean, x), np.where(missing, variance, 0.0)
