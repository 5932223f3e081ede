"""The first pass: counts, moments, ranges and a uniform sample of the rows.

Moments merge by Chan, Golub and LeVeque (1983): raw sums fail when the data lie far from zero.
The sample is bottom-k by a hash of (seed, row key): it merges, and it is the same for every
chunking and every number of workers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from dem.frame import Frame
from dem.measure import Measure, Measured, measured
from dem.model import Array, Block, Float
from dem.sample import Candidates, Sample, sample_rows
from dem.stats import ARITY

TILE_BYTES = 2**19
"""Decoded bytes of a tile: it stays in a core's second-level cache."""
MAX_TILE = 4096
HASH_ROWS = 2**16
"""Rows whose hashes are computed at a time."""
Place = tuple[int, int]
"""The key of a row, and a column."""
NOWHERE: Place = (np.iinfo(np.int64).max, 0)


@dataclass(frozen=True)
class Moments:
    """Weighted moments that merge.

    Attributes
    ----------
    weight : float
        The sum of the weights.
    centre : long double array of shape (d,)
        The mean: far from zero, float64 would round off what the scatter about it needs.
    scatter : array of shape (d,) or (d, d)
        Sum of weighted squares (or outer products) about the mean.
    """

    weight: float
    centre: NDArray[np.longdouble]
    scatter: Float

    def __add__(self, other: Moments) -> Moments:
        """Return the moments of both sets together (Chan et al. 1983, eq. 1.3)."""
        weight = self.weight + other.weight
        if weight == 0:
            return self
        share = other.weight / weight
        step = other.centre - self.centre
        delta = step.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            between = np.outer(delta, delta) if self.scatter.ndim == 2 else delta * delta
            scatter = self.scatter + other.scatter + between * (self.weight * share)
        return Moments(weight, self.centre + share * step, scatter)

    @property
    def mean(self) -> Float:
        """The mean, (d,)."""
        return self.centre.astype(np.float64)

    @property
    def covariance(self) -> Float:
        """The maximum-likelihood covariance, (d, d), or the variances, (d,)."""
        return self.scatter / self.weight

    @property
    def variances(self) -> Float:
        """The maximum-likelihood variance of each column, (d,)."""
        return np.asarray((np.diag(self.scatter) if self.scatter.ndim == 2 else self.scatter) / self.weight)


@dataclass(frozen=True)
class Scan:
    """What the first pass learns of the data.

    Attributes
    ----------
    rows : int
        Number of rows, whatever their weights.
    moments : Moments
        Weighted moments over the rows without missing or infinite values; the scatter is (d, d) where it
        was asked for.
    low, high : array of shape (d,)
        Ranges of the columns, missing values aside.
    missing, infinite : array of shape (d,)
        How many entries of each column are NaN, and how many are infinite.
    first_missing, first_infinite : (int, int)
        The key of the first row with such an entry, and its first column; `NOWHERE` where there is none.
    sample : Sample
        Uniform sample of the rows.
    absent : sorted int64 array
        The chunks that the store did not hold, numbered as in `Block.absent`.
    measured : Measured
        What the model's measure says of the rows: the base measure's sum, and the first value outside the support.
    """

    rows: int
    moments: Moments
    low: Float
    high: Float
    missing: NDArray[np.int64]
    infinite: NDArray[np.int64]
    first_missing: Place
    first_infinite: Place
    sample: Sample
    absent: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    measured: Measured = field(default_factory=Measured)

    def __add__(self, other: Scan) -> Scan:
        """Return the scan of both sets of rows together."""
        return Scan(
            self.rows + other.rows,
            self.moments + other.moments,
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
            self.missing + other.missing,
            self.infinite + other.infinite,
            min(self.first_missing, other.first_missing),
            min(self.first_infinite, other.first_infinite),
            self.sample + other.sample,
            np.union1d(self.absent, other.absent),
            self.measured + other.measured,
        )

    @property
    def n_columns(self) -> int:
        """The number of columns."""
        return len(self.low)

    def columns(self, at: slice | list[int]) -> Scan:
        """Return what was learnt of some columns."""
        m = self.moments
        scatter = m.scatter[at] if m.scatter.ndim == 1 else m.scatter[at][:, at]
        return replace(
            self,
            moments=replace(m, centre=m.centre[at], scatter=scatter),
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
        x = block.x
        d = self.n_columns
        low, high = np.full(d, np.inf), np.full(d, -np.inf)
        missing, infinite = np.zeros(d, np.int64), np.zeros(d, np.int64)
        first_missing = first_infinite = NOWHERE
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
            if not (np.isfinite(lowest).all() and np.isfinite(highest).all()):
                lowest, highest = np.fmin.reduce(t, axis=1), np.fmax.reduce(t, axis=1)
                fine, nan = np.isfinite(t), np.isnan(t)
                missing = missing + nan.sum(axis=1)
                infinite = infinite + (~fine & ~nan).sum(axis=1)
                first = block.first + start
                first_missing = min(first_missing, _first(nan, first))
                first_infinite = min(first_infinite, _first(~fine & ~nan, first))
                complete = fine.all(axis=0)
                t, weight = t[:, complete], None if weight is None else weight[complete]
                keys = keys + np.flatnonzero(complete)
            if weight is not None and not (weight > 0).all():  # rows that do not count may hold anything
                counted = weight > 0
                keys = (np.arange(t.shape[1]) + keys if isinstance(keys, int) else keys)[counted]
                t, weight = t[:, counted], weight[counted]
                lowest, highest = t.min(axis=1, initial=np.inf), t.max(axis=1, initial=-np.inf)
            low, high = np.fmin(low, lowest), np.fmax(high, highest)
            if self.measure is not None:
                told = told + measured(self.measure, t, weight, keys)
            sums.add(t, weight)
        return Scan(
            len(x),
            sums.moments(),
            low,
            high,
            missing,
            infinite,
            first_missing,
            first_infinite,
            sample.bottom(),
            np.unique(np.array(block.absent, np.int64)),
            told,
        )


class BlockSums:
    """Weighted sums over one block, about the mean of its first tile.

    How far the block's other rows lie from there is part of the block's own variance, so that the sums
    lose no more than the number of tiles in roundings.
    """

    def __init__(self, d: int, scatter: bool) -> None:
        self.weight = 0.0
        self.centre: Float | None = None
        self.first = np.zeros(d)
        self.second = np.zeros((d, d) if scatter else d)

    def add(self, tile: Float, weight: Array | None) -> None:
        """Add the columns of a tile (d, n), which is left centred."""
        if tile.shape[1] == 0:
            return
        if self.centre is None:
            self.centre = tile.mean(axis=1)
        with np.errstate(over="ignore", invalid="ignore"):  # told by `values.check_values`
            tile -= self.centre[:, None]
            weighted = tile if weight is None else tile * weight
            self.weight += tile.shape[1] if weight is None else float(weight.sum(dtype=np.float64))
            self.first += weighted.sum(axis=1)
            if self.second.ndim == 2:
                self.second += weighted @ tile.T
            else:
                self.second += np.einsum("ij,ij->i", weighted, tile)

    def moments(self) -> Moments:
        """Return the moments of the columns added."""
        if self.centre is None or self.weight == 0:
            return Moments(0.0, np.zeros(len(self.first), np.longdouble), np.zeros_like(self.second))
        rest = self.first / self.weight
        with np.errstate(over="ignore", invalid="ignore"):
            between = np.outer(rest, rest) if self.second.ndim == 2 else rest * rest
            scatter = self.second - self.weight * between
        return Moments(self.weight, self.centre.astype(np.longdouble) + rest, scatter)


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
