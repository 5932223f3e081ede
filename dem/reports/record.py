"""The record of a report, for machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from dem.core.json_value import json_value
from dem.estimators.objectives import how_it_ended
from dem.estimators.summary import column_names, worst_columns
from dem.reports.facts import Facts
from dem.reports.observed import ObservedRows

LARGEST_ARRAY = 1000
"""The most entries of an array in a record; larger arrays are only in the model."""


def record_of(
    model: Any, facts: Facts, warnings: Sequence[str], observed: ObservedRows | None, labels: Sequence[str] | None
) -> dict[str, Any]:
    """Return everything about a model and its rows that JSON can hold; numbers that are not finite become null.

    "kind", "description", "ended", "settings", the fitted attributes by their names, "missing", "facts" (in words),
    "warnings"; and of a store "data", "rows", "empty_rows", the score and the criteria, and "classes".
    """
    kept = model._attributes()
    fitted = {name: value for name, value in kept["fitted"].items() if not name.startswith("_")}
    source = fitted.get("source_") or {}
    names = column_names(model, model.n_features_in_, labels)
    if "missing" in source:
        rows = {name: source[name] for name in ("incomplete_rows", "empty_rows")}
        fitted["missing"] = {"columns": worst_columns(source, names), **rows}
        fitted["source_"] = {name: value for name, value in source.items() if name not in ("missing", "columns")}
    record = {
        "kind": type(model).__name__,
        "description": model.describe(),
        "ended": how_it_ended(model) if source else None,
        "settings": kept["settings"],
        **fitted,
        **{name: array for name, array in model._arrays().items() if array.size <= LARGEST_ARRAY and "." not in name},
        "facts": asdict(facts),
        "warnings": list(warnings),
    }
    if observed is not None:
        record |= {"data": observed.store.name, **observed.score, "classes": _classes(observed)}
    found: dict[str, Any] = json_value(record)
    return found


def _classes(observed: ObservedRows) -> dict[str, Any] | None:
    """Return the rows of each class, and their means and deviations where these are not too many."""
    classes = observed.classes
    if classes is None:
        return None
    counts = {"rows": classes.counts}
    if classes.sums.size > LARGEST_ARRAY:
        return counts
    return {**counts, "means": classes.means(observed.centre), "deviations": classes.deviations}
