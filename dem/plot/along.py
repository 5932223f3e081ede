"""Profiles: what each class looks like along a coordinate of the columns, such as depth, wavelength or time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from dem.core import human
from dem.core.block import Float
from dem.core.column_grid import ColumnGrid, column_grids
from dem.estimators.summary import columns_of
from dem.plot.canvas import Picture, canvas, grid_of, quiet_grid, set_labels, set_title
from dem.plot.colours import style
from dem.plot.labels import Numbers, legend_of_classes, short
from dem.plot.sampled import RowSample, n_classes, n_columns, row_sample, rows_needed
from dem.plot.telling import class_moments

DOWNWARDS = ("depth", "pressure", "pres", "dbar", "deptht", "plev")
"""Coordinates that increase downwards: they are drawn on the vertical axis, upside down."""
UPWARDS = ("height", "altitude", "elevation", "lev", "level", "z")
"""Coordinates that are drawn on the vertical axis."""
MOST_BANDS = 6
"""Of more classes only the means are drawn: bands would hide one another."""
MOST_VARIABLES = 6
FEWEST = 3
"""A variable with fewer columns has no profile."""
MOST_TICKS = 12


def profiles(model: Any, x: Any = None, quantiles: Sequence[float] | None = None, ax: Any = None) -> Picture:
    """Draw the profile of each class: the mean and the standard deviation of each column along its coordinate.

    Parameters
    ----------
    model : estimator
        A fitted mixture or K-means. Columns that have no coordinate are drawn by their number.
    x : rows, optional
        See `dem.plot`. A model with means needs none.
    quantiles : three numbers between 0 and 1, optional
        Draw these quantiles of the rows of each class, such as (0.1, 0.5, 0.9), not mean and standard deviation.
    ax : Axes, or a sequence with one for each variable, optional

    Raises
    ------
    ValueError
        The model has no classes, or quantiles are asked for without rows.
    """
    k = n_classes(model)
    if not k:
        raise ValueError(f"a {type(model).__name__} has no classes whose profiles could be drawn: use `loadings`")
    grids = profile_grids(model)
    low, middle, high, what = _bands(model, x, quantiles)
    panels, unused = grid_of(len(grids))
    vertical = [is_vertical(grid) for grid in grids]
    size = (1.6 + 3.1 * panels[1], 0.4 + (4.6 if any(vertical) else 3.3) * panels[0])
    place = canvas(ax, size, panels, unused)
    bands = k <= MOST_BANDS and bool(np.isfinite(high).any())
    for axes, grid, upright in zip(place.axes, grids, vertical, strict=True):
        at = grid.columns
        draw_lines(axes, grid, middle[:, at], upright=upright, band=(low[:, at], high[:, at]) if bands else None)
    set_title(place.ax, what if bands else what.split(" and ")[0].split(",")[0])
    legend = legend_of_classes(place.corner, model, lines=True)
    along = ", ".join(sorted({axis_name(grid) for grid in grids}))
    text = f"{what[0].upper()}{what[1:]} of {human.plural(k, 'class')} along {along}."
    return place.picture(text, legend=legend)


def _bands(model: Any, x: Any, quantiles: Sequence[float] | None) -> tuple[Float, Float, Float, str]:
    """Return the low, middle and high line of each class, (K, d) each, and what they are."""
    if quantiles is None:
        moments = class_moments(model, row_sample(model, x))
        return moments.means - moments.sds, moments.means, moments.means + moments.sds, "mean and standard deviation"
    wanted = [float(q) for q in quantiles]
    if len(wanted) != 3 or not all(0 <= q <= 1 for q in wanted) or sorted(wanted) != wanted:
        raise ValueError(
            f"quantiles must be three rising numbers between 0 and 1, such as 0.1, 0.5, 0.9, got {quantiles}"
        )
    found = quantiles_by_class(rows_needed(model, x, "a picture of quantiles"), n_classes(model), wanted)
    return found[0], found[1], found[2], f"quantiles {wanted[1]:g}, {wanted[0]:g} to {wanted[2]:g}"


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
    """Return the variables to draw, each with its columns along one coordinate; the largest ones, if they are many.

    Columns without coordinates, and those along several dimensions, are drawn by their number.
    """
    d = n_columns(model)
    grids = [grid for grid in column_grids(columns_of(model, d)) if _extent(grid) >= FEWEST]
    if not grids:
        names = columns_of(model, d)
        return [ColumnGrid("", slice(0, d), ("column",), (tuple(names.names),))]
    return grids[:MOST_VARIABLES]


def has_profiles(model: Any) -> bool:
    """Whether the columns of a model lie along a coordinate."""
    grids = column_grids(columns_of(model, n_columns(model)))
    return any(len(grid.dims) == 1 and grid.dims != ("column",) and _extent(grid) >= FEWEST for grid in grids)


def _extent(grid: ColumnGrid) -> int:
    return grid.columns.stop - grid.columns.start


def is_vertical(grid: ColumnGrid) -> bool:
    """Whether the coordinate of a variable is drawn on the vertical axis."""
    return grid.dims[0].lower() in DOWNWARDS + UPWARDS


def axis_name(grid: ColumnGrid) -> str:
    """Return the name of the coordinate of a variable."""
    return grid.dims[0] if len(grid.dims) == 1 else "column of " + " x ".join(grid.dims)


def positions(grid: ColumnGrid) -> tuple[Any, list[str] | None]:
    """Return the places of the columns of a variable along its coordinate, and their names if they are no numbers."""
    n = _extent(grid)
    if len(grid.dims) != 1:
        return np.arange(n), None
    values = list(grid.labels[0])
    if all(isinstance(value, int | float | np.number) and not isinstance(value, bool) for value in values):
        return np.asarray(values, dtype=np.float64), None
    try:
        return np.array(values, dtype="datetime64[s]"), None
    except ValueError:
        return np.arange(n), [str(value) for value in values]


def draw_lines(
    ax: Axes,
    grid: ColumnGrid,
    lines: Float,
    *,
    upright: bool,
    band: tuple[Float, Float] | None = None,
    numbered_from: int = 0,
) -> list[Any]:
    """Draw a line for each row of `lines` along the coordinate of a variable, with its band and its number."""
    at, names = positions(grid)
    drawn, points = [], []
    for k, values in enumerate(lines):
        look = style(k)
        few = "." if len(at) <= 12 else ""
        across, up = (values, at) if upright else (at, values)
        drawn += ax.plot(across, up, color=look.colour, linestyle=look.line, linewidth=1.7, marker=few, zorder=3)
        if band is not None:
            fill = ax.fill_betweenx if upright else ax.fill_between
            fill(at, band[0][k], band[1][k], color=look.colour, alpha=0.13, linewidth=0, zorder=1)
        points.append(_telling_place(lines, k))
    whole = [k for k, j in enumerate(points) if j is not None]
    numeric = _as_numbers(ax, at, upright=upright)
    spots = [(lines[k, points[k]], numeric[points[k]]) for k in whole]
    Numbers(ax, [spot if upright else spot[::-1] for spot in spots], whole, first=numbered_from)
    value = (
        f"{grid.variable or 'value'} ({grid.units})" if grid.units and grid.units != "1" else grid.variable or "value"
    )
    if upright:
        set_labels(ax, short(value, 60), axis_name(grid))
        if grid.dims[0].lower() in DOWNWARDS and not ax.yaxis_inverted():
            ax.invert_yaxis()
    else:
        set_labels(ax, axis_name(grid), short(value, 60))
    if names is not None and not upright:
        _mark_names(ax, names)
    quiet_grid(ax)
    return drawn


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


def _mark_names(ax: Axes, names: Sequence[str]) -> None:
    """Write the names of columns below a horizontal axis; some of them, if they are many."""
    step = -(-len(names) // MOST_TICKS)
    some = range(0, len(names), step)
    longest = max(len(names[j]) for j in some)
    turned: dict[str, Any] = (
        {} if longest * len(some) <= 40 else {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    )
    ax.set_xticks(list(some), [short(names[j], 18) for j in some], fontsize="small", **turned)
