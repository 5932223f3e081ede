"""dem predict, transform, score and sample: a fitted model at work on rows."""

from __future__ import annotations

import time

from dem import human
from dem.commands.fit import criteria, in_words
from dem.commands.session import Session
from dem.commands.tables import facts
from dem.estimators import KMeans, load
from dem.estimators.base import Estimator
from dem.estimators.rowwise import RowwiseEstimator
from dem.source import open_source

OUTPUTS = {"labels": "label", "proba": "proba", "score": "score", "latent": "latent", "distance": "distance"}
"""The words of the command line, and those of `write`."""
GIVEN = {
    "GaussianMixture": ("labels", "proba", "score"),
    "KMeans": ("labels", "distance", "score"),
    "MixtureFactorAnalysis": ("labels", "proba", "score", "latent"),
    "MixturePPCA": ("labels", "proba", "score", "latent"),
    "PPCA": ("latent", "score"),
}
"""What the models give."""


def write(model: str, data: str, output: str, session: Session, *, what: str, overwrite: bool) -> None:
    """Write a row-wise output of a store."""
    estimator = load(model)
    kind = type(estimator).__name__
    if what not in GIVEN[kind]:
        has = " and ".join([", ".join(GIVEN[kind][:-1]), GIVEN[kind][-1]])
        raise ValueError(f"{model} is a {kind}, which has no {what}: it gives {has}.")
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
    told = {"inertia": -value} if isinstance(estimator, KMeans) else {"log_likelihood": value}
    record = {"model": model, "data": data, "rows": rows, **told}
    if weights is None and isinstance(estimator, Estimator):
        record.update(criteria(estimator, value, rows))
    shown = {
        **{name: f"{words}, over {rows:,} rows" for name, words in in_words(told).items()},
        "BIC, AIC": f"{record['bic']:.10g}, {record['aic']:.10g}" if "bic" in record else None,
    }
    session.result(record, facts(shown), summary=False)


def with_density(estimator: RowwiseEstimator, model: str, lack: str) -> Estimator:
    """Return the estimator, if it has a density.

    Raises
    ------
    ValueError
        It has none; `lack` says what that means.
    """
    if not isinstance(estimator, Estimator):
        raise ValueError(f"{model} is a {type(estimator).__name__}, which has no density: {lack}.")
    return estimator


def sample(model: str, output: str, session: Session, *, n: int, dtype: str, seed: int, overwrite: bool) -> None:
    """Write rows drawn from a model."""
    estimator = with_density(load(model), model, "no rows can be drawn from it")
    with session.engine() as engine:
        started = time.perf_counter()
        estimator.set_params(engine=engine, random_state=seed)
        estimator.write_sample(n, output, dtype=dtype, overwrite=overwrite)
        seconds = time.perf_counter() - started
    record = {"output": output, "model": model, "rows": n, "seed": seed, "seconds": seconds}
    session.result(record, f"{output}: {n:,} rows drawn from {model}, in {human.seconds(seconds)}")
