"""Check before EM that every row is in a family's support, and sum its log base measure.

The sum of log h(x) does not depend on the parameters, so it is computed once, in the first pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Array, Float
from dem.core.rows import Keys


class Measure(Protocol):
    """The part of a family that the first pass needs: support and base measure. It must be picklable."""

    @property
    def wants(self) -> str:
        """The supported values, as text: "numbers > 0"."""

    @property
    def checks_rows(self) -> bool:
        """Whether finite values may be outside the support, or log h may differ from 0. If not, no row is looked at."""

    def wants_in_column(self, column: int) -> str:
        """Return the supported values of one column, as text."""

    def outside(self, x: Float) -> NDArray[np.bool_] | None:
        """Return a mask of the entries of x (d, n) outside the support; None if all values are supported."""

    def range_warnings(self, low: Float, high: Float) -> dict[int, str]:
        """Return warnings by column, for values that are supported but probably a mistake. Ranges are (d,) each."""

    def log_base(self, x: Float) -> Float | None:
        """Return log h(x) (n,), in nats, of the rows in x (d, n); None if it is 0 for all."""

    def observed_log_base(self, x: Float) -> Float | None:
        """Return log h (n,), in nats, of the observed values of each row; missing values in x (d, n) are NaN."""


@dataclass(frozen=True, order=True)
class Outside:
    """The first value outside the support, by row and then by column.

    Attributes
    ----------
    row : int
        The key of the row.
    column : int
    value : float
    wants : str
        The supported values, as text.
    """

    row: int
    column: int
    value: float
    wants: str

    def in_words(self, column: str) -> str:
        """Return what is wrong as text, given the column in words."""
        return f"holds {self.value:g} in {column}, but the model accepts only {self.wants}"


@dataclass(frozen=True)
class Measured:
    """The base measure of a set of rows, and its first value outside the support.

    Attributes
    ----------
    base : float
        Weighted sum of log h(x), in nats.
    outside : Outside or None
    """

    base: float = 0.0
    outside: Outside | None = None

    def __add__(self, other: Measured) -> Measured:
        """Return the result for both sets of rows together."""
        found = [o for o in (self.outside, other.outside) if o is not None]
        return Measured(self.base + other.base, min(found, default=None))


def first_outside(measure: Measure, x: Float, keys: Keys) -> Outside | None:
    """Return the first entry of x (d, n) outside the support; None if there is none.

    Parameters
    ----------
    measure : Measure
    x : array of shape (d, n)
    keys : RowKeys or SelectedKeys
        The keys of the rows.
    """
    mask = measure.outside(x)
    if mask is None or not mask.any():
        return None
    mask = mask & ~np.isnan(x)
    if not mask.any():
        return None
    i = int(mask.any(axis=0).argmax())
    column = int(mask[:, i].argmax())
    return Outside(keys.of(i), column, float(x[column, i]), measure.wants_in_column(column))


def measured(measure: Measure, x: Float, weight: Array | None, keys: Keys) -> Measured:
    """Return the base measure, and the first value outside the support, of the rows in x (d, n).

    Parameters
    ----------
    measure : Measure
    x : array of shape (d, n)
        Finite, or NaN where missing.
    weight : array of shape (n,) or None
        The weights of the rows; None means 1 each. Values in rows of weight 0 are ignored.
    keys : RowKeys or SelectedKeys
        The keys of the rows.
    """
    if weight is not None and (weight == 0).any():
        kept = np.flatnonzero(weight)
        x, weight, keys = x[:, kept], weight[kept], keys.only(kept)
    if (outside := first_outside(measure, x, keys)) is not None:
        return Measured(0.0, outside)
    base = measure.log_base(x)
    if base is not None and np.isnan(base).any():
        base = measure.observed_log_base(x)
    if base is None:
        return Measured()
    total: Any = base.sum() if weight is None else base @ np.asarray(weight, dtype=np.float64)
    return Measured(float(total))
