"""The colour, line and marker of each component: the same in all pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from matplotlib.colors import to_rgb

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A4B00", "#5D3FD3")
"""Colours that colour-blind readers can distinguish too, after Okabe and Ito."""
LINES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
GREY = "0.55"
"""The colour of rows without a class."""
DARK_TEXT = 0.18
"""The relative luminance from which text on a colour is black."""


@dataclass(frozen=True)
class Style:
    """How a component looks.

    Attributes
    ----------
    colour, line, marker : str
        In Matplotlib's words. From the ninth component on colours come again, with other lines and markers.
    """

    colour: str
    line: Any
    marker: str


def style(k: int) -> Style:
    """Return how the component with number k looks."""
    turn, place = divmod(k, len(PALETTE))
    return Style(PALETTE[place], LINES[turn % len(LINES)], MARKERS[turn % len(MARKERS)])


def text_on(colour: str) -> str:
    """Return the colour of text on a colour: black or white."""
    return "black" if luminance(colour) > DARK_TEXT else "white"


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour, from 0 for black to 1 for white (WCAG 2)."""
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
