"""K-means: centres and rows in a plane, with true borders where the data have two columns; widths and distances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from scipy.spatial import Voronoi, cKDTree
from scipy.spatial.distance import cdist

from dem.core import human
from dem.core.block import Float
from dem.estimators.summary import in_scaled_units, shared_units
from dem.plot.canvas import (
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
from dem.plot.colours import style
from dem.plot.labels import Numbers, legend_of_classes, names_of, percent, shares, short
from dem.plot.points import axis_limits, bins, draw_points, limits_with, observed
from dem.plot.sampled import RowSample, n_columns, row_sample
from dem.plot.telling import column_pair

PIXELS = 400
MOST_BARS = 40
BORDER = "0.25"
FAR = 10.0
"""How far off the range of a picture the points are that close its outer regions, in its width."""


def kmeans(
    model: Any,
    x: Any = None,
    columns: Sequence[int | str] | None = None,
    labels: Sequence[str] | None = None,
    ax: Any = None,
) -> Picture:
    """Draw the centres and the rows of K-means.

    In data of one or two columns with the true borders between the clusters. In more columns borders in a plane would
    mislead: then it is the plane of the first two principal directions of the centres, or the two columns that are
    asked for, without borders.

    Parameters
    ----------
    model : KMeans
    x : rows, optional
        See `dem.plot`.
    columns : two numbers or names, optional
    labels : sequence of str, optional
    ax : Axes, optional
    """
    centres = np.asarray(model.cluster_centers_, dtype=np.float64)
    k, d = centres.shape
    sample, names = row_sample(model, x), names_of(model, labels)
    pair = None if columns is None or d == 1 else column_pair(model, columns, d, sample)
    place = canvas(ax)
    if d == 1:
        what = _draw_line(place.ax, model, sample, short(names[0], 60))
    elif d == 2:
        what = _draw_regions(place.ax, model, sample, pair or (0, 1), names)
    elif pair is not None:
        what = "centres"
        own = None if sample is None else sample.x[:, list(pair)]
        _draw_plane(place.ax, model, sample, own, centres[:, list(pair)])
        set_labels(place.ax, *(short(names[j], 60) for j in pair))
    else:
        what = f"centres in the plane of their principal directions{in_scaled_units(model)}"
        _draw_directions(place.ax, model, sample, names)
    if d > 1:
        tidy_ticks(place.ax)
    set_title(place.ax, f"{human.plural(k, 'cluster')}: {what}")
    legend = legend_of_classes(place.ax, model)
    shown = "" if sample is None else f" of {sample.as_points()}, coloured by cluster"
    return place.picture(f"K-means: {human.plural(k, 'cluster')}, {what}{shown}.", legend=legend)


def _draw_line(ax: Axes, model: Any, sample: RowSample | None, name: str) -> str:
    """Draw clusters of one column: histograms, centres, and the borders half-way between these."""
    centres = np.sort(np.asarray(model.cluster_centers_)[:, 0])
    if sample is not None:
        x = observed(sample, [0])
        (low,), (high,) = axis_limits(x)
        edges = np.asarray(bins(x[:, 0], low, high))
        values, classes = sample.x[:, 0], sample.classes
        base = np.zeros(len(edges) - 1)
        for k in range(len(centres)):
            height = base + np.histogram(values[(classes == k) & np.isfinite(values)], edges)[0]
            ax.stairs(height, edges, baseline=base, fill=True, color=style(k).colour, alpha=0.6)
            base = height
    else:
        low, high = centres.min() - 1, centres.max() + 1
    for border in (centres[1:] + centres[:-1]) / 2:
        ax.axvline(border, color=BORDER, linewidth=1.0)
    ax.set(xlim=(min(low, centres.min()), max(high, centres.max())))
    top = ax.get_ylim()[1]
    ax.set_ylim(0, 1.15 * top)
    Numbers(ax, [(centre, 1.07 * top) for centre in np.asarray(model.cluster_centers_)[:, 0]], range(len(centres)))
    set_labels(ax, name, "rows" if sample is not None else "")
    return "centres and borders"


def _draw_regions(ax: Axes, model: Any, sample: RowSample | None, pair: tuple[int, int], names: Sequence[str]) -> str:
    """Draw clusters of two columns: rows, centres, and the regions with their borders."""
    centres = np.asarray(model.cluster_centers_, dtype=np.float64)[:, list(pair)]
    if sample is None:
        low, high = axis_limits(np.concatenate([centres, centres.mean(axis=0, keepdims=True)]))
        low, high = low - 0.3 * (high - low), high + 0.3 * (high - low)
    else:
        low, high = limits_with(*axis_limits(observed(sample, pair)), centres)
    across, up = np.meshgrid(*(np.linspace(a, b, PIXELS) for a, b in zip(low, high, strict=True)))
    unit = shared_units(model, 2)[list(pair)]  # distances are those of scaled columns
    plane = np.column_stack([across.ravel(), up.ravel()])
    region = cKDTree(centres / unit).query(plane / unit)[1].reshape(across.shape)
    colours = ListedColormap([style(k).colour for k in range(len(centres))])
    ax.imshow(region, origin="lower", extent=(low[0], high[0], low[1], high[1]), aspect="auto", alpha=0.16, vmin=-0.5,
              vmax=len(centres) - 0.5, cmap=colours, interpolation="nearest", zorder=0)  # fmt: skip
    lines = [line * unit for line in borders(centres / unit, low / unit, high / unit)]
    ax.add_collection(LineCollection(lines, colors=BORDER, linewidths=0.9, zorder=3), autolim=False)
    if sample is not None:
        draw_points(ax, sample.x[:, list(pair)], sample.classes)
    _number(ax, model, centres)
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    set_labels(ax, *(short(names[j], 60) for j in pair))
    return "centres and borders"


def borders(centres: Float, low: Float, high: Float) -> list[Float]:
    """Return the lines (2, 2) between the regions of centres (K, 2), which lie between `low` and `high` (2,).

    Four far points close the regions at the edge; the lines between them and the centres are outside of the range.
    """
    k, middle = len(centres), (low + high) / 2
    far = middle + FAR * float((high - low).max()) * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
    cells = Voronoi(np.concatenate([centres, far]))
    pairs = zip(cells.ridge_points, cells.ridge_vertices, strict=True)
    return [cells.vertices[ends] for own, ends in pairs if max(own) < k and min(ends) >= 0]


def _draw_plane(ax: Axes, model: Any, sample: RowSample | None, xy: Float | None, centres: Float) -> None:
    """Draw rows and centres in a plane, without borders."""
    shown = centres if xy is None or not np.isfinite(xy).all(axis=1).any() else xy[np.isfinite(xy).all(axis=1)]
    low, high = limits_with(*axis_limits(shown), centres)
    if sample is not None and xy is not None:
        draw_points(ax, xy, sample.classes)
    _number(ax, model, centres)
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))


def _number(ax: Axes, model: Any, centres: Float) -> None:
    """Write the numbers of the centres, those of the largest clusters first."""
    order = np.argsort(-shares(model), kind="stable") if len(shares(model)) else np.arange(len(centres))
    Numbers(ax, centres[order], order.tolist())


def _draw_directions(ax: Axes, model: Any, sample: RowSample | None, names: Sequence[str]) -> None:
    """Draw rows and centres in the plane of the first two principal directions of the centres."""
    unit = shared_units(model, n_columns(model))
    centres = np.asarray(model.cluster_centers_, dtype=np.float64) / unit
    rows = None if sample is None else _whole_rows(model, sample) / unit
    origin, directions, share = principal_plane(centres, getattr(model, "cluster_counts_", None), rows)
    xy = None if rows is None else (rows - origin) @ directions.T
    _draw_plane(ax, model, sample, xy, (centres - origin) @ directions.T)
    words = [
        f"direction {i + 1} ({percent(share[i])} of the variance)\n{_mostly(directions[i], names)}" for i in range(2)
    ]
    set_labels(ax, *words)


def _mostly(direction: Float, names: Sequence[str]) -> str:
    """Return the two columns that a direction has most of."""
    best = np.argsort(-np.abs(direction), kind="stable")[:2]
    return "mostly " + ", ".join(f"{'-' if direction[j] < 0 else '+'}{short(_bare(names[j]), 26)}" for j in best)


def _bare(name: str) -> str:
    """Return the name of a column without its units."""
    return name.rsplit(" (", 1)[0]


def _whole_rows(model: Any, sample: RowSample) -> Float:
    """Return the rows, each missing value taken from the centre of the row's cluster."""
    classes = sample.classes
    assert classes is not None
    own = np.where(classes[:, None] < 0, np.nan, np.asarray(model.cluster_centers_)[classes])
    return np.where(np.isfinite(sample.x), sample.x, own)


