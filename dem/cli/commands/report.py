"""dem report: a model's numbers and its picture, in a folder."""

from __future__ import annotations

import json
from typing import Any

from dem import plot
from dem.cli.commands.fit import how_it_ended, objectives_in_words
from dem.cli.commands.picture import rendered
from dem.cli.commands.rows import rows_scored, score_record, with_density
from dem.cli.commands.session import Session, json_value
from dem.cli.commands.tables import facts, missing_in_training, worst_columns
from dem.estimators import summary
from dem.estimators.loading import restored
from dem.models.criteria import CRITERIA
from dem.storage.atomic import SAVED_MODELS
from dem.storage.document import GroupContents
from dem.storage.files import check_files_free, read_text, write_files

LARGEST_ARRAY = 1000
"""The most entries of an array in a report; larger arrays are only in the model."""
SCORE_FIELDS = ("rows", "empty_rows", "log_likelihood", "score", *CRITERIA)
"""The fields that a report takes from an existing score."""


def report(
    model: str,
    output: str,
    session: Session,
    *,
    data: str,
    score: str | None,
    labels: list[str] | None,
    overwrite: bool,
) -> None:
    """Write report.png and report.json to a folder, which is created if needed.

    Parameters
    ----------
    model : str
    output : str
        A folder, by path or URL.
    session : Session
    data : str
        The store to score, and to show a sample of.
    score : str or None
        A file with the output of `dem score --json` for this model and store; None to compute the score now, in one
        pass.
    labels : list of str or None
        The names of the columns.
    overwrite : bool

    Raises
    ------
    FileExistsError
        A report exists, and `overwrite` is not set; or the folder is inside a Zarr array or group.
    OSError
        The files cannot be written.
    """
    saved = SAVED_MODELS.load(model)
    estimator: Any = with_density(
        restored(saved, model), model, "`dem report` cannot describe it; use `dem info` and `dem plot`"
    )
    shown, numbers = (f"{output.rstrip('/')}/report.{kind}" for kind in ("png", "json"))
    check_files_free([shown, numbers], overwrite=overwrite)
    known = None if score is None else _read_score(score, model, data)
    names = summary.column_names(estimator, estimator.n_features_in_, labels)
    with session.engine() as engine:  # one engine for both, so that a cluster is started once
        found = score_record(estimator, data, engine) if known is None else known
        rows = plot.rows(estimator, data, engine=engine)
    drawn = plot.figure(estimator, rows, labels=labels)
    record = json_value({"model": model, **_described(saved, estimator, names), "data": data, **found})
    text = json.dumps(record, indent=2) + "\n"
    # The numbers are written last: if they exist, the picture exists too.
    write_files({shown: rendered(drawn, shown), numbers: text.encode()}, overwrite=overwrite)
    scores = {name: f"{words}, {rows_scored(found)}" for name, words in objectives_in_words(found).items()}
    missing = missing_in_training(getattr(estimator, "source_", None))
    session.result(
        {"output": output, **record},
        facts({numbers: record["description"], "missing in training": missing, shown: "picture", **scores}),
    )


def _read_score(path: str, model: str, data: str) -> dict[str, Any]:
    """Return the score in a file that `dem score --json` wrote.

    Raises
    ------
    ValueError
        If the file is not such a score, or the score of another model or of other data.
    """
    try:
        record = json.loads(read_text(path))
        missing = [name for name in ("model", "data", "rows") if name not in record]
        missing += [] if {"log_likelihood", "score"} & set(record) else ["log_likelihood"]
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError) as error:
        raise ValueError(f"{path} is not an output of `dem score --json`: {error}.") from None
    if missing:
        raise ValueError(f"{path} is not an output of `dem score --json`: it lacks {', '.join(missing)}.")
    if (record["model"], record["data"]) != (model, data):
        raise ValueError(f"{path} is the score of {record['model']} on {record['data']}, not of {model} on {data}.")
    return {name: record[name] for name in SCORE_FIELDS if name in record}


def _described(saved: GroupContents, estimator: Any, names: list[str]) -> dict[str, Any]:
    """Return how a model was fitted, and its parameters."""
    fitted = saved.attributes["fitted"]
    return {
        "kind": saved.model,
        "description": estimator.describe(),
        "ended": how_it_ended(estimator) if fitted.get("source_") else None,
        "settings": saved.attributes["settings"],
        **{name: value for name, value in fitted.items() if not name.startswith("_")},
        **_missing_counts(estimator, names),
        **{name: array for name, array in saved.arrays.items() if array.size <= LARGEST_ARRAY},
    }


def _missing_counts(estimator: Any, names: list[str]) -> dict[str, Any]:
    """Return the counts of missing values in the training data; empty if the model has no record of them."""
    source = getattr(estimator, "source_", None)
    if not source or "missing" not in source:
        return {}
    rows = {name: source[name] for name in ("incomplete_rows", "empty_rows")}
    whole = {name: value for name, value in source.items() if name != "missing"}  # of all columns, however many
    return {"source_": whole, "missing": {"columns": worst_columns(source, names), **rows}}
