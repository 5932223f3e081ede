"""The drawings of `dem.plot` for mixtures of any family."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from dem.core.block import Float
from dem.plot.axes import PALETTE, axis_limits, finite_rows

MOST_POINTS = 5000
MOST_BARS = 200


def draw_component_densities(ax: Axes, model: Any, x: Float, name: str, *, drawn: bool) -> None:
    """Draw a single column: its histogram, and the density w_k p(x | k) of each component.

    If all values are integers, each integer has its own bar, and probabilities are drawn instead of densities.
    """
    x = finite_rows(x)
    (low,), (high,) = axis_limits(x)
    counted = bool((x == np.round(x)).all()) and high - low < MOST_BARS
    if counted:
        t = np.arange(np.floor(x.min()), min(np.ceil(high), x.max()) + 1)
        edges = np.append(t - 0.5, t[-1] + 0.5)
    else:
        t = np.linspace(max(low, x.min()), min(high, x.max()), 600)  # a family may refuse other values
        edges = np.linspace(low, high, 61)
    label = "rows drawn from the model" if drawn else "data"
    ax.hist(x[:, 0], bins=edges.tolist(), density=True, color="0.85", label=label)
    joint = np.exp(model.score_samples(t[:, None]))[:, None] * model.predict_proba(t[:, None])
    for k in np.argsort(-model.weights_)[: len(PALETTE)]:
        style = "o-" if counted else "-"
        ax.plot(t, joint[:, k], style, color=PALETTE[k % len(PALETTE)], markersize=3, label=_named(model, k))
    ax.plot(t, joint.sum(axis=1), color="black", linewidth=1.2, linestyle="--", label="mixture")
    ax.set(xlim=(edges[0], edges[-1]), ylim=(0, None), xlabel=name, ylabel="probability" if counted else "density")
    ax.legend(frameon=False)


def draw_participation(
    ax: Axes, model: Any, x: Float, columns: tuple[int, int], names: list[str], *, drawn: bool
) -> None:
    """Draw rows in two columns; each row's colour mixes those of the components by its responsibilities."""
    x = x[np.isfinite(x[:, list(columns)]).all(axis=1)][:MOST_POINTS]
    colours = np.array([to_rgb(PALETTE[k % len(PALETTE)]) for k in range(len(model.weights_))])
    shown = x[:, list(columns)]
    low, high = axis_limits(shown)
    whole = (shown == np.round(shown)).all(axis=0)  # equal codes and counts would hide one another
    shown = shown + whole * np.random.default_rng(0).uniform(-0.25, 0.25, shown.shape)
    low, high = low - 0.4 * whole, high + 0.4 * whole
    blended = np.clip(model.predict_proba(x) @ colours, 0, 1)
    ax.scatter(shown[:, 0], shown[:, 1], s=9, c=blended, alpha=0.7, linewidths=0)
    for k in np.argsort(-model.weights_)[: len(PALETTE)]:
        ax.plot([], [], "o", color=colours[k], markersize=5, label=_named(model, k))
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel=names[columns[0]], ylabel=names[columns[1]])
    ax.set_title("rows drawn from the model" if drawn else "rows, coloured by responsibilities", fontsize="medium")
    ax.legend(frameon=False)


def _named(model: Any, k: int) -> str:
    return f"component {k}: {model.weights_[k]:.2f}"
