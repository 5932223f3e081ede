"""Probabilities of values by class: of columns of 0 and 1 (Bernoulli), and of codes (categorical)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from dem.core import human
from dem.core.block import Float
from dem.estimators.summary import columns_of
from dem.families.bernoulli import Bernoulli
from dem.families.categorical import Categorical
from dem.families.product import Product
from dem.plot.canvas import MOST_IN_LEGEND, PLAIN, Picture, canvas, room_for, set_title
from dem.plot.colours import PALETTE, style
from dem.plot.labels import legend_of_classes, names_of, short
from dem.plot.sampled import n_classes, n_columns

MOST_COLUMNS = 12
MOST_BARS = 60
MOST_CODES = 12
BAR = 0.17
"""Inches of a bar in a figure of its own."""
THINNEST = 0.05
"""Inches of the thinnest bar that can be read."""


@dataclass(frozen=True)
class Codes:
    """The probabilities of the values of one column.

    Attributes
    ----------
    column : int
    shares : array of shape (K, C)
    """

    column: int
    shares: Float


def probabilities(
    model: Any, columns: Sequence[int | str] | None = None, labels: Sequence[str] | None = None, ax: Any = None
) -> Picture:
    """Draw the probability of each value by class, for columns of 0 and 1 and of codes: a bar for each class.

    Parameters
    ----------
    model : estimator
        A fitted mixture with Bernoulli or categorical columns.
    columns : sequence of numbers or names, optional
        By default those in which the classes differ most, at most twelve.
    labels : sequence of str, optional
    ax : Axes, optional

    Raises
    ------
    ValueError
        The model has no such columns.
    """
    found = codes_of(model)
    if not found:
        raise ValueError("a picture of probabilities needs columns of 0 and 1 (bernoulli) or of codes (categorical)")
    k = n_classes(model)
    names = names_of(model, labels)
    per_group = k + 0.9
    most = max(1, min(MOST_COLUMNS, MOST_BARS // k))
    if ax is not None:
        place = canvas(ax)
        most = max(1, min(most, int(room_for(place.ax, THINNEST) / per_group), room_for(place.ax)))
    shown = _chosen(model, found, columns, most)
    if ax is None:
        lines = min(k, MOST_IN_LEGEND) + max(codes.shares.shape[1] for codes in shown) + 3
        height = max(1.2 + (BAR * per_group + 0.1) * len(shown), 1.1 + 0.17 * min(lines, 24))
        place = canvas(None, (6.6, height))
    binary = all(codes.shares.shape[1] == 2 for codes in shown)
    ticks, numbered = [], place.own and k > len(PALETTE)
    for i, codes in enumerate(shown):
        first = i * per_group
        ticks.append(first + (k - 1) / 2)
        for j in range(k):
            _bar(place.ax, codes, (j, first + j), whole=not binary, numbered=numbered)
    names = [short(names[codes.column], 22) for codes in shown]
    _finish(place.ax, len(shown) * per_group - 0.9, (ticks, names), numbered=numbered)
    what = "probability of 1" if binary else "probability of each code"
    left = len(found) - len(shown)
    rest = "" if not left else f"; the {len(shown)} most telling of {len(found)} columns"
    set_title(place.ax, f"{what} by component{rest}")
    most = max(codes.shares.shape[1] for codes in shown)
    more = [] if binary or most > MOST_CODES else [
        Line2D([], [], linestyle="none", label="code"),
        *(Patch(color=code_colour(c, most), label=str(c)) for c in range(most)),
    ]  # fmt: skip
    legend_of_classes(place.ax, model, lines=True, more=more)
    text = f"The {what} in {human.plural(len(shown), 'column')}, for each of {human.plural(k, 'component')}."
    return place.picture(text)


def codes_of(model: Any) -> list[Codes]:
    """Return the probabilities of all columns of 0 and 1 and of codes that a mixture has."""
    family = getattr(model, "family_", None)
    if family is None:
        return []
    parameters = model.component_parameters_
    if isinstance(family, Product):
        parts = [(part.family, part.columns, parameters[part.name]) for part in family.parts]
    else:
        parts = [(family, tuple(range(n_columns(model))), parameters)]
    found = []
    for of_part, columns, values in parts:
        if isinstance(of_part, Bernoulli):
            p = np.asarray(values["probability"])
            found += [Codes(j, np.column_stack([1 - p[:, i], p[:, i]])) for i, j in enumerate(columns)]
        elif isinstance(of_part, Categorical):
            found += [Codes(j, np.asarray(values["probabilities"][i])) for i, j in enumerate(columns)]
    return sorted(found, key=lambda codes: codes.column)


def categorical_columns(model: Any) -> set[int]:
    """Return the numbers of the columns of codes: a code has no mean, but one of 0 and 1 has."""
    family = getattr(model, "family_", None)
    if isinstance(family, Product):
        return {j for part in family.parts if isinstance(part.family, Categorical) for j in part.columns}
    return set(range(n_columns(model))) if isinstance(family, Categorical) else set()


def _chosen(model: Any, found: Sequence[Codes], columns: Any, most: int) -> list[Codes]:
    """Return the columns to draw: those that the user chose, or those in which the classes differ most."""
    if columns is not None:
        wanted = columns_of(model, n_columns(model)).numbers_of(list(columns))
        by_column = {codes.column: codes for codes in found}
        if absent := [j for j in wanted if j not in by_column]:
            raise ValueError(f"column {absent[0]} has no probabilities: it is neither bernoulli nor categorical")
        return [by_column[j] for j in wanted]
    weights = np.asarray(model.weights_)[:, None]
    spread = [float((weights * (c.shares - (weights * c.shares).sum(axis=0)) ** 2).sum()) for c in found]
    best = sorted(np.argsort(-np.asarray(spread), kind="stable")[:most].tolist())
    return [found[i] for i in best]


def _bar(ax: Axes, codes: Codes, place: tuple[int, float], *, whole: bool, numbered: bool) -> None:
    """Draw the bar of one class: the probability of 1, or with `whole` those of all codes side by side."""
    k, y = place
    look = style(k)
    if not whole:
        ax.barh(y, 1.0, color="0.94", height=0.8, zorder=1)
        ax.barh(y, codes.shares[k, 1], color=look.colour, height=0.8, zorder=2)
    else:
        start, n = 0.0, codes.shares.shape[1]
        for c, share in enumerate(codes.shares[k]):
            ax.barh(
                y, share, left=start, color=code_colour(c, n), height=0.8, edgecolor="white", linewidth=0.5, zorder=2
            )
            start += share
    if numbered:
        ax.annotate(
            str(k), (-0.025, y), xytext=(-4, 0), textcoords="offset points", va="center", ha="right", fontsize="x-small"
        )
    ax.plot([-0.014, -0.014], [y - 0.4, y + 0.4], color=look.colour, linewidth=4, solid_capstyle="butt", clip_on=False)


def code_colour(code: int, n: int) -> str:
    """Return the colour of a code: from dark to light, so that it is no component's colour."""
    return to_hex(colormaps["cividis"](0.08 + 0.88 * code / max(1, n - 1)))


def _finish(ax: Axes, bottom: float, ticks: tuple[list[float], list[str]], *, numbered: bool) -> None:
    """Set the axes of a picture of bars."""
    ax.set(xlim=(-0.03, 1.005), ylim=(bottom - 0.3, -0.7), xlabel="probability")
    ax.set_yticks(*ticks, **PLAIN)
    ax.tick_params(axis="y", length=0, pad=20 if numbered else 6)
    ax.spines[["top", "right", "left"]].set_visible(False)
