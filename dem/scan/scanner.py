"""The first pass: counts, moments, ranges and a uniform sample of the rows.

The sample has the rows with the smallest hashes of (seed, row key). Samples can be merged, and the
result does not depend on the chunking or the number of workers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Block, Float
from dem.core.coordinate_frame import Frame
from dem.core.stats import ARITY
from dem.scan.moments import BlockSums, ColumnMoments, Moments
from dem.scan.sample import Candidates, Sample, sample_rows
from dem.scan.support import Measure, Measured, measured

TILE_BYTES = 2**19
"""Size of a tile in float64, in bytes. It fits into the second-level cache of a core."""
MAX_TILE = 4096
HASH_ROWS = 2**16
"""Number of rows whose hashes are computed in one step."""
ROUNDING = 8 * float(np.finfo(np.float64).eps)
"""A standard deviation below this share of a column's largest magnitude is only the rounding of the mean."""
Position = tuple[int, int]
"""The key of a row, and a column."""
NO_POSITION: Position = (np.iinfo(np.int64).max, 0)


@dataclass(frozen=True)
class Scan:
    """The result of the first pass over the data.

    Attributes
    ----------
    rows : int
        Number of all rows, including rows of weight 0.
    moments : Moments
        Weighted moments of the rows without missing or infinite values. The scatter is (d, d) if requested, else (d,).
        (If values are missing, models get the moments from `dem.scan.fill_sample`.)
    incomplete : ColumnMoments
        Weighted moments of the finite values of each column in the incomplete rows.
    low, high : array of shape (d,)
        The lowest and highest value of each column; missing values are ignored.
    missing, infinite : array of shape (d,)
        Number of NaN entries and of infinite entries in each column. Infinite entries are counted only in rows of
        positive weight.
    first_missing, first_infinite : (int, int)
        Row key and column of the first such entry; `NO_POSITION` if there is none.
    incomplete_rows, empty_rows : int
        Number of rows with any missing value, and of rows in which all values are missing, whatever their weights.
        Empty rows are included only in `rows`, `missing` and these two counts.
    sample : Sample
        Uniform sample of the rows.
    absent : sorted int64 array
        The chunks missing from the store, numbered as in `Block.absent`.
    measured : Measured
        The sum of the log base measure over the rows, and the first value outside the model's support.
    """

    rows: int
    moments: Moments
    incomplete: ColumnMoments
    low: Float
    high: Float
    missing: NDArray[np.int64]
    infinite: NDArray[np.int64]
    first_missing: Position
    first_infinite: Position
    incomplete_rows: int
    empty_rows: int
    sample: Sample
    absent: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    measured: Measured = field(default_factory=Measured)

    def __add__(self, other: Scan) -> Scan:
        """Return the scan of both sets of rows together."""
        return Scan(
            self.rows + other.rows,
            self.moments + other.moments,
            self.incomplete + other.incomplete,
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
            self.missing + other.missing,
            self.infinite + other.infinite,
            min(self.first_missing, other.first_missing),
            min(self.first_infinite, other.first_infinite),
            self.incomplete_rows + other.incomplete_rows,
            self.empty_rows + other.empty_rows,
            self.sample + other.sample,
            np.union1d(self.absent, other.absent),
            self.measured + other.measured,
        )

    @property
    def n_columns(self) -> int:
        """The number of columns."""
        return len(self.low)

    @property
    def rows_with_value(self) -> int:
        """The number of rows with at least one value, whatever their weights."""
        return self.rows - self.empty_rows

    @property
    def lacking(self) -> NDArray[np.int64]:
        """Number of missing entries of each column (d,) in rows with at least one value. Models must handle these."""
        return self.missing - self.empty_rows

    @property
    def observed(self) -> ColumnMoments:
        """The moments of the finite values of each column, over all rows."""
        return ColumnMoments.of_complete_rows(self.moments) + self.incomplete

    @property
    def constant(self) -> NDArray[np.bool_]:
        """The columns (d,) without spread: their standard deviation is only the rounding of the mean."""
        magnitude = np.maximum(np.abs(self.low), np.abs(self.high))
        return np.asarray(np.sqrt(self.observed.variances) <= ROUNDING * magnitude)

    @property
    def mean_base(self) -> float:
        """The mean of the log base measure over the rows, in nats."""
        return self.measured.base / self.observed.rows

    def columns(self, at: slice | list[int]) -> Scan:
        """Return the scan of the selected columns."""
        m = self.moments
        scatter = m.scatter[at] if m.scatter.ndim == 1 else m.scatter[at][:, at]
        return replace(
            self,
            moments=replace(m, centre=m.centre[at], scatter=scatter),
            incomplete=self.incomplete.columns(at),
            low=self.low[at],
            high=self.high[at],
            missing=self.missing[at],
            infinite=self.infinite[at],
            sample=replace(self.sample, x=self.sample.x[:, at]),
        )

    def root_mean_square(self, frame: Frame) -> Float:
        """Return the root mean square of each column (d,) in a frame."""
        return np.asarray(np.sqrt(self.moments.variances + (self.moments.mean - frame.shift) ** 2) * frame.scale)


