"""dem predict, transform, score and sample: a fitted model at work on rows."""

from __future__ import annotations

import time

from dem import human
from dem.commands.fit import criteria
from dem.commands.session import Session
from dem.commands.tables import facts
from dem.estimators import GaussianMixture, load
from dem.estimators.linear_latent import LinearLatent
from dem.source import open_source

OUTPUTS = {"labels": "label", "proba": "proba", "score": "score", "latent": "latent"}
"""The words of the command line, and those of `Estimator.write`."""


def write(model: str, data: str, output: str, session: Session, *, what: str, overwrite: bool) -> None:
    """Write a row-wise output of a store."""
    estimator = load(model)
    only = {"labels": GaussianMixture, "proba": GaussianMixture, "latent": LinearLatent}.get(what)
    if only is not None and not isinstance(estimator, only):
        has = "latent and score" if isinstance(estimator, LinearLatent) else "labels, proba and score"
        raise ValueError(f"{model} is a {type(estimator).__name__}, which has no {what}: it gives {has}.")
    with session.engine() as engine:
        started = time.perf_counter()
        estimator.set_params(engine=engine)
        estimator.write(data, output, OUTPUTS[what], overwrite=overwrite)
        seconds = time.perf_counter() - started
    rows = open_source(data).n_rows
    record = {"output": output, "what": what, "model": model, "data": data, "rows": rows, "seconds": seconds}
    session.result(record, f"{output}: {what} of {rows:,} rows, in {human.seconds(seconds)}")


def score(model: str, data: str, session: Session, *, weights: str | None) -> None:
    """Tell how well a model describes a store."""
    estimator = load(model)
    with session.engine() as engine:
        value = estimator.set_params(engine=engine).score(data, sample_weight=weights)
    rows = open_source(data).n_rows
    assert rows is not None  # a store's shape is known
    record = {"model": model, "data": data, "rows": rows, "log_likelihood": value}
    if weights is None:
        record.update(criteria(estimator, value, rows))
    shown = {
        "log-likelihood": f"{value:.6f} nats a row, over {rows:,} rows",
        "BIC, AIC": f"{record['bic']:.10g}, {record['aic']:.10g}" if "bic" in record else None,
    }
    session.result(record, facts(shown), summary=False)


def sample(model: str, output: str, session: Session, *, n: int, dtype: str, seed: int, overwrite: bool) -> None:
    """Write rows drawn from a model."""
    estimator = load(model)
    with session.engine() as engine:
        started = time.perf_counter()
        estimator.set_params(engine=engine, random_state=seed)
        estimator.write_sample(n, output, dtype=dtype, overwrite=overwrite)
        seconds = time.perf_counter() - started
    record = {"output": output, "model": model, "rows": n, "seed": seed, "seconds": seconds}
    session.result(record, f"{output}: {n:,} rows drawn from {model}, in {human.seconds(seconds)}")
