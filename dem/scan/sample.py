"""A uniform sample of the rows: the k rows with the smallest hash of (seed, row key).

Samples can be merged, and the result does not depend on the chunking or the number of workers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Array, Float, find_empty_rows
from dem.core.rows import RowKeys

SAMPLE_BYTES = 64 * 2**20
"""Largest size of the sample, for any requested number of rows; but `MIN_SAMPLE_ROWS` rows are always allowed."""
MIN_SAMPLE_ROWS = 64
"""A sample may have this many rows for any number of columns, because a mixture cannot be started from fewer."""

UInt = NDArray[np.uint64]


@dataclass(frozen=True)
class Sample:
    """The k rows with the smallest hashes so far, in the order of their hashes.

    Attributes
    ----------
    k : int
    keys : uint64 array of shape (n,), n <= k
        The hashes of the row keys, in ascending order.
    x : array of shape (n, d)
    weight : array of shape (n,)
    """

    k: int
    keys: UInt
    x: Array
    weight: Float

    def __add__(self, other: Sample) -> Sample:
        """Return the k rows with the smallest hashes of both samples."""
        keys = np.concatenate([self.keys, other.keys])
        order = np.argsort(keys)[: self.k]
        x = np.concatenate([self.x, other.x])[order]
        return Sample(self.k, keys[order], x, np.concatenate([self.weight, other.weight])[order])


def hashes(keys: UInt, seed: int) -> UInt:
    """Return a hash for each row key: SplitMix64 (Steele, Lea and Flood 2014), a bijection for each seed."""
    with np.errstate(over="ignore"):
        z = keys + np.uint64(seed % 2**64) * np.uint64(0xD1342543DE82EF95) + np.uint64(0x9E3779B97F4A7C15)
        for _ in range(2):  # keys that count upwards need both rounds
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            z ^= z >> np.uint64(31)
    return z


def unhash(hashed: UInt, seed: int) -> UInt:
    """Return the row keys of hashes: the inverse of `hashes`."""
    with np.errstate(over="ignore"):
        z = hashed.copy()
        for _ in range(2):
            z = _unshift(z, 31) * np.uint64(pow(0x94D049BB133111EB, -1, 2**64))
            z = _unshift(z, 27) * np.uint64(pow(0xBF58476D1CE4E5B9, -1, 2**64))
            z = _unshift(z, 30)
        return z - np.uint64(seed % 2**64) * np.uint64(0xD1342543DE82EF95) - np.uint64(0x9E3779B97F4A7C15)


def _unshift(z: UInt, bits: int) -> UInt:
    """Return the y for which z = y ^ (y >> bits)."""
    y = z
    for _ in range(64 // bits):
        y = z ^ (y >> np.uint64(bits))
    return y


class Candidates:
    """The rows of one block that may belong to the sample. Rows of weight 0 and rows without any value never do.

    Parameters
    ----------
    k : int
        Rows in the sample.
    d : int
        Columns.
    dtype : dtype
        Of the rows.
    seed : int
    n_rows : int or None
        The number of rows of the data, or of its rows with any value. If it is given, only rows that can still be
        among the k smallest hashes are kept, so that tasks return less data. It is not used for weighted rows,
        because the number of rows with positive weight is not known.
    """

    def __init__(self, k: int, d: int, dtype: np.dtype[Any], seed: int, n_rows: int | None) -> None:
        self.k, self.seed = k, seed
        # Six standard deviations above the expected count, so that the k smallest are included.
        self.share = 1.0 if n_rows is None else min(1.0, (k + 6 * k**0.5) / n_rows)
        self.sample = Sample(k, np.empty(0, np.uint64), np.empty((0, d), dtype), np.empty(0))

    def add(self, rows: Array, weight: Array | None, row_keys: RowKeys) -> None:
        """Add those of `rows` (n, d), with these keys, that may belong to the sample."""
        keys = hashes(row_keys.of(np.arange(len(rows))).astype(np.uint64), self.seed)
        if weight is not None:
            keep = np.flatnonzero(weight > 0)
        elif self.share < 1:
            keep = np.flatnonzero(keys < np.uint64(self.share * 2**64))
        else:
            keep = np.arange(len(rows))
        if len(self.sample.keys) == self.k:  # full: only rows with smaller hashes can enter
            keep = keep[keys[keep] < self.sample.keys[-1]]
        keep = _with_value(rows, keep)
        if len(keep) > self.k:
            keep = keep[np.argpartition(keys[keep], self.k)[: self.k]]
        if len(keep):
            weights = np.ones(len(keep)) if weight is None else np.asarray(weight[keep], dtype=np.float64)
            self.sample = self.sample + Sample(self.k, keys[keep], rows[keep], weights)

    def bottom(self) -> Sample:
        """Return the rows with the smallest hashes."""
        return self.sample


def _with_value(rows: Array, keep: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return those of the rows (n, d) numbered in `keep` in which not all values are missing.

    Most rows have a value in the first column, so only some rows are copied.
    """
    if rows.dtype.kind != "f":
        return keep
    lacking = np.isnan(rows[keep, 0])
    if not lacking.any() or (empty := find_empty_rows(rows[keep[lacking]])) is None:
        return keep
    lacking[lacking] = empty
    found: NDArray[np.intp] = keep[~lacking]
    return found


def sample_rows(sample_size: int, d: int) -> int:
    """Return the largest number of rows of a sample with d columns."""
    return max(1, min(sample_size, max(MIN_SAMPLE_ROWS, SAMPLE_BYTES // (8 * max(1, d)))))
