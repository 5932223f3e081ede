"""Checks of rows that all models use (finite, enough, distinct), and the dtype of labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Array, Block, Float

LARGEST_MAGNITUDE = 1e150
"""The squares and densities of larger values overflow."""
LONG = 1024
"""Numbers in a row on which reductions along the other axis are fast (measured)."""


class NotFiniteError(ValueError):
    """A row for which no output can be computed.

    Attributes
    ----------
    value : float
    wrong : str
        What is wrong with the value, and what to do, with the sign before it: ": remove such rows".
    row : int
        The number of the row in the source.
    column : int
    name : str or None
        The column in words, such as "column 'age'"; None: its number.
    """

    def __init__(self, value: float, wrong: str, row: int, column: int, name: str | None = None) -> None:
        super().__init__(value, wrong, row, column, name)
        self.value, self.wrong, self.row, self.column, self.name = value, wrong, row, column, name

    def __str__(self) -> str:
        return f"row {self.row} holds {self.value:g} in {self.name or f'column {self.column}'}{self.wrong}"

    def at_row(self, row: int) -> NotFiniteError:
        """Return the same error with another number of the row."""
        return NotFiniteError(self.value, self.wrong, row, self.column, self.name)

    def naming(self, name: str) -> NotFiniteError:
        """Return the same error with a name for the column, such as "column 'age'"."""
        return NotFiniteError(self.value, self.wrong, self.row, self.column, name)


def label_dtype(k: int) -> np.dtype[Any]:
    """Return the smallest dtype of labels 0 to k - 1, and of -1, the label of rows without any value."""
    return np.min_scalar_type(-k)


def check_finite(block: Block) -> tuple[Float, Float, bool]:
    """Return the smallest and largest value of each column of a block that has rows, and whether none is missing.

    Raises
    ------
    NotFiniteError
        If a value is infinite.
    """
    low = np.asarray(over_rows(np.minimum, block.x), dtype=np.float64)
    high = np.asarray(over_rows(np.maximum, block.x), dtype=np.float64)
    if np.isfinite(low).all() and np.isfinite(high).all():
        return low, high, True
    infinite = np.isinf(block.x)
    if infinite.any():
        raise _not_finite(block, infinite, "infinite values are not supported: remove or replace such rows")
    low = over_rows(np.fmin, block.x).astype(np.float64)
    high = over_rows(np.fmax, block.x).astype(np.float64)
    return np.nan_to_num(low), np.nan_to_num(high), False


def over_rows(extreme: np.ufunc, x: Array) -> Array:
    """Return the extreme (d,) of each column of x (n, d), which has rows: a ufunc such as `numpy.minimum`.

    NumPy is several times faster on long rows, so each row that it reads is a group of rows.
    """
    n, d = x.shape
    size = max(1, LONG // d)
    if size == 1 or n < 2 * size or not x.flags.c_contiguous:
        return np.asarray(extreme.reduce(x, axis=0))
    whole = n // size * size
    of_groups = extreme.reduce(x[:whole].reshape(-1, size * d), axis=0).reshape(size, d)
    return np.asarray(extreme.reduce(np.concatenate([of_groups, x[whole:]]), axis=0))


def check_complete(block: Block) -> None:
    """Raise an error if a block has missing values.

    Raises
    ------
    NotFiniteError
    """
    if block.x.dtype.kind == "f" and len(block.x) and np.isnan(block.x.min()):
        advice = (
            "missing values (NaN) are an error with missing='error': remove such rows, or set missing='marginalize'"
        )
        raise _not_finite(block, np.isnan(block.x), advice)


def _not_finite(block: Block, bad: NDArray[np.bool_], advice: str) -> NotFiniteError:
    """Return the error for the first bad value."""
    row, column = (int(i) for i in np.argwhere(bad)[0])
    return NotFiniteError(float(block.x[row, column]), f": {advice}", block.keys.of(row), column)


def check_enough_rows(n_rows: int, k: int, name: str = "n_components") -> None:
    """Check that there are at least as many rows as components (or what `name` counts).

    Raises
    ------
    ValueError
        If there are fewer.
    """
    if n_rows < k:
        rows = "1 row is" if n_rows == 1 else f"{n_rows} rows are"
        raise ValueError(f"{rows} too few for {name}={k}: Expected n_samples >= {name} but got n_samples = {n_rows}")


def check_distinct(sample: Array, k: int, name: str = "n_components") -> None:
    """Check that the sample (n, d) has at least k distinct rows, for k components (or what `name` counts).

    Raises
    ------
    ValueError
        If there are more.
    """
    for rows in (sample[: 8 * k], sample):  # the first few rows are nearly always enough
        distinct = len(np.unique(rows, axis=0))
        if distinct >= k:
            return
    raise ValueError(
        f"{name}={k} is more than the {distinct} distinct rows among {len(sample)} sampled rows of positive weight: "
        "use fewer, or a larger sample_size"
    )
