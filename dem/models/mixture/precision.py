"""The arithmetic of a sweep: float32, float64 or centred. It is chosen by an error bound of the matrix products."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, TypeVar

import numpy as np

from dem.core.block import Float
from dem.core.coordinate_frame import Frame
from dem.families.family import Linear

T = TypeVar("T")

TOLERANCE = 1e-9
"""Largest error of the log-likelihood of any row, in nats, with which float64 products are used."""
ROUNDINGS = 8
"""Bound of the largest error, in roundings of |H| |T| with the largest magnitude of each feature in T."""
SINGLE_TOLERANCE = 1e-4
"""Largest mean error, in nats a row, with which float32 products are used while iterating on float32 data."""
SINGLE_ROUNDINGS = 2
"""Bound of the mean error, in roundings of |H| |T| with the root mean square of each feature in T."""

LARGEST_IN_SINGLE = 1e20
"""Largest magnitude of a number with which float32 products are used. Sums of a tile, of up to 16384 rows with weights
up to 1e6, then fit float32."""


class Precision(IntEnum):
    """The arithmetic of a sweep, from the cheapest to the most exact."""

    SINGLE = 0
    DOUBLE = 1
    CENTRED = 2

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of its numbers: float32 or float64."""
        return np.dtype(np.float32 if self is Precision.SINGLE else np.float64)


def products_size(linear: Linear[T], theta: T, frame: Frame, features: Float) -> float:
    """Return the largest |eta_k| . t over k, for magnitudes t (F,): rounding errors are proportional to it."""
    size = float((np.abs(linear.natural(theta, frame)) @ features).max())
    return size + linear.shared_term_size(theta)


def double_suffices(size: float) -> bool:
    """Whether float64 products of this size, |H| |T|, are within the tolerance."""
    return bool(ROUNDINGS * np.finfo(np.float64).eps * size <= TOLERANCE)


def single_suffices(size: float) -> bool:
    """Whether float32 products of this size, |H| |T| with typical magnitudes, are within their tolerance."""
    return SINGLE_ROUNDINGS * float(np.finfo(np.float32).eps) * size <= SINGLE_TOLERANCE


def single_holds(dtype: np.dtype[Any], frame: Frame, *magnitudes: Float) -> bool:
    """Whether float32 holds rows of this dtype, the scale of the frame, and sums of numbers of these magnitudes."""
    if dtype.kind != "f" or dtype.itemsize > 4:
        return False
    return all(bool((a <= LARGEST_IN_SINGLE).all()) for a in (frame.scale, 1 / frame.scale, *magnitudes))
