"""A `FeatureMap` as the native kernel reads it: items, each of one or two columns that need the same numbers."""

from __future__ import annotations

from collections import defaultdict
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
SECOND_OF = {Op.LOG: Op.X, Op.SIN: Op.COS}
"""Ops that are the second column of an item, and the op of the first one."""


def columns_of(features: FeatureMap, d: int, dtype: np.dtype[Any]) -> Columns:
    """Return the columns of a map, for data of d columns and this arithmetic."""
    columns = features.columns[1:]
    masked = [number != NO_MASK for number in missing_of(features.columns, features.pairs, features.masks)[1:]]
    own, sums = columns[:d], columns[d:]
    if all(is_number(column, j) for j, column in enumerate(own)) and not any(masked) and all(map(is_sum, sums)):
        shift, scale = np.array([(c.shift, c.scale) for c in own]).reshape(-1, 2).T
        return columns_in_frame(shift, scale, dtype, items_of(columns, masked, range(d, len(columns))))
    return columns_by_items(items_of(columns, masked, range(len(columns))), len(columns), d, dtype)


def columns_first(pairs: NDArray[np.int32]) -> NDArray[np.intp]:
    """Return the order of features (F, 2) in which columns come before products: these columns are written only once."""
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
    firsts: dict[Any, list[int]] = defaultdict(list)
    for c in which:
        if columns[c].op in SECOND_OF.values():
            firsts[input_of(columns[c], columns[c].op, masked[c])].append(c)
    pairs: list[tuple[int | None, int | None]] = []
    for c in which:
        if (op := columns[c].op) in SECOND_OF:
            same = firsts[input_of(columns[c], SECOND_OF[op], masked[c])]
            pairs.append((same.pop() if same else None, c))
        elif op not in SECOND_OF.values():
            pairs.append((c, None))
    pairs += [(c, None) for left in firsts.values() for c in left]
    pairs.sort(key=lambda pair: pair[0] is not None and is_sum(columns[pair[0]]))
    return np.array([item_of(columns, masked, pair) for pair in pairs], ITEM)


def input_of(column: Column, op: Op, masked: bool) -> tuple[Op, int, float, bool]:
    """Return what two columns of one item have in common."""
    return op, column.source, column.argument, masked


def item_of(columns: tuple[Column, ...], masked: list[bool], pair: tuple[int | None, int | None]) -> tuple[Any, ...]:
    """Return an item as a tuple. What is not wanted goes one past all columns."""
    main = next(c for c in reversed(pair) if c is not None)
    column = columns[main]
    both = [Column(column.op) if c is None else columns[c] for c in pair]
    source = column.source - 1 if is_sum(column) else column.source  # the constant 1 is column 0 of a map
    to = [len(columns) if c is None else c for c in pair]
    shift, scale = [c.shift for c in both], [c.scale for c in both]
    return KINDS[column.op], source, masked[main], to, column.argument, shift, scale
