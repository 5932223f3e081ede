"""What all pictures are drawn on: figures without pyplot, titles that fit, legends beside the data."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from dem.core import human

SCREEN_DPI = 110
"""Dots an inch of a picture in a notebook."""
CHARACTER = 0.56
"""The mean width of a character, as a share of the size of the font."""
TITLE_POINTS, LABEL_POINTS = 10.0, 10.0
LARGE, TINY = 1e5, 1e-3
LEAST_SPAN = 0.05
"""Numbers on an axis that differ by a smaller share of the largest would all be alike when written short."""
NARROW = 2.6
"""Inches of a panel among many, which has its names beside all of it."""
SMALLEST_FONT = 7.0
LOW = 3.2
"""Inches of a panel below which its names take more lines."""
GAP = 2.0
"""Pixels between two numbers on an axis, halved."""
DECADES = 40.0
"""The least ratio of the ends of a logarithmic axis."""
TOP_SHARE = 0.12
"""The least share of a logarithmic axis above its last number."""
MOST_IN_LEGEND = 12
PLAIN: dict[str, Any] = {"parse_math": False}
"""Settings of texts that may have names of the data: "$" is a dollar, and no mathematics."""
SMALL = "small"
MOST_MEDIUM = 15


@dataclass(frozen=True)
class Picture:
    """A picture that has been drawn.

    Attributes
    ----------
    figure : Figure or SubFigure
    axes : list of Axes
        Its panels.
    text : str
        What it shows, in one sentence, for readers who cannot see it.
    artists : dict
        What was drawn: Matplotlib's artists, by what they are.
    own : bool
        The figure was made for it; only then a notebook shows it.
    """

    figure: Figure | SubFigure
    axes: list[Axes]
    text: str
    artists: Mapping[str, Any] = field(default_factory=dict, repr=False)
    own: bool = field(default=True, repr=False)

    def savefig(self, *args: Any, **settings: Any) -> None:
        """Write the figure; the arguments are those of Matplotlib's `Figure.savefig`."""
        _whole(self.figure).savefig(*args, **settings)

    def _repr_png_(self) -> bytes | None:
        """Return the picture for a notebook; None on other people's axes, which show themselves."""
        if not self.own:
            return None
        content = BytesIO()
        self.savefig(content, format="png", dpi=SCREEN_DPI)
        return content.getvalue()


@dataclass(frozen=True)
class Canvas:
    """Where a picture is drawn.

    Attributes
    ----------
    figure : Figure or SubFigure
    axes : list of Axes
    own : bool
    """

    figure: Figure | SubFigure
    axes: list[Axes]
    own: bool

    @property
    def ax(self) -> Axes:
        """The only, or the first panel."""
        return self.axes[0]

    @property
    def corner(self) -> Axes:
        """The last panel of the first row, beside which the legend stands."""
        specs = [ax.get_subplotspec() for ax in self.axes]
        places = [(0, 0) if spec is None else (-spec.rowspan.start, spec.colspan.start) for spec in specs]
        return self.axes[max(range(len(places)), key=lambda i: places[i])]

    def picture(self, text: str, **artists: Any) -> Picture:
        """Return the picture that was drawn here, when its texts fit."""
        fit_texts(self.axes)
        return Picture(self.figure, self.axes, text, artists, self.own)


def canvas(
    ax: Any, size: tuple[float, float] = (6.0, 4.4), panels: tuple[int, int] = (1, 1), unused: int = 0, **shared: Any
) -> Canvas:
    """Return where to draw: the user's axes, or those of a new figure.

    Parameters
    ----------
    ax : Axes, sequence of Axes, or None
    size : (float, float)
        Of a new figure, in inches.
    panels : (int, int)
        Its rows and columns of axes.
    unused : int
        How many of them, the last ones, stay empty.
    **shared
        Settings of `Figure.subplots`.

    Raises
    ------
    ValueError
        The user's axes are not as many as the panels.
    """
    wanted = panels[0] * panels[1] - unused
    if ax is None:
        figure = Figure(figsize=size, layout="constrained")
        axes = list(np.ravel(figure.subplots(*panels, **shared)))
        for empty in axes[wanted:]:
            empty.remove()
        return Canvas(figure, axes[:wanted], own=True)
    given = list(np.ravel(np.asarray(ax, dtype=object)))
    if not all(isinstance(one, Axes) for one in given):
        raise ValueError(f"ax must be Matplotlib axes or a sequence of them, got {ax!r}")
    if len(given) != wanted:
        raise ValueError(f"this picture has {wanted} panels, but ax has {len(given)} axes: give {wanted}")
    return Canvas(given[0].get_figure(root=False) or Figure(), given, own=False)


