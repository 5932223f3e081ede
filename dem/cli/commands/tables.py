"""Tables for the terminal, and summaries of missing values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table

from dem.core import human
from dem.estimators.summary import (
    column_names,
    columns_of,
    covariances_among,
    history_unit,
    in_scaled_units,
    objective_history,
)

MOST_COLUMNS = 6
"""Number of columns of a model that a table shows."""
MOST_ROWS = 32
"""Number of components or passes that a table shows."""


def facts(values: Mapping[str, str | None]) -> Table:
    """Return a table of names and values, without the values that are None."""
    table = Table.grid(padding=(0, 3))
    for name, value in values.items():
        if value is not None:
            table.add_row(name, value)
    return table


def grid(header: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None) -> Table:
    """Return a plain table; the first column is aligned to the left, the others to the right."""
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for i, name in enumerate(header):
        table.add_column(name, justify="right" if i else "left")
    for row in rows:
        table.add_row(*row)
    return table


def parameter_tables(model: Any, labels: Sequence[str] | None = None) -> list[RenderableType]:
    """Return tables of the parameters of a model, as many as a person can read."""
    if hasattr(model, "cluster_centers_"):
        return _clusters(model, labels)
    if hasattr(model, "component_parameters_"):
        return _components(model, labels)
    if hasattr(model, "weights_"):
        return _mixture(model, labels)
    return _spectrum(model) if hasattr(model, "explained_variance_ratio_") else _loadings(model, labels)


def history_tables(model: Any) -> list[RenderableType]:
    """Return a table of the history of a fit: the first passes and the last ones."""
    entries = getattr(model, "history_", None) or []
    if not entries:
        return []
    name, unit, values = objective_history(model)
    changes = ["", *(f"{new - old:+.2e}" for old, new in pairwise(values))]
    rows = [[str(e["pass"]), f"{v:.9g}", c] for e, v, c in zip(entries, values, changes, strict=True)]
    if len(rows) > MOST_ROWS:
        rows = [*rows[:4], ["...", "", ""], *rows[-(MOST_ROWS - 5) :]]
    return [grid([history_unit(model), name, "change"], rows, f"History ({unit})" if unit else "History")]


def _mixture(model: Any, labels: Sequence[str] | None) -> list[RenderableType]:
    k, d = model.means_.shape
    shown = min(d, MOST_COLUMNS)
    names = column_names(model, d, labels)[:shown]
    sds = np.sqrt(np.einsum("kii->ki", covariances_among(model, range(shown))))
    order = np.argsort(model.weights_)[::-1][:MOST_ROWS]
    rows = [
        [str(i), f"{model.weights_[i]:.4f}"] + [f"{model.means_[i, j]:.4g} ± {sds[i, j]:.3g}" for j in range(shown)]
        for i in order
    ]
    table = grid(["component", "weight", *names], rows, "Components: mean ± standard deviation")
    return [table, *_left_out(d - shown, k - len(order), "lighter components")]


def _components(model: Any, labels: Sequence[str] | None) -> list[RenderableType]:
    """Return a table for each part of a product of families, or one table for a single family."""
    named, k, d = model.component_parameters_, len(model.weights_), model.n_features_in_
    numbered = labels is None and not columns_of(model, d).named
    names = None if numbered else column_names(model, d, labels)
    blocks = {part.name: part.columns for part in getattr(model.family_, "parts", ())}
    parts = named if any(isinstance(values, Mapping) for values in named.values()) else {"Components": named}
    order = np.argsort(model.weights_)[::-1][:MOST_ROWS]
    tables: list[RenderableType] = []
    for title, part in parts.items():
        words = None if names is None else [names[j] for j in blocks.get(title, range(d))]
        columns = [column for name, values in part.items() for column in _numbers(name, values, words)]
        shown = columns[:MOST_COLUMNS]
        rows = [[str(i), f"{model.weights_[i]:.4f}"] + [f"{values[i]:.4g}" for _, values in shown] for i in order]
        header = ["component", "weight", *(name for name, _ in shown)]
        rest = _left_out(len(columns) - len(shown), k - len(order), "lighter components", "parameters")
        tables += [grid(header, rows, title), *rest]
    return tables


def _numbers(name: str, values: Any, columns: Sequence[str] | None = None) -> Iterator[tuple[str, Any]]:
    """Yield the name of each parameter and its value in all components; covariances become standard deviations.

    Parameters with a value for each column have the names of the columns, if they are given.
    """
    if isinstance(values, list | tuple):
        for i, inner in enumerate(values):
            yield from _numbers(f"{name} {i if columns is None else columns[i]}", inner)
        return
    array = np.asarray(values)
    if array.ndim == 3 and array.shape[1] == array.shape[2]:
        name, array = "deviation", np.sqrt(np.einsum("kii->ki", array))
    by_column = columns is not None and array.shape[1:] == (len(columns),)
    for place in np.ndindex(array.shape[1:]):
        words = columns[place[0]] if columns is not None and by_column else ", ".join(map(str, place))
        yield f"{name} {words}".strip(), array[(slice(None), *place)]


def _loadings(model: Any, labels: Sequence[str] | None) -> list[RenderableType]:
    q, d = model.components_.shape
    shown, names = min(q, MOST_COLUMNS), column_names(model, d, labels)
    rows = [
        [names[j]] + [f"{value:.4g}" for value in model.components_[:shown, j]] + [f"{model.noise_variance_[j]:.4g}"]
        for j in range(min(d, MOST_ROWS))
    ]
    header = ["column", *(f"factor {i + 1}" for i in range(shown)), "noise variance"]
    rest = [f"({human.plural(d - len(rows), 'more column')} not shown)"] if d > len(rows) else []
    return [grid(header, rows, "Loadings"), *rest]


def _clusters(model: Any, labels: Sequence[str] | None) -> list[RenderableType]:
    k, d = model.cluster_centers_.shape
    shown = min(d, MOST_COLUMNS)
    names = column_names(model, d, labels)[:shown]
    counts = model.cluster_counts_
    order = np.argsort(-counts, kind="stable")[:MOST_ROWS]
    radius = np.sqrt(model.cluster_inertias_ / np.where(counts > 0, counts, 1.0))
    rows = [
        [str(i), f"{counts[i]:,.10g}", human.number(radius[i])]
        + [f"{model.cluster_centers_[i, j]:.4g}" for j in range(shown)]
        for i in order
    ]
    table = grid(
        ["cluster", "weight of rows", "rms distance", *names],
        rows,
        f"Clusters: centres; distances{in_scaled_units(model)}" if in_scaled_units(model) else "Clusters: centres",
    )
    return [table, *_left_out(d - shown, k - len(order), "smaller clusters")]


def _left_out(columns: int, rows: int, what: str, of_columns: str = "columns") -> list[RenderableType]:
    rest = [f"{columns} more {of_columns}"] if columns else []
    rest += [f"{rows} {what}"] if rows else []
    return [f"({' and '.join(rest)} not shown)"] if rest else []


def _spectrum(model: Any) -> list[RenderableType]:
    ratio = np.asarray(model.explained_variance_ratio_)
    rows = [
        [str(i + 1), human.number(variance), f"{share:.2%}", f"{total:.2%}"]
        for i, (variance, share, total) in enumerate(
            zip(model.explained_variance_, ratio, np.cumsum(ratio), strict=True)
        )
    ]
    words = f", variances{in_scaled_units(model)}" if in_scaled_units(model) else ""
    table = grid(["component", "variance", "share", "cumulative"], rows[:MOST_ROWS], f"Components{words}")
    noise = f"Noise variance in each direction left out: {human.number(float(model.noise_variance_))}"
    return [table, noise] if len(rows) <= MOST_ROWS else [table, f"({len(rows) - MOST_ROWS} more)", noise]


REPORT_COLUMNS = 30
"""Largest number of columns that a report lists."""


def decoding_facts(decoding: Mapping[str, Any] | None) -> dict[str, str | None]:
    """Return, in words, which values count as missing and how packed integers are unpacked.

    Parameters
    ----------
    decoding : mapping or None
        The `fingerprint` of a `dem.source.decode.Decoding`.
    """
    decoding = decoding or {"missing": [], "scale": 1, "offset": 0}
    markers = [f"{name}={value:.10g}" for name, value in decoding["missing"]]
    ends = [f"{word} {decoding[name]:.10g}" for name, word in (("low", "below"), ("high", "above")) if name in decoding]
    packed = (decoding["scale"], decoding["offset"]) != (1, 0)
    return {
        "integers": {"u": "taken as unsigned", "i": "taken as signed"}.get(decoding.get("kind", "")),
        "taken as missing": ", ".join(["NaN", *markers, *ends]),
        "unpacked": f"{decoding['scale']:.10g} v + {decoding['offset']:.10g}" if packed else None,
    }


def missing_summary(shape: Sequence[int], counts: Sequence[int], incomplete: int, empty: int) -> str:
    """Return, in words, how many values are missing and in how many rows."""
    rows, columns = shape
    if not any(counts):
        return "nothing"
    lacking = sum(count > 0 for count in counts)
    fate = " and are left out of fits" if empty else ""
    return (
        f"{human.share(sum(counts), rows * columns)} of the values, in {human.plural(lacking, 'column')}; "
        f"{human.share(incomplete, rows)} of the rows have missing values, {human.share(empty, rows)} have no value at "
        f"all{fate}"
    )


def missing_in_training(source: Mapping[str, Any] | None) -> str | None:
    """Return `missing_summary` of the training data, from `source_` of an estimator; None if it is not known."""
    if not source or "missing" not in source:
        return None
    return missing_summary(source["shape"], source["missing"], source["incomplete_rows"], source["empty_rows"])


def worst_columns(source: Mapping[str, Any] | None, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the columns of the training data with most missing values, at most `REPORT_COLUMNS` of them."""
    counts = source.get("missing", []) if source else []
    worst = sorted((j for j, count in enumerate(counts) if count), key=lambda j: -counts[j])[:REPORT_COLUMNS]
    rows = source["shape"][0] if source else 0
    return [{"column": names[j], "missing": counts[j], "share": counts[j] / rows} for j in worst]
