"""One column: its histogram, and the share of each component in its density."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from dem.core import human
from dem.core.block import Float
from dem.estimators.telling import shares
from dem.plot.canvas import Picture, canvas, grid_of, set_labels, set_title, tidy_ticks
from dem.plot.colours import style
from dem.plot.labels import MOST_NUMBERED, Numbers, legend_of_classes, names_of, short
from dem.plot.points import axis_limits, bins, observed
from dem.plot.sampled import RowSample, apply, check_mixture, n_classes, n_columns, rows_or_drawn
from dem.plot.telling import DRAWN_ROWS, ClassMoments, chosen_columns, class_moments, present

GRID = 500
"""Points of a curve."""
MOST_PANELS = 4
MOST_MASS = 1.2
"""A larger integral over the range of the data is none of a density."""
MOST_WHOLE = 25
"""A curve over at most so many whole numbers has a dot at each."""
FILL = 0.12
LEAST_SHARE = 0.05
"""Smaller components do not make the bins of a histogram narrower."""
QUARTILES = 1.349
"""The distance of a Gaussian's quartiles, in standard deviations."""
PEAK = np.linspace(-4, 4, 41)
"""Where else a curve has points: in deviations of each component from its mean, so that narrow peaks are whole."""


def densities(
    model: Any,
    x: Any = None,
    columns: Sequence[int | str] | None = None,
    labels: Sequence[str] | None = None,
    ax: Any = None,
) -> Picture:
    """Draw each of some columns: its histogram, the components' shares w_k p(x | k), and their sum.

    Where a family has no density of one column alone, a component's curve is the histogram of the rows, each counted by
    its responsibility.

    Parameters
    ----------
    model : estimator
        A fitted mixture, of any family.
    x : rows, optional
        See `dem.plot`; by default rows drawn from the model.
    columns : sequence of numbers or names, optional
        By default the most telling ones, at most four.
    labels : sequence of str, optional
    ax : Axes, or a sequence with one for each column, optional
    """
    check_mixture(model, "a picture of densities")
    sample = rows_or_drawn(model, x, DRAWN_ROWS)
    names = names_of(model, labels)
    chosen = chosen_columns(model, columns, MOST_PANELS, sample)
    panels, unused = grid_of(len(chosen))
    size = (6.0, 4.2) if len(chosen) == 1 else (0.9 + 3.4 * panels[1], 0.4 + 2.9 * panels[0])
    place = canvas(ax, size, panels, unused)
    curves = [draw_density(axes, model, sample, j) for axes, j in zip(place.axes, chosen, strict=True)]
    for n, (axes, j) in enumerate(zip(place.axes, chosen, strict=True)):
        set_labels(axes, short(names[j], 60), axes.get_ylabel() if n % panels[1] == 0 or ax is not None else "")
    k = n_classes(model)
    set_title(place.ax, human.plural(k, "component"))
    more = [
        Line2D([], [], color="black", linestyle=(0, (4, 2)), linewidth=1.3, label="all together"),
        Patch(color="0.85", label="rows drawn\nfrom the model" if sample.drawn else "rows"),
    ]
    legend = legend_of_classes(place.corner, model, present(model), lines=True, more=more)
    text = (
        f"The histogram of {sample.in_words} in {_listed([names[j] for j in chosen])}, and the share of each component."
    )
    return place.picture(text, curves=curves, legend=legend)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(short, names))


