"""Rows as points by class, ranges of axes, histograms: what several pictures draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse
from matplotlib.patheffects import withStroke

from dem.core.block import Float
from dem.plot.canvas import height_of, width_of
from dem.plot.colours import GREY, style
from dem.plot.sampled import MOST_POINTS, RowSample

ELLIPSE_WIDTH = 1.6
HALO = 2.0
"""Points that the white line under an ellipse is wider."""
FEWEST_BINS, MOST_BINS = 10, 80


def draw_points(ax: Axes, xy: Float, classes: Any, most: int = MOST_POINTS) -> list[Any]:
    """Draw rows (n, 2) as points in the colours of their classes; grey where there are none.

    The points of all classes are drawn in one random order, so that no class hides another.
    """
    shown = np.flatnonzero(np.isfinite(xy).all(axis=1))
    order = np.random.default_rng(0).permutation(shown)[:most]
    if not len(order):
        return []
    size = float(np.clip(60_000 / len(order), 4, 22) * np.clip(width_of(ax) * height_of(ax) / 15, 0.25, 1.0))
    alpha = float(np.clip(1500 / len(order), 0.35, 0.7))
    look: dict[str, Any] = {"s": size, "alpha": alpha, "linewidths": 0, "rasterized": len(order) > 500, "zorder": 2}
    if classes is None:
        return [ax.scatter(xy[order, 0], xy[order, 1], c=GREY, **look)]
    kinds = np.asarray(classes)[order]
    drawn = []
    markers = sorted({_marker(k) for k in np.unique(kinds)})
    for marker in markers:
        own = np.array([_marker(k) == marker for k in kinds])
        colours = [style(int(k)).colour if k >= 0 else GREY for k in kinds[own]]
        drawn.append(ax.scatter(xy[order[own], 0], xy[order[own], 1], c=colours, marker=marker, **look))
    return drawn


def _marker(k: int) -> str:
    return style(int(k)).marker if k >= 0 else "o"


def draw_ellipses(ax: Axes, means: Float, covariances: Float, weights: Float, shown: Sequence[int]) -> list[Ellipse]:
    """Draw the ellipses of 1 and 2 sigma of components in two columns; components of larger weight have wider lines."""
    drawn = []
    for k in shown:
        look, (values, vectors) = style(k), np.linalg.eigh(covariances[k])
        angle = np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1]))
        width = 0.8 + ELLIPSE_WIDTH * float(weights[k] / np.max(weights))
        for sigmas, alpha in ((1, 1.0), (2, 0.6)):
            short, long = 2 * sigmas * np.sqrt(np.maximum(values, 0))
            ellipse = Ellipse((means[k, 0], means[k, 1]), long, short, angle=angle, fill=False, zorder=4)
            ellipse.set(edgecolor=look.colour, linewidth=width, alpha=alpha, linestyle=look.line)
            ellipse.set_path_effects([withStroke(linewidth=width + HALO, foreground="white")])  # over its own points
            ax.add_patch(ellipse)
            drawn.append(ellipse)
    return drawn


def finite_rows(x: Float) -> Float:
    """Return the rows without NaN and infinities."""
    finite = x[np.isfinite(x).all(axis=1)]
    if not len(finite):
        raise ValueError("there is nothing to draw: no row has a value in all of these columns")
    return finite


def axis_limits(x: Float) -> tuple[Float, Float]:
    """Return the range to draw; from 1000 rows on it ignores 0.1 % of the rows at each end, such as outliers."""
    extremes = (0.0, 1.0) if len(x) < 1000 else (0.001, 0.999)
    low, high = np.quantile(x, extremes, axis=0)
    margin = 0.06 * (high - low)
    margin[margin == 0] = 0.5  # a constant column
    return low - margin, high + margin


def limits_with(low: Float, high: Float, points: Float) -> tuple[Float, Float]:
    """Return a range that has the finite points (n, d) too, each with a margin."""
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return low, high
    margin = 0.05 * (high - low)
    return np.minimum(low, (points - margin).min(axis=0)), np.maximum(high, (points + margin).max(axis=0))


def bins(x: Float, low: float, high: float, spread: float = np.inf) -> list[float]:
    """Return the edges of a histogram: 10 to 80 bins by the rule of Freedman and Diaconis; no whole number is cut.

    The rule is made for one cluster: `spread` is the quartiles' distance of the narrowest one, if there are several.
    """
    inside = x[(x >= low) & (x <= high)]
    n = _number_of_bins(inside, high - low, spread)
    if len(inside) and (inside == np.round(inside)).all() and high > low:
        width = max(1, round((high - low) / n))
        edges: list[float] = np.arange(np.floor(inside.min()) - 0.5, inside.max() + 0.5 + width, width).tolist()
        return edges
    return list(np.linspace(low, high, n + 1))


def _number_of_bins(x: Float, span: float, spread: float) -> int:
    """Return the number of bins by the width of Freedman and Diaconis; no edges are made, which could be very many."""
    if not 1 < len(x) < 10**6:
        return MOST_BINS
    first, third = np.quantile(x, (0.25, 0.75))
    width = 2 * min(float(third - first), spread) / len(x) ** (1 / 3)
    return int(np.clip(np.ceil(span / width), FEWEST_BINS, MOST_BINS)) if width > 0 else FEWEST_BINS


def observed(sample: RowSample, columns: Any) -> Float:
    """Return some columns of the rows that have a value in all of them."""
    return finite_rows(sample.x[:, list(columns)])
