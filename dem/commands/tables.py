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
    """Return the parameters of a mixture, a K-means or a PPCA, as far as they can be read."""
    if hasattr(model, "cluster_centers_"):
        return _clusters(model, labels)
    return _mixture(model, labels) if hasattr(model, "weights_") else _spectrum(model)


def passes(model: Any) -> list[RenderableType]:
    """Return the history of a fit: the first passes and the last ones."""
    entries = getattr(model, "history_", None) or []
    if not entries:
        return []
    name, unit = ("inertia", "") if "inertia" in entries[0] else ("log_likelihood", " (nats a row)")
    values = [entry[name] for entry in entries]
    changes = ["", *(f"{new - old:+.2e}" for old, new in pairwise(values))]
    rows = [[str(e["pass"]), f"{v:.9g}", c] for e, v, c in zip(entries, values, changes, strict=True)]
    if len(rows) > MOST_ROWS:
        rows = [*rows[:4], ["...", "", ""], *rows[-(MOST_ROWS - 5) :]]
    what = "iteration" if hasattr(model, "singular_values_") else "pass"
    return [grid([what, name.replace("_", "-"), "change"], rows, f"History{unit}")]


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
    table = grid(["component", "weight", *names], rows, "Components: mean ± standard deviation")
    return [table, *_left_out(d - shown, k - len(order), "lighter components")]


def _clusters(model: Any, labels: Sequence[str] | None) -> list[RenderableType]:
    k, d = model.cluster_centers_.shape
    shown = min(d, MOST_COLUMNS)
    names = human.column_names(model, d, labels)[:shown]
    counts = model.cluster_counts_
    order = np.argsort(-counts, kind="stable")[:MOST_ROWS]
    radius = np.sqrt(model.cluster_inertias_ / np.where(counts > 0, counts, 1.0))
    rows = [
        [str(i), f"{counts[i]:,.10g}", human.number(radius[i])]
        + [f"{model.cluster_centers_[i, j]:.4g}" for j in range(shown)]
        for i in order
    ]
    table = grid(["cluster", "weight of rows", "rms distance", *names], rows, "Clusters: centres")
    return [table, *_left_out(d - shown, k - len(order), "smaller clusters")]


def _left_out(columns: int, rows: int, what: str) -> list[RenderableType]:
    rest = [f"{columns} more columns"] if columns else []
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
    table = grid(["component", "variance", "share", "cumulative"], rows[:MOST_ROWS], "Components")
    noise = f"Noise variance in each direction left out: {human.number(float(model.noise_variance_))}"
    return [table, noise] if len(rows) <= MOST_ROWS else [table, f"({len(rows) - MOST_ROWS} more)", noise]
