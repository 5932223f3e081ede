"""dem fit: a model from a store."""

from __future__ import annotations

import math
import re
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from typing import Any

from sklearn.exceptions import ConvergenceWarning

from dem import estimators
from dem.cli.commands.session import Session
from dem.cli.commands.tables import facts, missing_in_training
from dem.cli.signals import let_through
from dem.core import human
from dem.engine.sweep.process_memory import PeakMemory
from dem.estimators import summary
from dem.estimators.base import RowwiseEstimator
from dem.estimators.ppca import SubspaceWarning
from dem.models.criteria import CRITERIA, criteria_of_score
from dem.results.new_array import is_resumable
from dem.source import open_source
from dem.storage import checkpoint
from dem.storage.atomic import SAVED_MODELS
from dem.storage.checkpoint import Checkpoint
from dem.storage.lock import Interrupted, write_lock


def fit_estimator(estimator: str, data: str, output: str, session: Session, **options: Any) -> None:
    """Fit an estimator of `dem.estimators`, named, and save it; see `fit`."""
    job, settings = Job.of(data, output, options)
    fit(getattr(estimators, estimator)(**settings), job, session)


def fit_mixture(data: str, output: str, session: Session, *, families: tuple[str, ...], **options: Any) -> None:
    """Fit a mixture of any family, given as FAMILY or as COLUMNS=FAMILY once for each block of columns.

    FAMILY is a name, with settings or without, as in studentt:diag: see `dem.estimators.family_spec`.

    Raises
    ------
    ValueError
        Several families without columns, or columns that are no numbers.
    """
    without_columns = len(families) == 1 and "=" not in families[0].partition(":")[0]
    family = families[0] if without_columns else [block(word) for word in families]
    fit_estimator("Mixture", data, output, session, family=family, **options)


def block(word: str) -> tuple[list[int], str]:
    """Return the columns and the family of a word such as 0,2-5=studentt:diag.

    Raises
    ------
    ValueError
    """
    columns, equals, name = word.partition("=")
    ranges = [re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip()) for part in columns.split(",")]
    if not equals or not all(ranges):
        raise ValueError(f"--family {word} does not name its columns by number: write, for example, 0,2-5=gaussian")
    ends = [(int(part[1]), int(part[2] or part[1])) for part in ranges if part]
    return [column for first, last in ends for column in range(first, last + 1)], name


@dataclass(frozen=True)
class Job:
    """What a fit reads and writes.

    Attributes
    ----------
    data, output : str
        A store, and the model to write.
    weights : str or None
    overwrite : bool
        Replace a model that is there.
    missing_chunks : {"fill", "error"}
        What to make of chunks that the store does not hold.
    checkpoint : str or None
        Where to keep the fit after every pass; None is beside the output, on a cluster or where it is asked for.
    no_checkpoint : bool
    resume : bool
        Keep a checkpoint on this machine, too.
    max_passes : int or None
    max_time : float or None
        In seconds, from the beginning of the command on.
    """

    data: str
    output: str
    weights: str | None = None
    overwrite: bool = False
    missing_chunks: str = "fill"
    checkpoint: str | None = None
    no_checkpoint: bool = False
    resume: bool = False
    max_passes: int | None = None
    max_time: float | None = None

    @classmethod
    def of(cls, data: str, output: str, options: dict[str, Any]) -> tuple[Job, dict[str, Any]]:
        """Return the job, and those of the options that are the model's.

        Raises
        ------
        ValueError
            Options that contradict each other.
        """
        names = {f.name for f in dataclass_fields(cls)}
        job = cls(data, output, **{k: v for k, v in options.items() if k in names})
        if job.no_checkpoint and (job.checkpoint or job.resume or job.max_passes or job.max_time):
            raise ValueError(
                "--no-checkpoint contradicts --checkpoint, --resume, --max-passes and --max-time, which need a checkpoint: "
                "leave it out, or leave these out"
            )
        return job, {k: v for k, v in options.items() if k not in names}

    @property
    def place(self) -> str:
        """Where the checkpoint is, if there is one."""
        return self.checkpoint or checkpoint.default_path(self.output)

    def kept_at(self, *, elsewhere: bool) -> str | None:
        """Return where the checkpoint is, if there is to be one.

        Parameters
        ----------
        elsewhere : bool
            The fit runs on a cluster, not on this machine alone.
        """
        if self.no_checkpoint:
            return None
        wanted = self.checkpoint or self.resume or self.max_passes or self.max_time or elsewhere
        return self.place if wanted or checkpoint.exists(self.place) else None

    def limits(self, path: str | None, begun: float) -> Checkpoint | None:
        """Return the checkpoint at a path, with the limits of this run, begun at a time of the monotonic clock."""
        return None if path is None else Checkpoint(path, self.max_passes, self.max_time, begun)


