"""Shared by all fits: checks of the settings, printed progress, and the warning at max_iter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sklearn.exceptions import ConvergenceWarning

from dem.core.warn import warn
from dem.engine.engine import Engine
from dem.estimators.checks import check_number
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
    """Return the engine of an estimator; if it shows no progress and `verbose` is set, it prints lines."""
    engine: Engine = model.engine or Engine()
    if model.verbose and engine.progress is None:
        return replace(engine, progress=Printed(model.verbose_interval))
    return engine


def warn_at_max_iter(model: Any) -> None:
    """Warn if a fit stopped at `max_iter` without convergence; not for 0, which means the start alone."""
    if model.stop_reason_ == "max_iter" and model.max_iter > 0:
        warn(
            f"{type(model).__name__} stopped at max_iter={model.max_iter} and has not converged: set a larger "
            "max_iter, or a larger tol",
            ConvergenceWarning,
        )
