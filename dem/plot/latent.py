"""PPCA and factor analysis: the variances of the latents, what the columns have of them, rows in the latent space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from dem.core import human
from dem.core.block import Float
from dem.estimators.summary import correlations, in_scaled_units, shared_units
from dem.plot.along import axis_names, draw_lines, has_profiles, is_vertical, not_shown, profile_canvas, profile_grids
from dem.plot.canvas import (
    PLAIN,
    Picture,
    canvas,
    legend_beside,
    log_axis,
    name_size,
    quiet_grid,
    room_for,
    set_labels,
    set_title,
    tidy_ticks,
    whole_numbers,
)
from dem.plot.colours import PALETTE, style
from dem.plot.labels import names_of, percent, short
from dem.plot.points import axis_limits, bins, draw_points
from dem.plot.sampled import n_columns, rows_needed
from dem.plot.telling import check_columns

WIDE = 300
"""A ratio of variances from which the axis is logarithmic."""
MOST_LINES = 6
"""Latents whose loadings are drawn as lines."""
MOST_NAMES = 40
MOST_NUMBERS = (20, 8)
"""Columns and latents of a table whose cells have their numbers."""


def scree(model: Any, ax: Any = None) -> Picture:
    """Draw the variance along each latent of PPCA, or the share that each factor explains, and the noise.

    Parameters
    ----------
    model : PPCA, BayesianPCA or FactorAnalysis
    ax : Axes, optional

    Raises
    ------
    ValueError
        The model has no latents.
    """
    place = canvas(ax, (5.6, 4.0))
    axes = place.ax
    if hasattr(model, "explained_variance_"):
        values, noise = np.asarray(model.explained_variance_, dtype=np.float64), float(model.noise_variance_)
        named, joined = f"variance along it{in_scaled_units(model)}", True
        explained, of_what, beside = (
            float(np.sum(model.explained_variance_ratio_)),
            "variance",
            "noise in every\nother direction",
        )
    else:
        found = _correlations(model)
        values = (found**2).sum(axis=0) / len(found)
        explained, of_what, beside = float(values.sum()), "columns' variance", "noise: what no\nlatent explains"
        noise, named, joined = 1 - explained, "share of the columns' variance", False
    number = np.arange(len(values))
    levels = np.append(values[values > 0], noise if noise > 0 else [])
    if len(levels) and levels.max() > WIDE * levels.min():
        log_axis(axes, levels)
    elif not joined:  # factors are in no order: a line would mean nothing
        axes.vlines(number, 0, values, color=PALETTE[0], linewidth=1.2, zorder=2)
    axes.plot(number, values, "o-" if joined else "o", color=PALETTE[0], label="latents", zorder=3)
    if noise > 0:
        axes.axhline(noise, color=PALETTE[1], linestyle="--", label=beside)
    if axes.get_yscale() == "linear":
        axes.set_ylim(0, 1.08 * float(levels.max(initial=0.0)) or 1.0)
        tidy_ticks(axes)
    axes.set_xlim(-0.5, len(values) - 0.5)
    whole_numbers(axes)
    set_labels(axes, "latent", named)
    explains = "explains" if len(values) == 1 else "explain"
    text = f"{human.plural(len(values), 'latent')} {explains} {percent(explained)} of the {of_what}"
    set_title(axes, text)
    legend = legend_beside(axes)
    quiet_grid(axes)
    return place.picture(f"The variance along each latent, and the noise: {text}.", legend=legend)


def loadings(model: Any, labels: Sequence[str] | None = None, ax: Any = None) -> Picture:
    """Draw the correlation of each column with each latent: lines along the columns' coordinate, else a table.

    Parameters
    ----------
    model : PPCA, BayesianPCA or FactorAnalysis
    labels : sequence of str, optional
    ax : Axes, or a sequence with one for each variable, optional
    """
    found = _correlations(model)
    if has_profiles(model):
        return _loading_lines(model, found, ax)
    names = names_of(model, labels)
    d, q = found.shape
    most = min(d, MOST_NAMES)
    place = canvas(ax, (2.9 + float(np.clip(0.55 * q, 1.6, 7)), 1.4 + float(np.clip(0.27 * most, 1.5, 9))))
    axes = place.ax
    most = most if place.own else min(most, room_for(axes))
    order = np.arange(d) if d <= most else np.sort(np.argsort(-(found**2).sum(axis=1), kind="stable")[:most])
    shown = found[order]
    image = axes.imshow(shown, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
    bar = place.figure.colorbar(image, ax=axes, label="correlation")
    if len(order) <= MOST_NUMBERS[0] and q <= MOST_NUMBERS[1]:
        for (i, j), value in np.ndenumerate(shown):
            axes.text(j, i, _signed(value), ha="center", va="center", fontsize="small",
                      color="white" if abs(value) > 0.6 else "black")  # fmt: skip
    size = name_size(place, len(order))
    axes.set_yticks(range(len(order)), [short(names[j], 24) for j in order], fontsize=size, **PLAIN)
    whole_numbers(axes)
    set_labels(axes, "latent")
    rest = f"; the {len(order)} of {d} columns that have most of them" if len(order) < d else ""
    set_title(axes, f"correlations of columns and latents{rest}")
    return place.picture(f"The correlations of {d} columns and {human.plural(q, 'latent')}.", image=image, bar=bar)


def _loading_lines(model: Any, found: Float, ax: Any) -> Picture:
    """Draw the loadings of the first latents as lines along the coordinate of the columns."""
    grids = profile_grids(model)
    place = profile_canvas(ax, grids)
    n = min(MOST_LINES, found.shape[1])
    for axes, grid in zip(place.axes, grids, strict=True):
        upright = is_vertical(grid)
        draw_lines(axes, grid, found[grid.columns, :n].T)
        (axes.axvline if upright else axes.axhline)(0, color="0.4", linewidth=0.8, zorder=1)
        (axes.set_xlim if upright else axes.set_ylim)(-1.08, 1.08)
        value = f"correlation with {short(grid.variable, 24)}" if grid.variable else "correlation"
        set_labels(axes, **{"x" if upright else "y": value})
    rest = f"; the first {n} of {found.shape[1]}" if n < found.shape[1] else ""
    rest += not_shown(grids, len(found))
    set_title(place.ax, f"correlations of columns and latents{rest}")
    looks = [style(j) for j in range(n)]
    handles = [Line2D([], [], color=s.colour, linestyle=s.line, linewidth=2, label=str(j)) for j, s in enumerate(looks)]
    legend = legend_beside(place.corner, handles, title="latent")
    text = f"The correlations of latents and columns along {axis_names(grids)}."
    return place.picture(text, legend=legend)


def latents(model: Any, x: Any, columns: Sequence[int | str] = (0, 1), classes: Any = None, ax: Any = None) -> Picture:
    """Draw rows in two latents: their posterior means.

    Parameters
    ----------
    model : PPCA, BayesianPCA or FactorAnalysis
    x : rows
        See `dem.plot`.
    columns : two numbers from 0
        The latents.
    classes : array of shape (n,), optional
        What to colour the rows by: whole numbers, or words.
    ax : Axes, optional

    Raises
    ------
    ValueError
        There are no such latents, or not as many classes as rows.
    """
    _need_latents(model)
    sample = rows_needed(model, x, "a picture of latents")
    z = np.asarray(sample.of_model("transform"), dtype=np.float64)
    pair = latent_pair(columns, z.shape[1])
    numbers, words = _coded(classes, len(z))
    place = canvas(ax)
    axes = place.ax
    if z.shape[1] == 1:
        _draw_one(axes, z[:, 0], numbers)
    else:
        xy = z[:, list(pair)]
        low, high = axis_limits(xy[np.isfinite(xy).all(axis=1)])
        draw_points(axes, xy, np.zeros(len(z), dtype=int) if numbers is None else numbers)
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        set_labels(axes, f"latent {pair[0]}", f"latent {pair[1]}")
    shown = sample.in_words if z.shape[1] == 1 else sample.as_points()
    set_title(axes, f"{shown} in the latent {'space' if z.shape[1] == 1 else 'plane'}")
    more = {}
    if numbers is not None:
        handles = [
            Line2D([], [], color=style(k).colour, linestyle="none", marker=style(k).marker, label=short(word, 20))
            for k, word in enumerate(words)
        ]
        more["legend"] = legend_beside(axes, handles, title="class")
    coloured = f", coloured by {human.plural(len(words), 'class')}" if numbers is not None else ""
    return place.picture(f"{shown} by the posterior means of their latents{coloured}.", **more)


def _draw_one(axes: Axes, z: Float, numbers: Any) -> None:
    """Draw the histogram of a single latent, by class."""
    z = np.where(np.isfinite(z), z, np.nan)
    (low,), (high,) = axis_limits(z[np.isfinite(z)][:, None])
    edges = np.asarray(bins(z[np.isfinite(z)], low, high))
    kinds = np.zeros(len(z), dtype=int) if numbers is None else numbers
    base = np.zeros(len(edges) - 1)
    for k in range(int(kinds.max()) + 1):
        height = base + np.histogram(z[(kinds == k) & np.isfinite(z)], edges)[0]
        axes.stairs(height, edges, baseline=base, fill=True, color=style(k).colour)
        base = height
    set_labels(axes, "latent 0", "rows")


def _coded(classes: Any, n: int) -> tuple[Any, list[str]]:
    """Return classes as numbers from 0, and their names."""
    if classes is None:
        return None, []
    given = np.asarray(classes)
    if given.shape != (n,):
        raise ValueError(f"classes must have the shape ({n},), got {given.shape}")
    words, numbers = np.unique(given, return_inverse=True)
    return numbers.astype(int), [str(word) for word in words]


def latent_pair(columns: Sequence[int | str], q: int) -> tuple[int, int]:
    """Return the numbers of two latents of q, which have no names; (0, 0) for a single latent.

    Raises
    ------
    ValueError
        There are no such latents.
    """
    if not all(isinstance(column, int | np.integer) or str(column).isdecimal() for column in columns):
        raise ValueError(f"columns must be the numbers of two latents, from 0, got {', '.join(map(str, columns))}.")
    if q == 1:
        return 0, 0
    pair = tuple(int(column) for column in columns)
    check_columns(pair, q, "latents")
    return pair[0], pair[1]


def _need_latents(model: Any) -> None:
    if not hasattr(model, "components_"):
        raise ValueError(f"a {type(model).__name__} has no latents: this picture is for PPCA and factor analysis")


def _correlations(model: Any) -> Float:
    """Return the correlations between columns and latents, (d, q)."""
    _need_latents(model)
    if not hasattr(model, "explained_variance_"):
        return correlations(model)
    noise = float(model.noise_variance_)
    unit = shared_units(model, n_columns(model))
    lengths = np.sqrt(np.maximum(np.asarray(model.explained_variance_, dtype=np.float64) - noise, 0.0))
    weights = np.asarray(model.components_, dtype=np.float64).T * lengths
    deviations = np.sqrt((weights**2).sum(axis=1) + noise * unit**2)
    return np.asarray(weights / np.where(deviations > 0, deviations, 1.0)[:, None])


def _signed(value: float) -> str:
    """Return a correlation as text: ".52", "-.07", ".00", "1.00"."""
    text = f"{abs(value):.2f}".lstrip("0")
    return f"{'-' if value < -0.005 else ''}{text}"
