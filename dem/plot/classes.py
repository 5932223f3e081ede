"""How large the classes are, and how certain the classes of the rows are."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from dem.core import human
from dem.plot.canvas import Picture, canvas, quiet_grid, set_labels, set_title
from dem.plot.colours import style
from dem.plot.labels import legend_of_classes, percent, shares, word_for
from dem.plot.sampled import n_classes, rows_needed

MOST_BARS = 30
CERTAIN = 0.1
"""Rows with less entropy, in nats, are called certain: a responsibility of 0.98 or more."""
POINTS = 400


def sizes(model: Any, ax: Any = None) -> Picture:
    """Draw the share of each class in the rows, and the number of its rows.

    Parameters
    ----------
    model : estimator
        A fitted mixture or K-means.
    ax : Axes, optional

    Raises
    ------
    ValueError
        The model has no classes.
    """
    k = n_classes(model)
    if not k:
        raise ValueError(f"a {type(model).__name__} has no classes")
    weights = shares(model)
    counts = getattr(model, "cluster_counts_", getattr(model, "effective_counts_", None))
    order = list(range(k)) if k <= MOST_BARS else np.argsort(-weights, kind="stable")[:MOST_BARS].tolist()
    place = canvas(ax, (6.0, 1.3 + 0.26 * max(3, len(order))))
    axes = place.ax
    bars = axes.barh(range(len(order)), 100 * weights[order], color=[style(j).colour for j in order], height=0.72)
    for i, j in enumerate(order):
        number = "" if counts is None else f"  ({human.count(_rounded(counts[j]))})"
        axes.annotate(f"{percent(float(weights[j]))}{number}", (100 * weights[j], i), xytext=(4, 0),
                      textcoords="offset points", va="center", fontsize="small")  # fmt: skip
    axes.set_yticks(range(len(order)), [str(j) for j in order], fontsize="small" if len(order) > 15 else "medium")
    axes.set(ylim=(len(order) - 0.4, -0.6), xlim=(0, 100 * float(weights.max()) * (1.65 if place.own else 2.0)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}" if value <= 100 else "")
    set_labels(axes, "share of the rows (%)", word_for(model))
    axes.spines[["top", "right"]].set_visible(False)
    quiet_grid(axes, "x")
    rest = f"; the {len(order)} largest of {k}" if len(order) < k else ""
    set_title(axes, f"size of each {word_for(model)}{' (rows)' if counts is not None else ''}{rest}")
    largest = ", ".join(f"{j}: {percent(float(weights[j]))}" for j in order[:8])
    return place.picture(f"Sizes of {human.plural(k, word_for(model))}: {largest}.", bars=bars)


def _rounded(count: float) -> float:
    return round(float(count)) if count >= 9.5 else round(float(count), 1)


def entropy(model: Any, x: Any, ax: Any = None) -> Picture:
    """Draw the share of the rows up to each entropy of their responsibilities: 0 where the component is certain.

    Parameters
    ----------
    model : estimator
        A fitted mixture of two or more components.
    x : rows
        See `dem.plot`.
    ax : Axes, optional

    Raises
    ------
    ValueError
        The model has no responsibilities, or one component.
    """
    k = n_classes(model)
    if not hasattr(model, "entropy") or k < 2:
        raise ValueError("a picture of the entropy needs a mixture of two or more components")
    sample = rows_needed(model, x, "a picture of the entropy")
    values = np.asarray(sample.of_model("entropy"), dtype=np.float64)
    seen = np.isfinite(values)
    assert sample.classes is not None
    values, classes = np.maximum(values[seen], 0.0), sample.classes[seen]
    place = canvas(ax)
    axes = place.ax
    level = np.linspace(0, 1, POINTS)
    for j in range(k):
        own = values[classes == j]
        if len(own):
            look = style(j)
            axes.plot(np.quantile(own, level), 100 * level, color=look.colour, linestyle=look.line, linewidth=1.6)
    axes.plot(np.quantile(values, level), 100 * level, color="black", linestyle=(0, (4, 2)), linewidth=1.8)
    axes.set(xlim=(-0.02 * np.log(k), 1.02 * np.log(k) if k <= 12 else None), ylim=(0, 102))
    quiet_grid(axes)
    set_labels(axes, "entropy of the responsibilities (nats)", "rows with this entropy or less (%)")
    certain = float((values < CERTAIN).mean())
    known = f"{percent(certain)} of the rows have a certain component (entropy below {CERTAIN:g})"
    set_title(axes, known)
    everyone = Line2D([], [], color="black", linestyle=(0, (4, 2)), linewidth=1.8, label="all rows")
    legend = legend_of_classes(axes, model, k, lines=True, more=[everyone])
    return place.picture(f"The entropy of the responsibilities of {sample.in_words}: {known}.", legend=legend)