def principal_plane(centres: Float, counts: Any, rows: Float | None) -> tuple[Float, Float, Float]:
    """Return the mean of centres, their first two principal directions (2, d), and the share of variance of each.

    Fewer than three centres lie on a line or in a point: then directions of the rows within the clusters follow.
    """
    weights = np.ones(len(centres)) if counts is None else np.maximum(np.asarray(counts, dtype=np.float64), 0)
    weights = weights / weights.sum()
    origin = weights @ centres
    _, lengths, directions = np.linalg.svd((centres - origin) * np.sqrt(weights)[:, None], full_matrices=True)
    total = float((lengths**2).sum())
    share = np.zeros(2)
    share[: min(2, len(lengths))] = (lengths**2 / (total or 1.0))[:2]
    known = int((lengths[:2] > 1e-9 * max(1e-300, lengths.max(initial=0.0))).sum()) if total else 0
    directions = directions[:2].copy()
    if known < 2 and rows is not None and np.isfinite(rows).all(axis=1).any():
        seen = rows[np.isfinite(rows).all(axis=1)]
        rest = seen - seen.mean(axis=0)
        rest = rest - (rest @ directions[:known].T) @ directions[:known]
        directions[known:] = np.linalg.svd(rest, full_matrices=False)[2][: 2 - known]
    signs = np.sign(directions[np.arange(2), np.abs(directions).argmax(axis=1)])
    return origin, directions * signs[:, None], share


