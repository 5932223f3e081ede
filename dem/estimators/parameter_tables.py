"""The parameters and the history of a fitted model as tables of text, as many as a person can read.

The command line prints them; the page of `dem.report` has them too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from dem.core import human
from dem.core.column_grid import FEWEST_IN_PROFILE, ColumnGrid, column_grids
from dem.estimators.summary import (
    column_names,
    columns_of,
    covariances_among,
    history_unit,
    in_scaled_units,
    objective_history,
)
from dem.estimators.telling import shares, traits
from dem.families.poisson import Poisson

MOST_COLUMNS = 6
"""Number of columns of a model that a table on a terminal shows."""
MOST_ROWS = 32
"""Number of components, columns or passes that a table shows."""
UNORDERED = ("latent", "component")
"""Dimensions with numbers of which neighbours are nothing alike."""
UNITLESS = ("shape", "probability", "probabilities", "mu", "sigma", "degrees_of_freedom", "concentration")
"""Parameters of families without the unit of their column."""
SINGULAR = {"means": "mean", "probabilities": "probability", "degrees_of_freedom": "degrees of freedom"}


@dataclass(frozen=True)
class TextTable:
    """A table of text.

    Attributes
    ----------
    title : str
    header : tuple of str
        The first column names the rows; the others are numbers.
    rows : tuple of tuples of str
    rest : str
        What is left out, or what else there is to say; often empty.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    rest: str = ""


def parameter_tables(
    model: Any, labels: Sequence[str] | None = None, most_columns: int = MOST_COLUMNS
) -> list[TextTable]:
    """Return tables of the parameters of a model.

    Parameters
    ----------
    model : estimator
        A fitted model.
    labels : sequence of str, optional
        The names of all columns; by default those of the training data, with their units.
    most_columns : int
        The most columns of the data, or latents, that a table has.
    """
    if hasattr(model, "cluster_centers_"):
        return [_clusters(model, labels, most_columns)]
    if hasattr(model, "component_parameters_"):
        return _components(model, labels, most_columns)
    if hasattr(model, "weights_"):
        return [_mixture(model, labels, most_columns)]
    if hasattr(model, "explained_variance_ratio_"):
        return [_spectrum(model)]
    return [_loadings(model, labels, most_columns)]


def history_table(model: Any) -> TextTable | None:
    """Return a table of the history of a fit, its first passes and the last ones; None if there is no history."""
    entries = getattr(model, "history_", None) or []
    if not entries:
        return None
    name, unit, values = objective_history(model)
    changes = ["", *(f"{new - old:+.2e}" for old, new in pairwise(values))]
    rows = [(str(e["pass"]), f"{v:.9g}", c) for e, v, c in zip(entries, values, changes, strict=True)]
    if len(rows) > MOST_ROWS:
        rows = [*rows[:4], ("...", "", ""), *rows[-(MOST_ROWS - 5) :]]
    return TextTable(f"History ({unit})" if unit else "History", (history_unit(model), name, "change"), tuple(rows))


def _mixture(model: Any, labels: Sequence[str] | None, most: int) -> TextTable:
    k, d = model.means_.shape
    shown, names = shown_columns(model, d, most), column_names(model, d, labels)
    means, sds = model.means_[:, shown], np.sqrt(np.einsum("kii->ki", covariances_among(model, shown)))
    order = np.argsort(model.weights_)[::-1][:MOST_ROWS]
    rows = [(str(i), f"{model.weights_[i]:.4f}", *map(human.with_deviation, means[i], sds[i])) for i in order]
    rest = _left_out(d - len(shown), k - len(order), "lighter components")
    title = "Components: mean ± standard deviation"
    return TextTable(title, ("component", "weight", *(names[j] for j in shown)), tuple(rows), rest)


def shown_columns(model: Any, d: int, most: int) -> list[int]:
    """Return the columns that a table of classes shows, in order: all; or those in which the classes differ most.

    Of columns along a coordinate, such as depths, neighbours say the same: then it is every so many columns.
    """
    if d <= most:
        return list(range(d))
    if all(map(neighbours_alike, column_grids(columns_of(model, d)))):
        return np.unique(np.linspace(0, d - 1, most).round().astype(int)).tolist()
    apart = shares(model) @ np.nan_to_num(traits(model).differences[:, :d]) ** 2
    return np.sort(np.argsort(-apart, kind="stable")[:most]).tolist()


def neighbours_alike(grid: ColumnGrid) -> bool:
    """Whether neighbouring columns of a variable say about the same, because they are along a coordinate of numbers."""
    if not grid.is_profile or grid.n_columns < FEWEST_IN_PROFILE or grid.dims[0] in UNORDERED:
        return False
    return all(isinstance(label, int | float) for label in grid.labels[0])


def _components(model: Any, labels: Sequence[str] | None, most: int) -> list[TextTable]:
    """Return a table for each part of a product of families, or one table for a single family."""
    named, k, d = model.component_parameters_, len(model.weights_), model.n_features_in_
    blocks = {part.name: (part.family, part.columns) for part in getattr(model.family_, "parts", ())}
    parts = named if any(isinstance(values, Mapping) for values in named.values()) else {"Components": named}
    order = np.argsort(model.weights_)[::-1][:MOST_ROWS]
    tables = []
    for title, part in parts.items():
        family, numbers = blocks.get(title, (model.family_, range(d)))
        spread = "scale" if "degrees_of_freedom" in part else "deviation"  # Student's t has scale matrices
        columns: list[tuple[str, Any]] = []
        for name, values in part.items():
            shared = name in getattr(family, "shared_parameters", ())
            of_all = np.repeat(np.asarray(values)[None], k, axis=0) if shared else values
            columns += _numbers(name, of_all, _words(model, labels, numbers, _unit_power(family, name)), spread)
        shown = columns[:most]
        rows = [(str(i), f"{model.weights_[i]:.4f}", *(f"{values[i]:.4g}" for _, values in shown)) for i in order]
        header = ("component", "weight", *(name for name, _ in shown))
        rest = _left_out(len(columns) - len(shown), k - len(order), "lighter components", "parameters")
        tables.append(TextTable(title, header, tuple(rows), rest))
    return tables


