"""A `FeatureMap` as the native kernel reads it: items, each of one or two columns that need the same numbers."""

from __future__ import annotations

from itertools import takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dem.families.feature_columns import NO_MASK, Column, Op
from dem.families.feature_map import FeatureMap
from dem.families.feature_writer import missing_of
from dem.kernel.columns import Columns, Items, columns_by_items, columns_in_frame
from dem.kernel.tasks import ANGLE, EQUALS, ITEM, LOGARITHM, NUMBER, OBSERVED, SQUARES_SUM

KINDS = {
    Op.X: NUMBER,
    Op.LOG: LOGARITHM,
    Op.COS: ANGLE,
    Op.SIN: ANGLE,
    Op.EQUALS: EQUALS,
    Op.OBSERVED: OBSERVED,
    Op.SUM_OF_SQUARES: SQUARES_SUM,
}
PAIRED_OPS = (Op.LOG, Op.X), (Op.COS, Op.SIN), (Op.X, Op.OBSERVED)
"""Ops that one item computes from the same numbers."""
Pair = tuple[int | None, int | None]


def columns_of(features: FeatureMap, d: int, dtype: np.dtype[Any]) -> Columns:
    """Return the columns of a map, for data of d columns and this arithmetic."""
    columns = features.columns[1:]
    masked = [number != NO_MASK for number in missing_of(features.columns, features.pairs, features.masks)[1:]]
    own, rest = columns[:d], columns[d:]
    sums = tuple(takewhile(is_sum, rest))
    indicators = tuple(Column(Op.OBSERVED, j) for j in range(d))
    plain = all(is_number(column, j) for j, column in enumerate(own))
    if plain and (rest[len(sums) :], masked[:d]) in [((), [False] * d), (indicators, [True] * d)]:
        shift, scale = np.array([(c.shift, c.scale) for c in own]).reshape(-1, 2).T
        items = items_of(columns, masked, range(d, d + len(sums)))
        return columns_in_frame(shift, scale, dtype, items, with_observed=masked[0])
    return columns_by_items(items_of(columns, masked, range(len(columns))), len(columns), d, dtype)


def columns_first(pairs: NDArray[np.int32]) -> NDArray[np.intp]:
    """Return the order of features (F, 2) in which columns come before products: such columns are written only once."""
    first, second = pairs.min(axis=1), pairs.max(axis=1)
    return np.argsort(np.where(first == 0, second, pairs.max() + 1), kind="stable")


def is_number(column: Column, source: int) -> bool:
    """Whether a column is a column of the data in a frame."""
    return column.op is Op.X and column.source == source and column.argument == 1


def is_sum(column: Column) -> bool:
    """Whether a column is a sum of squares."""
    return column.op is Op.SUM_OF_SQUARES


def items_of(columns: tuple[Column, ...], masked: list[bool], which: range) -> Items:
    """Return the items of some columns; those that need other columns come last.

    Parameters
    ----------
    columns : tuple of Column
        Without the constant 1.
    masked : list of bool
        Whether each is 0 where its value is missing.
    which : range
        The columns that items compute.
    """
    left, found = list(which), list[Pair]()
    for first, second in PAIRED_OPS:
        waiting = {input_of(columns[c], masked[c]): c for c in left if columns[c].op is second}
        for c in left:
            if columns[c].op is first and (twin := waiting.pop(input_of(columns[c], masked[c]), None)) is not None:
                found.append((c, twin))
        done = {c for pair in found for c in pair}
        left = [c for c in left if c not in done]
    found += [(None, c) if columns[c].op is Op.SIN else (c, None) for c in left]
    found.sort(key=lambda pair: pair[0] is not None and is_sum(columns[pair[0]]))
    return np.array([item_of(columns, masked, pair) for pair in found], ITEM)


def input_of(column: Column, masked: bool) -> tuple[int, float, bool]:
    """Return what two columns of one item have in common."""
    return column.source, column.argument, masked and (column.op is not Op.OBSERVED or column.shift == 0)


def item_of(columns: tuple[Column, ...], masked: list[bool], pair: Pair) -> tuple[Any, ...]:
    """Return an item as a tuple. A cosine that is not wanted goes one past all columns."""
    main = next(c for c in pair if c is not None)
    column = columns[main]
    both = [Column(column.op) if c is None else columns[c] for c in pair]
    source = column.source - 1 if is_sum(column) else column.source  # the constant 1 is column 0 of a map
    is_masked = masked[main] and column.op is not Op.OBSERVED
    to = [len(columns) if c is None else c for c in pair]
    shift, scale = [c.shift for c in both], [c.scale for c in both]
    return KINDS[column.op], source, is_masked, pair[1] is not None, to, column.argument, shift, scale
