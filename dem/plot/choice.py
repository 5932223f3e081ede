"""The table of pictures: which suit a model, and a picture by its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dem.em.loop import rounding_of
from dem.plot.along import MOST_BANDS, class_grids, has_class_profiles, is_vertical, profiles
from dem.plot.canvas import Picture
from dem.plot.classes import entropy, sizes
from dem.plot.clusters import distances, kmeans
from dem.plot.criteria_curve import criterion
from dem.plot.families import codes_of, probabilities
from dem.plot.gaps import filled, incomplete, missing
from dem.plot.histories import has_gains, history, staircase
from dem.plot.labels import names_of
from dem.plot.latent import latents, loadings, scree
from dem.plot.maps import class_map, places_of
from dem.plot.mixtures import has_ellipses, mixture, pairs
from dem.plot.one_column import MOST_PANELS, densities
from dem.plot.sampled import RowSample, n_classes, n_columns, row_sample

LEAST_STEPS = 3
"""The fewest iterations that a staircase shows."""
QUANTILES = (0.1, 0.5, 0.9)
WIDTH, PANEL, HEIGHT, TALL = 5.0, 3.2, 4.6, 5.4
"""Inches of the parts of `figure`: of one with one panel, of each of several panels; of the whole."""


@dataclass(frozen=True)
class Request:
    """What a picture is asked for.

    Attributes
    ----------
    model : estimator
    rows : RowSample or None
    columns : sequence of int or str, or None
    labels : sequence of str or None
    ax : Axes, sequence of Axes, or None
    """

    model: Any
    rows: RowSample | None = None
    columns: Sequence[int | str] | None = None
    labels: Sequence[str] | None = None
    ax: Any = None


@dataclass(frozen=True)
class Kind:
    """A line of the table of pictures.

    Attributes
    ----------
    about : str
        What it shows, for help texts.
    draw : callable
        Draws what is asked for.
    suits : callable
        Whether it has something to say about a model and its rows.
    needs_rows : bool
    """

    about: str
    draw: Callable[[Request], Picture]
    suits: Callable[[Any, RowSample | None], bool]
    needs_rows: bool = False


def _is_kmeans(model: Any) -> bool:
    return hasattr(model, "cluster_centers_")


def _is_mixture(model: Any) -> bool:
    return hasattr(model, "weights_")


def _is_latent(model: Any) -> bool:
    return hasattr(model, "components_")


def _only_codes(model: Any) -> bool:
    """Whether all columns of a mixture are of 0 and 1, or codes."""
    return len(codes_of(model)) == n_columns(model)


def _bound(model: Any, rows: RowSample | None) -> bool:
    """Whether the history has steps with gains that can be seen."""
    steps = [entry for entry in getattr(model, "history_", ()) if entry.get("kl") is not None]
    return len(steps) >= LEAST_STEPS and any(entry["kl"] > rounding_of(entry["elbo_e"]) for entry in steps)


def _has_gaps(rows: RowSample | None) -> bool:
    return rows is not None and bool(incomplete(rows).any())


def _numbers(model: Any) -> bool:
    """Whether a mixture has two or more columns of numbers."""
    return _is_mixture(model) and n_columns(model) > 1 and not _only_codes(model)


PICTURES: dict[str, Kind] = {
    "mixture": Kind(
        "rows by class and numbered ellipses, in two columns",
        lambda r: mixture(r.model, r.rows, r.columns, r.labels, r.ax),
        lambda model, rows: _numbers(model),
    ),
    "kmeans": Kind(
        "centres and rows; true borders where there are two columns",
        lambda r: kmeans(r.model, r.rows, r.columns, r.labels, r.ax),
        lambda model, rows: _is_kmeans(model),
    ),
    "probabilities": Kind(
        "the probability of each value by class (bernoulli, categorical)",
        lambda r: probabilities(r.model, r.columns, r.labels, r.ax),
        lambda model, rows: bool(codes_of(model)),
    ),
    "profiles": Kind(
        "mean and standard deviation of each class along depth, time, ...",
        lambda r: profiles(r.model, r.rows, ax=r.ax),
        lambda model, rows: has_class_profiles(model),
    ),
    "quantiles": Kind(
        "quantiles of the rows of each class along depth, time, ...",
        lambda r: profiles(r.model, r.rows, QUANTILES, r.ax),
        lambda model, rows: has_class_profiles(model) and n_classes(model) <= MOST_BANDS and rows is not None,
        needs_rows=True,
    ),
    "map": Kind(
        "rows by class, by latitude and longitude",
        lambda r: class_map(r.model, r.rows, ax=r.ax),
        lambda model, rows: n_classes(model) > 0 and rows is not None and places_of(rows) is not None,
        needs_rows=True,
    ),
    "sizes": Kind(
        "the share and the number of rows of each class",
        lambda r: sizes(r.model, r.ax),
        lambda model, rows: n_classes(model) > 1,
    ),
    "densities": Kind(
        "the histograms of some columns, and the share of each component",
        lambda r: densities(r.model, r.rows, r.columns, r.labels, r.ax),
        lambda model, rows: _is_mixture(model) and not _only_codes(model),
    ),
    "pairs": Kind(
        "rows by class and ellipses, for each pair of some columns",
        lambda r: pairs(r.model, r.rows, r.columns, r.labels, r.ax),
        lambda model, rows: _numbers(model) and n_columns(model) > 2,
    ),
    "entropy": Kind(
        "how certain the classes of the rows are",
        lambda r: entropy(r.model, r.rows, r.ax),
        lambda model, rows: _is_mixture(model) and n_classes(model) > 1 and rows is not None,
        needs_rows=True,
    ),
    "distances": Kind(
        "the width of each cluster, and its distance from the next one",
        lambda r: distances(r.model, r.ax),
        lambda model, rows: _is_kmeans(model) and n_classes(model) > 1,
    ),
    "latents": Kind(
        "rows in two latents",
        lambda r: latents(r.model, r.rows, (0, 1) if r.columns is None else r.columns, ax=r.ax),
        lambda model, rows: _is_latent(model) and rows is not None,
        needs_rows=True,
    ),
    "scree": Kind(
        "the variances of the latents, and the noise",
        lambda r: scree(r.model, r.ax),
        lambda model, rows: _is_latent(model),
    ),
    "loadings": Kind(
        "the correlations of columns and latents",
        lambda r: loadings(r.model, r.labels, r.ax),
        lambda model, rows: _is_latent(model),
    ),
    "missing": Kind(
        "the share of missing values of each column",
        lambda r: missing(r.model, r.labels, r.ax),
        lambda model, rows: any((getattr(model, "source_", None) or {}).get("missing", ())),
    ),
    "filled": Kind(
        "a row with missing values: observed, filled in, and the spread",
        lambda r: filled(r.model, r.rows, labels=r.labels, ax=r.ax),
        lambda model, rows: _has_gaps(rows) and not _only_codes(model),
        needs_rows=True,
    ),
    "criterion": Kind(
        "the criterion of the candidates that the model was selected among",
        lambda r: criterion(r.model, ax=r.ax),
        lambda model, rows: getattr(model, "selection_", None) is not None,
    ),
    "history": Kind(
        "the gain of each pass, from the start on the sample to the end",
        lambda r: history(r.model, r.ax),
        lambda model, rows: has_gains(model),
    ),
    "staircase": Kind(
        "the lower bound after each E-step and M-step",
        lambda r: staircase(r.model, r.ax),
        _bound,
    ),
}
"""The pictures by name, the most telling ones first. `dem plot --picture` and `dem report` read this table."""


def suitable(model: Any, x: Any = None) -> list[str]:
    """Return the names of the pictures that have something to say about a model, the most telling ones first.

    Parameters
    ----------
    model : estimator
    x : rows, optional
        See `dem.plot`. Some pictures need rows.
    """
    sample = row_sample(model, x)
    return [name for name, kind in PICTURES.items() if kind.suits(model, sample)]


def draw(
    name: str,
    model: Any,
    x: Any = None,
    columns: Sequence[int | str] | None = None,
    labels: Sequence[str] | None = None,
) -> Picture:
    """Draw a picture by its name, on a new figure.

    Parameters
    ----------
    name : str
        One of `PICTURES`, or "figure".
    model, x, columns, labels
        See `dem.plot`.

    Raises
    ------
    ValueError
        There is no such picture, or it does not suit the model.
    """
    if name == "figure":
        return figure(model, x, columns, labels)
    if name not in PICTURES:
        raise ValueError(f"there is no picture {name!r}: choose one of figure, {', '.join(PICTURES)}")
    names_of(model, labels)  # checks them
    kind, sample = PICTURES[name], row_sample(model, x)
    if not kind.suits(model, sample):
        if kind.needs_rows and sample is None:
            raise ValueError(f"the picture {name!r} needs rows: give them as x, or on the command line with --data")
        others = ", ".join(["figure", *suitable(model, sample)])
        raise ValueError(
            f"the picture {name!r} has nothing to show of this {type(model).__name__}: choose one of {others}"
        )
    return kind.draw(Request(model, sample, columns, labels))


def figure(
    model: Any,
    x: Any = None,
    columns: Sequence[int | str] | None = None,
    labels: Sequence[str] | None = None,
) -> Picture:
    """Draw the picture that says most about a fitted model, beside the history of its fit.

    Mixtures: profiles where the columns lie along a coordinate, probabilities of codes, densities of columns, or rows
    and ellipses. K-means: centres and rows. PPCA and factor analysis: the scree and, with rows, the latents.

    Parameters
    ----------
    model : estimator
    x : rows, optional
        See `dem.plot`.
    columns : two of int or str, optional
        The two columns to draw, by number or by name (for PPCA and factor analysis: the two latents, by number).
    labels : sequence of str, optional
        Names of all columns; by default the names of the training data, or numbers.

    Raises
    ------
    ValueError
        The number of labels is not the number of columns, or a column does not exist.
    """
    sample = row_sample(model, x)
    names_of(model, labels)  # checks them
    names = main_pictures(model, sample, columns)
    if has_gains(model):
        names.append("history")
    if len(names) == 1:
        return PICTURES[names[0]].draw(Request(model, sample, columns, labels))
    request = Request(model, sample, columns, labels)
    across = [_across(_panels(name, request)) for name in names]
    tall = any(_panels(name, request) > 2 for name in names) or (
        "profiles" in names and any(map(is_vertical, class_grids(model)))
    )
    widths = [WIDTH if n == 1 else PANEL * n + 0.8 for n in across]
    whole = Figure(figsize=(0.6 + sum(widths), TALL if tall else HEIGHT), layout="constrained")
    parts: Any = whole.subfigures(1, len(names), width_ratios=widths)
    drawn = [_in_part(part, name, request) for part, name in zip(parts, names, strict=True)]
    artists = dict(zip(names, (one.artists for one in drawn), strict=True))
    return Picture(whole, [ax for one in drawn for ax in one.axes], " ".join(one.text for one in drawn), artists)


def main_pictures(model: Any, sample: RowSample | None, columns: Any = None) -> list[str]:
    """Return the names of the pictures that say most about a model, without its history."""
    if _is_kmeans(model):
        return ["kmeans"]
    if _is_latent(model) or not _is_mixture(model):
        return ["scree"] + (["latents"] if sample is not None else [])
    if _only_codes(model):
        return ["probabilities"]
    if columns is None and has_class_profiles(model):
        return ["profiles"]
    if n_columns(model) == 1 or (columns is None and not has_ellipses(model)):
        return ["densities"]
    return ["mixture"]


def _in_part(part: Any, name: str, request: Request) -> Picture:
    """Draw a picture in a part of a figure, with as many panels as it needs."""
    panels = _panels(name, request)
    across = _across(panels)
    axes = np.ravel(part.subplots(-(-panels // across), across))
    for empty in axes[panels:]:
        empty.remove()
    ax: Any = axes[0] if panels == 1 else list(axes[:panels])
    return PICTURES[name].draw(Request(request.model, request.rows, request.columns, request.labels, ax))


def _across(panels: int) -> int:
    """Return how many panels stand side by side."""
    return min(panels, 2)


def _panels(name: str, request: Request) -> int:
    """Return how many panels a picture has."""
    if name == "profiles":
        return len(class_grids(request.model))
    if name == "densities":
        return min(MOST_PANELS, n_columns(request.model)) if request.columns is None else len(request.columns)
    return 1
