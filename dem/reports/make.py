"""`dem.report`: a model on one page, for people, and its record, for machines."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

from sklearn.utils.validation import check_is_fitted

from dem.engine.engine import Engine
from dem.estimators.loading import load
from dem.estimators.parameter_tables import history_table, parameter_tables
from dem.estimators.summary import column_names
from dem.reports import page
from dem.reports.facts import Facts, class_table, column_table, facts_of, selection_table
from dem.reports.observed import ObservedRows, observed_rows
from dem.reports.pictures import criterion_picture, page_pictures
from dem.reports.record import record_of
from dem.reports.warnings import checks_of, warnings_of
from dem.storage.files import write_files

MOST_COLUMNS = 24
"""The most columns of a table of parameters: the table scrolls inside its box."""


@dataclass(frozen=True)
class Report:
    """A report of a fitted model.

    Attributes
    ----------
    model : estimator
    observed : ObservedRows or None
        What a pass over the rows has found.
    labels : sequence of str or None
        The names of the columns.
    facts : Facts
    warnings : list of str
        What to look at before the model is used.
    record : dict
        Everything on the page and more, for machines, as JSON takes it; see `dem.reports.record.record_of`.
    """

    model: Any = field(repr=False)
    observed: ObservedRows | None = field(repr=False)
    labels: Sequence[str] | None = field(repr=False)
    facts: Facts
    warnings: list[str]
    record: dict[str, Any] = field(repr=False)

    @cached_property
    def html(self) -> str:
        """One page without scripts, which needs no other file. Its pictures are drawn when it is first asked for."""
        model, labels = self.model, self.labels
        pictures = page_pictures(model, None if self.observed is None else self.observed.sample, labels)
        return page.render(
            facts=self.facts,
            warnings=self.warnings,
            checked=checks_of(model),
            pictures=[picture for picture in pictures if picture.data],
            classes=class_table(model, self.observed),
            parameters=parameter_tables(model, labels, MOST_COLUMNS),
            selection=selection_table(model),
            curve=criterion_picture(model),
            columns=column_table(model, labels),
            history=history_table(model),
            absent=page.not_shown(self.observed is not None, pictures, model),
        )

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the page to a path or URL, whole or not at all. If that ends in .json, write the record.

        Raises
        ------
        FileExistsError
            There is a file, and `overwrite` is not set.
        OSError
            The file cannot be written.
        """
        as_json = os.fspath(path).endswith(".json")
        text = json.dumps(self.record, indent=2) + "\n" if as_json else self.html
        write_files({os.fspath(path): text.encode("utf-8")}, overwrite=overwrite)

    def _repr_html_(self) -> str:
        """Return the page in a frame, for notebooks."""
        style = "width:100%;height:640px;border:1px solid #ccc"
        return f'<iframe title="report" style="{style}" srcdoc="{escape(self.html)}"></iframe>'


def report(model: Any, X: Any = None, *, labels: Sequence[str] | None = None, engine: Engine | None = None) -> Report:
    """Return a report of a fitted model: what was fitted on what, how, what it found, and what to beware of.

    Parameters
    ----------
    model : estimator, Selection, str or Path
        A fitted model, the result of `dem.select`, or the path or URL of a saved model.
    X : str, Path, array, data frame, xarray object, optional
        The rows: they are read in one pass, for the score, the sizes of the classes, and the pictures. Without them,
        the page has what the model knows, and says what it cannot show.
    labels : sequence of str, optional
        The names of all columns; by default those of the training data.
    engine : dem.Engine, optional
        Where the pass runs, and how much memory it may use.

    Returns
    -------
    Report
        `save` writes the page; a notebook shows it.

    Raises
    ------
    ValueError
        The data do not suit the model, the model was not fitted to data, or the number of labels is not that of the
        columns.
    MemoryError
        The pass needs more memory than the engine's limit.
    """
    if isinstance(model, str | Path):
        model = load(model)
    model = getattr(model, "best_estimator_", model)
    check_model(model, labels)
    observed = None if X is None else observed_rows(model, X, engine)
    return report_of(model, observed, labels)


def check_model(model: Any, labels: Sequence[str] | None) -> None:
    """Refuse a model that has no report, or labels that do not suit it, before the pass over the rows.

    Raises
    ------
    ValueError
        The model was not fitted to data, or the number of labels is not that of the columns.
    """
    check_is_fitted(model)
    if not getattr(model, "source_", None):
        raise ValueError(
            f"this {type(model).__name__} was made from parameters, so there is no fit to report: fit it to data, or "
            "draw it with dem.plot"
        )
    column_names(model, model.n_features_in_, labels)


def report_of(model: Any, observed: ObservedRows | None, labels: Sequence[str] | None = None) -> Report:
    """Return the report of a model, given what a pass over the rows has found."""
    facts, warnings = facts_of(model, observed), warnings_of(model, None if observed is None else observed.classes)
    return Report(model, observed, labels, facts, warnings, record_of(model, facts, warnings, observed, labels))
