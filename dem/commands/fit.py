"""dem fit: a model from a store."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from dem import human, store
from dem.commands.session import Session
from dem.commands.tables import facts
from dem.estimators import PPCA, GaussianMixture
from dem.sweep.memory import PeakMemory


def fit_gmm(data: str, output: str, session: Session, *, weights: str | None, overwrite: bool, **settings: Any) -> None:
    """Fit a Gaussian mixture and save it."""
    _fit(GaussianMixture(**settings), data, output, session, weights, overwrite)


def fit_ppca(
    data: str, output: str, session: Session, *, weights: str | None, overwrite: bool, **settings: Any
) -> None:
    """Fit probabilistic PCA and save it."""
    _fit(PPCA(**settings), data, output, session, weights, overwrite)


def _fit(
    model: GaussianMixture | PPCA,
    data: str,
    output: str,
    session: Session,
    weights: str | None,
    overwrite: bool,
) -> None:
    store.check_free(output, overwrite=overwrite)  # before the work, not after it
    with session.engine() as engine, PeakMemory(interval=0.2) as memory:
        started = time.perf_counter()
        model.set_params(engine=engine).fit(data, sample_weight=weights)
        seconds = time.perf_counter() - started
    model.save(output)
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
    if weights is None:  # the criteria are of n rows that count the same
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


def describe(model: Any) -> str:
    """Say what a model is."""
    if hasattr(model, "weights_"):
        k, d = model.means_.shape
        components, columns = human.plural(k, "component"), human.plural(d, "column")
        return f"Gaussian mixture, {components}, {model.covariance_type} covariances, {columns}"
    components, columns = (
        human.plural(model.n_components_, "component"),
        human.plural(len(model.mean_), "column"),
    )
    return f"probabilistic PCA, {components}, {columns}"


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
