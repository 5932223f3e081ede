"""dem fit: fit a model to a store."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from typing import Any

from sklearn.exceptions import ConvergenceWarning

from dem import estimators
from dem.cli.commands.session import Session
from dem.cli.commands.tables import facts
from dem.cli.name_list import split_names
from dem.cli.signals import let_through
from dem.core import human
from dem.engine.sweep.process_memory import PeakMemory
from dem.estimators.base import RowwiseEstimator
from dem.estimators.earlier import EarlierModel
from dem.estimators.loading import load
from dem.estimators.matching import Matchable, check_comparable
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
from dem.source import Source, open_source
from dem.storage import checkpoint
from dem.storage.atomic import SAVED_MODELS
from dem.storage.checkpoint import Checkpoint
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


@dataclass(frozen=True)
class Job:
    """The data, the output and the checkpoint of a fit.

    Attributes
    ----------
    data, output : str
        The store to read, and the model to write.
    weights : str or None
    columns : list of str or None
        The names or numbers of the columns to use.
    overwrite : bool
        Replace an existing model.
    missing_chunks : {"fill", "error"}
        How chunks that are not in the store are handled.
    variables, sample_dims : list of str, or None
        The variables of a Zarr group, and the dimensions that make rows; see `dem.open_source`.
    checkpoint : str or None
        Where to save the fit after every pass. None means beside the output, on a cluster or if another option needs a
        checkpoint.
    no_checkpoint : bool
    resume : bool
        Keep a checkpoint also if the fit runs on one machine.
    max_passes : int or None
    max_time : float or None
        In seconds since the start of the command.
    start : str or None
        A saved model to start from.
    keep_labels : str or None
        A saved model whose components give their numbers.
    update : str or None
        A saved model to start from, and to keep the labels of, if it is there and suits the fit.
    """

    data: str
    output: str
    weights: str | None = None
    columns: list[str] | None = None
    overwrite: bool = False
    missing_chunks: str = "fill"
    variables: list[str] | None = None
    sample_dims: list[str] | None = None
    checkpoint: str | None = None
    no_checkpoint: bool = False
    resume: bool = False
    max_passes: int | None = None
    max_time: float | None = None
    start: str | None = None
    keep_labels: str | None = None
    update: str | None = None

    @classmethod
    def from_options(cls, data: str, output: str, options: dict[str, Any]) -> tuple[Job, dict[str, Any]]:
        """Return the job, and the other options, which are settings of the model.

        Raises
        ------
        ValueError
            If options contradict each other.
        """
        names = {f.name for f in dataclass_fields(cls)}
        job = cls(data, output, **{k: v for k, v in options.items() if k in names})
        if job.no_checkpoint and (job.checkpoint or job.resume or job.max_passes or job.max_time):
            raise ValueError(
                "--no-checkpoint conflicts with --checkpoint, --resume, --max-passes and --max-time: leave it out, or "
                "leave those out"
            )
        return job, {k: v for k, v in options.items() if k not in names}

    @property
    def checkpoint_path(self) -> str:
        """The path of the checkpoint, if there is one."""
        return self.checkpoint or checkpoint.default_path(self.output)

    def checkpoint_if_kept(self, *, on_cluster: bool) -> str | None:
        """Return the path of the checkpoint, or None if this fit keeps none.

        Parameters
        ----------
        on_cluster : bool
            Whether the fit runs on a cluster.
        """
        if self.no_checkpoint:
            return None
        wanted = self.checkpoint or self.resume or self.max_passes or self.max_time or on_cluster
        return self.checkpoint_path if wanted or checkpoint.exists(self.checkpoint_path) else None

    def limits(self, path: str | None, begun: float) -> Checkpoint | None:
        """Return the checkpoint at a path, with the limits of this run; `begun` is its start on the monotonic clock."""
        return None if path is None else Checkpoint(path, self.max_passes, self.max_time, begun)


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
        source = open_source(
            data,
            job.weights,
            missing_chunks=job.missing_chunks,
            missing_value=model.missing_value,
            variables=job.variables,
            sample_dims=job.sample_dims,
            columns=job.columns,
        )
        start, earlier = beginning(job, model, source, session)
        with resumable_errors(job), session.engine() as engine, PeakMemory(interval=0.2) as memory, write_lock(output):
            checkpoint_path = job.checkpoint_if_kept(on_cluster=engine.on_cluster)
            started = time.perf_counter()
            with warnings.catch_warnings():
                for reported_warning in (ConvergenceWarning, SubspaceWarning):
                    warnings.simplefilter("ignore", reported_warning)
                model.set_params(engine=engine).fit(source, checkpoint=job.limits(checkpoint_path, begun), start=start)
            seconds = time.perf_counter() - started
            matching = None if earlier is None else model.match(earlier)
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
    limit = "" if session.memory is None else f" (limit {human.size(session.memory)})"
    shown = {
        "model": f"{output}: {model.describe()}",
        "data": f"{data}: {human.plural(rows, 'row')} of {human.plural(columns, 'column')}",
        "missing": missing_in_training(model.source_) if model.source_["missing"] else None,
        "ended": f"{how_it_ended(model)}, {human.seconds(seconds)}",
        **objectives_in_words(final_objective(model)),
        **criteria_in_words(record),
        "labels": None if matching is None else f"{matching}",
        "peak memory": f"{human.size(memory.peak)} of all processes together{limit}",
    }
    session.result(record, facts(shown), facts({named(model, k): line for k, line in lines.items()}))


def beginning(job: Job, model: Any, source: Source, session: Session) -> tuple[Any, RowwiseEstimator | None]:
    """Return the model to start from, and the one whose components give their numbers; None if there are none.

    Raises
    ------
    FileNotFoundError, ValueError
        A model is not there or does not suit the fit; with `update` a fit from nothing begins then.
    """
    if job.update is None:
        if job.start is not None:
            EarlierModel.of(model, job.start).check_columns(source)
        return job.start, None if job.keep_labels is None else earlier_labels(job.keep_labels, model, source.n_columns)
    if job.start is not None or job.keep_labels is not None:
        raise ValueError("--update is --from and --keep-labels together: leave those out")
    try:
        begun = EarlierModel.of(model, job.update)
        begun.check_columns(source)
    except (FileNotFoundError, ValueError) as error:
        session.say(f"the fit starts from nothing: {error}")
        return None, None
    return begun.model, begun.model if isinstance(model, Matchable) else None


def earlier_labels(path: str, model: Any, n_columns: int) -> RowwiseEstimator:
    """Return the saved model at a path whose components give their numbers to those of a fit.

    Raises
    ------
    ValueError
        It has no components, or other columns.
    """
    earlier = load(path)
    try:
        check_comparable(model, earlier)
    except TypeError as error:
        raise ValueError(f"{path}: {error}") from None
    if earlier.n_features_in_ != n_columns:
        raise ValueError(
            f"{path} was fitted on {human.plural(earlier.n_features_in_, 'column')}, but the data have {n_columns}: "
            "leave out --keep-labels, or give a model of the same columns"
        )
    return earlier


def remove_checkpoint(checkpoint_path: str, session: Session) -> None:
    """Delete the checkpoint of a saved model; if that fails, report it: the fit itself has not failed."""
    try:
        checkpoint.remove(checkpoint_path)
    except Exception as error:  # stores raise whatever they like
        session.say(
            f"could not delete the obsolete checkpoint {checkpoint_path} ({type(error).__name__}: {error}): delete it"
        )


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
