"""What a family asks of every row before EM begins: is it in the support, and what is its base measure.

The base measure's sum of log h(x) does not depend on the parameters, so it is taken once, in the first pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dem.model import Array, Float


class Measure(Protocol):
    """The part of a family that the first pass needs; it must pickle."""

    @property
    def wants(self) -> str:
        """What values are taken, in words."""

    def wants_in(self, column: int) -> str:
        """Return what is taken in one column, in words."""

    def outside(self, x: Float) -> NDArray[np.bool_] | None:
        """Return which entries of x (d, n) are outside the support; None if none can be."""

    def log_base(self, x: Float) -> Float | None:
        """Return log h(x) of the columns of x (d, n), in nats, (n,); None if it is 0."""


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


def measured(measure: Measure, x: Float, weight: Array | None, first: NDArray[np.int64] | int) -> Measured:
    """Return what a measure says of the columns of x (d, n).

    Parameters
    ----------
    measure : Measure
    x : array of shape (d, n)
        Finite.
    weight : array of shape (n,) or None
        Rows of weight 0 may hold anything.
    first : int, or array of shape (n,)
        The key of the first row, or those of all.
    """
    mask = measure.outside(x)
    if mask is not None and mask.any():
        hit = np.flatnonzero(mask.any(axis=0) & (weight is None or np.asarray(weight) > 0))
        if len(hit):
            column = int(mask[:, hit[0]].argmax())
            row = first + int(hit[0]) if isinstance(first, int) else int(first[hit[0]])
            return Measured(0.0, Outside(row, column, float(x[column, hit[0]]), measure.wants_in(column)))
        assert weight is not None
        x, weight = x[:, weight > 0], weight[weight > 0]
    base = measure.log_base(x)
    if base is None:
        return Measured()
    total: Any = base.sum() if weight is None else base @ np.asarray(weight, dtype=np.float64)
    return Measured(float(total))
