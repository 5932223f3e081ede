"""What all pictures are drawn on: figures without pyplot, titles that fit, legends beside the data."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator

SCREEN_DPI = 110
"""Dots an inch of a picture in a notebook."""
CHARACTER = 0.56
"""The mean width of a character, as a share of the size of the font."""
INNER = 0.86
"""The share of its place in the figure that a panel has for its title, about."""
MOST_IN_LEGEND = 12
SMALL = "small"


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

    def picture(self, text: str, **artists: Any) -> Picture:
        """Return the picture that was drawn here."""
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
    ax.set_title(wrapped(text, width_of(ax), 12), fontsize="medium", loc="left")


def set_labels(ax: Axes, x: str | None = None, y: str | None = None) -> None:
    """Write the names of the axes, in as many lines as they need; None leaves a name as it is."""
    if x is not None:
        ax.set_xlabel(wrapped(x, width_of(ax), 10))
    if y is not None:
        ax.set_ylabel(wrapped(y, height_of(ax), 10))


def wrapped(text: str, inches: float, points: float) -> str:
    """Return a text broken into lines that are not wider than so many inches, about."""
    characters = max(12, int(inches * 72 / (CHARACTER * points)))
    return "\n".join(
        line for part in text.split("\n") for line in textwrap.wrap(part, characters, break_on_hyphens=False) or [""]
    )


def width_of(ax: Axes) -> float:
    """Return the width that a text of a panel may have, in inches."""
    return float(INNER * _place(ax)[0])


def height_of(ax: Axes) -> float:
    """Return the height that a text of a panel may have, in inches."""
    return float(INNER * _place(ax)[1])


def _place(ax: Axes) -> tuple[float, float]:
    """Return the width and the height of the place of a panel in its figure, in inches."""
    figure = ax.get_figure(root=False)
    if figure is None:
        return 6.0, 4.0
    whole = _whole(figure).get_size_inches()
    share = figure.bbox.size / _whole(figure).bbox.size
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
    return ax.legend(
        **more, title=title, loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0, frameon=False,
        handlelength=1.4, handletextpad=0.6, labelspacing=0.35, fontsize=SMALL, title_fontsize=SMALL, alignment="left",
    )  # fmt: skip


def legend_below(ax: Axes, columns: int = 3) -> Any:
    """Write the legend below the title, above the data."""
    return ax.legend(
        loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=columns, frameon=False, fontsize=SMALL, borderaxespad=0.2,
        handlelength=1.4, columnspacing=1.2,
    )  # fmt: skip


def quiet_grid(ax: Axes, axis: Any = "both") -> None:
    """Draw light lines behind the data."""
    ax.grid(color="0.92", axis=axis)
    ax.set_axisbelow(True)


def whole_numbers(ax: Axes) -> None:
    """Mark only whole numbers on the horizontal axis."""
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins="auto", min_n_ticks=1))
