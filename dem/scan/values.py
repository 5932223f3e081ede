"""The values of a block by NumPy: ranges, moments, missing and infinite entries, and the support of a model."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Array, Block, Float
from dem.core.rows import Keys, RowKeys
from dem.scan.moments import BlockSums, ColumnMoments, Moments
from dem.scan.support import Measure, Measured, measured

TILE_BYTES = 2**19
"""Size of a tile in float64, in bytes. It fits into the second-level cache of a core."""
MAX_TILE = 4096
Position = tuple[int, int]
"""The key of a row, and a column."""
NO_POSITION: Position = (np.iinfo(np.int64).max, 0)


class BlockValues:
    """What a scan finds out about the values of one block.

    Parameters
    ----------
    d : int
        Columns.
    scatter : bool
        Compute the full (d, d) scatter, not only its diagonal.
    measure : Measure or None
        The support and base measure of the model.
    """

    def __init__(self, d: int, scatter: bool, measure: Measure | None) -> None:
        self.d, self.measure = d, measure
        self.low, self.high = np.full(d, np.inf), np.full(d, -np.inf)
        self.nonfinite, self.incomplete, self.support = NonFiniteCounts.none(d), ColumnMoments.none(d), Measured()
        self._sums = BlockSums(d, scatter)
        self._finite: Moments | None = None

    @property
    def moments(self) -> Moments:
        """The moments of the rows without missing or infinite values."""
        by_tiles = self._sums.moments()
        if self._finite is None:
            return by_tiles
        return self._finite + by_tiles if by_tiles.weight else self._finite

    def add_finite(self, moments: Moments, low: Float, high: Float) -> None:
        """Add the moments and ranges of some rows, all of whose values are finite. It is called once at most."""
        self._finite = moments
        self.low, self.high = np.fmin(self.low, low), np.fmax(self.high, high)

    def add(self, block: Block) -> None:
        """Add the rows of a part of the block, tile by tile."""
        tile = np.empty((self.d, scan_tile_rows(self.d)))
        for start in range(0, len(block.x), tile.shape[1]):
            part = block.part(start, start + tile.shape[1])
            t = tile[:, : len(part.x)]
            t[...] = part.x.T
            self._add_tile(t, part.weight, part.keys)

    def _add_tile(self, t: Float, weight: Array | None, row_keys: RowKeys) -> None:
        """Add the rows of a tile (d, n) with these keys; the tile is changed."""
        lowest, highest = t.min(axis=1), t.max(axis=1)
        whole = bool(np.isfinite(lowest).all() and np.isfinite(highest).all())
        keys: Keys = row_keys
        count = np.ones(t.shape[1], np.bool_) if weight is None else weight > 0
        if not whole:
            self.nonfinite = self.nonfinite + NonFiniteCounts.of(t, row_keys, count)
            count &= ~np.isnan(t).all(axis=0)
        if not count.all():  # values in rows that do not count are ignored
            counted = np.flatnonzero(count)
            t, weight, keys = t[:, counted], None if weight is None else weight[counted], keys.only(counted)
            lowest, highest = t.min(axis=1, initial=np.inf), t.max(axis=1, initial=-np.inf)
        if not whole:
            fine = np.isfinite(t)
            t[~fine] = np.nan
            lowest = np.fmin.reduce(t, axis=1, initial=np.inf)
            highest = np.fmax.reduce(t, axis=1, initial=-np.inf)
        self.low, self.high = np.fmin(self.low, lowest), np.fmax(self.high, highest)
        if self.measure is not None:
            self.support = self.support + measured(self.measure, t, weight, keys)
        if not whole:
            complete = fine.all(axis=0)
            lacking = None if weight is None else weight[~complete]
            self.incomplete = self.incomplete + ColumnMoments.of(t[:, ~complete], fine[:, ~complete], lacking)
            t, weight = t[:, complete], None if weight is None else weight[complete]
        self._sums.add(t, weight)


class NonFiniteCounts(NamedTuple):
    """Counts and first positions of missing and infinite entries. The fields are in the order of those of `Scan`."""

    missing: NDArray[np.int64]
    infinite: NDArray[np.int64]
    first_missing: Position
    first_infinite: Position
    rows: int
    empty: int

    @classmethod
    def none(cls, d: int) -> NonFiniteCounts:
        """Return the counts of no rows."""
        return cls(np.zeros(d, np.int64), np.zeros(d, np.int64), NO_POSITION, NO_POSITION, 0, 0)

    @classmethod
    def of(cls, tile: Float, keys: RowKeys, count: NDArray[np.bool_]) -> NonFiniteCounts:
        """Return the counts of a tile (d, n) of rows with these keys; `count` (n,) is a mask: weight > 0."""
        nan = np.isnan(tile)
        infinite = np.isinf(tile) & count
        counts = nan.sum(axis=1), infinite.sum(axis=1)
        rows = int(nan.any(axis=0).sum()), int(nan.all(axis=0).sum())
        return cls(*counts, _first(nan, keys), _first(infinite, keys), *rows)

    def __add__(self, other: NonFiniteCounts) -> NonFiniteCounts:  # type: ignore[override]
        """Return the counts of both sets of rows together."""
        missing, infinite = self.missing + other.missing, self.infinite + other.infinite
        first_missing = min(self.first_missing, other.first_missing)
        first_infinite = min(self.first_infinite, other.first_infinite)
        return NonFiniteCounts(
            missing, infinite, first_missing, first_infinite, self.rows + other.rows, self.empty + other.empty
        )


def scan_tile_rows(d: int) -> int:
    """Return the number of rows in a tile of the scan, for d columns."""
    return max(1, min(MAX_TILE, TILE_BYTES // (8 * max(1, d))))


def _first(flags: NDArray[np.bool_], keys: RowKeys) -> Position:
    """Return the first position of a True in `flags` (d, n), by row and then by column; `NO_POSITION` if none."""
    hits = np.flatnonzero(flags.any(axis=0))
    return (keys.of(int(hits[0])), int(flags[:, hits[0]].argmax())) if len(hits) else NO_POSITION
