"""The columns of the data: their names, the variables they belong to, their coordinates and units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from numbers import Integral, Number
from typing import Any

import numpy as np

MOST_LISTED = 20
"""Most columns that a message lists."""
CELSIUS = ("degc", "deg_c", "celsius", "degree_celsius", "degrees_celsius", "degree_c", "degrees_c")
"""How data spell degrees Celsius, in small letters."""
TIME = "datetime64"
"""Marks the text and the unit of a time in JSON."""


@dataclass(frozen=True)
class Column:
    """A column of the data.

    Attributes
    ----------
    name : str
    variable : str
        The variable that it belongs to: the columns "temperature(depth=5)" and "temperature(depth=10)" belong to
        "temperature". In a table each column is a variable of its own.
    at : tuple of (str, value)
        Its coordinates along the other dimensions of the variable: (("depth", 5.0),).
    units : str or None
    long_name : str or None
    """

    name: str
    variable: str
    at: tuple[tuple[str, Any], ...] = ()
    units: str | None = None
    long_name: str | None = None

    @property
    def label(self) -> str:
        """The name with the units: "temperature (°C)"; a unit of 1, of numbers without units, is left out."""
        return with_units(self.name, self.units)


def with_units(name: str, units: str | None) -> str:
    """Return a name with its units as people write them: a unit of 1, of numbers without units, is left out."""
    if not units or units == "1":
        return name
    return f"{name} ({'°C' if units.lower() in CELSIUS else units})"


@dataclass(frozen=True, repr=False)
class Columns:
    """The columns of the data, in order.

    Attributes
    ----------
    columns : tuple of Column
    named : bool
        The data have names for them. If not, the names are the numbers 0, 1, ...
    """

    columns: tuple[Column, ...]
    named: bool = True

    @classmethod
    def numbered(cls, d: int) -> Columns:
        """Return d columns without names; all belong to one variable."""
        return cls(tuple(Column(str(j), "") for j in range(d)), named=False)

    @classmethod
    def of_names(cls, names: Sequence[str]) -> Columns:
        """Return columns with these names; each is a variable of its own."""
        return cls(tuple(Column(name, name) for name in names))

    def __repr__(self) -> str:
        """Return the names as text, of long lists the first ones."""
        return f"Columns({self.listed(range(len(self)), units=True)})"

    def __len__(self) -> int:
        """Return the number of columns."""
        return len(self.columns)

    def __iter__(self) -> Iterator[Column]:
        """Iterate over the columns."""
        return iter(self.columns)

    def __getitem__(self, j: int) -> Column:
        """Return the column with this number."""
        return self.columns[j]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all columns."""
        return tuple(column.name for column in self.columns)

    def first_other_name(self, other: Columns) -> tuple[str, str] | None:
        """Return the first pair of names that differ from those of as many other columns; None also without names."""
        if not (self.named and other.named):
            return None
        return next((pair for pair in zip(self.names, other.names, strict=True) if pair[0] != pair[1]), None)

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables, in order, each once."""
        return tuple(dict.fromkeys(column.variable for column in self.columns))

    def select(self, numbers: Sequence[int]) -> Columns:
        """Return only the columns with these numbers, in this order."""
        return Columns(tuple(self.columns[j] for j in numbers), self.named)

    @property
    def labels(self) -> tuple[str, ...]:
        """The names with the units; "column 0" where the data have no names."""
        return tuple(column.label if self.named else f"column {column.name}" for column in self.columns)

    def numbers_of(self, chosen: Sequence[str | int]) -> tuple[int, ...]:
        """Return the numbers of the columns that a user chooses by name or by number, in the order given.

        Raises
        ------
        ValueError
            There is no such column, or it is given twice, or nothing is chosen.
        """
        if isinstance(chosen, str | bytes | Number) or not len(chosen):
            raise ValueError(f"columns must be a list of names or numbers of columns, got {chosen!r}")
        numbers = {name: j for j, name in enumerate(self.names)}
        twice = [item for item in chosen if isinstance(item, str) and self.names.count(item) > 1]
        if twice:
            raise ValueError(f"several columns have the name {twice[0]!r}: choose them by their numbers")
        found: list[int] = []
        for item in chosen:
            j = numbers.get(item) if isinstance(item, str) else None
            if j is None:
                j = self._number_of(item)
            if j in found:
                raise ValueError(f"column {self.listed([j])} is given twice: give each column once")
            found.append(j)
        return tuple(found)

    def _number_of(self, item: Any) -> int:
        """Return the number of a column that is not given by its name."""
        d = len(self)
        digits = isinstance(item, str) and item.isdecimal()
        if digits or (isinstance(item, Integral) and not isinstance(item, bool | np.bool_)):
            j = int(item)
            if 0 <= j < d:
                return j
        if not self.named:
            raise ValueError(
                f"there is no column {item!r}: these data have no names of columns, so give numbers from 0 to {d - 1}"
            )
        close = [repr(name) for name in get_close_matches(str(item), self.names)]
        meant = f" (did you mean {' or '.join(close)}?)" if close else ""
        raise ValueError(f"there is no column {item!r}{meant}: the columns are {self.listed(range(d))}")

    def as_json(self) -> dict[str, Any]:
        """Return the columns in the form of JSON; `of_json` reads it."""
        rows = [[c.name, c.variable, [[dim, _plain(value)] for dim, value in c.at], c.units, c.long_name] for c in self]
        return {"named": self.named, "columns": rows}

    @classmethod
    def of_json(cls, saved: dict[str, Any]) -> Columns:
        """Return the columns that `as_json` wrote."""
        rows = saved["columns"]
        columns = tuple(
            Column(name, of, tuple((dim, _restored(value)) for dim, value in at), *more) for name, of, at, *more in rows
        )
        return cls(columns, bool(saved["named"]))

    def in_words(self, numbers: Sequence[int]) -> str:
        """Return some of the columns as text: "column 3" or "columns 'age' (years), 'sex'"; at most 20 are listed."""
        return ("column " if len(numbers) == 1 else "columns ") + self.listed(numbers, units=True)

    def listed(self, numbers: Sequence[int], *, units: bool = False) -> str:
        """Return the names of some columns as text, with or without units: "'age', 'sex'"; at most 20 are listed."""
        words = [repr(self[j].name) if self.named else str(j) for j in numbers]
        if units:
            words = [with_units(word, self[j].units) for word, j in zip(words, numbers, strict=True)]
        more = f" and {len(words) - MOST_LISTED} more" if len(words) > MOST_LISTED else ""
        return ", ".join(words[:MOST_LISTED]) + more


def _plain(value: Any) -> Any:
    """Return a coordinate as a value of JSON: times are marked as such, other objects become text."""
    if isinstance(value, np.datetime64):
        return {TIME: [str(value), np.datetime_data(value.dtype)[0]]}
    value = value.item() if isinstance(value, np.number | np.bool_) else value
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _restored(value: Any) -> Any:
    """Return the coordinate of which `_plain` made a value of JSON."""
    return np.datetime64(*value[TIME]) if isinstance(value, dict) else value