def draw_density(ax: Axes, model: Any, sample: RowSample, j: int) -> dict[str, Any]:
    """Draw one column; return the curves of the components and of their sum."""
    x = observed(sample, [j])[:, 0]
    (low,), (high,) = axis_limits(x[:, None])
    whole = bool((x == np.round(x)).all())
    moments = class_moments(model, sample)
    edges = np.asarray(bins(x, low, high, _narrowest(model, moments, j)))
    heights, _ = np.histogram(x, edges)
    density = heights / (np.diff(edges) * len(x))
    ax.stairs(density, edges, fill=True, color="0.85", zorder=1)
    t = _grid(moments, j, (max(low, x.min()), min(high, x.max())), whole=whole)
    joint = marginal(model, j, t)
    step = joint is None
    if joint is None:
        joint, t = _by_responsibility(model, sample, j, edges), (edges[:-1] + edges[1:]) / 2
    dots = whole and len(t) <= MOST_WHOLE
    curves, peaks = [], []
    for k in range(joint.shape[1]):
        look = style(k)
        mark: dict[str, Any] = {"marker": look.marker, "markersize": 3.5} if dots else {}
        draws: dict[str, Any] = {"drawstyle": "steps-mid"} if step else {}
        curves += ax.plot(
            t, joint[:, k], color=look.colour, linestyle=look.line, linewidth=1.7, zorder=3, **mark, **draws
        )
        if joint.shape[1] <= 6 and not dots:
            ax.fill_between(t, joint[:, k], color=look.colour, alpha=FILL, linewidth=0, zorder=2)
        peaks.append([t[np.argmax(joint[:, k])], joint[:, k].max()])
    total = joint.sum(axis=1)
    stepped: dict[str, Any] = {"drawstyle": "steps-mid"} if step else {}
    (curve,) = ax.plot(t, total, color="black", linewidth=1.3, linestyle=(0, (4, 2)), zorder=4, **stepped)
    top = min(float(max(total.max(), density.max())), 3 * float(np.max(density)))
    ax.set(xlim=(min(low, edges[0]), max(high, edges[-1])), ylim=(0, 1.12 * top))
    ax.set_ylabel("probability" if whole and np.diff(edges).max() == 1 else "density")
    highest = sorted(range(len(peaks)), key=lambda k: -peaks[k][1])[:MOST_NUMBERED]
    numbered = [k for k in highest if peaks[k][1] > 0.015 * top]
    numbers = Numbers(ax, np.array([[peaks[k][0], min(peaks[k][1], top)] for k in numbered]).reshape(-1, 2), numbered)
    tidy_ticks(ax)
    return {"components": curves, "all": curve, "numbers": numbers}


def _narrowest(model: Any, moments: ClassMoments, j: int) -> float:
    """Return the quartiles' distance of all rows that asks for bins as narrow as the component that needs them most.

    The rule for bins has this distance divided by the cube root of the rows, of which a component has its share.
    """
    share, deviations = np.asarray(shares(model)), moments.sds[:, j]
    counted = (share >= LEAST_SHARE) & (deviations > 0)
    return float((QUARTILES * deviations[counted] / np.cbrt(share[counted])).min(initial=np.inf))


def _grid(moments: ClassMoments, j: int, ends: tuple[float, float], *, whole: bool) -> Float:
    """Return the points of the curves, within the range of the values: a family may refuse other values."""
    peaks = (moments.means[:, j, None] + moments.sds[:, j, None] * PEAK).ravel()
    t = np.concatenate([np.linspace(*ends, GRID), np.clip(peaks[np.isfinite(peaks)], *ends)])
    return np.unique(np.round(t) if whole else t)


def marginal(model: Any, j: int, t: Float) -> Float | None:
    """Return w_k p(x_j | k) at the points t, (len(t), K); None if the family has no density of one column alone.

    The other columns are missing values, which every model marginalises exactly.
    """
    rows = np.full((len(t), n_columns(model)), np.nan)
    rows[:, j] = t
    try:
        score, shares = apply(model, "score_samples", rows), apply(model, "predict_proba", rows)
    except ValueError:
        return None
    joint = np.asarray(np.exp(score)[:, None] * shares)
    steps = np.gradient(t) if len(t) > 1 else np.ones(1)  # trapezoids; the ends are whole, as those of counts are
    # The density of a multinomial is that of a row given its total, and no density of one count.
    return joint if float(joint.sum(axis=1) @ steps) < MOST_MASS else None


def _by_responsibility(model: Any, sample: RowSample, j: int, edges: Float) -> Float:
    """Return the histograms of the rows by component, each row counted by its responsibilities."""
    shares, x = sample.of_model("predict_proba"), sample.x[:, j]
    seen = np.isfinite(x) & np.isfinite(shares).all(axis=1)
    counted = [np.histogram(x[seen], edges, weights=shares[seen, k])[0] for k in range(shares.shape[1])]
    return np.stack(counted, axis=1) / (np.diff(edges)[:, None] * max(1, seen.sum()))
