"""dem fit: a model from a store."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from typing import Any

import numpy as np

from dem import checkpoint, human, store
from dem.checkpoint import Checkpoint
from dem.claim import Interrupted, claim
from dem.commands.session import Session
from dem.commands.tables import facts
from dem.estimators import PPCA, BayesianPCA, FactorAnalysis, GaussianMixture
from dem.new_array import broken_off
from dem.source import open_source
from dem.sweep.memory import PeakMemory


def fit_gmm(data: str, output: str, session: Session, **options: Any) -> None:
    """Fit a Gaussian mixture and save it; see `fit`."""
    job, settings = Job.of(data, output, options)
    fit(GaussianMixture(**settings), job, session)


def fit_ppca(data: str, output: str, session: Session, **options: Any) -> None:
    """Fit probabilistic PCA and save it; see `fit`."""
    job, settings = Job.of(data, output, options)
    fit(PPCA(**settings), job, session)


def fit_bpca(data: str, output: str, session: Session, **options: Any) -> None:
    """Fit Bayesian PCA and save it; see `fit`."""
    job, settings = Job.of(data, output, options)
    fit(BayesianPCA(**settings), job, session)


def fit_fa(data: str, output: str, session: Session, **options: Any) -> None:
    """Fit factor analysis and save it; see `fit`."""
    job, settings = Job.of(data, output, options)
    fit(FactorAnalysis(**settings), job, session)


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
            raise ValueError("--no-checkpoint leaves nothing to go on from: leave it out, or the options that need one")
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


def fit(model: GaussianMixture | PPCA | FactorAnalysis, job: Job, session: Session) -> None:
    """Fit a model and save it: what `dem fit` does, and a workflow.

    Parameters
    ----------
    model : GaussianMixture, PPCA, BayesianPCA or FactorAnalysis
    job : Job
    session : Session

    Raises
    ------
    Stopped, KeyboardInterrupt
        With the attribute `resumable`, a sentence, where the same call goes on.
    """
    output, data = job.output, job.data
    begun = time.monotonic()
    store.check_free(output, overwrite=job.overwrite)  # before the work, not after it
    source = open_source(data, job.weights, missing_chunks=job.missing_chunks)
    with resumable(job), session.engine() as engine, PeakMemory(interval=0.2) as memory, claim(output):
        kept_at = job.kept_at(elsewhere=engine.elsewhere)
        started = time.perf_counter()
        model.set_params(engine=engine).fit(source, checkpoint=job.limits(kept_at, begun))
        seconds = time.perf_counter() - started
        store.check_free(output, overwrite=job.overwrite)  # much may have happened meanwhile
        model.save(output)
        if kept_at is not None:
            clear(kept_at, session)
    rows, columns = model.source_["shape"]
    record = {
        "output": output,
        "model": type(model).__name__,
        "data": data,
        "rows": rows,
        "columns": columns,
        "log_likelihood": model.lower_bound_,
        "stop_reason": model.stop_reason_,
        "iterations": model.n_iter_,
        "passes": model.n_passes_,
        "seconds": seconds,
        "peak_memory": memory.peak,
    }
    if job.weights is None:  # the criteria are of n rows that count the same
        record.update(criteria(model, model.lower_bound_, rows))
    limit = "" if session.memory is None else f" (limit {human.size(session.memory)})"
    shown = {
        "model": f"{output}: {describe(model)}",
        "data": f"{data}: {human.plural(rows, 'row')} of {human.plural(columns, 'column')}",
        "ended": f"{ending(model)}, {human.seconds(seconds)}",
        "log-likelihood": f"{model.lower_bound_:.6f} nats a row",
        "BIC, AIC": f"{record['bic']:.10g}, {record['aic']:.10g}" if "bic" in record else None,
        "peak memory": f"{human.size(memory.peak)} of the whole process tree{limit}",
    }
    session.result(record, facts(shown))


def clear(kept_at: str, session: Session) -> None:
    """Remove a checkpoint whose model is saved; where that fails, the fit has not."""
    try:
        checkpoint.remove(kept_at)
    except Exception as error:  # stores raise whatever they like
        session.say(f"{kept_at} is of no more use and could not be removed ({type(error).__name__}: {error})")


@contextmanager
def resumable(job: Job) -> Iterator[None]:
    """Say of what broke a fit off that the same command goes on, where a checkpoint is there."""
    try:
        yield
    except KeyboardInterrupt:
        if is_kept(job):
            go_on = "holds the fit so far: run the same command again to go on"
            raise Interrupted(f"interrupted; {job.place} {go_on}") from None
        raise
    except Exception as error:
        if broken_off(error) and is_kept(job):
            sentence = (
                f"{str(error).rstrip('.')}. {job.place} holds the fit so far: the same command goes on from there"
            )
            raise (OSError if isinstance(error, OSError) else RuntimeError)(sentence) from error
        raise


def is_kept(job: Job) -> bool:
    """Whether a checkpoint is there for the job to go on from, as far as can be seen."""
    with suppress(OSError):
        return not job.no_checkpoint and checkpoint.exists(job.place)
    return False


def describe(model: Any) -> str:
    """Say what a model is."""
    if hasattr(model, "weights_"):
        k, d = model.means_.shape
        components, columns = human.plural(k, "component"), human.plural(d, "column")
        return f"Gaussian mixture, {components}, {model.covariance_type} covariances, {columns}"
    columns = human.plural(len(model.mean_), "column")
    if hasattr(model, "heywood_"):
        turned = f", {model.rotation}" if model.rotation else ""
        return f"factor analysis, {human.plural(model.n_components_, 'factor')}{turned}, {columns}{heywood(model)}"
    components = human.plural(model.n_components_, "component")
    if hasattr(model, "alpha_"):
        return f"Bayesian PCA, {components} kept of {len(model.alpha_)}, {columns}"
    return f"probabilistic PCA, {components}, {columns}"


def heywood(model: FactorAnalysis) -> str:
    """Tell which columns' noise a factor analysis could not keep from 0; nothing where there are none."""
    cases = model.heywood_
    if not len(cases):
        return ""
    which = human.plural(len(cases), "column") if len(cases) > 20 else f"column {', '.join(map(str, cases))}"
    return f"; no noise is left in {which} (a Heywood case: try fewer factors)"


def ending(model: Any) -> str:
    """Say how a fit ended, and what it took."""
    return f"{human.stopped(model)}; {human.effort(model)}"


def criteria(model: Any, log_likelihood: float, rows: int) -> dict[str, float]:
    """Return BIC and AIC, from a mean log-likelihood that is known already: no pass over the data."""
    n = model.n_parameters_
    return {
        "bic": float(-2 * log_likelihood * rows + n * np.log(rows)),
        "aic": float(-2 * log_likelihood * rows + 2 * n),
    }
