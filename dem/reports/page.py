"""The page of a report, from its template: one file of HTML without scripts, which needs no other file."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

from dem.core.version import __version__
from dem.plot.histories import has_gains

TEMPLATE = "template.html.j2"


def render(**parts: Any) -> str:
    """Return the page; `parts` are the variables of the template, see `dem.reports.make`."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, auto_reload=False
    )
    environment.filters["numeric"] = is_numeric
    template = environment.from_string(files("dem.reports").joinpath(TEMPLATE).read_text(encoding="utf-8"))
    return template.render(version=__version__, **parts) + "\n"


def is_numeric(text: str) -> bool:
    """Whether a cell of a table holds a number, or nothing: such cells are aligned to the right."""
    return not text or text[0].isdigit() or text[0] in "-+<>."


def not_shown(observed: bool, pictures: Sequence[Any], model: Any) -> list[str]:
    """Return what a page could not show, and what would help, in sentences."""
    found = []
    if not observed:
        found.append(
            "The rows were not read: give the store, as in `dem report MODEL STORE -o report.html`, for the score, the "
            "sizes of the classes, and pictures of rows, quantiles and maps."
        )
    if not getattr(model, "source_", {}).get("columns", None):
        found.append("The model was saved by an earlier version of dem: the ranges of the columns are not known.")
    if not getattr(model, "history_", ()):
        found.append("The model has no history: its fit had a closed form.")
    elif not has_gains(model):
        found.append("The history of the fit has no picture: nothing was gained after the start.")
    found += [f"{picture.title}: {picture.text}" for picture in pictures if not picture.data]
    return found
