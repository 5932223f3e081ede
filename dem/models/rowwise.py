"""What models with row-wise outputs share: the choice of an output, and the check of new rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from dem.model import Block, Float

V = TypeVar("V")


def named(choices: Mapping[str, V], what: str) -> V:
    """Return the choice of that name.

    Raises
    ------
    ValueError
        If there is none; the names are listed.
    """
    if what not in choices:
        raise ValueError(f"there is no output {what!r}: choose one of {', '.join(choices)}")
    return choices[what]


class NotFiniteError(ValueError):
    """A row that no output can be computed for.

    Attributes
    ----------
    row : int
        Its key.
    column : int
    """

    def __init__(self, message: str, row: int, column: int) -> None:
        super().__init__(message, row, column)
        self.row, self.column = row, column

    def __str__(self) -> str:
        return str(self.args[0])


def check_finite(block: Block) -> tuple[Float, Float]:
    """Return the smallest and largest value of each column of a block that has rows.

    Raises
    ------
    NotFiniteError
        If a value is missing or infinite.
    """
    low = np.asarray(block.x.min(axis=0), dtype=np.float64)
    high = np.asarray(block.x.max(axis=0), dtype=np.float64)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        row, column = np.argwhere(~np.isfinite(block.x))[0]
        value = block.x[row, column]
        what = "missing values (NaN)" if np.isnan(value) else "infinite values"
        message = (
            f"row {block.first + row} holds {value} in column {column}: {what} are not supported by this "
            "model yet; remove such rows or fill them in"
        )
        raise NotFiniteError(message, block.first + int(row), int(column))
    return low, high


def check_complete(block: Block) -> None:
    """Refuse a block with missing values.

    Raises
    ------
    NotFiniteError
    """
    holes = np.isnan(block.x)
    if holes.any():
        row, column = (int(i) for i in np.argwhere(holes)[0])
        message = (
            f"row {block.first + row} holds nan in column {column}: missing values (NaN) are refused by "
            "missing='error': remove such rows, or set missing='marginalize'"
        )
        raise NotFiniteError(message, block.first + row, column)
