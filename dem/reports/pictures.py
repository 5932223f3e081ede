"""The pictures of a page: drawn, and encoded so that the page needs no other file."""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from dem import plot
from dem.plot.canvas import Picture
from dem.plot.sampled import RowSample

log = logging.getLogger("dem")

DPI = 144
CSS_INCH = 96
"""Pixels of a page that count as an inch."""
NOT_ON_PAGES = ("staircase", "criterion")
"""A picture for lessons, and one that stands beside the table of the candidates: see `criterion_picture`."""
TITLES = {
    "mixture": "Rows and components",
    "kmeans": "Rows and clusters",
    "probabilities": "Probabilities",
    "profiles": "Profiles",
    "quantiles": "Quantiles of the rows",
    "map": "Map",
    "sizes": "Sizes",
    "densities": "Columns",
    "pairs": "Pairs of columns",
    "entropy": "How certain the classes are",
    "distances": "Width of the clusters, and their distances",
    "latents": "Rows in the latents",
    "scree": "Variances",
    "loadings": "Loadings",
    "missing": "Missing values",
    "filled": "A row that is filled in",
    "history": "History of the fit",
    "criterion": "Criterion",
}


@dataclass(frozen=True)
class PagePicture:
    """A picture on a page.

    Attributes
    ----------
    name, title : str
    text : str
        What it shows, for readers who cannot see it; also its caption.
    data : str
        A data URI; empty if it could not be drawn.
    width : int
        Pixels of the page at which its text has the size of a book's.
    """

    name: str
    title: str
    text: str
    data: str
    width: int


def page_pictures(model: Any, rows: RowSample | None, labels: Sequence[str] | None = None) -> list[PagePicture]:
    """Return the pictures that suit a model and its rows, the most telling ones first.

    A picture that cannot be drawn has no data, and its text says why: the rest of a page is worth having.
    """
    names = [name for name in plot.suitable(model, rows) if name not in NOT_ON_PAGES]
    return [_drawn(name, model, rows, labels) for name in names]


def criterion_picture(model: Any) -> PagePicture | None:
    """Return the curve of the selection that chose the model; None without one, or for a single candidate."""
    kept = getattr(model, "selection_", None)
    if not kept or len(kept["table"]) < 2:
        return None
    try:
        return encoded("criterion", plot.criterion(model))
    except ValueError:  # no values
        return None


def _drawn(name: str, model: Any, rows: RowSample | None, labels: Sequence[str] | None) -> PagePicture:
    try:
        return encoded(name, plot.draw(name, model, rows, labels=labels))
    except Exception as error:  # Matplotlib raises many kinds
        log.warning("the picture %s could not be drawn: %s: %s", name, type(error).__name__, error)
        log.debug("how the picture %s failed", name, exc_info=True)
        why = f"This picture could not be drawn ({type(error).__name__}: {error})."
        return PagePicture(name, TITLES.get(name, name), why, "", 0)


def encoded(name: str, picture: Picture) -> PagePicture:
    """Return a picture as a PNG in a data URI."""
    content = BytesIO()
    picture.savefig(content, format="png", dpi=DPI)
    data = f"data:image/png;base64,{b64encode(content.getvalue()).decode('ascii')}"
    width = round(picture.figure.get_figure(root=True).get_size_inches()[0] * CSS_INCH)
    return PagePicture(name, TITLES.get(name, name), picture.text, data, width)
