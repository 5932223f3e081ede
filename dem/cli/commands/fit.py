"""dem fit: fit a model to a store."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sklearn.exceptions import ConvergenceWarning

from dem import estimators
from dem.cli.commands.earlier import beginning, fit_from, matching_with
from dem.cli.commands.job import Job
from dem.cli.commands.session import Session
from dem.cli.commands.tables import facts
from dem.cli.name_list import split_names
from dem.cli.signals import let_through
from dem.core import human
from dem.engine.sweep.process_memory import PeakMemory
from dem.estimators.objectives import (
    criteria,
    criteria_in_words,
    final_objective,
    how_it_ended,
    objectives_in_words,
)
from dem.estimators.ppca import SubspaceWarning
from dem.estimators.summary import missing_in_training
from dem.estimators.telling import component_lines, named
from dem.results.new_array import is_resumable
from dem.storage import checkpoint
from dem.storage.atomic import SAVED_MODELS
from dem.storage.lock import Interrupted, write_lock


def fit_estimator(estimator: str, data: str, output: str, session: Session, **options: Any) -> None:
    """Fit the estimator of `dem.estimators` with this name, and save it; see `fit_job`."""
    job, settings = Job.from_options(data, output, options)
    fit_job(getattr(estimators, estimator)(**settings), job, session)


MOST_COLUMNS = 1_000_000
"""Higher column numbers are mistakes."""


def fit_mixture(data: str, output: str, session: Session, *, families: tuple[str, ...], **options: Any) -> None:
    """Fit a mixture of any family, given as FAMILY or as COLUMNS=FAMILY once for each block of columns.

    FAMILY is a name, with or without settings, such as studentt:diag: see `dem.estimators.family_spec`.

    Raises
    ------
    ValueError
        If there are several families without columns.
    """
    fit_estimator("Mixture", data, output, session, family=family_of(families), **options)


def family_of(families: tuple[str, ...]) -> Any:
    """Return the family that the words of `--family` describe: see `fit_mixture`.

    Raises
    ------
    ValueError
        If there are several families without columns.
    """
    without_columns = len(families) == 1 and "=" not in families[0].partition(":")[0]
    return families[0] if without_columns else [parse_block(word) for word in families]


def parse_block(word: str) -> tuple[list[int] | list[str], str]:
    """Return the columns and the family of an option such as 0,2-5=studentt:diag or rain,wind=gamma.

    Raises
    ------
    ValueError
    """
    columns, equals, name = word.partition("=")
    names = split_names(columns)
    if not equals or not names or not all(names) or ":" in columns:
        raise ValueError(
            f"--family {word} does not give the columns by their numbers or names: write, for example, "
            "0,2-5=gaussian or rain,wind=gamma"
        )
    ranges = [re.fullmatch(r"([0-9]+)(?:-([0-9]+))?", part) for part in names]
    if not all(ranges):
        return names, name
    ends = [(int(part[1]), int(part[2] or part[1])) for part in ranges if part]
    if any(last < first or last >= MOST_COLUMNS for first, last in ends):
        raise ValueError(
            f"--family {word}: a range of columns goes from a lower to a higher number, below {MOST_COLUMNS:,}"
        )
    return [column for first, last in ends for column in range(first, last + 1)], name


def fit_job(model: Any, job: Job, session: Session) -> None:
    """Fit a model and save it, as `dem fit` and the workflows do.

    Parameters
    ----------
    model : estimator
        Of `dem.estimators`.
    job : Job
    session : Session

    Raises
    ------
    Stopped, KeyboardInterrupt
        If the same call continues the fit, the attribute `resumable` is a sentence that says so.
    """
    output, data = job.output, job.data
    begun = time.monotonic()
    with explained_interrupt(job):
        SAVED_MODELS.check_free(output, overwrite=job.overwrite)  # before the work, not after it
        source = job.open(model.missing_value)
        start, labels_of = beginning(job, model, source, session)
        with resumable_errors(job), session.engine() as engine, PeakMemory(interval=0.2) as memory, write_lock(output):
            checkpoint_path = job.checkpoint_if_kept(on_cluster=engine.on_cluster)
            started = time.perf_counter()
            with warnings_of_summary():
                model.set_params(engine=engine)
                fit_from(start, model, source, job, session, job.limits(checkpoint_path, begun))
            seconds = time.perf_counter() - started
            matching = matching_with(labels_of, model, session)
            if matching is not None:
                model = model.reordered(matching.order)
            model.save(output, overwrite=job.overwrite)
            if checkpoint_path is not None:
                remove_checkpoint(checkpoint_path, session)
    rows, columns = model.source_["shape"]
    record = {
        "output": output,
        "model": type(model).__name__,
        "data": data,
        "rows": rows,
        "columns": columns,
        "empty_rows": model.source_["empty_rows"],
        **final_objective(model),
        "stop_reason": model.stop_reason_,
        "iterations": model.n_iter_,
        "passes": model.n_passes_,
        "seconds": seconds,
        "peak_memory": memory.peak,
        **({} if matching is None else {"labels": matching.record()}),
    }
    lines = component_lines(model)
    record |= {"components": lines} if lines else {}
    if job.weights is None and "log_likelihood" in record:  # the criteria need rows of equal weight
        n = rows - record["empty_rows"]
        record.update(criteria(model, record["log_likelihood"] * n, n))
    shown = {
        "model": f"{output}: {model.describe()}",
        "data": f"{data}: {human.plural(rows, 'row')} of {human.plural(columns, 'column')}",
        "missing": missing_in_training(model.source_) if model.source_["missing"] else None,
        "ended": f"{how_it_ended(model)}, {human.seconds(seconds)}",
        **objectives_in_words(final_objective(model)),
        **criteria_in_words(record),
        "labels": None if matching is None else f"{matching}",
        "peak memory": session.peak_in_words(memory.peak),
    }
    session.result(record, facts(shown), facts({named(model, k): line for k, line in lines.items()}))


def remove_checkpoint(checkpoint_path: str, session: Session) -> None:
    """Delete the checkpoint of a saved model; if that fails, report it: the fit itself has not failed."""
    try:
        checkpoint.remove(checkpoint_path)
    except Exception as error:  # stores raise whatever they like
        session.say(
            f"could not delete the obsolete checkpoint {checkpoint_path} ({type(error).__name__}: {error}): delete it"
        )


@contextmanager
def warnings_of_summary() -> Iterator[None]:
    """Hide the warnings that the summary at the end of a fit has as sentences."""
    with warnings.catch_warnings():
        for kind in (ConvergenceWarning, SubspaceWarning):
            warnings.simplefilter("ignore", kind)
        yield


@contextmanager
def explained_interrupt(job: Job) -> Iterator[None]:
    """Deliver signals that were held back; add to an interrupt that the same command continues, if it does."""
    try:
        let_through()
        yield
    except KeyboardInterrupt:
        if has_checkpoint(job):
            what_to_do = "contains the fit so far: run the same command again to continue"
            raise Interrupted(f"interrupted; {job.checkpoint_path} {what_to_do}") from None
        raise


@contextmanager
def resumable_errors(job: Job) -> Iterator[None]:
    """Add to an error that stopped a fit that the same command continues, if there is a checkpoint."""
    try:
        yield
    except Exception as error:
        if is_resumable(error) and has_checkpoint(job):
            what_to_do = f"{job.checkpoint_path} contains the fit so far: run the same command again to continue"
            sentence = f"{str(error).rstrip('.')}. {what_to_do}"
            raise (OSError if isinstance(error, OSError) else RuntimeError)(sentence) from error
        raise


def has_checkpoint(job: Job) -> bool:
    """Whether the job has a checkpoint to continue from; False if its store cannot be read."""
    with suppress(OSError):
        return not job.no_checkpoint and checkpoint.exists(job.checkpoint_path)
    return False