@dataclass(frozen=True)
class Scanner:
    """Makes the kernel of the first pass: a call without arguments returns the method `scan`.

    Attributes
    ----------
    n_columns : int
    scatter : bool
        Compute the full (d, d) scatter, not only its diagonal.
    sample_size : int
        Rows in the sample.
    seed : int
    n_rows : int or None
        The number of rows, if known. A task then returns only rows that can still be in the sample.
    measure : Measure or None
        The support and base measure of the model.
    """

    n_columns: int
    scatter: bool
    sample_size: int
    seed: int
    n_rows: int | None
    measure: Measure | None = None

    def __call__(self) -> Callable[[Block], Scan]:
        """Return the kernel."""
        return self.scan

    @property
    def k(self) -> int:
        """Number of rows of the sample, limited by its size in bytes."""
        return sample_rows(self.sample_size, self.n_columns)

    def scan(self, block: Block) -> Scan:
        """Return the scan of a block of shape (n, d)."""
        x, d = block.x, self.n_columns
        low, high = np.full(d, np.inf), np.full(d, -np.inf)
        nonfinite, incomplete = NonFiniteCounts.none(d), ColumnMoments.none(d)
        sums, support = BlockSums(d, self.scatter), Measured()
        sample = Candidates(self.k, d, x.dtype, self.seed, self.n_rows)
        for start in range(0, len(x), HASH_ROWS):
            part = block.part(start, start + HASH_ROWS)
            sample.add(part.x, part.weight, part.first)
        tile = np.empty((d, scan_tile_rows(d)))
        for start in range(0, len(x), tile.shape[1]):
            rows = x[start : start + tile.shape[1]]
            t = tile[:, : len(rows)]
            t[...] = rows.T
            keys: int | NDArray[np.int64] = block.first + start
            weight = None if block.weight is None else block.weight[start : start + tile.shape[1]]
            lowest, highest = t.min(axis=1), t.max(axis=1)
            whole = bool(np.isfinite(lowest).all() and np.isfinite(highest).all())
            count = np.ones(len(rows), np.bool_) if weight is None else weight > 0
            if not whole:
                nonfinite = nonfinite + NonFiniteCounts.of(t, block.first + start, count)
                count &= ~np.isnan(t).all(axis=0)
            if not count.all():  # values in rows that do not count are ignored
                counted = np.flatnonzero(count)
                t, weight, keys = t[:, counted], None if weight is None else weight[counted], keys + counted
                lowest, highest = t.min(axis=1, initial=np.inf), t.max(axis=1, initial=-np.inf)
            if not whole:
                fine = np.isfinite(t)
                t[~fine] = np.nan
                lowest = np.fmin.reduce(t, axis=1, initial=np.inf)
                highest = np.fmax.reduce(t, axis=1, initial=-np.inf)
            low, high = np.fmin(low, lowest), np.fmax(high, highest)
            if self.measure is not None:
                support = support + measured(self.measure, t, weight, keys)
            if not whole:
                complete = fine.all(axis=0)
                lacking = None if weight is None else weight[~complete]
                incomplete = incomplete + ColumnMoments.of(t[:, ~complete], fine[:, ~complete], lacking)
                t, weight = t[:, complete], None if weight is None else weight[complete]
            sums.add(t, weight)
        absent = np.unique(np.array(block.absent, np.int64))
        return Scan(len(x), sums.moments(), incomplete, low, high, *nonfinite, sample.bottom(), absent, support)


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
    def of(cls, tile: Float, first: int, count: NDArray[np.bool_]) -> NonFiniteCounts:
        """Return the counts of a tile (d, n). Row i has the key ``first + i``; `count` (n,) is a mask: weight > 0."""
        nan = np.isnan(tile)
        infinite = np.isinf(tile) & count
        counts = nan.sum(axis=1), infinite.sum(axis=1)
        rows = int(nan.any(axis=0).sum()), int(nan.all(axis=0).sum())
        return cls(*counts, _first(nan, first), _first(infinite, first), *rows)

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


def scan_bytes(d: int, *, scatter: bool) -> int:
    """Return the bytes that a scan needs in addition to its block: tiles, and the sums of one node of the tree."""
    return 8 * d * (3 * scan_tile_rows(d) + (ARITY + 4) * (d if scatter else 8))


def _first(flags: NDArray[np.bool_], first: int) -> Position:
    """Return the first position of a True in `flags` (d, n), by row and then by column; `NO_POSITION` if none."""
    hits = np.flatnonzero(flags.any(axis=0))
    return (first + int(hits[0]), int(flags[:, hits[0]].argmax())) if len(hits) else NO_POSITION
