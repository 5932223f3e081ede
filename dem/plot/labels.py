"""Names, shares and numbers of components as pictures write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text

from dem.estimators.summary import column_names as given_names
from dem.estimators.telling import class_word, percent, shares
from dem.plot.canvas import MOST_IN_LEGEND, legend_beside, room_for
from dem.plot.colours import style, text_on
from dem.plot.sampled import n_classes, n_columns

LONGEST_NAME = 28
BADGE_SIZE = 8.0
MOST_NUMBERED = 12
"""Classes with a number in a picture; the largest ones."""
PLACES = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, -1), (1, -1), (-1, 1))
"""Where a badge may stand, from its point on, in steps; further steps go the same ways."""


def short(name: str, longest: int = LONGEST_NAME) -> str:
    """Return a name; the middle of a long one is left out."""
    if len(name) <= longest:
        return name
    head = (longest - 1) * 2 // 3
    return f"{name[:head].rstrip()}…{name[head - longest + 1 :].lstrip()}"


def legend_of_classes(
    ax: Axes,
    model: Any,
    shown: Sequence[int] | None = None,
    *,
    lines: bool = False,
    more: Sequence[Any] = (),
    most: int | None = None,
) -> Any:
    """Write the numbers and shares of the classes beside the axes; of many classes only those of the largest shares.

    Parameters
    ----------
    ax : Axes
    model : estimator
    shown : sequence of int, optional
        The classes that the picture shows; by default all.
    lines : bool
        Show the classes' lines, not their markers.
    more : sequence of artists
        What else the legend has.
    most : int, optional
        The lines of text that fit; by default as many as the panel is high.
    """
    weights, word = shares(model), class_word(model)
    classes = list(range(n_classes(model))) if shown is None else list(shown)
    fit = min(MOST_IN_LEGEND, (room_for(ax) if most is None else most) - 1 - len(more))
    kept = classes
    if len(classes) > fit:
        largest = sorted(classes, key=lambda k: -weights[k] if k < len(weights) else 0.0)
        kept = sorted(largest[: max(1, fit - 1)])
    handles = [_handle(k, f"{k}   {percent(float(weights[k]))}", lines=lines) for k in kept]
    if len(kept) < len(classes):
        handles.append(Line2D([], [], linestyle="none", label=f"and {len(classes) - len(kept)} more"))
    return legend_beside(ax, [*handles, *more], title=f"{word}: {'share' if word == 'cluster' else 'weight'}")


def _handle(k: int, label: str, *, lines: bool) -> Line2D:
    look = style(k)
    if lines:
        return Line2D([], [], color=look.colour, linestyle=look.line, linewidth=2.0, label=label)
    return Line2D([], [], color=look.colour, linestyle="none", marker=look.marker, markersize=6, label=label)


def names_of(model: Any, labels: Sequence[str] | None) -> list[str]:
    """Return the names of all columns with their units."""
    return given_names(model, n_columns(model), labels)


class Numbers(Artist):
    """The numbers of components at their points, in the components' colours, moved so that none hides another.

    They are placed when they are drawn, in their order, so they fit at any size of the figure. A number for which
    there is no room is left out.

    Parameters
    ----------
    ax : Axes
    points : array of shape (n, 2)
        In the coordinates of the data.
    numbers : sequence of int
        The numbers of the components.
    """

    def __init__(self, ax: Axes, points: Any, numbers: Sequence[int]) -> None:
        super().__init__()
        self.points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        self.set_zorder(6)
        ax.add_artist(self)
        self.set_clip_on(False)
        self.set_in_layout(False)
        figure: Any = ax.get_figure(root=False)
        self.texts = [_badge(figure, k, str(k)) for k in numbers]
        self.leaders = [Line2D([], [], color="0.2", linewidth=0.7) for _ in numbers]
        for leader in self.leaders:
            leader.set_figure(figure)

    def get_children(self) -> list[Artist]:
        """Return the texts."""
        return list(self.texts)

    def draw(self, renderer: Any) -> None:
        """Place the numbers, and draw them, with a line to a point that one had to leave."""
        if not self.get_visible() or self.axes is None:
            return
        taken: list[Any] = []
        inside = self.axes.bbox
        for text, leader, spot in zip(
            self.texts, self.leaders, self.axes.transData.transform(self.points), strict=True
        ):
            text.set_visible(bool(np.isfinite(spot).all()))
            if not text.get_visible():
                continue
            at = np.clip(spot, inside.min, inside.max)
            box = _place(text, at, inside, taken, renderer)
            text.set_visible(box is not None)
            if box is None:
                continue
            taken.append(box)
            moved = np.hypot(*(np.asarray(text.get_position()) - at)) > box.height
            if moved:
                leader.set_data([at[0], text.get_position()[0]], [at[1], text.get_position()[1]])
                leader.draw(renderer)
        for text in self.texts:
            text.draw(renderer)


def _badge(figure: Any, k: int, word: str) -> Text:
    """Return the number of a component on its colour."""
    colour = style(k).colour
    box = {"boxstyle": "round,pad=0.18", "facecolor": colour, "edgecolor": "white", "linewidth": 0.8}
    made = Text(0, 0, word, fontsize=BADGE_SIZE, fontweight="bold", color=text_on(colour), ha="center", va="center",
                bbox=box)  # fmt: skip
    made.set_figure(figure)
    return made


def _place(text: Text, at: Any, inside: Any, taken: Sequence[Any], renderer: Any) -> Any:
    """Move a text to the first free place near a point; return its box, with its frame. None if no place is free."""
    text.set_position(at)
    box = text.get_bbox_patch()
    text.update_bbox_position_size(renderer)
    size = text.get_window_extent(renderer)
    pad = 0.36 * BADGE_SIZE * renderer.points_to_pixels(1.0)
    step = np.array([size.width + 2 * pad, size.height + 2 * pad])
    assert box is not None
    for far in range(1, 8):
        for way in PLACES if far == 1 else PLACES[1:]:
            spot = at + np.asarray(way) * step * far
            spot = np.clip(spot, inside.min + step / 2, inside.max - step / 2)
            tried = size.translated(*(spot - at)).padded(pad)
            if not any(tried.overlaps(other) for other in taken):
                text.set_position(spot)
                return tried
    return None
