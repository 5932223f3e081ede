"""What families say of missing entries, column by column."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dem.model import Float


def centred(x: Float, mean: Float, missing: NDArray[np.bool_]) -> Float:
    """Return x - mu of a tile x (d, n), 0 where it is missing."""
    rest = x - mean[:, None]
    np.copyto(rest, 0.0, where=missing)
    return rest


def from_columns(x: Float, resp: Float, means: Float, variances: Float) -> tuple[Float, Float]:
    """Return the conditional mean and variance of each entry of x (d, n), and x itself and 0 where it is observed.

    A mixture's mean is the mean of its components'; its variance the mean of theirs, and the variance of their means.

    Parameters
    ----------
    x : array of shape (d, n)
        NaN where missing.
    resp : array of shape (K, n)
        Responsibilities.
    means, variances : array of shape (K, d)
        Of each column, given the component.
    """
    middle = means.mean(axis=0)[:, None]  # about which squares keep their digits
    offsets = means.T - middle
    mean = offsets @ resp
    variance = np.maximum((variances.T + offsets**2) @ resp - mean**2, 0.0)
    missing = np.isnan(x)
    return np.where(missing, middle + mean, x), np.where(missing, variance, 0.0)
