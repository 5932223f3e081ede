"""The first pass: counts, moments, ranges and a uniform sample of the rows.

The sample has the rows with the smallest hashes of (seed, row key). Samples can be merged, and the
result does not depend on the chunking or the number of workers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Block, Float
from dem.core.coordinate_frame import Frame
from dem.core.stats import ARITY
from dem.kernel.kernel_id import NUMPY, KernelId
from dem.kernel.scan import native_scan_bytes
from dem.scan.moments import ColumnMoments, Moments
from dem.scan.native_values import NativeValues
from dem.scan.sample import Candidates, Sample, sample_rows
from dem.scan.support import Measure, Measured
from dem.scan.values import BlockValues, Position, scan_tile_rows

HASH_ROWS = 2**16
"""Number of rows whose hashes are computed in one step."""
ROUNDING = 8 * float(np.finfo(np.float64).eps)
"""A standard deviation below this share of a column's largest magnitude is only the rounding of the mean."""


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
    kernel : KernelId
        What computed ranges and moments: scans of different kernels cannot be added.
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
    kernel: KernelId = NUMPY

    def __add__(self, other: Scan) -> Scan:
        """Return the scan of both sets of rows together.

        Raises
        ------
        ValueError
            If they are of different kernels.
        """
        if self.kernel != other.kernel:
            raise ValueError(f"cannot add scans of different kernels: {self.kernel} and {other.kernel}")
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
            self.kernel,
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
    """Makes the kernel of the first pass: a call without arguments returns it, a function from a block to its scan.

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
    kernel : KernelId
        What computes ranges and moments; see `kernel_used`.
    """

    n_columns: int
    scatter: bool
    sample_size: int
    seed: int
    n_rows: int | None
    measure: Measure | None = None
    kernel: KernelId = NUMPY

    def __call__(self) -> Callable[[Block], Scan]:
        """Return the kernel."""
        if self.kernel_used == NUMPY:
            return partial(self.scan, BlockValues.add)
        return partial(self.scan, NativeValues(self.n_columns, self.scatter, self.kernel))

    @property
    def kernel_used(self) -> KernelId:
        """The kernel that computes ranges and moments: NumPy where the rows must be checked, too."""
        return NUMPY if self.measure is not None and self.measure.checks_rows else self.kernel

    @property
    def k(self) -> int:
        """Number of rows of the sample, limited by its size in bytes."""
        return sample_rows(self.sample_size, self.n_columns)

    def scan(self, add_values: Callable[[BlockValues, Block], None], block: Block) -> Scan:
        """Return the scan of a block of shape (n, d)."""
        x, d = block.x, self.n_columns
        sample = Candidates(self.k, d, x.dtype, self.seed, self.n_rows)
        for start in range(0, len(x), HASH_ROWS):
            part = block.part(start, start + HASH_ROWS)
            sample.add(part.x, part.weight, part.keys)
        found = BlockValues(d, self.scatter, self.measure)
        add_values(found, block)
        return Scan(
            len(x),
            found.moments,
            found.incomplete,
            found.low,
            found.high,
            *found.nonfinite,
            sample.bottom(),
            np.unique(np.array(block.absent, np.int64)),
            found.support,
            self.kernel_used,
        )


def scan_bytes(d: int, *, scatter: bool) -> int:
    """Return the bytes that a scan needs in addition to its block: tiles, and the sums of one node of the tree.

    They suffice for every kernel.
    """
    tile = scan_tile_rows(d)
    return 8 * d * (3 * tile + (ARITY + 4) * (d if scatter else 8)) + native_scan_bytes(d, tile, scatter=scatter)