def fit(model: Any, job: Job, session: Session) -> None:
    """Fit a model and save it: what `dem fit` does, and a workflow.

    Parameters
    ----------
    model : estimator
        Of `dem.estimators`.
    job : Job
    session : Session

    Raises
    ------
    Stopped, KeyboardInterrupt
        With the attribute `resumable`, a sentence, where the same call goes on.
    """
    output, data = job.output, job.data
    begun = time.monotonic()
    with interruptible(job):
        SAVED_MODELS.check_free(output, overwrite=job.overwrite)  # before the work, not after it
        read = {"missing_chunks": job.missing_chunks, "missing_value": model.missing_value}
        source = open_source(data, job.weights, **read)
        with resumable(job), session.engine() as engine, PeakMemory(interval=0.2) as memory, write_lock(output):
            kept_at = job.kept_at(elsewhere=engine.on_cluster)
            started = time.perf_counter()
            with warnings.catch_warnings():
                for told_in_the_result in (ConvergenceWarning, SubspaceWarning):
                    warnings.simplefilter("ignore", told_in_the_result)
                model.set_params(engine=engine).fit(source, checkpoint=job.limits(kept_at, begun))
            seconds = time.perf_counter() - started
            model.save(output, overwrite=job.overwrite)
            if kept_at is not None:
                clear(kept_at, session)
    rows, columns = model.source_["shape"]
    record = {
        "output": output,
        "model": type(model).__name__,
        "data": data,
        "rows": rows,
        "columns": columns,
        "empty_rows": model.source_["empty_rows"],
        **reached(model),
        "stop_reason": model.stop_reason_,
        "iterations": model.n_iter_,
        "passes": model.n_passes_,
        "seconds": seconds,
        "peak_memory": memory.peak,
    }
    if job.weights is None and "log_likelihood" in record:  # the criteria are of n rows that count the same
        n = rows - record["empty_rows"]
        record.update(criteria(model, record["log_likelihood"] * n, n))
    limit = "" if session.memory is None else f" (limit {human.size(session.memory)})"
    shown = {
        "model": f"{output}: {model.describe()}",
        "data": f"{data}: {human.plural(rows, 'row')} of {human.plural(columns, 'column')}",
        "missing": missing_in_training(model.source_) if model.source_["missing"] else None,
        "ended": f"{ending(model)}, {human.seconds(seconds)}",
        **in_words(reached(model)),
        **criteria_in_words(record),
        "peak memory": f"{human.size(memory.peak)} of all processes together{limit}",
    }
    session.result(record, facts(shown))


def clear(kept_at: str, session: Session) -> None:
    """Remove a checkpoint whose model is saved; where that fails, the fit has not."""
    try:
        checkpoint.remove(kept_at)
    except Exception as error:  # stores raise whatever they like
        reason = f"{type(error).__name__}: {error}"
        session.say(
            f"The checkpoint {kept_at} is no longer needed, but could not be removed ({reason}): remove it yourself"
        )


@contextmanager
def interruptible(job: Job) -> Iterator[None]:
    """Let signals through that were held back; say of an interrupt that the same command goes on, where it does."""
    try:
        let_through()
        yield
    except KeyboardInterrupt:
        if is_kept(job):
            go_on = "contains the fit so far: run the same command again to continue"
            raise Interrupted(f"interrupted; {job.place} {go_on}") from None
        raise


@contextmanager
def resumable(job: Job) -> Iterator[None]:
    """Say of an error that broke a fit off that the same command goes on, where a checkpoint is there."""
    try:
        yield
    except Exception as error:
        if is_resumable(error) and is_kept(job):
            go_on = "contains the fit so far: run the same command again to continue"
            sentence = f"{str(error).rstrip('.')}. {job.place} {go_on}"
            raise (OSError if isinstance(error, OSError) else RuntimeError)(sentence) from error
        raise


def is_kept(job: Job) -> bool:
    """Whether a checkpoint is there for the job to go on from, as far as can be seen."""
    with suppress(OSError):
        return not job.no_checkpoint and checkpoint.exists(job.place)
    return False


def ending(model: Any) -> str:
    """Say how a fit ended, and what it took."""
    return f"{summary.why_stopped(model)}; {summary.iterations_and_passes(model)}"


def reached(model: RowwiseEstimator) -> dict[str, float]:
    """Return what a fit has reached, by name: the mean log-likelihood (or bound) in nats a row, or the inertia."""
    name: str = model.objective_name
    if name == "inertia":
        return {name: model.inertia_} if hasattr(model, "inertia_") else {}
    if not hasattr(model, "lower_bound_"):
        return {}
    entries = getattr(model, "history_", None) or [{}]
    value = entries[-1].get(name)  # without the prior
    return {name: model.lower_bound_ if value is None else value}


def in_words(values: Mapping[str, Any]) -> dict[str, str]:
    """Return what was reached as people read it; other values are left out."""
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
    """Return the criteria by name, from the log-likelihood of all rows: no pass over the data; none without a density.

    Those that need more than the log-likelihood are left out.
    """
    return criteria_of_score(log_likelihood, model.n_parameters_, rows) if math.isfinite(log_likelihood) else {}


def criteria_in_words(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the criteria of a result as people read them, in one line: BIC, AIC, ..."""
    names = [name for name in CRITERIA if name in record]
    values = ", ".join(f"{record[name]:.10g}" for name in names)
    return {", ".join(names).upper(): values} if names else {}
