"""The rows of a block as the native kernel reads them: in pieces, if they must be converted or features be written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from dem.core.block import Array, Float

PIECE_BYTES, LEAST_PIECE = 2**18, 192
"""Pieces have about so many bytes, and a multiple of so many rows: whole tiles."""


class Piece(NamedTuple):
    """Some rows.

    Attributes
    ----------
    x : array
        Rows (n, d), or columns (d, n), in the dtype of the arithmetic.
    weight : array of shape (n,) or None
    n : int
    row_step, column_step : int
        The distance in x from one row to the next, and from one column to the next, in numbers.
    """

    x: Array
    weight: Float | None
    n: int
    row_step: int
    column_step: int


class Pieces(Protocol):
    """Yields all rows of a block as pieces; one piece is valid until the next."""

    def __call__(self, x: Array, weight: Array | None) -> Iterator[Piece]:
        """Yield the rows x (n, d) with their weights (n,); rows of weight 0 may be left out."""


@dataclass(frozen=True)
class RowPieces:
    """Contiguous rows of a dtype: the whole block if it already is such an array.

    Attributes
    ----------
    dtype : dtype
    rows : int or None
        The rows of a piece that must be converted; None: `piece_rows`.
    """

    dtype: np.dtype[Any]
    rows: int | None = None

    def __call__(self, x: Array, weight: Array | None) -> Iterator[Piece]:
        """Yield the rows, with float64 weights."""
        ready = x.dtype == self.dtype and x.flags.c_contiguous and x.flags.aligned
        step = max(1, len(x)) if ready else self.rows or piece_rows(self.dtype, x.shape[1])
        for start in range(0, len(x), step):
            part = x[start : start + step]
            rows = part if ready else np.array(part, dtype=self.dtype, order="C")
            yield Piece(rows, part_of(weight, start, step), len(part), x.shape[1], 1)


@dataclass(frozen=True)
class FeaturePieces:
    """Features that Python writes, as columns.

    Attributes
    ----------
    write : callable
        Writes the features of rows (n, d) into an array (m, n).
    count : int
        m, the number of features.
    dtype : dtype
    """

    write: Callable[[Array, Array], None]
    count: int
    dtype: np.dtype[Any]

    def __call__(self, x: Array, weight: Array | None) -> Iterator[Piece]:
        """Yield the features of the rows of positive weight."""
        step = piece_rows(self.dtype, self.count)
        out = np.empty((self.count, min(step, len(x))), self.dtype)
        for start in range(0, len(x), step):
            rows, some = x[start : start + step], part_of(weight, start, step)
            if some is not None and not (some > 0).all():
                rows, some = rows[some > 0], some[some > 0]
            if len(rows):
                self.write(rows, out[:, : len(rows)])
                yield Piece(out, some, len(rows), 1, out.shape[1])


def piece_rows(dtype: np.dtype[Any], d: int) -> int:
    """Return the number of rows of a piece of d columns."""
    return max(1, PIECE_BYTES // (dtype.itemsize * d) // LEAST_PIECE) * LEAST_PIECE


def piece_bytes(d: int) -> int:
    """Return the memory of a piece of d columns in float64, in bytes."""
    return 8 * d * piece_rows(np.dtype(np.float64), d)


def part_of(weight: Array | None, start: int, step: int) -> Float | None:
    """Return the weights of a piece in float64; None if there are none."""
    return None if weight is None else np.ascontiguousarray(weight[start : start + step], dtype=np.float64)
