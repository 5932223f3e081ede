"""dem predict, transform, score and sample: a fitted model at work on rows."""

from __future__ import annotations

import time
from typing import Any

from dem.cli.commands.fit import criteria, criteria_in_words, in_words
from dem.cli.commands.session import Session
from dem.cli.commands.tables import facts
from dem.core import human
from dem.em.row_output import TopOutput
from dem.engine.engine import Engine
from dem.estimators import load
from dem.estimators.base import RowwiseEstimator
from dem.estimators.density import DensityEstimator
from dem.estimators.loading import ESTIMATORS
from dem.results.new_array import check_output_free, check_place
from dem.source import open_source

WORDS = {"label": "labels"}
"""Names of outputs that are other words on the command line."""
OTHER_COMMANDS = {"latent": "dem transform", "filled": "dem impute", "deviation": "dem impute --std"}
"""Outputs that `dem predict` leaves to other commands."""


def predict_outputs() -> dict[str, str]:
    """Return the words that `dem predict --what` takes, each with what it means, from the outputs of all estimators."""
    meanings: dict[str, list[str]] = {}
    for estimator in ESTIMATORS:
        for name, output in estimator.outputs.items():
            found = meanings.setdefault(WORDS.get(name, name), [])
            if name not in OTHER_COMMANDS and output.meaning not in found:
                found.append(output.meaning)
    return {word: "; or ".join(found) for word, found in meanings.items() if found}


def write(
    model: str,
    data: str,
    output: str,
    session: Session,
    *,
    what: str,
    overwrite: bool,
    top: int | None = None,
    missing_chunks: str = "fill",
) -> None:
    """Write a row-wise output of a store."""
    estimator: Any = load(model)
    names = {WORDS.get(name, name): name for name in estimator.outputs}
    if what not in names:
        words = {**{word: word for word in names}, "latent": "latent (by dem transform)"}
        *most, last = [words[word] for word, name in names.items() if name not in ("filled", "deviation")]
        kind = type(estimator).__name__
        raise ValueError(f"{model} is a {kind}, which has no {what}: it gives {', '.join(most)} and {last}.")
    name = names[what]
    if top is not None and isinstance(estimator.outputs[name], TopOutput):
        k = len(estimator.weights_)
        if top > k:
            raise ValueError(f"--top {top} is more than the {k} components of {model}: give {k} or less.")
        name = f"{name}:{top}"
    source = open_source(data, missing_chunks=missing_chunks, missing_value=estimator.missing_value)
    check_place(output, source)  # before an engine starts
    with session.engine() as engine:
        started = time.perf_counter()
        estimator.set_params(engine=engine)
        estimator.write(source, output, name, overwrite=overwrite)
        seconds = time.perf_counter() - started
    rows = source.n_rows
    record = {"output": output, "what": what, "model": model, "data": data, "rows": rows, "seconds": seconds}
    session.result(record, f"{output}: {what} of {rows:,} rows, in {human.seconds(seconds)}")


def impute(
    model: str, data: str, output: str, session: Session, *, std: bool, overwrite: bool, missing_chunks: str = "fill"
) -> None:
    """Write a store's rows with their missing values filled in, and how far these are known."""
    estimator: Any = load(model)
    source = open_source(data, missing_chunks=missing_chunks, missing_value=estimator.missing_value)
    places = {"filled": output, **({"deviation": beside(output)} if std else {})}
    for what in places:
        if what not in estimator.outputs:
            kind = type(estimator).__name__
            raise ValueError(f"{model} is a {kind}, which has no standard deviations: leave out --std.")
    for place in places.values():
        check_output_free(place, source, overwrite=overwrite)
    with session.engine() as engine:
        started = time.perf_counter()
        estimator.set_params(engine=engine)
        for what, place in places.items():
            estimator.write(source, place, what, overwrite=overwrite)
        seconds = time.perf_counter() - started
    record = {"output": output, "std": places.get("deviation"), "model": model, "data": data, "rows": source.n_rows}
    words = {"filled": "rows filled in", "deviation": "their standard deviations, 0 where observed"}
    shown = {place: words[what] for what, place in places.items()}
    told = f"{source.n_rows:,} rows, in {human.seconds(seconds)}"
    session.result({**record, "seconds": seconds}, facts({**shown, "of": told}))


def beside(output: str) -> str:
    """Return where the deviations go: filled_std.zarr for filled.zarr."""
    stem, dot, suffix = output.rstrip("/").rpartition(".")
    return f"{stem}_std.{suffix}" if dot and "/" not in suffix else f"{output.rstrip('/')}_std"


def score(model: str, data: str, session: Session, *, weights: str | None, missing_chunks: str = "fill") -> None:
    """Tell how well a model describes a store."""
    estimator = load(model)
    with session.engine() as engine:
        found = scored(estimator, data, engine, weights, missing_chunks)
    shown = {
        **{name: f"{words}, {over(found)}" for name, words in in_words(found).items()},
        **criteria_in_words(found),
    }
    session.result({"model": model, "data": data, **found}, facts(shown), summary=False)


def scored(
    estimator: Any, data: str, engine: Engine, weights: str | None = None, missing_chunks: str = "fill"
) -> dict[str, Any]:
    """Return a store's number of rows, how many of them have no value, and what a model's `score` says, in one pass.

    That is a log-likelihood, with the criteria where all rows count the same; of variational models a score, which is
    no likelihood; of K-means the inertia.
    """
    source = open_source(data, weights, missing_chunks=missing_chunks, missing_value=estimator.missing_value)
    told = estimator.set_params(engine=engine).mean_score(source)
    rows = {"rows": told.rows, "empty_rows": told.empty_rows}
    if estimator.objective_name == "inertia":
        return {**rows, "inertia": -told.total}
    if estimator.objective_name == "bound":
        return {**rows, "score": told.mean}
    found = {**rows, "log_likelihood": told.mean}
    return found if weights is not None else {**found, **criteria(estimator, told.total, told.counted)}


def over(found: dict[str, Any]) -> str:
    """Say over how many rows a score is."""
    empty = found.get("empty_rows", 0)
    rest = f" ({empty:,} more have no value at all)" if empty else ""
    return f"over {human.plural(found['rows'] - empty, 'row')}{rest}"


def with_density(estimator: RowwiseEstimator, model: str, lack: str) -> DensityEstimator:
    """Return the estimator, if it has a density.

    Raises
    ------
    ValueError
        It has none; `lack` says what that means.
    """
    if not isinstance(estimator, DensityEstimator):
        raise ValueError(f"{model} is a {type(estimator).__name__}, which has no density: {lack}.")
    return estimator


def sample(model: str, output: str, session: Session, *, n: int, dtype: str, seed: int, overwrite: bool) -> None:
    """Write rows drawn from a model."""
    estimator = with_density(load(model), model, "no rows can be drawn from it")
    check_place(output)
    with session.engine() as engine:
        started = time.perf_counter()
        estimator.set_params(engine=engine, random_state=seed)
        estimator.write_sample(n, output, dtype=dtype, overwrite=overwrite)
        seconds = time.perf_counter() - started
    record = {"output": output, "model": model, "rows": n, "seed": seed, "seconds": seconds}
    session.result(record, f"{output}: {n:,} rows drawn from {model}, in {human.seconds(seconds)}")
