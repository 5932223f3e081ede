"""The columns of the data: their names, the variables they belong to, their coordinates and units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

MOST_LISTED = 20
"""Most columns that a message lists."""


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


@dataclass(frozen=True)
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

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables, in order, each once."""
        return tuple(dict.fromkeys(column.variable for column in self.columns))

    def select(self, numbers: Sequence[int]) -> Columns:
        """Return only the columns with these numbers, in this order."""
        return Columns(tuple(self.columns[j] for j in numbers), self.named)

    def in_words(self, numbers: Sequence[int]) -> str:
        """Return some of the columns as text: "column 3" or "columns 'age', 'income'"; at most 20 are listed."""
        return ("column " if len(numbers) == 1 else "columns ") + self.listed(numbers)

    def listed(self, numbers: Sequence[int]) -> str:
        """Return the names of some columns as text: "'age', 'income'"; at most 20 are listed."""
        words = [repr(self[j].name) if self.named else str(j) for j in numbers]
        more = f" and {len(words) - MOST_LISTED} more" if len(words) > MOST_LISTED else ""
        return ", ".join(words[:MOST_LISTED]) + more