def grid_of(n: int, across: int = 3) -> tuple[tuple[int, int], int]:
    """Return the rows and columns of n panels, and how many places stay empty."""
    columns = min(n, across)
    if n == across + 1:
        columns = -(-n // 2)
    rows = -(-n // columns)
    return (rows, columns), rows * columns - n


def set_title(ax: Axes, text: str) -> None:
    """Write a title in as many lines as its width needs."""
    ax.set_title(wrapped(text, width_of(ax), TITLE_POINTS), fontsize="medium", **PLAIN)


def set_labels(ax: Axes, x: str | None = None, y: str | None = None) -> None:
    """Write the names of the axes, in as many lines as they need; None leaves a name as it is.

    The part after a line break is left out where there is no room for it.
    """
    for text, room, write in ((x, width_of(ax), ax.set_xlabel), (y, height_of(ax), ax.set_ylabel)):
        if text is not None:
            whole = wrapped(text, room, LABEL_POINTS)
            fits = whole.count("\n") <= text.count("\n") + 1
            write(whole if fits else wrapped(text.split("\n")[0], room, LABEL_POINTS), **PLAIN)


def fit_texts(axes: Sequence[Axes]) -> None:
    """Break titles and names of axes that do not fit in the figure, or in their panel, into more lines."""
    figure = axes[0].get_figure(root=True)
    if figure is None:
        return
    for _ in range(3):
        figure.draw_without_rendering()
        broken = [_fit(text, room) for ax in axes for text, room in _rooms(ax, figure, alone=len(axes) == 1)]
        thinned = [_thin(axis) for ax in axes for axis in (ax.xaxis, ax.yaxis)]
        if not any(broken + thinned):
            return


def _rooms(ax: Axes, figure: Figure, *, alone: bool) -> list[tuple[Any, float]]:
    """Return the title and the names of the axes of a panel, each with the pixels that it may be long."""
    panel, whole = ax.get_window_extent(), figure.bbox
    part = ax.get_figure(root=False)
    frame = whole if part is None else part.bbox
    across = (panel.x0 + panel.x1) / 2
    up = (panel.y0 + panel.y1) / 2
    free = alone and ax.get_legend() is None
    width = 2 * min(across - frame.x0, frame.x1 - across) if free else 1.12 * panel.width
    height = 2 * min(up - frame.y0, frame.y1 - up) if alone else 1.06 * panel.height
    title = 2 * min(across - frame.x0, frame.x1 - across) if len(figure.axes) == 1 else 1.1 * panel.width
    return [(ax.title, title), (ax.xaxis.label, width), (ax.yaxis.label, height)]


def _fit(text: Any, room: float) -> bool:
    """Break a text into more lines if it is longer than its room; return whether it was."""
    box, words = text.get_window_extent(), text.get_text()
    length = box.height if text.get_rotation() == 90 else box.width
    if not words or length <= room:
        return False
    longest = max(map(len, words.split("\n")))
    fits = max(6, int(longest * room / length) - 1)
    lines = broken(words.replace("\n", " "), fits)
    text.set_text("\n".join(lines))
    if max(map(len, lines)) > fits and text.get_fontsize() > SMALLEST_FONT:
        text.set_fontsize(max(SMALLEST_FONT, text.get_fontsize() * 0.85))
    return True


def _thin(axis: Any) -> bool:
    """Mark fewer places on an axis if their numbers touch one another; return whether they did."""
    locator = axis.get_major_locator()
    if not isinstance(locator, MaxNLocator | LogLocator):
        return False
    ticks = [tick for tick in axis.get_major_ticks() if tick.label1.get_visible() and tick.label1.get_text()]
    low, high = sorted(axis.get_view_interval())
    boxes = [tick.label1.get_window_extent() for tick in ticks if low <= tick.get_loc() <= high]
    across = axis.axis_name == "x"
    ends = sorted((box.x0 - GAP, box.x1 + GAP) if across else (box.y0, box.y1) for box in boxes)
    if all(one[1] <= two[0] for one, two in pairwise(ends)):
        return False
    widest, length = max(b - a for a, b in ends), ends[-1][1] - ends[0][0]
    fit = max(1, min(len(boxes) - 2, int(length / widest)))
    if isinstance(locator, LogLocator):
        locator.set_params(numticks=max(2, fit))
    else:
        locator.set_params(nbins=fit)
    return True


def tidy_ticks(ax: Axes) -> None:
    """Write large and tiny numbers on axes short, so that they have room.

    Large ones that differ little, such as Julian days, are left to Matplotlib, which takes out what they share.
    """
    for axis, (low, high) in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
        largest = max(abs(low), abs(high))
        if axis.get_scale() == "linear" and largest >= LARGE:
            if abs(high - low) >= LEAST_SPAN * largest:
                axis.set_major_formatter(lambda value, _: human.count(round(value)))
        elif axis.get_scale() == "linear" and largest < TINY:
            axis.set_major_formatter(lambda value, _: f"{value:g}")


def log_axis(ax: Axes, values: Any) -> None:
    """Make the vertical axis logarithmic, over at least a decade and a half, with a mark at each decade."""
    seen = np.asarray([value for value in values if value > 0], dtype=np.float64)
    low, high = float(seen.min()) / 1.6, float(seen.max()) * 2.2
    if high < DECADES * low:
        middle = np.sqrt(low * high)
        low, high = middle / np.sqrt(DECADES), middle * np.sqrt(DECADES)
    ax.set_yscale("log")
    ax.set_ylim(low, high)
    top = high * (low / high) ** TOP_SHARE  # a number at the very top would touch the title
    ticks = LogLocator(numticks=min(7, room_for(ax, 0.3))).tick_values(low, high)
    ax.set_yticks([tick for tick in ticks if low <= tick <= top])
    ax.yaxis.set_minor_formatter(NullFormatter())


def room_for(ax: Axes, inches: float = 0.165, taken: float = 0.95) -> int:
    """Return how many lines of text, or bars with a name, fit beside a panel."""
    height = _place(ax)[1]
    return max(2, int((height - taken - (0.3 if height < LOW else 0.0)) / inches))


def name_size(place: Canvas, n: int) -> str:
    """Return the size of the font of n names beside an axis."""
    return "medium" if place.own and n <= MOST_MEDIUM else SMALL


def wrapped(text: str, inches: float, points: float) -> str:
    """Return a text broken into lines that are not wider than so many inches, about."""
    characters = max(8, int(inches * 72 / (CHARACTER * points)))
    return "\n".join(line for part in text.split("\n") for line in broken(part, characters))


def broken(text: str, characters: int) -> list[str]:
    """Return a text in lines of at most so many characters, but for longer words; brackets may begin a line."""
    if len(text) <= characters:
        return [text]
    words = re.sub(r"(?<=\w)\(", " (", text)
    lines = textwrap.wrap(words, characters, break_on_hyphens=False, break_long_words=False) or [""]
    return [re.sub(r"(?<=\w) \((?=\w+=)", "(", line) for line in lines]


def width_of(ax: Axes) -> float:
    """Return the width that a text of a panel may have, in inches."""
    width = _place(ax)[0]
    return max(0.85 * width if width < NARROW else 0.0, width - 1.1)


def height_of(ax: Axes) -> float:
    """Return the height that a text of a panel may have, in inches."""
    height = _place(ax)[1]
    return max(0.85 * height if height < NARROW else 0.0, height - 0.9)


def _place(ax: Axes) -> tuple[float, float]:
    """Return the width and the height of the place of a panel in its figure, in inches."""
    figure = ax.get_figure(root=False)
    if figure is None:
        return 6.0, 4.0
    whole = _whole(figure).get_size_inches()
    share = np.divide(figure.bbox.size, _whole(figure).bbox.size)
    spec = ax.get_subplotspec()
    if spec is None:
        box = ax.get_position()
        return float(whole[0] * share[0] * box.width), float(whole[1] * share[1] * box.height)
    grid = spec.get_gridspec()
    widths, heights = (np.asarray(r if r is not None else [1] * n, dtype=float) for r, n in
                       ((grid.get_width_ratios(), grid.ncols), (grid.get_height_ratios(), grid.nrows)))  # fmt: skip
    across = widths[spec.colspan.start : spec.colspan.stop].sum() / widths.sum()
    down = heights[spec.rowspan.start : spec.rowspan.stop].sum() / heights.sum()
    return float(whole[0] * share[0] * across), float(whole[1] * share[1] * down)


def _whole(figure: Figure | SubFigure) -> Figure:
    """Return the figure that a part of a figure belongs to."""
    while isinstance(figure, SubFigure):
        figure = figure.figure
    return figure


def legend_beside(ax: Axes, handles: Sequence[Any] | None = None, title: str | None = None) -> Any:
    """Write the legend on the right of the axes, where it hides no data."""
    more = {} if handles is None else {"handles": list(handles)}
    legend = ax.legend(
        **more, title=title, loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0, frameon=False,
        handlelength=1.4, handletextpad=0.6, labelspacing=0.35, fontsize=SMALL, title_fontsize=SMALL, alignment="left",
    )  # fmt: skip
    for text in (*legend.get_texts(), legend.get_title()):
        text.set(**PLAIN)
    return legend


def quiet_grid(ax: Axes, axis: Any = "both") -> None:
    """Draw light lines behind the data."""
    ax.grid(color="0.92", axis=axis)
    ax.set_axisbelow(True)


def whole_numbers(ax: Axes) -> None:
    """Mark only whole numbers on the horizontal axis."""
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins="auto", min_n_ticks=1))
