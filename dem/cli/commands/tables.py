"""Tables for the terminal, and summaries of missing values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table

from dem.estimators import parameter_tables as parameters


def facts(values: Mapping[str, str | None]) -> Table:
    """Return a table of names and values, without the values that are None."""
    table = Table.grid(padding=(0, 3))
    for name, value in values.items():
        if value is not None:
            table.add_row(name, value)
    return table


def grid(header: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None) -> Table:
    """Return a plain table; the first column is aligned to the left, the others to the right."""
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for i, name in enumerate(header):
        table.add_column(name, justify="right" if i else "left")
    for row in rows:
        table.add_row(*row)
    return table


def parameter_tables(model: Any, labels: Sequence[str] | None = None) -> list[RenderableType]:
    """Return tables of the parameters of a model, as many as a person can read."""
    return [item for table in parameters.parameter_tables(model, labels) for item in drawn(table)]


def history_tables(model: Any) -> list[RenderableType]:
    """Return a table of the history of a fit: the first passes and the last ones."""
    table = parameters.history_table(model)
    return [] if table is None else drawn(table)


def drawn(table: parameters.TextTable) -> list[RenderableType]:
    """Return a table for the terminal, and what is left out of it."""
    return [grid(table.header, table.rows, table.title), *([table.rest] if table.rest else [])]


def decoding_facts(decoding: Mapping[str, Any] | None) -> dict[str, str | None]:
    """Return, in words, which values count as missing and how packed integers are unpacked.

    Parameters
    ----------
    decoding : mapping or None
        The `fingerprint` of a `dem.source.decode.Decoding`.
    """
    decoding = decoding or {"missing": [], "scale": 1, "offset": 0}
    markers = [f"{name}={value:.10g}" for name, value in decoding["missing"]]
    ends = [f"{word} {decoding[name]:.10g}" for name, word in (("low", "below"), ("high", "above")) if name in decoding]
    packed = (decoding["scale"], decoding["offset"]) != (1, 0)
    return {
        "integers": {"u": "taken as unsigned", "i": "taken as signed"}.get(decoding.get("kind", "")),
        "taken as missing": ", ".join(["NaN", *markers, *ends]),
        "unpacked": f"{decoding['scale']:.10g} v + {decoding['offset']:.10g}" if packed else None,
    }
