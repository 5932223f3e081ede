"""Shifted and scaled coordinates for features. They keep values near zero, so that products lose few digits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from dem.core.block import Array, Float
from dem.core.linalg import power_of_two

NEAR_ONE = 2.0**10
"""Columns whose spread is between 1 / NEAR_ONE and NEAR_ONE are not scaled."""


@dataclass(frozen=True)
class Frame:
    """Coordinates (x - shift) * scale.

    Attributes
    ----------
    shift : array of shape (d,) or (k, d)
        A point near the data; (k, d) if each component has its own point.
    scale : array of shape (d,)
        Powers of two, so that scaling does not round.
    """

    shift: Float
    scale: Float

    @classmethod
    def near(cls, sample: Array, *, isotropic: bool = False) -> Frame:
        """Return the frame of a sample's mean and spread.

        Parameters
        ----------
        sample : array of shape (n, d)
        isotropic : bool
            Use the same scale for all columns. Spherical models need this: a scale per column would change the model.
        """
        x = np.asarray(sample, dtype=np.float64)
        shift = x.mean(axis=0)
        if sample.dtype.kind == "f" and sample.dtype.itemsize < 8:
            shift = shift.astype(np.float32).astype(np.float64)  # so that x - shift is rounded once
        spread = np.abs(x - shift).mean(axis=0)
        if isotropic:
            spread = np.full_like(spread, spread.max(initial=0.0))
        spread = np.where(spread > 0, spread, 1.0)
        plain = (spread < NEAR_ONE) & (spread > 1 / NEAR_ONE)
        return cls(shift, np.where(plain, 1.0, power_of_two(1 / spread)))

    @classmethod
    def at(cls, points: Float) -> Frame:
        """Return the unscaled frame whose origin is `points`, of shape (d,) or (k, d)."""
        return cls(points, np.ones(points.shape[-1]))

    def same(self, other: Frame) -> bool:
        """Whether both frames have the same coordinates, to the last bit."""
        return np.array_equal(self.shift, other.shift) and np.array_equal(self.scale, other.scale)

    def tile(self, rows: Array, out: Array) -> None:
        """Write `rows` (n, d) into `out` (d, n) in this frame, in the precision of `out`."""
        dtype: DTypeLike = out.dtype
        shift: Any = self.shift.astype(dtype)[:, None]
        np.subtract(rows.T, shift, out=out, dtype=dtype, casting="unsafe")
        if (self.scale != 1).any():
            out *= self.scale.astype(dtype)[:, None]

    def largest(self, low: Float, high: Float) -> Float:
        """Return the largest absolute value (d,), in this frame, of columns with values in [low, high]."""
        return np.asarray(np.maximum(np.abs(low - self.shift), np.abs(high - self.shift)) * self.scale)
