"""What a fit or a score has reached, as numbers and in words: log-likelihoods, bounds, inertia, criteria."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dem.core import human
from dem.estimators import summary
from dem.models.criteria import CRITERIA, criteria_of_score
from dem.run.rows import Mean


def how_it_ended(model: Any) -> str:
    """Return why a fit stopped, and its numbers of iterations and passes."""
    return f"{summary.why_stopped(model)}; {summary.iterations_and_passes(model)}"


def final_objective(model: Any) -> dict[str, float]:
    """Return the final objective of a fit by name: mean log-likelihood or bound, in nats a row, or the inertia."""
    name: str = model.objective_name
    if name == "inertia":
        return {name: model.inertia_} if hasattr(model, "inertia_") else {}
    if not hasattr(model, "lower_bound_"):
        return {}
    entries = getattr(model, "history_", None) or [{}]
    value = entries[-1].get(name)  # without the prior
    return {name: model.lower_bound_ if value is None else value}


def objectives_in_words(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the objectives among these values as text with units; other values are left out."""
    words = {
        "log_likelihood": ("log-likelihood", ".6f", " nats a row"),
        "bound": ("lower bound", ".6f", " nats a row"),
        "score": ("score", ".6f", " nats a row"),
        "inertia": ("inertia", ".10g", ""),
    }
    return {
        word: f"{values[name]:{form}}{unit}" if math.isfinite(values[name]) else "none: the model has no density"
        for name, (word, form, unit) in words.items()
        if name in values
    }


def criteria(model: Any, log_likelihood: float, rows: float) -> dict[str, float]:
    """Return the criteria by name, from the log-likelihood of all rows, without a pass over the data.

    Criteria that need more than the log-likelihood are left out; the result is empty if there is no density.
    """
    return criteria_of_score(log_likelihood, model.n_parameters_, rows) if math.isfinite(log_likelihood) else {}


def criteria_in_words(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the criteria of a result as one line of text: BIC, AIC, ..."""
    names = [name for name in CRITERIA if name in record]
    values = ", ".join(f"{record[name]:.10g}" for name in names)
    return {", ".join(names).upper(): values} if names else {}


def score_in_numbers(model: Any, mean: Mean, *, weighted: bool = False) -> dict[str, Any]:
    """Return the number of rows, the number of rows without any value, and the score of rows.

    The score is the mean log-likelihood, with the criteria if there are no weights; for variational models a bound; for
    K-means the inertia.
    """
    rows = {"rows": mean.rows, "empty_rows": mean.empty_rows}
    if model.objective_name == "inertia":
        return {**rows, "inertia": -mean.total}
    if model.objective_name == "bound":
        return {**rows, "score": mean.mean}
    found = {**rows, "log_likelihood": mean.mean}
    return found if weighted else {**found, **criteria(model, mean.total, mean.counted)}


def rows_scored(found: Mapping[str, Any]) -> str:
    """Return the number of rows in a score, in words."""
    empty = found.get("empty_rows", 0)
    rest = f" ({empty:,} more rows have no value at all)" if empty else ""
    return f"over {human.plural(found['rows'] - empty, 'row')}{rest}"
