"""Mixtures in two columns and in pairs of columns: rows by class, and the components' ellipses with their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from dem.core import human
from dem.core.block import Float
from dem.estimators.summary import covariances_among
from dem.plot.canvas import MOST_IN_LEGEND, Picture, canvas, set_labels, set_title, tidy_ticks
from dem.plot.labels import Numbers, legend_of_classes, names_of, short
from dem.plot.one_column import densities, draw_density
from dem.plot.points import axis_limits, draw_ellipses, draw_points, limits_with, observed
from dem.plot.sampled import RowSample, check_mixture, n_classes, n_columns, row_sample, rows_or_drawn
from dem.plot.telling import DRAWN_ROWS, as_gaussians, chosen_columns, class_moments, column_pair, present

MOST_PAIRS = 4
"""Columns of a plot of pairs."""


def mixture(
    model: Any,
    x: Any = None,
    columns: Sequence[int | str] | None = None,
    labels: Sequence[str] | None = None,
    ax: Any = None,
) -> Picture:
    """Draw rows by class, and the components' numbered ellipses of 1 and 2 sigma, in two columns.

    Components of larger weight have wider lines. Of families without covariances only the rows are drawn, with the
    numbers at the means of the classes. A single column is drawn by `densities`.

    Parameters
    ----------
    model : estimator
        A fitted mixture.
    x : rows, optional
        See `dem.plot`. Without rows the ellipses alone are drawn, or rows drawn from the model.
    columns : two numbers or names, optional
        By default the two most telling ones.
    labels : sequence of str, optional
    ax : Axes, optional

    Raises
    ------
    ValueError
        A column does not exist, or the labels are not as many as the columns.
    """
    check_mixture(model, "a picture of a mixture")
    d = n_columns(model)
    if d == 1:
        return densities(model, x, None, labels, ax)
    sample = row_sample(model, x)
    names = names_of(model, labels)
    if sample is None and not has_ellipses(model):
        sample = rows_or_drawn(model, None, DRAWN_ROWS)
    pair = column_pair(model, columns, d, sample)
    place = canvas(ax)
    drawn = draw_pair(place.ax, model, sample, pair)
    x_name, y_name = (short(names[j], 60) for j in pair)
    set_labels(place.ax, x_name, y_name)
    k, shown_classes = n_classes(model), present(model)
    some = f"{len(shown_classes)} of " if len(shown_classes) < k else ""
    unit = "scales" if is_heavy_tailed(model) else "sigma"
    what = f"ellipses: 1 and 2 {unit}" if has_ellipses(model) else "rows by most probable component"
    set_title(place.ax, f"{some}{human.plural(k, 'component')}{' have rows' if some else ''}; {what}")
    drawn["legend"] = legend_of_classes(place.ax, model, shown_classes)
    shown = "" if sample is None else f"{sample.as_points()}, coloured by their most probable component, and "
    return place.picture(f"{shown}the {human.plural(k, 'component')} in {x_name} and {y_name}.", **drawn)


def pairs(
    model: Any,
    x: Any = None,
    columns: Sequence[int | str] | None = None,
    labels: Sequence[str] | None = None,
    ax: Any = None,
) -> Picture:
    """Draw rows by class and the components' ellipses for each pair of columns, and the densities of each column.

    Parameters
    ----------
    model, x, labels
        See `mixture`.
    columns : sequence of numbers or names, optional
        By default the four most telling ones.
    ax : sequence of Axes, optional
        n rows of n axes for n columns; those above the diagonal stay empty.
    """
    check_mixture(model, "a plot of pairs")
    names = names_of(model, labels)
    sample = rows_or_drawn(model, x, DRAWN_ROWS) if hasattr(model, "sample") else row_sample(model, x)
    chosen = chosen_columns(model, columns, MOST_PAIRS, sample)
    if len(chosen) < 2:
        raise ValueError("a plot of pairs needs at least two columns")
    n = len(chosen)
    side = 2.1 * n + 0.9
    place = canvas(ax, (side + 0.6, side), (n, n))
    limits = _limits(model, sample, chosen)
    for i in range(n):
        for j in range(n):
            _cell(place.axes[n * i + j], model, sample, (chosen, i, j), limits)
    for i in range(n):
        set_labels(place.axes[n * (n - 1) + i], x=short(names[chosen[i]], 60))
        if i:
            set_labels(place.axes[n * i], y=short(names[chosen[i]], 60))
    corner = place.axes[n - 1]
    legend = legend_of_classes(corner, model, present(model), most=MOST_IN_LEGEND)
    legend.set_bbox_to_anchor((0.0, 1.0), transform=corner.transAxes)
    whose = "" if sample is None else f"{sample.as_points()} by class, and "
    text = f"{whose}{human.plural(n_classes(model), 'component')} in each pair of {n} columns."
    return place.picture(text, legend=legend)


def _limits(model: Any, sample: RowSample | None, chosen: Sequence[int]) -> list[tuple[float, float]]:
    """Return the range of each of the columns."""
    found = []
    moments = class_moments(model, sample)
    for j in chosen:
        if sample is not None:
            low, high = axis_limits(observed(sample, [j]))
            low, high = limits_with(low, high, moments.means[:, [j]])
        else:
            spread = 2.5 * moments.sds[:, [j]]
            low, high = (moments.means[:, [j]] - spread).min(axis=0), (moments.means[:, [j]] + spread).max(axis=0)
        found.append((float(low[0]), float(high[0])))
    return found


def _cell(ax: Axes, model: Any, sample: RowSample | None, place: tuple[Sequence[int], int, int], limits: Any) -> None:
    """Draw one panel of a plot of pairs."""
    chosen, i, j = place
    last = len(chosen) - 1
    if j > i:
        ax.set_axis_off()
        return
    if i == j:
        if sample is not None:
            draw_density(ax, model, sample, chosen[j])
        ax.set_ylabel("")
    else:
        draw_pair(ax, model, sample, (chosen[j], chosen[i]))
        ax.set_ylim(*limits[i])
    ax.set_xlim(*limits[j])
    ax.tick_params(labelbottom=i == last, labelleft=j == 0 and i > 0, labelsize="small")
    ax.set_xlabel("")
    tidy_ticks(ax)
    if i == j:
        ax.set_yticks([])


def draw_pair(ax: Axes, model: Any, sample: RowSample | None, pair: tuple[int, int]) -> dict[str, Any]:
    """Draw rows and components in two columns, and set the ranges of the axes; return what was drawn."""
    chosen = list(pair)
    moments, gaussians = class_moments(model, sample), as_gaussians(model)
    means = moments.means[:, chosen]
    drawn: dict[str, Any] = {}
    if sample is not None:
        low, high = axis_limits(observed(sample, pair))
        large = moments.weights >= min(0.01, 0.5 * moments.weights.max())
        low, high = limits_with(low, high, means[large])
        if gaussians is not None:  # ellipses that reach somewhat farther than the rows are not cut
            reach, room = 2 * moments.sds[:, chosen][large], 0.3 * (high - low)
            low = np.maximum(np.minimum(low, (means[large] - reach).min(axis=0)), low - room)
            high = np.minimum(np.maximum(high, (means[large] + reach).max(axis=0)), high + room)
        classes = sample.classes
        drawn["rows"] = draw_points(ax, jittered(sample.x[:, chosen]), classes)
    else:
        spread = 2.5 * moments.sds[:, chosen]
        low, high = (means - spread).min(axis=0), (means + spread).max(axis=0)
    shown = present(model)
    if gaussians is not None:
        covariances = covariances_among(gaussians, pair)
        drawn["ellipses"] = draw_ellipses(ax, means, covariances, moments.weights, shown)
    largest = sorted(shown, key=lambda k: -moments.weights[k])
    drawn["numbers"] = Numbers(ax, means[largest], largest)
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    tidy_ticks(ax)
    return drawn


def jittered(xy: Float) -> Float:
    """Return rows (n, 2); few different whole numbers are moved apart, because equal rows would hide one another."""
    out = np.array(xy)
    for j in range(2):
        values = xy[np.isfinite(xy[:, j]), j]
        if len(values) and (values == np.round(values)).all() and len(np.unique(values)) <= 30:
            out[:, j] += np.random.default_rng(j).uniform(-0.28, 0.28, len(xy))
    return out


def is_heavy_tailed(model: Any) -> bool:
    """Whether the ellipses are those of the scale matrices of Student's t, whose deviations are larger."""
    return "degrees_of_freedom" in (getattr(model, "component_parameters_", None) or ())


def has_ellipses(model: Any) -> bool:
    """Whether the components have covariances."""
    return as_gaussians(model) is not None
