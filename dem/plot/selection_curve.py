"""The picture of a selection: the criterion of each candidate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dem.plot.axes import PALETTE


def criterion(selection: Any) -> Figure:
    """Return the picture of the criterion of all candidates, over the setting that has most values.

    Dropped candidates are hollow, with the criterion of their last pass; the best has a star.

    Parameters
    ----------
    selection : Selection or estimator
        The result of `dem.select`, or its best model, also after `dem.load`.

    Raises
    ------
    ValueError
        The model was not chosen by `dem.select`.
    """
    record = selection.as_json() if hasattr(selection, "as_json") else getattr(selection, "selection_", None)
    if record is None:
        raise ValueError(f"{type(selection).__name__} was not chosen by dem.select: it has no table of candidates")
    fig = Figure(figsize=(7.2, 4.8), layout="constrained")
    draw_criterion(fig.add_subplot(), record)
    return fig


def draw_criterion(ax: Axes, record: Mapping[str, Any]) -> None:
    """Draw the criterion of the candidates in a record of a selection (see `dem.selection.Selection.as_json`)."""
    table = [row for row in record["table"] if row["value"] is not None]
    names = list(table[0]["settings"])
    axis = max(names, key=lambda name: len({str(row["settings"][name]) for row in table}))
    lines: dict[str, list[Mapping[str, Any]]] = {}
    for row in table:
        others = ", ".join(f"{name}={row['settings'][name]}" for name in names if name != axis)
        lines.setdefault(others, []).append(row)
    numeric = all(isinstance(row["settings"][axis], int | float) for row in table)
    for colour, (label, rows) in zip(PALETTE * (1 + len(lines) // len(PALETTE)), lines.items(), strict=False):
        _draw_line(ax, rows, axis, colour, label, numeric=numeric)
    best = next(row for row in table if row["name"] == record["best"])
    ax.plot([_place(best, axis, numeric=numeric)], [best["value"]], "*", color="black", markersize=14, label="best")
    word = record["criterion"].upper().replace("_", " ")
    ax.set(xlabel=axis, ylabel=f"{word} (less is better)")
    if numeric:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(frameon=False)
    ax.grid(color="0.92")
    ax.set_axisbelow(True)


def _draw_line(
    ax: Axes, rows: Sequence[Mapping[str, Any]], axis: str, colour: Any, label: str, *, numeric: bool
) -> None:
    """Draw the candidates that differ in one setting alone."""
    rows = sorted(rows, key=lambda row: row["settings"][axis]) if numeric else rows
    ax.plot(
        [_place(row, axis, numeric=numeric) for row in rows],
        [row["value"] for row in rows],
        "-",
        color=colour,
        alpha=0.6,
        label=label or None,
    )
    for dropped in (False, True):
        some = [row for row in rows if (row["ended"] == "dropped") is dropped]
        face = "white" if dropped else colour
        ax.plot(
            [_place(row, axis, numeric=numeric) for row in some],
            [row["value"] for row in some],
            "o",
            color=colour,
            markerfacecolor=face,
        )


def _place(row: Mapping[str, Any], axis: str, *, numeric: bool) -> Any:
    value = row["settings"][axis]
    return value if numeric else str(value)
