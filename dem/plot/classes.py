"""How large the classes are, and how certain the classes of the rows are."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from dem.core import human
from dem.core.block import Float
from dem.estimators.telling import class_counts
from dem.plot.canvas import Picture, canvas, name_size, quiet_grid, room_for, set_labels, set_title, width_of
from dem.plot.colours import style
from dem.plot.labels import class_word, legend_of_classes, percent, shares
from dem.plot.sampled import n_classes, rows_needed

MOST_BARS = 30
CERTAIN = 0.1
"""Rows with less entropy, in nats, are called certain: a responsibility of 0.98 or more."""
MOSTLY = 0.9
"""Where a larger share of the rows of every component is certain, the vertical axis begins near that share."""
POINTS = 400
MOST_CURVES, FEW_CURVES = 8, 6
"""More curves than the first would hide one another: then so few as the second are drawn."""


def sizes(model: Any, ax: Any = None) -> Picture:
    """Draw the share of each class in the rows, and the number of its rows; of weighted rows the sum of the weights.

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
    weights, counts, word = shares(model), class_counts(model), class_word(model)
    of = "rows" if counts is None or counts.are_rows else "weight"
    place = canvas(ax, (6.0, 1.3 + 0.26 * max(3, min(k, MOST_BARS))))
    axes = place.ax
    most = MOST_BARS if place.own else min(MOST_BARS, room_for(axes))
    order = list(range(k)) if k <= most else np.argsort(-weights, kind="stable")[:most].tolist()
    bars = axes.barh(range(len(order)), 100 * weights[order], color=[style(j).colour for j in order], height=0.72)
    for i, j in enumerate(order):
        number = "" if counts is None else f"  ({human.count(_rounded(counts.weights[j]))})"
        axes.annotate(f"{percent(float(weights[j]))}{number}", (100 * weights[j], i), xytext=(4, 0),
                      textcoords="offset points", va="center", fontsize="small")  # fmt: skip
    axes.set_yticks(range(len(order)), [str(j) for j in order], fontsize=name_size(place, len(order)))
    room = 1 + 1.25 / width_of(axes)
    axes.set(ylim=(len(order) - 0.4, -0.6), xlim=(0, 100 * float(weights.max()) * room))
    axes.set_xticks([tick for tick in MaxNLocator(nbins=6).tick_values(0, axes.get_xlim()[1]) if tick <= 100])
    axes.set_xlim(0, 100 * float(weights.max()) * room)
    set_labels(axes, f"share of the {of} (%)", word)
    axes.spines[["top", "right"]].set_visible(False)
    quiet_grid(axes, "x")
    rest = f"; the {len(order)} largest of {k}" if len(order) < k else ""
    size = "size" if word == "cluster" else "weight"
    expected = "" if word == "cluster" else "expected "  # sums of responsibilities, not rows by their component
    set_title(axes, f"{size} of each {word}{f' ({expected}{of})' if counts is not None else ''}{rest}")
    largest = ", ".join(f"{j}: {percent(float(weights[j]))}" for j in order[:8])
    return place.picture(f"Sizes of {human.plural(k, word)}: {largest}.", bars=bars)


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
    level, shown = np.linspace(0, 1, POINTS), _least_certain(values, classes, k)
    for j in shown:
        look = style(j)
        own = np.quantile(values[classes == j], level)
        axes.plot(own, 100 * level, color=look.colour, linestyle=look.line, linewidth=1.6)
    axes.plot(np.quantile(values, level), 100 * level, color="black", linestyle=(0, (4, 2)), linewidth=1.8)
    end = min(np.log(k), max(0.25 * np.log(k), float(values.max())))
    least = min(float((values[classes == j] < CERTAIN).mean()) for j in shown)
    bottom = 0.0 if least < MOSTLY else float(np.floor(100 * min(0.99, 1 - 2.5 * (1 - least))))
    axes.set(xlim=(-0.02 * end, 1.02 * end), ylim=(bottom, 100 + 0.02 * (100 - bottom)))
    quiet_grid(axes)
    set_labels(axes, "entropy of the responsibilities (nats)", "rows with this entropy or less (%)")
    certain = float((values < CERTAIN).mean())
    known = f"{percent(certain)} of the rows have a certain component (entropy below {CERTAIN:g})"
    rest = f"; the {len(shown)} least certain components" if len(shown) < len(np.unique(classes)) else ""
    set_title(axes, known + rest)
    everyone = Line2D([], [], color="black", linestyle=(0, (4, 2)), linewidth=1.8, label="all rows")
    legend = legend_of_classes(axes, model, shown, lines=True, more=[everyone])
    return place.picture(f"The entropy of the responsibilities of {sample.in_words}: {known}.", legend=legend)


def _least_certain(values: Float, classes: Any, k: int) -> list[int]:
    """Return the components with rows; of many only those whose rows have the largest entropies, on average."""
    found = [j for j in range(k) if (classes == j).any()]
    if len(found) <= MOST_CURVES:
        return found
    return sorted(sorted(found, key=lambda j: -float(values[classes == j].mean()))[:FEW_CURVES])