def _unit_power(family: Any, name: str) -> int:
    """Return the power of a column's unit that a parameter has: 1, -1 for rates of times and lengths, 0 for none."""
    if name == "rate":
        return 1 if isinstance(family, Poisson) else -1
    return 0 if name in UNITLESS else 1


def _words(model: Any, labels: Sequence[str] | None, numbers: Sequence[int], power: int) -> list[str] | None:
    """Return the names of some columns with a power of their units; None where columns only have numbers."""
    columns = columns_of(model, model.n_features_in_)
    if labels is not None or not columns.named:
        return None if labels is None else [column_names(model, len(columns), labels)[j] for j in numbers]
    if power == 1:
        return [columns[j].label for j in numbers]
    return [columns[j].name + (_inverse(columns[j].units) if power else "") for j in numbers]


def _inverse(unit: str | None) -> str:
    """Return one over a unit, in brackets; nothing for none."""
    if not unit or unit == "1":
        return ""
    return f" (1/{unit})" if unit.isalnum() else f" (1/({unit}))"


def _numbers(
    name: str, values: Any, columns: Sequence[str] | None = None, spread: str = "deviation"
) -> Iterator[tuple[str, Any]]:
    """Yield the name of each parameter and its value in all components; covariances become standard deviations.

    These are called `spread`. Parameters with a value for each column have the names of the columns, if they are given.
    """
    if isinstance(values, list | tuple):
        for i, inner in enumerate(values):
            yield from _numbers(f"{name} {i if columns is None else columns[i]}", inner)
        return
    array = np.asarray(values)
    if array.ndim == 3 and array.shape[1] == array.shape[2]:
        name, array = spread, np.sqrt(np.einsum("kii->ki", array))
    elif name == "covariances":
        name, array = spread, np.sqrt(array)
    name = SINGULAR.get(name, name.replace("_", " "))
    by_column = columns is not None and array.shape[1:] == (len(columns),)
    for place in np.ndindex(array.shape[1:]):
        words = columns[place[0]] if columns is not None and by_column else ", ".join(map(str, place))
        yield f"{name} {words}".strip(), array[(slice(None), *place)]


def _loadings(model: Any, labels: Sequence[str] | None, most: int) -> TextTable:
    q, d = model.components_.shape
    shown, names = min(q, most), column_names(model, d, labels)
    rows = [
        (names[j], *(f"{value:.4g}" for value in model.components_[:shown, j]), f"{model.noise_variance_[j]:.4g}")
        for j in range(min(d, MOST_ROWS))
    ]
    header = ("column", *(f"latent {i}" for i in range(shown)), "noise variance")
    rest = f"({human.plural(d - len(rows), 'more column')} not shown)" if d > len(rows) else ""
    return TextTable("Loadings", header, tuple(rows), rest)


def _clusters(model: Any, labels: Sequence[str] | None, most: int) -> TextTable:
    k, d = model.cluster_centers_.shape
    shown, names = shown_columns(model, d, most), column_names(model, d, labels)
    counts = model.cluster_counts_
    order = np.argsort(-counts, kind="stable")[:MOST_ROWS]
    radius = np.sqrt(model.cluster_inertias_ / np.where(counts > 0, counts, 1.0))
    rows = [
        (
            str(i),
            f"{counts[i]:,.10g}",
            human.number(radius[i]),
            *(f"{model.cluster_centers_[i, j]:.4g}" for j in shown),
        )
        for i in order
    ]
    scaled = in_scaled_units(model)
    title = f"Clusters: centres; distances{scaled}" if scaled else "Clusters: centres"
    rest = _left_out(d - len(shown), k - len(order), "smaller clusters")
    header = ("cluster", "weight of rows", "rms distance", *(names[j] for j in shown))
    return TextTable(title, header, tuple(rows), rest)


def _left_out(columns: int, rows: int, what: str, of_columns: str = "columns") -> str:
    rest = [f"{columns} more {of_columns}"] if columns else []
    rest += [f"{rows} {what}"] if rows else []
    return f"({' and '.join(rest)} not shown)" if rest else ""


def _spectrum(model: Any) -> TextTable:
    ratio = np.asarray(model.explained_variance_ratio_)
    rows = [
        (str(i), human.number(variance), f"{share:.2%}", f"{total:.2%}")
        for i, (variance, share, total) in enumerate(
            zip(model.explained_variance_, ratio, np.cumsum(ratio), strict=True)
        )
    ]
    words = f", variances{in_scaled_units(model)}" if in_scaled_units(model) else ""
    noise = f"Noise variance in each direction left out: {human.number(float(model.noise_variance_))}"
    rest = noise if len(rows) <= MOST_ROWS else f"({len(rows) - MOST_ROWS} more)\n{noise}"
    header = ("latent", "variance", "share", "cumulative")
    return TextTable(f"Latents{words}", header, tuple(rows[:MOST_ROWS]), rest)
