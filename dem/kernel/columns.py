"""The columns that features are products of, as the native kernel computes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Array
from dem.kernel.tasks import BY_ITEMS, IN_FRAME, ITEM, OBSERVED_IN_FRAME, STORED

Items = NDArray[Any]
"""An array of the dtype `ITEM`. Its columns count from 0: the constant 1 is none of them."""


def no_items() -> Items:
    """Return an empty array of items."""
    return np.empty(0, ITEM)


@dataclass(frozen=True, eq=False)
class Columns:
    """From where the columns of features come.

    Attributes
    ----------
    source : int
        IN_FRAME: columns of the data, (x - shift) * scale, and then those of items. BY_ITEMS: items only. STORED:
        columns that were computed before. OBSERVED_IN_FRAME: those of IN_FRAME, 0 where a value is missing, then those
        of items, and last d columns that are 1 where there is a value and 0 where it is missing.
    count : int
        The number of columns, without the constant 1.
    shift, scale : array of shape (d,)
        In the dtype of the arithmetic; 0 and 1 if items have their own.
    items : array of items
    """

    source: int
    count: int
    shift: Array
    scale: Array
    items: Items = field(default_factory=no_items)

    @property
    def d(self) -> int:
        """The number of columns of the data, or of columns that are stored."""
        return len(self.shift)


def columns_in_frame(
    shift: Array, scale: Array, dtype: np.dtype[Any], sums: Items, *, with_observed: bool = False
) -> Columns:
    """Return the columns of the data in a frame, sums of their squares, and perhaps where there are values."""
    shift, scale = (np.ascontiguousarray(a, dtype=dtype) for a in (shift, scale))
    d, source = len(shift), OBSERVED_IN_FRAME if with_observed else IN_FRAME
    return Columns(source, d + len(sums) + d * with_observed, shift, scale, sums)


def columns_by_items(items: Items, count: int, d: int, dtype: np.dtype[Any]) -> Columns:
    """Return `count` columns computed by items from d columns of the data."""
    return Columns(BY_ITEMS, count, np.zeros(d, dtype), np.ones(d, dtype), items)


def stored_columns(count: int, dtype: np.dtype[Any]) -> Columns:
    """Return columns that were computed before."""
    return Columns(STORED, count, np.zeros(count, dtype), np.ones(count, dtype))
