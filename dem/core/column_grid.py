"""The columns of each variable as a grid over the variable's own dimensions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from dem.core.columns import Column, Columns

FEWEST_IN_PROFILE = 3
"""A variable with fewer columns has no profile."""


@dataclass(frozen=True)
class ColumnGrid:
    """The columns of one variable: in C order over its dimensions besides the sample dimensions.

    Attributes
    ----------
    variable : str
    columns : slice
        Their numbers.
    dims : tuple of str
        The dimensions; empty if the variable is one column, and ("column",) if the columns are no grid.
    labels : tuple of tuple
        The coordinates along each dimension.
    units, long_name : str or None
        Those of the variable.
    """

    variable: str
    columns: slice
    dims: tuple[str, ...]
    labels: tuple[tuple[Any, ...], ...]
    units: str | None = None
    long_name: str | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The extents along the dimensions."""
        return tuple(len(of_dim) for of_dim in self.labels)

    @property
    def n_columns(self) -> int:
        """The number of columns."""
        return math.prod(self.shape)

    @property
    def is_profile(self) -> bool:
        """Whether the columns are along one coordinate."""
        return len(self.dims) == 1 and self.dims != ("column",)


def column_grids(columns: Columns) -> list[ColumnGrid]:
    """Return the grid of each variable; one grid of all columns if those of a variable do not follow each other."""
    found, start = [], 0
    for variable, run in itertools.groupby(columns, key=lambda column: column.variable):
        of_variable = list(run)
        found.append(_grid(variable, start, of_variable, named=columns.named))
        start += len(of_variable)
    if len({grid.variable for grid in found}) == len(found):
        return found
    return [stacked_columns(columns)]


def stacked_columns(columns: Columns) -> ColumnGrid:
    """Return all columns as one grid along the dimension "column"."""
    return _stacked("", 0, list(columns), named=columns.named)


def _grid(variable: str, start: int, columns: list[Column], *, named: bool) -> ColumnGrid:
    """Return the grid of successive columns, of which the first has the number `start`."""
    first = columns[0]
    dims = tuple(dim for dim, _ in first.at)
    if named and all(tuple(dim for dim, _ in column.at) == dims for column in columns):
        along = list(zip(*([value for _, value in column.at] for column in columns), strict=True))
        labels = tuple(along) if len(dims) == 1 else tuple(map(_distinct, along))
        expected = itertools.product(*labels)
        if math.prod(map(len, labels)) == len(columns) and all(
            tuple(value for _, value in column.at) == at for column, at in zip(columns, expected, strict=True)
        ):
            numbers = slice(start, start + len(columns))
            return ColumnGrid(variable, numbers, dims, labels, first.units, first.long_name)
    return _stacked(variable, start, columns, named=named)


def _stacked(variable: str, start: int, columns: list[Column], *, named: bool) -> ColumnGrid:
    names: tuple[Any, ...] = tuple(c.name for c in columns) if named else tuple(range(start, start + len(columns)))
    numbers = slice(start, start + len(columns))
    units = columns[0].units if len({column.units for column in columns}) == 1 else None
    return ColumnGrid(variable, numbers, ("column",), (names,), units)


def _distinct(values: Sequence[Hashable]) -> tuple[Hashable, ...]:
    return tuple(dict.fromkeys(values))
