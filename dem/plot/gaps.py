"""Missing values: their share in each column, and what a fit fills in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from dem.core import human
from dem.core.block import Float
from dem.plot.along import (
    axis_names,
    has_profiles,
    holds,
    is_vertical,
    name_axes,
    positions,
    profile_canvas,
    profile_grids,
    value_name,
)
from dem.plot.canvas import (
    PLAIN,
    Picture,
    canvas,
    legend_beside,
    name_size,
    quiet_grid,
    room_for,
    set_labels,
    set_title,
    tidy_ticks,
    width_of,
)
from dem.plot.colours import PALETTE
from dem.plot.labels import names_of, percent, short
from dem.plot.sampled import RowSample, rows_needed

MOST_BARS = 30
OBSERVED, FILLED = "0.15", PALETTE[1]
BAND = 0.25


def missing(model: Any, labels: Sequence[str] | None = None, ax: Any = None) -> Picture:
    """Draw the share of missing values in each column of the training data.

    If all columns that lack some have a coordinate, such as depth, the shares are drawn along it; otherwise as bars,
    of the thirty columns that lack most.

    Parameters
    ----------
    model : estimator
    labels : sequence of str, optional
    ax : Axes, or a sequence with one for each variable, optional

    Raises
    ------
    ValueError
        No value was missing, or the model does not know it.
    """
    source = getattr(model, "source_", None) or {}
    if "missing" not in source:
        raise ValueError("this model does not know its training data: fit it first")
    counts = np.asarray(source["missing"], dtype=np.float64)
    n, d = source["shape"]
    if not counts.any():
        raise ValueError("no value was missing in the training data: there is nothing to draw")
    share = counts / n
    incomplete = percent(source["incomplete_rows"] / n)
    text = f"missing values: {percent(float(share.mean()))} of all; some in {incomplete} of the rows"
    if labels is None and _along(model, share > 0):
        return _missing_lines(model, share, text, ax)
    names = names_of(model, labels)
    lacking = int((share > 0).sum())
    place = canvas(ax, (6.0, 1.3 + 0.26 * max(3, min(lacking, MOST_BARS))))
    axes = place.ax
    most = min(lacking, MOST_BARS if place.own else room_for(axes))
    order = np.sort(np.argsort(-share, kind="stable")[:most])
    axes.barh(range(len(order)), 100 * share[order], color=PALETTE[0], height=0.7)
    for i, j in enumerate(order):
        axes.annotate(percent(float(share[j])), (100 * share[j], i), xytext=(4, 0), textcoords="offset points",
                      va="center", fontsize="small")  # fmt: skip
    axes.set_yticks(range(len(order)), [short(names[j]) for j in order], fontsize=name_size(place, len(order)), **PLAIN)
    end = 100 * float(share.max()) * (1 + 0.6 / width_of(axes))
    axes.set_xticks([tick for tick in MaxNLocator(nbins=6).tick_values(0, end) if tick <= min(100, end)])
    axes.set(ylim=(len(order) - 0.4, -0.6), xlim=(0, end))
    set_labels(axes, "missing (%)")
    axes.spines[["top", "right"]].set_visible(False)
    quiet_grid(axes, "x")
    rest = f"; the {len(order)} columns that lack most" if len(order) < lacking else ""
    rest += f"; {human.plural(d - lacking, 'column')} complete" if lacking < d else ""
    set_title(axes, text + rest)
    return place.picture(f"The share of missing values by column: {text}.")


def _missing_lines(model: Any, share: Float, text: str, ax: Any) -> Picture:
    """Draw the shares along the coordinate of each variable."""
    grids = profile_grids(model)
    place = profile_canvas(ax, grids)
    for axes, grid in zip(place.axes, grids, strict=True):
        at, _ = positions(grid)
        values, upright = 100 * share[grid.columns], is_vertical(grid)
        axes.plot(*((values, at) if upright else (at, values)), ".-", color=PALETTE[0])
        name_axes(axes, grid, f"{short(grid.variable, 30)}: missing (%)")
        (axes.set_xlim if upright else axes.set_ylim)(0, max(1.0, 108 * float(share.max())))
    set_title(place.ax, text)
    return place.picture(f"The share of missing values along {axis_names(grids)}: {text}.")


def _along(model: Any, lacking: Any) -> bool:
    """Whether the columns that lack values, of a mask (d,), can all be drawn along a coordinate."""
    return has_profiles(model) and holds(profile_grids(model), np.flatnonzero(lacking).tolist())


def filled(model: Any, x: Any, row: int | None = None, labels: Sequence[str] | None = None, ax: Any = None) -> Picture:
    """Draw a row whose missing values a fit fills in: the observed values, the filled ones, and their spread.

    If all columns that are filled in have a coordinate, the row is drawn along it. Otherwise columns are drawn side by
    side, each in its own units: the mean of the rows is 0, and their standard deviation 1.

    Parameters
    ----------
    model : estimator
        A fitted model that fills in missing values.
    x : rows
        See `dem.plot`.
    row : int, optional
        Its number in `x`; by default the row with the most missing values of those that lack at most two thirds.
    labels : sequence of str, optional
    ax : Axes, or a sequence with one for each variable, optional

    Raises
    ------
    ValueError
        No value is missing in the rows, or there is no such row.
    """
    sample = rows_needed(model, x, "a picture of filled values")
    number = _row_to_fill(sample) if row is None else sample.place_of(row)
    one = sample.take(np.array([number]))
    mean, sd = _filled(one)
    gaps = ~np.isfinite(one.x[0])
    if not gaps.any():
        raise ValueError(f"row {number if row is None else row} has no missing value: there is nothing to fill in")
    spread = "" if sd is None else ", with two standard deviations"
    text = f"{human.plural(int(gaps.sum()), 'value')} of {len(gaps)} filled in{spread}"
    if labels is None and _along(model, gaps):
        place = _draw_filled_lines(model, (one.x[0], mean, sd), ax)
    else:
        place = _draw_filled_columns(sample, (one.x[0], mean, sd), names_of(model, labels), ax)
    set_title(place.ax, text)
    handles = [
        Line2D([], [], color=OBSERVED, marker="o", markersize=4, linestyle="none", label="observed"),
        Line2D([], [], color=FILLED, marker="s", markersize=4, linestyle="none", label="filled in"),
        *([Patch(color=FILLED, alpha=BAND, linewidth=0, label="2 standard\ndeviations")] if sd is not None else []),
    ]
    legend = legend_beside(place.corner, handles)
    return place.picture(f"A row of the data: {text}.", legend=legend)


def _row_to_fill(sample: RowSample) -> int:
    """Return the row that lacks most, of those that lack at most two thirds of their values."""
    share = (~np.isfinite(sample.x)).mean(axis=1)
    if not incomplete(sample).any():
        raise ValueError("no value is missing in the rows that have any value: there is nothing to fill in")
    fit = np.where(share <= 2 / 3, share, -share)
    return int(np.argmax(fit)) if fit.max() > 0 else int(np.argmax(np.where(share < 1, share, -1)))


def incomplete(sample: RowSample) -> Any:
    """Return a mask (n,) of the rows that have some values, and lack others."""
    gaps = ~np.isfinite(sample.x)
    return gaps.any(axis=1) & ~gaps.all(axis=1)


def _filled(one: RowSample) -> tuple[Float, Float | None]:
    """Return a row with its missing values filled in, and their deviations; None where the model has none."""
    if hasattr(one.model, "cluster_centers_"):
        return np.asarray(one.of_model("impute"))[0], None
    from_model = one.of_model("impute"), one.deviations()
    return np.asarray(from_model[0])[0], np.asarray(from_model[1])[0]


def _draw_filled_lines(model: Any, values: tuple[Float, Float, Float | None], ax: Any) -> Any:
    """Draw a row along the coordinates of its columns."""
    own, mean, sd = values
    grids = profile_grids(model)
    place = profile_canvas(ax, grids)
    for axes, grid in zip(place.axes, grids, strict=True):
        at, upright = positions(grid)[0], is_vertical(grid)
        x, m = own[grid.columns], mean[grid.columns]
        gaps = ~np.isfinite(x)
        axes.plot(*((m, at) if upright else (at, m)), "-", color="0.6", linewidth=1.0, zorder=2)
        for mask, colour, marker in ((~gaps, OBSERVED, "o"), (gaps, FILLED, "s")):
            axes.plot(
                *((m[mask], at[mask]) if upright else (at[mask], m[mask])), marker, color=colour, markersize=4, zorder=3
            )
        if sd is not None:
            s = 2 * sd[grid.columns]
            fill = axes.fill_betweenx if upright else axes.fill_between
            fill(at, m - s, m + s, color=FILLED, alpha=BAND, linewidth=0, zorder=1)
        name_axes(axes, grid, value_name(grid))
    return place


def _draw_filled_columns(
    sample: RowSample, values: tuple[Float, Float, Float | None], names: Sequence[str], ax: Any
) -> Any:
    """Draw a row by its columns, each in units of its deviation among the rows."""
    own, mean, sd = values
    seen = np.isfinite(sample.x)
    n = np.maximum(seen.sum(axis=0), 1)
    centre = np.where(seen, sample.x, 0).sum(axis=0) / n
    unit = np.sqrt(np.where(seen, (sample.x - centre) ** 2, 0).sum(axis=0) / n)
    unit = np.where(unit > 0, unit, 1.0)
    gaps = np.flatnonzero(~np.isfinite(own))
    place = canvas(ax, (6.4, 1.4 + 0.26 * max(4, min(len(own), MOST_BARS))))
    most = MOST_BARS if place.own else min(MOST_BARS, room_for(place.ax))
    order = np.arange(len(own)) if len(own) <= most else np.sort(gaps[:most])
    z = (mean - centre) / unit
    for i, j in enumerate(order):
        gap = j in gaps
        if gap and sd is not None:
            place.ax.barh(
                i, 4 * sd[j] / unit[j], left=z[j] - 2 * sd[j] / unit[j], height=0.62, color=FILLED, alpha=BAND
            )
        place.ax.plot(z[j], i, "s" if gap else "o", color=FILLED if gap else OBSERVED, markersize=5)
    place.ax.axvline(0, color="0.7", linewidth=0.8, zorder=0)
    place.ax.use_sticky_edges = False
    tidy_ticks(place.ax)
    size = name_size(place, len(order))
    place.ax.set_yticks(range(len(order)), [short(names[j]) for j in order], fontsize=size, **PLAIN)
    place.ax.set_ylim(len(order) - 0.4, -0.6)
    set_labels(place.ax, "distance from the mean of the column (standard deviations)")
    quiet_grid(place.ax, "x")
    return place
