"""What is wrong with how a figure looks: text outside the canvas, text over text, legends over data."""

from contextlib import contextmanager
from itertools import combinations

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import SubFigure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

TOLERANCE = 1.0
"""Pixels that boxes may overlap: their edges are empty."""


def whole(figure):
    """Return the figure that a part of a figure belongs to."""
    while isinstance(figure, SubFigure):
        figure = figure.figure
    return figure


@contextmanager
def recorded():
    """Record the texts that are drawn, each with its box."""
    found, draw = [], Text.draw

    def record(self, renderer, *args, **kwargs):
        if self.get_visible() and self.get_text().strip():
            box = Text.get_window_extent(self, renderer)
            patch = self.get_bbox_patch()
            if patch is not None:
                self.update_bbox_position_size(renderer)
                box = Bbox.union([box, patch.get_window_extent(renderer)])
            found.append((self, box))
        return draw(self, renderer, *args, **kwargs)

    Text.draw = record
    try:
        yield found
    finally:
        Text.draw = draw


def problems(figure):
    """Return what is wrong with how a figure looks, in words; an empty list if nothing is."""
    figure = whole(figure)
    canvas = FigureCanvasAgg(figure)
    with recorded() as texts:
        canvas.draw()
    axes = figure.findobj(Axes)
    legends = [ax.get_legend() for ax in axes if ax.get_legend() is not None]
    said = []
    for text, box in texts:
        if not _inside(box, figure.bbox):
            said.append(f"outside the canvas: {text.get_text()!r}")
    for (one, a), (two, b) in combinations(texts, 2):
        turned = one.get_rotation() % 90 and two.get_rotation() % 90
        if not turned and _overlap(a, b):
            said.append(f"over each other: {one.get_text()!r} and {two.get_text()!r}")
    for legend in legends:
        frame = legend.get_window_extent()
        own = set(legend.findobj(Text))
        if not _inside(frame, figure.bbox):
            said.append("a legend outside the canvas")
        over = (ax for ax in axes if ax.axison and _overlap(frame, ax.get_window_extent()))
        said += ["a legend over the data" for _ in over]
        said += [f"a legend over {t.get_text()!r}" for t, box in texts if t not in own and _overlap(box, frame)]
    for text, box in texts:
        if text.axes is not None and text.get_transform() != text.axes.transData:
            others = (ax for ax in axes if ax is not text.axes and ax.axison)
            said += [f"{text.get_text()!r} over other axes" for ax in others if _overlap(box, ax.get_window_extent())]
    return said


def _inside(box, frame):
    return (
        box.x0 >= frame.x0 - TOLERANCE
        and box.y0 >= frame.y0 - TOLERANCE
        and box.x1 <= frame.x1 + TOLERANCE
        and box.y1 <= frame.y1 + TOLERANCE
    )


def _overlap(a, b):
    return min(a.x1, b.x1) - max(a.x0, b.x0) > TOLERANCE and min(a.y1, b.y1) - max(a.y0, b.y0) > TOLERANCE
