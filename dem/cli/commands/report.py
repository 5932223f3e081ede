"""dem report: a model on one page."""

from __future__ import annotations

from typing import Any

from dem.cli.commands.session import Session
from dem.cli.commands.tables import facts
from dem.estimators import load
from dem.reports.make import check_model, report_of
from dem.reports.observed import observed_rows
from dem.source.stores import address
from dem.storage.files import check_files_free


def write_report(
    model: str, output: str, session: Session, *, data: str | None, labels: list[str] | None, overwrite: bool
) -> None:
    """Write the page of a model to a path or URL.

    Parameters
    ----------
    model : str
    output : str
        Where to write the page.
    session : Session
    data : str or None
        The store whose rows are shown and scored, in one pass; None to show the model alone.
    labels : list of str or None
        The names of the columns.
    overwrite : bool

    Raises
    ------
    FileExistsError
        The page exists, and `overwrite` is not set; or the path is inside a Zarr array or group.
    ValueError
        The data do not suit the model, the model was not fitted to data, or the number of labels is not that of the
        columns.
    OSError
        The page cannot be written.
    """
    address(output)  # gives a clear error for an empty path
    check_files_free([output], overwrite=overwrite)
    estimator: Any = load(model)
    check_model(estimator, labels)
    observed = None
    if data is not None:
        with session.engine() as engine:
            observed = observed_rows(estimator, data, engine)
    made = report_of(estimator, observed, labels)
    made.save(output, overwrite=overwrite)
    record = {"output": output, "model": model, **made.record}
    if data is not None:
        record["data"] = data
    found = len(made.warnings)
    shown = {
        output: made.facts.description,
        **made.facts.score,
        "missing in training": made.facts.data.get("missing"),
        "to look at": None if not found else made.warnings[0] if found == 1 else f"{made.warnings[0]} ({found} in all)",
    }
    session.result(record, facts(shown))
