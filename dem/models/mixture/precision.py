"""The arithmetic of a sweep, float32, float64 or centred: an error bound of the products decides which suffices."""

from __future__ import annotations

from enum import IntEnum
from typing import TypeVar

import numpy as np

from dem.core.block import Float
from dem.core.coordinate_frame import Frame
from dem.families.family import Linear

T = TypeVar("T")

TOLERANCE = 1e-9
"""Nats: what float64 products may lose of any row's log-likelihood before the exact path takes over."""
ROUNDINGS = 8
"""Roundings of |H| |T|, with each feature's largest magnitude in T, that the largest error is taken to be."""
SINGLE_TOLERANCE = 1e-4
"""Nats a row, on the average: what float32 products may lose while iterating on float32 data."""
SINGLE_ROUNDINGS = 2
"""Roundings of |H| |T|, with each column's root mean square in T, that the mean error is taken to be."""


class Precision(IntEnum):
    """The arithmetic of a sweep, from the cheapest to the most exact."""

    SINGLE = 0
    DOUBLE = 1
    CENTRED = 2


def products_size(linear: Linear[T], theta: T, frame: Frame, features: Float) -> float:
    """Return max over k of |eta_k| . t, for features t (F,) in a frame: products lose so many roundings' size."""
    size = float((np.abs(linear.natural(theta, frame)) @ features).max())
    return size + linear.shared_size(theta)


def double_suffices(size: float) -> bool:
    """Whether float64 products of this size, |H| |T|, keep the tolerance."""
    return bool(ROUNDINGS * np.finfo(np.float64).eps * size <= TOLERANCE)


def single_suffices(size: float) -> bool:
    """Whether float32 products of this size, |H| |T| with typical features, keep their tolerance."""
    return bool(SINGLE_ROUNDINGS * np.finfo(np.float32).eps * size <= SINGLE_TOLERANCE)
