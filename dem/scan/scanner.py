"""The first pass: counts, moments, ranges and a uniform sample of the rows.

The sample is bottom-k by a hash of (seed, row key): it merges, and it is the same for every
chunking and every number of workers.
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
from dem.scan.moments import BlockSums, Columns, Moments
from dem.scan.sample import Candidates, Sample, sample_rows
from dem.scan.support import Measure, Measured, measured

TILE_BYTES = 2**19
"""Decoded bytes of a tile: it stays in a core's second-level cache."""
MAX_TILE = 4096
HASH_ROWS = 2**16
"""Rows whose hashes are computed at a time."""
Place = tuple[int, int]
"""The key of a row, and a column."""
NOWHERE: Place = (np.iinfo(np.int64).max, 0)


@dataclass(frozen=True)
class Scan:
    """What the first pass learns of the data.

    Attributes
    ----------
    rows : int
        Number of rows, whatever their weights.
    moments : Moments
        Weighted moments over the rows without missing or infinite values; the scatter is (d, d) where it
        was asked for. (See `dem.scan.fill_sample` for what models are told of data with missing values.)
    incomplete : Columns
        Weighted moments of each column's finite values in the other rows that have any value.
    low, high : array of shape (d,)
        Ranges of the columns, missing values aside.
    missing, infinite : array of shape (d,)
        How many entries of each column are NaN, and how many are infinite; the latter in rows that count, those of
        positive weight.
    first_missing, first_infinite : (int, int)
        The key of the first row with such an entry, and its first column; `NOWHERE` where there is none.
    incomplete_rows, empty_rows : int
        How many rows lack some value, and how many lack all; whatever their weights. The latter count in nothing
        else but `rows` and `missing`.
    sample : Sample
        Uniform sample of the rows.
    absent : sorted int64 array
        The chunks that the store did not hold, numbered as in `Block.absent`.
    measured : Measured
        What the model's measure says of the rows: the base measure's sum, and the first value outside the support.
    """

    rows: int
    moments: Moments
    incomplete: Columns
    low: Float
    high: Float
    missing: NDArray[np.int64]
    infinite: NDArray[np.int64]
    first_missing: Place
    first_infinite: Place
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
        """The number of rows that have some value, whatever their weights."""
        return self.rows - self.empty_rows

    @property
    def lacking(self) -> NDArray[np.int64]:
        """How many entries of each column (d,) are missing in rows that have some value: what a model has to take."""
        return self.missing - self.empty_rows

    @property
    def observed(self) -> Columns:
        """The moments of each column's finite values, in all rows."""
        return Columns.whole(self.moments) + self.incomplete

    def columns(self, at: slice | list[int]) -> Scan:
        """Return what was learnt of some columns."""
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
    """Makes the kernel of the first pass: called without arguments, it gives `scan`.

    Attributes
    ----------
    n_columns : int
    scatter : bool
        Gather the whole (d, d) scatter, not only the diagonal.
    sample_size : int
        Rows in the sample.
    seed : int
    n_rows : int or None
        The total, where known: then a task returns only rows that can still be in the sample.
    measure : Measure or None
        What the model asks of every row.
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
        """Rows in the sample, bounded in bytes too."""
        return sample_rows(self.sample_size, self.n_columns)

    def scan(self, block: Block) -> Scan:
        """Return the scan of a block of shape (n, d)."""
        x, d = block.x, self.n_columns
        low, high = np.full(d, np.inf), np.full(d, -np.inf)
        holes, incomplete = Holes.none(d), Columns.none(d)
        sums, told = BlockSums(d, self.scatter), Measured()
        sample = Candidates(self.k, d, x.dtype, self.seed, self.n_rows)
        for start in range(0, len(x), HASH_ROWS):
            part = block.part(start, start + HASH_ROWS)
            sample.add(part.x, part.weight, part.first)
        tile = np.empty((d, tile_rows(d)))
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
                holes = holes + Holes.of(t, block.first + start, count)
                count &= ~np.isnan(t).all(axis=0)
            if not count.all():  # rows that do not count may hold anything
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
                told = told + measured(self.measure, t, weight, keys)
            if not whole:
                complete = fine.all(axis=0)
                lacking = None if weight is None else weight[~complete]
                incomplete = incomplete + Columns.of(t[:, ~complete], fine[:, ~complete], lacking)
                t, weight = t[:, complete], None if weight is None else weight[complete]
            sums.add(t, weight)
        absent = np.unique(np.array(block.absent, np.int64))
        found = (holes.missing, holes.infinite, holes.first_missing, holes.first_infinite, holes.rows, holes.empty)
        return Scan(len(x), sums.moments(), incomplete, low, high, *found, sample.bottom(), absent, told)


class Holes(NamedTuple):
    """What some rows lack; the fields are those of `Scan`."""

    missing: NDArray[np.int64]
    infinite: NDArray[np.int64]
    first_missing: Place
    first_infinite: Place
    rows: int
    empty: int

    @classmethod
    def none(cls, d: int) -> Holes:
        """Return those of no rows."""
        return cls(np.zeros(d, np.int64), np.zeros(d, np.int64), NOWHERE, NOWHERE, 0, 0)

    @classmethod
    def of(cls, tile: Float, first: int, count: NDArray[np.bool_]) -> Holes:
        """Return those of the columns of a tile (d, n), whose keys begin with `first`; `count` (n,): which count."""
        nan = np.isnan(tile)
        infinite = np.isinf(tile) & count
        counts = nan.sum(axis=1), infinite.sum(axis=1)
        rows = int(nan.any(axis=0).sum()), int(nan.all(axis=0).sum())
        return cls(*counts, _first(nan, first), _first(infinite, first), *rows)

    def __add__(self, other: Holes) -> Holes:  # type: ignore[override]
        """Return those of both sets of rows."""
        missing, infinite = self.missing + other.missing, self.infinite + other.infinite
        first_missing = min(self.first_missing, other.first_missing)
        first_infinite = min(self.first_infinite, other.first_infinite)
        return Holes(missing, infinite, first_missing, first_infinite, self.rows + other.rows, self.empty + other.empty)


def tile_rows(d: int) -> int:
    """Return the rows of a tile of d columns."""
    return max(1, min(MAX_TILE, TILE_BYTES // (8 * max(1, d))))


def scan_bytes(d: int, *, scatter: bool) -> int:
    """Return what a scan allocates beside its block, in bytes: a node of the tree holds `ARITY` sums and more."""
    return 8 * d * (3 * tile_rows(d) + (ARITY + 4) * (d if scatter else 8))


def _first(flags: NDArray[np.bool_], first: int) -> Place:
    """Return the first place of a True in `flags` (d, n), by row and then by column; `NOWHERE` without one."""
    hits = np.flatnonzero(flags.any(axis=0))
    return (first + int(hits[0]), int(flags[:, hits[0]].argmax())) if len(hits) else NOWHERE
