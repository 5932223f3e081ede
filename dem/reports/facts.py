"""What was fitted on what, how, and why it stopped: the facts of a report, in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dem.core import human
from dem.estimators import objectives, summary, telling
from dem.estimators.parameter_tables import TextTable
from dem.reports.observed import ObservedRows

MOST_COLUMNS_LISTED = 60
"""The most columns of the data that a page lists."""
MOST_CLASSES_LISTED = 60


@dataclass(frozen=True)
class Facts:
    """The facts about a fitted model, all of them text; valid in JSON.

    Attributes
    ----------
    kind, description : str
    data, fit, score, settings : dict of str to str
        What it was fitted on; how, and how far the optimum may be; how well it fits the store; what was asked for.
    components : dict of str to str
        Size and most telling columns of each component, by its number.
    """

    kind: str
    description: str
    data: dict[str, str]
    fit: dict[str, str]
    score: dict[str, str]
    settings: dict[str, str]
    components: dict[str, str]


def facts_of(model: Any, observed: ObservedRows | None = None) -> Facts:
    """Return the facts about a fitted model, and about the rows of a store if they were observed."""
    return Facts(
        type(model).__name__,
        model.describe(),
        _present(_data(model, observed)),
        _present(_fit(model)),
        {} if observed is None else _score(observed.score),
        _settings(model),
        telling.component_lines(model, MOST_CLASSES_LISTED),
    )


def _present(values: dict[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}


def _data(model: Any, observed: ObservedRows | None) -> dict[str, str | None]:
    source = model.source_
    rows, columns = source["shape"]
    nbytes = human.size(rows * columns * np.dtype(source["dtype"]).itemsize)
    found = {
        "fitted on": source["name"],
        "shape": f"{human.plural(rows, 'row')} of {human.plural(columns, 'column')}",
        "size": f"{nbytes} of {source['dtype']} values",
        "rows are along": ", ".join(model.sample_dims_) if model.sample_dims_ else None,
        "missing": summary.missing_in_training(source),
    }
    if observed is None:
        return found
    store = observed.store
    if store.name != source["name"] or [store.rows, store.columns] != list(source["shape"]):
        found["pictures and score"] = (
            f"of other data: {store.name}, {human.plural(store.rows, 'row')} of {human.plural(store.columns, 'column')}"
        )
        found["missing there"] = summary.missing_summary(
            (store.rows, store.columns), store.missing, store.incomplete_rows, store.empty_rows
        )
    if store.chunk_rows is not None:
        chunk = human.plural(min(store.chunk_rows, store.rows), "row")
        found["chunks"] = f"of {chunk}, read in {human.plural(store.blocks, 'block')}"
    return found


def _fit(model: Any) -> dict[str, str | None]:
    run = getattr(model, "run_", None) or {}
    return {
        "ended": summary.why_stopped(model),
        "work": summary.iterations_and_passes(model),
        "time": human.seconds(run["seconds"]) if "seconds" in run else None,
        "where": run.get("where"),
        **objectives.objectives_in_words(objectives.final_objective(model)),
        "still to gain": still_to_gain(model),
        "starts": summary.starts_in_words(model),
        "added to variances": summary.reg_covar_text(model),
        "parameters": f"{model.n_parameters_:,} free ones" if hasattr(model, "n_parameters_") else None,
        "version": f"dem {run['dem']}" if "dem" in run else None,
    }


def still_to_gain(model: Any) -> str | None:
    """Return how far the objective may be from its optimum, in words; None if nothing is known."""
    if (rest := summary.rest_in_words(model)) is not None:
        return rest
    entries = getattr(model, "history_", None) or []
    if len(entries) < 2 or model.stop_reason_ == "closed_form":
        return None
    _, unit, values = summary.objective_history(model)
    return f"the last step gained {abs(values[-1] - values[-2]):.1g} {unit}".rstrip()


def _score(score: dict[str, Any]) -> dict[str, str]:
    words = objectives.objectives_in_words(score)
    scored = {name: f"{text}, {objectives.rows_scored(score)}" for name, text in words.items()}
    return {**scored, **objectives.criteria_in_words(score)}


def _settings(model: Any) -> dict[str, str]:
    """Return the settings that are not the defaults, and the seed."""
    params = model.get_params(deep=False)
    defaults = type(model)().get_params(deep=False)
    hidden = ("engine", "verbose", "verbose_interval")
    chosen = {
        name: value
        for name, value in params.items()
        if name not in hidden and (name == "random_state" or not _same(value, defaults.get(name)))
    }
    return {name: _setting(value) for name, value in chosen.items()}


def _same(value: Any, default: Any) -> bool:
    return type(value) is type(default) and not isinstance(value, np.ndarray) and bool(value == default)


def _setting(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, Mapping):
        return _setting("; ".join(f"{name}: {_one_word(of)}" for name, of in value.items()))
    text = _one_word(value) if not isinstance(value, np.ndarray) else f"given, of shape {value.shape}"
    return text if len(text) <= 120 else f"{text[:117]}..."


def _one_word(value: Any) -> str:
    """Return a setting as text; of an object, such as a family, only its kind."""
    return type(value).__name__ if dataclasses.is_dataclass(value) else str(value)


def column_table(model: Any, labels: Sequence[str] | None = None) -> TextTable | None:
    """Return a table of the columns of the training data; None for models of earlier versions."""
    source = model.source_
    kept = source.get("columns") or {}
    rows, d = source["shape"]
    if len(kept.get("mean", ())) != d:
        return None
    names = summary.column_names(model, d, labels)
    missing = source["missing"] or [0] * d
    lines = [
        (names[j], *(_number(kept[name][j]) for name in ("mean", "deviation", "low", "high")), _share(missing[j], rows))
        for j in range(min(d, MOST_COLUMNS_LISTED))
    ]
    rest = f"{human.plural(d - len(lines), 'more column')} not shown" if d > len(lines) else ""
    return TextTable("Columns", ("column", "mean", "deviation", "least", "largest", "missing"), tuple(lines), rest)


def class_table(model: Any, observed: ObservedRows | None) -> TextTable | None:
    """Return a table of the components or clusters, the largest first; None for models without them."""
    if not telling.component_lines(model, 1):
        return None
    sizes, found = telling.shares(model), telling.traits(model)
    word = telling.class_word(model)
    counts = None if observed is None or observed.classes is None else observed.classes.counts
    whole = 0.0 if counts is None else float(counts.sum()) or 1.0
    lines = []
    order = np.argsort(-sizes, kind="stable").tolist()
    for k in order[:MOST_CLASSES_LISTED]:
        rows = [] if counts is None else [f"{counts[k]:,.0f} ({telling.percent(float(counts[k]) / whole)})"]
        lines.append((str(k), telling.percent(float(sizes[k])), telling.in_words(found, k, 3), *rows))
    header = (word, "share" if word == "cluster" else "weight", "most telling", *([] if counts is None else ["rows"]))
    left = len(order) - len(lines)
    return TextTable(f"{word.title()}s", header, tuple(lines), f"{left} smaller ones not shown" if left else "")


def selection_table(model: Any) -> TextTable | None:
    """Return the table of the selection that chose the model; None if there was none."""
    kept = getattr(model, "selection_", None)
    if not kept:
        return None
    criterion = kept["criterion"]
    values = [row["value"] for row in kept["table"] if row["name"] == kept["best"]]
    best = values[0] if values and values[0] is not None else None
    lines = []
    for row in kept["table"]:
        value = row["value"]
        more = "" if value is None or best is None else f"{value - best:.4g}"
        end = f"dropped after pass {row['ended_in']}" if row["ended"] == "dropped" else str(row["ended"])
        mark = " (chosen)" if row["name"] == kept["best"] else ""
        likelihood = "" if row["log_likelihood"] is None else f"{row['log_likelihood']:.6f}"
        lines.append(
            (row["name"] + mark, likelihood, "" if value is None else f"{value:.8g}", more, end.replace("_", " "))
        )
    header = ("candidate", "log-likelihood", criterion.upper().replace("_", " "), "more than the best", "ended")
    return TextTable("Candidates", header, tuple(lines))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.5g}"


def _share(n: int, whole: int) -> str:
    return "0" if n == 0 else human.share(n, whole)