def distances(model: Any, ax: Any = None) -> Picture:
    """Draw how wide each cluster is, and how far its centre is from the next one.

    Parameters
    ----------
    model : KMeans
    ax : Axes, optional

    Raises
    ------
    ValueError
        The model is not K-means, or has one cluster.
    """
    if not hasattr(model, "cluster_centers_") or len(model.cluster_centers_) < 2:
        raise ValueError("a picture of distances needs a K-means of two or more clusters")
    unit = shared_units(model, n_columns(model))
    centres = np.asarray(model.cluster_centers_, dtype=np.float64) / unit
    k = len(centres)
    apart = cdist(centres, centres)
    np.fill_diagonal(apart, np.inf)
    width = np.sqrt(np.asarray(model.cluster_inertias_) / np.maximum(np.asarray(model.cluster_counts_), 1e-300))
    place = canvas(ax, (6.0, 1.5 + 0.26 * max(3, min(k, MOST_BARS))))
    axes = place.ax
    most = MOST_BARS if place.own else min(MOST_BARS, room_for(axes))
    nearest = apart.min(axis=1)
    shown = np.arange(k) if k <= most else np.sort(np.argsort(nearest - width, kind="stable")[:most])
    at = np.arange(len(shown))
    axes.barh(at, width[shown], color=[style(int(j)).colour for j in shown], height=0.62, zorder=2)
    axes.plot(
        nearest[shown], at, linestyle="none", marker="|", markersize=13, markeredgewidth=2, color="black", zorder=3
    )
    for i, j in enumerate(shown):
        axes.annotate(f"to {int(apart[j].argmin())}", (nearest[j], i), xytext=(5, 0), textcoords="offset points",
                      va="center", fontsize="small")  # fmt: skip
    axes.set_yticks(at, [str(j) for j in shown], fontsize=name_size(place, len(shown)))
    end = float(max(nearest[shown].max(), width[shown].max())) * (1 + 0.7 / width_of(axes))
    axes.set(ylim=(len(shown) - 0.4, -0.6), xlim=(0, end))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
    set_labels(axes, f"distance{in_scaled_units(model)}", "cluster")
    rest = f"; the {len(shown)} of {k} that are least apart" if len(shown) < k else ""
    set_title(axes, f"width of each cluster, and distance of its centre from the nearest one{rest}")
    handles = [
        Line2D([], [], color="0.4", linewidth=6, label="root mean square\ndistance of its rows"),
        Line2D([], [], color="black", linestyle="none", marker="|", markersize=11, markeredgewidth=2,
               label="nearest centre"),
    ]  # fmt: skip
    legend = legend_beside(axes, handles)
    axes.spines[["top", "right"]].set_visible(False)
    quiet_grid(axes, "x")
    return place.picture(f"Widths of {k} clusters, and the distances between their centres.", legend=legend)
