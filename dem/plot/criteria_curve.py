"""A criterion, such as BIC, over the number of components or another setting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from dem.plot.canvas import Picture, canvas, legend_beside, quiet_grid, set_labels, set_title, tidy_ticks, whole_numbers
from dem.plot.colours import LINES, MARKERS, PALETTE

SIZES = ("n_components", "n_clusters", "n_factors")
"""The settings that are drawn along the horizontal axis; without any of them, the one with most values is."""


def criterion(table: Any, criterion: str | None = None, ax: Any = None) -> Picture:
    """Draw how far each candidate is above the best one, by a criterion, over the number of components.

    Where no candidate has a number of components, the setting with most values takes its place.

    Each of the other settings has its own line; the best candidate is marked.

    Parameters
    ----------
    table : Selection, model that was selected, or iterable of objects or mappings
        The candidates, such as the result of `dem.select` or its best model, also after `dem.load`. Each has
        `settings`, a mapping such as ``{"n_components": 3, "covariance_type": "full"}``, and `criteria`, a mapping such
        as ``{"bic": 1234.5}``, of which less is better. A candidate that was dropped before its fit had ended has a
        true `dropped`, or "dropped" as `ended`; it is hollow.
    criterion : str, optional
        The name of one of the criteria; by default the one that the table was made for, or "bic".
    ax : Axes, optional

    Raises
    ------
    ValueError
        No candidate has the criterion, or the model was not chosen by `dem.select`.
    """
    table, criterion = _table_of(table, criterion)
    candidates: Iterable[Any] = table
    rows = [(dict(_entry(row, "settings")), _entry(row, "criteria"), _was_dropped(row)) for row in candidates]
    size = _along([settings for settings, _, _ in rows])
    known = [
        (s, float(c[criterion]), gone) for s, c, gone in rows if (c or {}).get(criterion) is not None and size in s
    ]
    known = _comparable([entry for entry in known if np.isfinite(entry[1])], size)
    if size is None or not known:
        names = sorted({name for _, criteria, _ in rows for name in criteria or ()})
        raise ValueError(f"no candidate has the criterion {criterion!r}: they have {', '.join(names) or 'none'}")
    ended = [entry for entry in known if not entry[2]] or known
    best = min(ended, key=lambda entry: entry[1])
    place = canvas(ax, (6.0, 4.2))
    axes = place.ax
    groups = _groups(known, size)
    for i, (name, entries) in enumerate(groups.items()):
        look: dict[str, Any] = {"color": PALETTE[i % len(PALETTE)], "linestyle": LINES[i // len(PALETTE) % len(LINES)]}
        at, values = [e[0][size] for e in entries], [e[1] - best[1] for e in entries]
        axes.plot(at, values, linewidth=1.6, label=name or None, marker=MARKERS[i % len(MARKERS)], markersize=5, **look)
        gone = [(n, v) for n, v, e in zip(at, values, entries, strict=True) if e[2]]
        if gone:
            axes.plot(*zip(*gone, strict=True), linestyle="none", marker=MARKERS[i % len(MARKERS)], markersize=5,
                      markerfacecolor="white", markeredgecolor=look["color"], zorder=4)  # fmt: skip
    (mark,) = axes.plot(best[0][size], 0.0, "o", markersize=13, markerfacecolor="none", markeredgecolor="black",
                        markeredgewidth=1.6, zorder=5)  # fmt: skip
    word = size.removeprefix("n_").replace("_", " ")
    what = f"number of {word}" if size.startswith("n_") else word
    set_labels(axes, what, f"{_title(criterion)}, above the best one")
    tidy_ticks(axes)
    if all(_is_number(settings[size]) for settings, _, _ in known) and size.startswith("n_"):
        whole_numbers(axes)
    quiet_grid(axes)
    others = ", ".join(f"{value}" for name, value in best[0].items() if name != size)
    winner = f"{best[0][size]} {word}" if size.startswith("n_") else f"{best[0][size]}"
    text = f"best {_title(criterion)}: {winner}{', ' + others if others else ''} ({_number(best[1])})"
    hollow = any(gone for _, _, gone in known)
    set_title(axes, text + ("; hollow: dropped" if hollow else ""))
    if len(groups) > 1:
        legend_beside(axes)
    return place.picture(f"{_title(criterion)} of {len(known)} candidates over the {what}; {text}.", best=mark)


def _comparable(known: list[Any], size: str | None) -> list[Any]:
    """Return the candidates with their settings along the axis as words, if not all of them are numbers."""
    if size is None or all(_is_number(settings[size]) for settings, _, _ in known):
        return known
    return [({**settings, size: str(settings[size])}, value, gone) for settings, value, gone in known]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _table_of(table: Any, criterion: str | None) -> tuple[Any, str]:
    """Return the candidates, and the name of the criterion."""
    record = getattr(table, "selection_", None)
    if record is not None:
        return record["table"], criterion or record["criterion"]
    if hasattr(table, "fit"):
        raise ValueError(f"this {type(table).__name__} was not chosen by dem.select: it has no table of candidates")
    return getattr(table, "table", table), str(criterion or getattr(table, "criterion", "bic"))


def _along(settings: list[dict[str, Any]]) -> str | None:
    """Return the setting along the horizontal axis: see `SIZES`."""
    names = dict.fromkeys(name for each in settings for name in each)
    return next(
        (name for name in SIZES if name in names),
        max(names, key=lambda name: len({str(each.get(name)) for each in settings}), default=None),
    )


def _title(criterion: str) -> str:
    """Return the name of a criterion as people write it."""
    return criterion.upper() if len(criterion) <= 4 else criterion.replace("_", " ")


def _number(value: float) -> str:
    """Return the value of a criterion as text: 1,234,567.8."""
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.5g}"


def _was_dropped(row: Any) -> bool:
    return bool(_entry(row, "dropped")) or _entry(row, "ended") == "dropped"


def _entry(row: Any, name: str) -> Any:
    """Return an entry of a row of the table."""
    return row.get(name) if isinstance(row, Mapping) else getattr(row, name, None)


def _groups(known: Any, size: str) -> dict[str, list[Any]]:
    """Return the candidates by their other settings, each group in the order of its sizes."""
    found: dict[str, list[Any]] = {}
    sizes = size.startswith("n_") and all(_is_number(settings[size]) for settings, _, _ in known)
    for entry in sorted(known, key=lambda e: e[0][size]) if sizes else known:
        name = ", ".join(str(value) for key, value in entry[0].items() if key != size)
        found.setdefault(name, []).append(entry)
    return found
