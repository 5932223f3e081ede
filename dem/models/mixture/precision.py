"""The arithmetic of a sweep: float32, float64 or centred. It is chosen by an error bound of the matrix products."""

from __future__ import annotations

from enum import IntEnum
from typing import TypeVar

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


class Precision(IntEnum):
    """The arithmetic of a sweep, from the cheapest to the most exact."""

    SINGLE = 0
    DOUBLE = 1
    CENTRED = 2


def products_size(linear: Linear[T], theta: T, frame: Frame, features: Float) -> float:
    """Return the largest |eta_k| . t over k, for magnitudes t (F,): rounding errors are proportional to it."""
    size = float((np.abs(linear.natural(theta, frame)) @ features).max())
    return size + linear.shared_term_size(theta)


def double_suffices(size: float) -> bool:
    """Whether float64 products of this size, |H| |T|, are within the tolerance."""
    return bool(ROUNDINGS * np.finfo(np.float64).eps * size <= TOLERANCE)


def single_suffices(size: float) -> bool:
    """Whether float32 products of this size, |H| |T| with typical magnitudes, are within their tolerance."""
    return bool(SINGLE_ROUNDINGS * np.finfo(np.float32).eps * size <= SINGLE_TOLERANCE)
