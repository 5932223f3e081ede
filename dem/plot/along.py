"""Profiles: what each class looks like along a coordinate of the columns, such as depth, wavelength or time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from dem.core import human
from dem.core.block import Float
from dem.core.column_grid import FEWEST_IN_PROFILE, ColumnGrid, column_grids, stacked_columns
from dem.core.columns import with_units
from dem.estimators.summary import columns_of
from dem.plot.canvas import PLAIN, Canvas, Picture, canvas, grid_of, quiet_grid, set_labels, set_title
from dem.plot.colours import Style, style
from dem.plot.families import categorical_columns
from dem.plot.labels import Numbers, legend_of_classes, short
from dem.plot.sampled import RowSample, n_classes, n_columns, row_sample, rows_needed
from dem.plot.telling import class_moments

DOWNWARDS = ("depth", "pressure", "pres", "dbar", "deptht", "plev")
"""Coordinates that increase downwards: they are drawn on the vertical axis, upside down."""
UPWARDS = ("height", "altitude", "elevation", "lev", "level", "z")
"""Coordinates that are drawn on the vertical axis."""
MOST_BANDS = 6
"""Of more classes only the means are drawn: bands would hide one another."""
MOST_FILLED = 3
"""Of more classes the bands are thin lines."""
MOST_VARIABLES = 6
LEAST_SEEN, LEAST_SHARE = 10, 0.5
"""A class whose rows have fewer values in a column, or a smaller share, has a dotted line there."""
MOST_TICKS = 12


def profiles(model: Any, x: Any = None, quantiles: Sequence[float] | None = None, ax: Any = None) -> Picture:
    """Draw the profile of each class: the mean and the standard deviation of each column along its coordinate.

    Parameters
    ----------
    model : estimator
        A fitted mixture or K-means. If no columns have a coordinate, all are drawn by their number.
    x : rows, optional
        See `dem.plot`. A model with means needs none; with rows, the line of a class ends where none of its rows has a
        value, since missing values leave the mean there undetermined.
    quantiles : three numbers between 0 and 1, optional
        Draw these quantiles of the rows of each class, such as (0.1, 0.5, 0.9), not mean and standard deviation.
    ax : Axes, or a sequence with one for each variable, optional

    Raises
    ------
    ValueError
        The model has no classes or only columns of codes, or quantiles are asked for without rows.
    """
    k = n_classes(model)
    if not k:
        raise ValueError(f"a {type(model).__name__} has no classes whose profiles could be drawn: use `loadings`")
    grids = class_grids(model)
    if not grids:
        raise ValueError("columns of codes have no mean that could be drawn as a profile: use `probabilities`")
    sample = row_sample(model, x)
    low, middle, high, (what, alone) = _bands(model, sample, quantiles)
    rare = np.zeros(middle.shape, dtype=bool) if sample is None else seldom_observed(sample, k)
    place = profile_canvas(ax, grids)
    bands = k <= MOST_BANDS and bool(np.isfinite(high).any())
    for axes, grid in zip(place.axes, grids, strict=True):
        at = grid.columns
        draw_lines(axes, grid, middle[:, at], band=(low[:, at], high[:, at]) if bands else None, rare=rare[:, at])
    what = what if bands else alone
    rest = not_shown(grids, n_columns(model))
    if rare.any():
        rest = f"; dotted where few rows of a class have a value{rest}"
    set_title(place.ax, what + rest)
    legend = legend_of_classes(place.corner, model, lines=True)
    text = f"{what[0].upper()}{what[1:]} of {human.plural(k, 'class')} along {axis_names(grids)}{rest}."
    return place.picture(text, legend=legend)


def seldom_observed(sample: RowSample, k: int) -> Any:
    """Return a mask (K, d) of the columns that few rows of a class have a value in: fewer than ten, or than half."""
    seen = np.zeros((k, sample.x.shape[1]))
    counts = np.zeros(k)
    for j in range(k):
        own = sample.x[sample.classes == j]
        seen[j], counts[j] = np.isfinite(own).sum(axis=0), len(own)
    return few_values(seen, counts)


def few_values(seen: Float, counts: Float) -> Any:
    """Return where the values (K, d) of the rows (K,) of classes are few; not where all rows have one."""
    return (seen < counts[:, None]) & ((seen < LEAST_SEEN) | (seen < LEAST_SHARE * counts[:, None]))


def _bands(
    model: Any, sample: RowSample | None, quantiles: Sequence[float] | None
) -> tuple[Float, Float, Float, tuple[str, str]]:
    """Return the low, middle and high line of each class, (K, d) each, what they are, and what the middle is alone."""
    if quantiles is None:
        moments = class_moments(model, sample)
        means = moments.means if sample is None else _where_seen(sample, moments.means)
        return means - moments.sds, means, means + moments.sds, ("mean and standard deviation", "mean")
    wanted = [float(q) for q in quantiles]
    if len(wanted) != 3 or not all(0 <= q <= 1 for q in wanted) or sorted(wanted) != wanted:
        raise ValueError(
            f"quantiles must be three rising numbers between 0 and 1, such as 0.1, 0.5, 0.9, got {quantiles}"
        )
    found = quantiles_by_class(rows_needed(model, sample, "a picture of quantiles"), n_classes(model), wanted)
    alone = "median" if wanted[1] == 0.5 else f"quantile {wanted[1]:g}"
    return found[0], found[1], found[2], (f"{alone}, quantiles {wanted[0]:g} to {wanted[2]:g}", alone)


def _where_seen(sample: RowSample, means: Float) -> Float:
    """Return means without those of columns in which no row of the class has a value; a class without rows has all."""
    out = means.copy()
    for k in range(len(means) if sample.classes is not None else 0):
        own = sample.x[sample.classes == k]
        if len(own):
            out[k, ~np.isfinite(own).any(axis=0)] = np.nan
    return out


def quantiles_by_class(sample: RowSample, k: int, quantiles: Sequence[float]) -> Float:
    """Return quantiles of the observed values of the rows of each class, (len(quantiles), K, d)."""
    out = np.full((len(quantiles), k, sample.x.shape[1]), np.nan)
    for j in range(k):
        own = sample.x[sample.classes == j]
        seen = np.isfinite(own).any(axis=0)
        if seen.any():
            out[:, j, seen] = np.nanquantile(own[:, seen], quantiles, axis=0)
    return out


def profile_grids(model: Any) -> list[ColumnGrid]:
    """Return the variables to draw, those of three or more columns; the first six, if there are more.

    The columns of a variable along several dimensions are drawn by their number. If no variable has three columns, all
    columns are drawn as one.
    """
    columns = columns_of(model, n_columns(model))
    grids = [grid for grid in column_grids(columns) if grid.n_columns >= FEWEST_IN_PROFILE]
    return grids[:MOST_VARIABLES] or [stacked_columns(columns)]


def class_grids(model: Any) -> list[ColumnGrid]:
    """Return the variables whose means are drawn: those of `profile_grids` without columns of codes."""
    codes = categorical_columns(model)
    return [grid for grid in profile_grids(model) if codes.isdisjoint(range(grid.columns.start, grid.columns.stop))]


def has_profiles(model: Any) -> bool:
    """Whether the columns of a model lie along a coordinate."""
    return any(grid.is_profile for grid in profile_grids(model))


def has_class_profiles(model: Any) -> bool:
    """Whether a model has classes, and columns along a coordinate that have means."""
    return n_classes(model) > 0 and any(grid.is_profile for grid in class_grids(model))


def holds(grids: Sequence[ColumnGrid], columns: Sequence[int]) -> bool:
    """Whether all of these columns are in the variables to draw."""
    shown = {j for grid in grids for j in range(grid.columns.start, grid.columns.stop)}
    return shown.issuperset(columns)


def not_shown(grids: Sequence[ColumnGrid], d: int) -> str:
    """Return how many of d columns are not drawn, to be added to a title; nothing if all are."""
    left = d - sum(grid.n_columns for grid in grids)
    return f"; {human.plural(left, 'column')} not shown" if left else ""


def profile_canvas(ax: Any, grids: Sequence[ColumnGrid]) -> Canvas:
    """Return where to draw a panel for each variable."""
    panels, unused = grid_of(len(grids))
    tall = 4.6 if any(map(is_vertical, grids)) else 3.3
    return canvas(ax, (1.6 + 3.1 * panels[1], 0.4 + tall * panels[0]), panels, unused)


def is_vertical(grid: ColumnGrid) -> bool:
    """Whether the coordinate of a variable is drawn on the vertical axis."""
    return grid.dims[0].lower() in DOWNWARDS + UPWARDS


def axis_name(grid: ColumnGrid) -> str:
    """Return the name of the coordinate of a variable."""
    return grid.dims[0] if len(grid.dims) == 1 else "column of " + " x ".join(grid.dims)


def axis_names(grids: Sequence[ColumnGrid]) -> str:
    """Return the names of the coordinates of variables, each once."""
    return ", ".join(sorted(set(map(axis_name, grids))))


def value_name(grid: ColumnGrid) -> str:
    """Return the name of a variable with its units."""
    return short(with_units(grid.variable or "value", grid.units), 60)


def positions(grid: ColumnGrid) -> tuple[Any, list[str] | None]:
    """Return the places of the columns of a variable along its coordinate, and their names if they are no numbers."""
    n = grid.n_columns
    if len(grid.dims) != 1:
        return np.arange(n), None
    values = list(grid.labels[0])
    if all(isinstance(value, int | float | np.number) and not isinstance(value, bool) for value in values):
        return np.asarray(values, dtype=np.float64), None
    if _are_dates(grid, values):
        try:
            return np.array(values, dtype="datetime64[s]"), None
        except ValueError:
            pass
    return np.arange(n), [str(value) for value in values]


def _are_dates(grid: ColumnGrid, values: Sequence[Any]) -> bool:
    """Whether coordinates may be dates: NumPy would read any number as a year, also that of a column."""
    if all(isinstance(value, np.datetime64 | date) for value in values):
        return True
    return grid.dims != ("column",) and all(isinstance(value, str) and "-" in value for value in values)


def draw_lines(
    ax: Axes,
    grid: ColumnGrid,
    lines: Float,
    *,
    band: tuple[Float, Float] | None = None,
    rare: Any = None,
) -> list[Any]:
    """Draw a line for each row of `lines` along the coordinate of a variable, with its band and its number.

    Where the mask `rare` holds, the line is thin and dotted, and has no band and no number.
    """
    (at, _), upright = positions(grid), is_vertical(grid)
    whole, lines = lines, lines if rare is None else np.where(rare, np.nan, lines)
    drawn, points = [], []
    for k, values in enumerate(lines):
        look = style(k)
        few = "." if len(at) <= 12 else ""
        across, up = (values, at) if upright else (at, values)
        drawn += ax.plot(across, up, color=look.colour, linestyle=look.line, linewidth=1.7, marker=few, zorder=3)
        if band is not None:
            edges = [np.where(np.isfinite(values), edge[k], np.nan) for edge in band]
            _draw_band(ax, at, edges, look, upright=upright, filled=len(lines) <= MOST_FILLED)
        if rare is not None and rare[k].any():
            ax.plot(*((whole[k], at) if upright else (at, whole[k])), ":", color=look.colour, linewidth=0.9, zorder=2)
        points.append(_telling_place(lines, k))
    placed = [k for k, j in enumerate(points) if j is not None]
    numeric = _as_numbers(ax, at, upright=upright)
    spots = [(lines[k, points[k]], numeric[points[k]]) for k in placed]
    Numbers(ax, [spot if upright else spot[::-1] for spot in spots], placed)
    name_axes(ax, grid, value_name(grid))
    return drawn


def _draw_band(ax: Axes, at: Any, edges: Sequence[Float], look: Style, *, upright: bool, filled: bool) -> None:
    """Draw the band of a class: filled, or as two thin lines."""
    if filled:
        fill = ax.fill_betweenx if upright else ax.fill_between
        fill(at, edges[0], edges[1], color=look.colour, alpha=0.13, linewidth=0, zorder=1)
        return
    for edge in edges:
        across, up = (edge, at) if upright else (at, edge)
        ax.plot(across, up, color=look.colour, linestyle=look.line, linewidth=0.6, alpha=0.6, zorder=1)


def name_axes(ax: Axes, grid: ColumnGrid, value: str) -> None:
    """Name the axes of a panel along a coordinate, and the places of coordinates that are text; depth goes down."""
    upright, names = is_vertical(grid), positions(grid)[1]
    set_labels(ax, *((value, axis_name(grid)) if upright else (axis_name(grid), value)))
    if names is not None:
        _mark_names(ax, names, upright=upright)
    if upright and grid.dims[0].lower() in DOWNWARDS and not ax.yaxis_inverted():
        ax.invert_yaxis()
    quiet_grid(ax)


def _as_numbers(ax: Axes, at: Any, *, upright: bool) -> Float:
    """Return places along an axis as numbers."""
    axis = ax.yaxis if upright else ax.xaxis
    return np.asarray(axis.convert_units(at), dtype=np.float64)


def _telling_place(lines: Float, k: int) -> int | None:
    """Return the column in which the line of a class is farthest from the nearest other one; None if it has none."""
    own = lines[k]
    if not np.isfinite(own).any():
        return None
    others = np.delete(lines, k, axis=0)
    if not len(others):
        return int(np.flatnonzero(np.isfinite(own))[len(np.flatnonzero(np.isfinite(own))) // 2])
    gaps = np.abs(others - own)
    gaps = np.where(np.isfinite(gaps), gaps, np.inf).min(axis=0)
    gaps = np.where(np.isfinite(own) & np.isfinite(gaps), gaps, -1.0)
    return int(np.argmax(gaps))


def _mark_names(ax: Axes, names: Sequence[str], *, upright: bool) -> None:
    """Write the names of places along an axis; some of them, if they are many."""
    step = -(-len(names) // MOST_TICKS)
    some = range(0, len(names), step)
    longest = max(len(names[j]) for j in some)
    turned: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    look = turned if longest * len(some) > 40 and not upright else {}
    mark = ax.set_yticks if upright else ax.set_xticks
    mark(list(some), [short(names[j], 18) for j in some], fontsize="small", **PLAIN, **look)
