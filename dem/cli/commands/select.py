"""dem select: fit several models to a store with common passes, and save the best."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType

from dem import estimators
from dem.cli.commands.earlier import labels_to_keep, matching_with
from dem.cli.commands.fit import (
    explained_interrupt,
    how_it_ended,
    remove_checkpoint,
    resumable_errors,
    warnings_of_summary,
)
from dem.cli.commands.job import Job
from dem.cli.commands.session import Session
from dem.cli.commands.tables import facts, grid
from dem.core import human
from dem.engine.sweep.process_memory import PeakMemory
from dem.estimators.matching import Matching
from dem.selection import CandidateResult, Selection, select
from dem.storage.atomic import SAVED_MODELS
from dem.storage.files import write_files
from dem.storage.lock import write_lock


def select_estimator(
    estimator: str, data: str, output: str, session: Session, *, candidates: Mapping[str, Any], **options: Any
) -> None:
    """Select among estimators of this name and save the best; `candidates` are the settings with several values."""
    criterion, groups, picture = (options.pop(name, None) for name in ("criterion", "groups", "picture"))
    job, settings = Job.from_options(data, output, options)
    select_job(getattr(estimators, estimator)(**settings), candidates, job, session, criterion, groups, picture)


def select_job(
    estimator: Any,
    candidates: Mapping[str, Any],
    job: Job,
    session: Session,
    criterion: str | None = None,
    groups: str | None = None,
    picture: str | None = None,
) -> None:
    """Select among the candidates and save the best model, as `dem select` and the workflows do.

    Parameters
    ----------
    estimator : estimator
        Of `dem.estimators`, with the settings of all candidates.
    candidates : mapping of str to list
        The settings with several values.
    job : Job
    session : Session
    criterion, groups
        See `dem.select`.
    picture : str or None
        The path of the picture to write.

    Raises
    ------
    Stopped, KeyboardInterrupt
        If the same call continues, the attribute `resumable` is a sentence that says so.
    """
    output, begun = job.output, time.monotonic()
    with explained_interrupt(job):
        SAVED_MODELS.check_free(output, overwrite=job.overwrite)  # before the work, not after it
        if picture is not None:
            from dem.cli.commands.picture import check_picture

            check_picture(picture, overwrite=job.overwrite)
        source = job.open(estimator.missing_value)
        earlier = labels_to_keep(job, estimator, source, session)
        with resumable_errors(job), session.engine() as engine, PeakMemory(interval=0.2) as memory, write_lock(output):
            path = job.checkpoint_if_kept(on_cluster=engine.on_cluster)
            started = time.perf_counter()
            with warnings_of_summary():
                found = select(
                    source,
                    estimator.set_params(engine=engine),
                    criterion=criterion,
                    groups=groups,
                    checkpoint=job.limits(path, begun),
                    **candidates,
                )
            seconds = time.perf_counter() - started
            matching = matching_with(earlier, found.best_estimator_, session)
            if matching is not None:
                found = found.reordered(matching.order)
            found.save(output, overwrite=job.overwrite)
            if picture is not None:
                write_picture(found, picture, overwrite=job.overwrite)
            if path is not None:
                remove_checkpoint(path, session)
    show(found, job, session, seconds, memory.peak, matching)


def write_picture(found: Selection, path: str, *, overwrite: bool) -> None:
    """Write the curve of the criterion."""
    from dem.cli.commands.picture import rendered
    from dem.plot import criterion

    write_files({path: rendered(criterion(found), path)}, overwrite=overwrite)


def show(found: Selection, job: Job, session: Session, seconds: float, peak: int, matching: Matching | None) -> None:
    """Print the table and the sentences."""
    model = found.best_estimator_
    rows, columns = model.source_["shape"]
    record = {
        "output": job.output,
        "model": type(model).__name__,
        "data": job.data,
        "rows": rows,
        "columns": columns,
        **found.as_json(),
        "seconds": seconds,
        "peak_memory": peak,
        **({} if matching is None else {"labels": matching.record()}),
    }
    shown = {
        "best": f"{job.output}: {found.best.name}; {model.describe()}",
        "data": f"{job.data}: {human.plural(rows, 'row')} of {human.plural(columns, 'column')}",
        "ended": f"{how_it_ended(model)}, {human.seconds(seconds)}",
        "labels": None if matching is None else f"{matching}",
        "peak memory": session.peak_in_words(peak),
    }
    session.result(record, selection_table(found), *found.sentences, facts(shown))


def selection_table(found: Selection) -> RenderableType:
    """Return the candidates as a table."""
    word = found.criterion.upper().replace("_", " ")
    header = ["candidate", "log-likelihood", "parameters", word, "more than the best", "passes", "ended"]
    return grid(header, [_row(row, found.best) for row in found.table])


def _row(row: CandidateResult, best: CandidateResult) -> list[str]:
    more = None if row.value is None or best.value is None else row.value - best.value
    return [
        f"{row.name}{' *' if row.name == best.name else ''}",
        "" if row.log_likelihood is None else f"{row.log_likelihood:.6f}",
        "" if row.n_parameters is None else f"{row.n_parameters:,}",
        f"{row.value:.10g}" if row.value is not None else "",
        "" if more is None else f"{more:.4g}",
        str(row.passes),
        f"dropped after pass {row.ended_in}" if row.ended == "dropped" else row.ended.replace("_", " "),
    ]
