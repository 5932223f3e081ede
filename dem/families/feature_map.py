"""Features as a small value: columns computed from the data, and products of pairs of them.

    T[f] = column[pairs[f, 0]] * column[pairs[f, 1]],    column = (op(x[source]) - shift) * scale

Every implementation of the E-step can read a `FeatureMap`. The implementation with NumPy is
`dem.families.feature_writer`. Statistics that are not ops are in `dem.families.features`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dem.core.block import Array
from dem.families.feature_columns import NO_MASK, ONE, Column, Op
from dem.families.feature_writer import Writer

Ints = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """Features that are products of two columns.

    Attributes
    ----------
    columns : tuple of Column
        Column 0 is ONE.
    pairs : int array of shape (F, 2)
        The two columns of each feature. The first feature is the constant, (0, 0).
    masks : int array of shape (F,)
        The OBSERVED column that sets a feature to 0 where its value is missing, or -1. It has the same source as the
        columns of the feature. A masked column is 0 where its value is missing, in all features.
    """

    columns: tuple[Column, ...]
    pairs: Ints
    masks: Ints

    @property
    def n_features(self) -> int:
        """F, including the constant 1."""
        return len(self.pairs)

    def write(self, rows: Array, out: Array) -> None:
        """Write the features of rows (n, d) into `out` (F - 1, n), in its precision, without the constant 1."""
        self._writer(rows, out)

    @cached_property
    def _writer(self) -> Writer:
        return Writer(self.columns, self.pairs, self.masks)

    def __getstate__(self) -> dict[str, object]:
        """Return only the fields: the writer is made again when it is needed."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def feature_map(columns: tuple[Column, ...], products: ArrayLike | None = None) -> FeatureMap:
    """Return the map whose features are the constant, each of the columns, and products of pairs of them.

    Parameters
    ----------
    columns : tuple of Column
        Without ONE, which becomes column 0; these are columns 1, 2, ...
    products : int array of shape (m, 2), optional
        Pairs of column numbers of the map.
    """
    own = len(columns)
    more = np.empty((0, 2), np.int32) if products is None else np.asarray(products, dtype=np.int32)
    pairs = np.zeros((1 + own + len(more), 2), np.int32)
    pairs[: 1 + own, 1] = np.arange(1 + own)
    pairs[1 + own :] = more
    return FeatureMap((ONE, *columns), pairs, np.full(len(pairs), NO_MASK, np.int32))


def with_indicators(complete: FeatureMap, d: int, before: int) -> FeatureMap:
    """Return the map for rows with missing values: d indicators more, and features are 0 where a value is missing.

    Parameters
    ----------
    complete : FeatureMap
        The map for complete rows; both columns of a feature have the same source.
    d : int
        The number of columns of the data.
    before : int
        The index of the feature before which the indicators are inserted.
    """
    n = len(complete.columns)
    indicators = tuple(Column(Op.OBSERVED, j) for j in range(d))
    of_column = [NO_MASK if c.op in (Op.ONE, Op.SUM_OF_SQUARES) else n + c.source for c in complete.columns]
    masks = np.array(of_column, dtype=np.int32)[complete.pairs.max(axis=1)]
    own = np.stack([np.zeros(d, np.int32), np.arange(n, n + d, dtype=np.int32)], axis=1)
    return FeatureMap(
        (*complete.columns, *indicators),
        np.concatenate([complete.pairs[:before], own, complete.pairs[before:]]),
        np.concatenate([masks[:before], np.full(d, NO_MASK, np.int32), masks[before:]]),
    )


def concatenated(blocks: Sequence[tuple[Sequence[int], FeatureMap]]) -> FeatureMap:
    """Return one map with the stacked features of several maps, given as (columns of the data, map)."""
    columns, pairs, masks = [ONE], [np.zeros((1, 2), np.int32)], [np.array([NO_MASK], np.int32)]
    for of_data, part in blocks:
        moved = len(columns) - 1
        for column in part.columns[1:]:
            of_map = column.op is Op.SUM_OF_SQUARES
            columns.append(column._replace(source=column.source + moved if of_map else of_data[column.source]))
        pairs.append(np.where(part.pairs[1:] > 0, part.pairs[1:] + np.int32(moved), 0))
        masks.append(np.where(part.masks[1:] > 0, part.masks[1:] + np.int32(moved), NO_MASK))
    return FeatureMap(tuple(columns), np.concatenate(pairs), np.concatenate(masks))
