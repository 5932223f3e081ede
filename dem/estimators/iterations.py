"""Shared by all fits: checks of the settings, printed progress, the record of the run, the warning at max_iter."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any

from sklearn.exceptions import ConvergenceWarning

from dem.core.version import __version__
from dem.core.warn import warn
from dem.em.progress import Progress
from dem.engine.engine import Engine
from dem.estimators.checks import check_number
from dem.estimators.notebook_bar import NotebookBar, in_notebook
from dem.estimators.progress_lines import Printed


def check_iterations(model: Any) -> None:
    """Raise an error for wrong settings of the iterations.

    Raises
    ------
    ValueError
    """
    check_number("tol", model.tol, float, 0)
    check_number("max_iter", model.max_iter, int, 0)
    check_number("sample_size", model.sample_size, int, 1)
    verbose = model.verbose
    check_number("verbose", int(verbose) if isinstance(verbose, bool) else verbose, int, 0)
    check_number("verbose_interval", model.verbose_interval, int, 1)


def engine_with_progress(model: Any) -> Engine:
    """Return the engine of an estimator; if it shows no progress and `verbose` is set, it prints lines.

    A notebook gets a bar as well.
    """
    engine: Engine = model.engine or Engine()
    if model.verbose and engine.progress is None:
        interval = model.verbose_interval
        shown: Progress = NotebookBar(interval) if in_notebook() else Printed(interval)
        return replace(engine, progress=shown)
    return engine


def recorded_run(fit: Callable[..., Any]) -> Callable[..., Any]:
    """Return a `fit` that keeps how it ran in `run_`: "seconds", "where" and the version of "dem".

    The seconds are those of this call: a fit that continues from a checkpoint has had others before.
    """

    @wraps(fit)
    def timed(model: Any, *args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        fitted = fit(model, *args, **kwargs)
        model.run_ = run_record(model, started)
        return fitted

    return timed


def run_record(model: Any, started: float) -> dict[str, Any]:
    """Return the record `run_` of a fit that started at this time of `time.perf_counter`."""
    engine: Engine = model.engine or Engine()
    where = "a cluster" if engine.uses_cluster else "this machine"
    return {"seconds": round(time.perf_counter() - started, 3), "where": where, "dem": __version__}


def warn_at_max_iter(model: Any) -> None:
    """Warn if a fit stopped at `max_iter` without convergence; not for 0, which means the start alone."""
    if model.stop_reason_ == "max_iter" and model.max_iter > 0:
        warn(
            f"{type(model).__name__} stopped at max_iter={model.max_iter} and has not converged: set a larger "
            "max_iter, or a larger tol",
            ConvergenceWarning,
        )
