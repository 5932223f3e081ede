"""Tables of the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table

from dem import human

MOST_COLUMNS = 6
MOST_ROWS = 32


def facts(values: Mapping[str, str | None]) -> Table:
    """Return names and values side by side; those that are None are left out."""
    table = Table.grid(padding=(0, 3))
    for name, value in values.items():
        if value is not None:
            table.add_row(name, value)
    return table


def grid(header: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None) -> Table:
    """Return a plain table, its first column to the left and the others to the right."""
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for i, name in enumerate(header):
        table.add_column(name, justify="right" if i else "left")
    for row in rows:
        table.add_row(*row)
    return table


def parameters(model: Any, labels: Sequence[str] | None = None) -> list[RenderableType]:
    """Return the parameters of a mixture, a PPCA or a factor analysis, as far as they can be read."""
    if hasattr(model, "weights_"):
        return _mixture(model, labels)
    return _factors(model, labels) if hasattr(model, "heywood_") else _spectrum(model)


def passes(model: Any) -> list[RenderableType]:
    """Return the history of a fit: the first passes and the last ones."""
    entries = getattr(model, "history_", None) or []
    if not entries:
        return []
    values = [entry["log_likelihood"] for entry in entries]
    changes = ["", *(f"{new - old:+.2e}" for old, new in pairwise(values))]
    rows = [[str(e["pass"]), f"{v:.9g}", c] for e, v, c in zip(entries, values, changes, strict=True)]
    if len(rows) > MOST_ROWS:
        rows = [*rows[:4], ["...", "", ""], *rows[-(MOST_ROWS - 5) :]]
    what = "pass" if hasattr(model, "weights_") else "iteration"
    return [grid([what, "log-likelihood", "change"], rows, "History (nats a row)")]


def _mixture(model: Any, labels: Sequence[str] | None) -> list[RenderableType]:
    k, d = model.means_.shape
    shown = min(d, MOST_COLUMNS)
    names = human.column_names(model, d, labels)[:shown]
    sds = np.sqrt(np.einsum("kii->ki", human.covariances_among(model, range(shown))))
    order = np.argsort(model.weights_)[::-1][:MOST_ROWS]
    rows = [
        [str(i), f"{model.weights_[i]:.4f}"] + [f"{model.means_[i, j]:.4g} ± {sds[i, j]:.3g}" for j in range(shown)]
        for i in order
    ]
    tables: list[RenderableType] = [
        grid(["component", "weight", *names], rows, "Components: mean ± standard deviation")
    ]
    if d > shown or k > len(order):
        rest = f"{d - shown} more columns" if d > shown else ""
        rest += (" and " if rest and k > len(order) else "") + (
            f"{k - len(order)} lighter components" if k > len(order) else ""
        )
        tables.append(f"({rest} not shown)")
    return tables


def _spectrum(model: Any) -> list[RenderableType]:
    ratio = np.asarray(model.explained_variance_ratio_)
    rows = [
        [str(i + 1), human.number(variance), f"{share:.2%}", f"{total:.2%}"]
        for i, (variance, share, total) in enumerate(
            zip(model.explained_variance_, ratio, np.cumsum(ratio), strict=True)
        )
    ]
    table = grid(["component", "variance", "share", "cumulative"], rows[:MOST_ROWS], "Components")
    noise = f"Noise variance in each direction left out: {human.number(float(model.noise_variance_))}"
    return [table, noise] if len(rows) <= MOST_ROWS else [table, f"({len(rows) - MOST_ROWS} more)", noise]


def _factors(model: Any, labels: Sequence[str] | None) -> list[RenderableType]:
    loadings = human.correlations(model)[:, :MOST_COLUMNS]
    d, q = loadings.shape
    names = human.column_names(model, d, labels)
    rows = [[names[j], *(f"{value:.3f}" for value in loadings[j])] for j in range(min(d, MOST_ROWS))]
    header = ["column", *(f"factor {i + 1}" for i in range(q))]
    tables: list[RenderableType] = [grid(header, rows, "Correlations")]
    left_out = [(d - len(rows), "column"), (model.n_components_ - q, "factor")]
    rest = " and ".join(human.plural(n, f"more {noun}") for n, noun in left_out if n)
    return [*tables, f"({rest} not shown)"] if rest else tables
