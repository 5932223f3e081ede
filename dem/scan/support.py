"""What a family asks of every row before EM begins: is it in the support, and what is its base measure.

The base measure's sum of log h(x) does not depend on the parameters, so it is taken once, in the first pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Array, Float


class Measure(Protocol):
    """The part of a family that the first pass needs; it must pickle."""

    @property
    def wants(self) -> str:
        """What values are taken, in words."""

    def wants_in(self, column: int) -> str:
        """Return what is taken in one column, in words."""

    def outside(self, x: Float) -> NDArray[np.bool_] | None:
        """Return which entries of x (d, n) are outside the support; None if none can be."""

    def doubts(self, low: Float, high: Float) -> dict[int, str]:
        """Return what to tell of columns of this range, (d,) each, that are taken, but hardly meant: by column."""

    def log_base(self, x: Float) -> Float | None:
        """Return log h(x) of the columns of x (d, n), in nats, (n,); None if it is 0."""

    def observed_log_base(self, x: Float) -> Float | None:
        """Return the same of what is observed in x, NaN where missing."""


@dataclass(frozen=True, order=True)
class Outside:
    """A value that a family does not take: the first one, by row and column.

    Attributes
    ----------
    row : int
        The row's key.
    column : int
    value : float
    wants : str
        What the family takes.
    """

    row: int
    column: int
    value: float
    wants: str

    def __str__(self) -> str:
        return f"holds {self.value:g} in column {self.column}, where the model takes {self.wants}"


@dataclass(frozen=True)
class Measured:
    """What the measure says of a set of rows.

    Attributes
    ----------
    base : float
        Weighted sum of log h(x), in nats.
    outside : Outside or None
    """

    base: float = 0.0
    outside: Outside | None = None

    def __add__(self, other: Measured) -> Measured:
        """Return what it says of both sets of rows together."""
        found = [o for o in (self.outside, other.outside) if o is not None]
        return Measured(self.base + other.base, min(found, default=None))


def first_outside(measure: Measure, x: Float, keys: NDArray[np.int64] | int) -> Outside | None:
    """Return the first entry of x (d, n) that a measure does not take; None if it takes all.

    Parameters
    ----------
    measure : Measure
    x : array of shape (d, n)
    keys : int, or array of shape (n,)
        The key of the first row, or those of all.
    """
    mask = measure.outside(x)
    if mask is None or not mask.any():
        return None
    mask = mask & ~np.isnan(x)
    if not mask.any():
        return None
    i = int(mask.any(axis=0).argmax())
    column = int(mask[:, i].argmax())
    row = keys + i if isinstance(keys, int) else int(keys[i])
    return Outside(row, column, float(x[column, i]), measure.wants_in(column))


def measured(measure: Measure, x: Float, weight: Array | None, keys: NDArray[np.int64] | int) -> Measured:
    """Return what a measure says of the columns of x (d, n), finite or NaN where missing.

    Parameters are those of `first_outside`, and the rows' weights (n,), None for 1 each. Rows of weight 0 may hold
    anything.
    """
    if weight is not None and (weight == 0).any():
        kept = np.flatnonzero(weight)
        x, weight, keys = x[:, kept], weight[kept], keys + kept if isinstance(keys, int) else keys[kept]
    if (outside := first_outside(measure, x, keys)) is not None:
        return Measured(0.0, outside)
    base = measure.log_base(x)
    if base is not None and np.isnan(base).any():
        base = measure.observed_log_base(x)
    if base is None:
        return Measured()
    total: Any = base.sum() if weight is None else base @ np.asarray(weight, dtype=np.float64)
    return Measured(float(total))
