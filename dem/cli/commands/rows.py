"""dem predict, transform, impute, score and sample: apply a fitted model to rows."""

from __future__ import annotations

import time
from typing import Any

from dem.cli.commands.fit import criteria, criteria_in_words, objectives_in_words
from dem.cli.commands.session import Session
from dem.cli.commands.tables import facts
from dem.core import human
from dem.em.row_output import TopOutput
from dem.engine.engine import Engine
from dem.estimators import load
from dem.estimators.base import RowwiseEstimator
from dem.estimators.density import DensityEstimator
from dem.estimators.loading import ESTIMATORS
from dem.estimators.named_dims import open_for
from dem.results.new_array import check_output_free, check_place

WORDS = {"label": "labels"}
"""Names of outputs on the command line that differ from those in Python."""
OTHER_COMMANDS = {"latent": "dem transform", "filled": "dem impute", "deviation": "dem impute --std"}
"""Outputs that `dem predict` leaves to other commands."""


def predict_outputs() -> dict[str, str]:
    """Return the words that `dem predict --what` takes, each with its meaning, from the outputs of all estimators."""
    meanings: dict[str, list[str]] = {}
    for estimator in ESTIMATORS:
        for name, output in estimator.outputs.items():
            found = meanings.setdefault(WORDS.get(name, name), [])
            if name not in OTHER_COMMANDS and output.meaning not in found:
                found.append(output.meaning)
    return {word: "; or ".join(found) for word, found in meanings.items() if found}


def write_output(
    model: str,
    data: str,
    output: str,
    session: Session,
    *,
    what: str,
    overwrite: bool,
    top: int | None = None,
    columns: list[str] | None = None,
    missing_chunks: str = "fill",
) -> None:
    """Write an output of a model for every row of a store, such as labels."""
    estimator: Any = load(model)
    names = {WORDS.get(name, name): name for name in estimator.outputs}
    if what not in names:
        words = {**{word: word for word in names}, "latent": "latents (by dem transform)"}
        *most, last = [words[word] for word, name in names.items() if name not in ("filled", "deviation")]
        kind = type(estimator).__name__
        lack = "latents" if what == "latent" else what
        raise ValueError(f"{model} is a {kind}, which does not have {lack}: it has {', '.join(most)} and {last}.")
    name = names[what]
    if top is not None and isinstance(estimator.outputs[name], TopOutput):
        k = len(estimator.weights_)
        if top > k:
            raise ValueError(f"--top {top} is more than the {k} components of {model}: give at most {k}.")
        name = f"{name}:{top}"
    source = open_for(estimator, data, columns=columns, missing_chunks=missing_chunks)
    check_place(output, source)  # fails early, before an engine starts
    with session.engine() as engine:
        started = time.perf_counter()
        estimator.set_params(engine=engine)
        estimator.write(source, output, name, overwrite=overwrite)
        seconds = time.perf_counter() - started
    rows = source.n_rows
    record = {"output": output, "what": what, "model": model, "data": data, "rows": rows, "seconds": seconds}
    session.result(record, f"{output}: {what} of {rows:,} rows, in {human.seconds(seconds)}")


def write_imputed(
    model: str,
    data: str,
    output: str,
    session: Session,
    *,
    std: bool,
    overwrite: bool,
    columns: list[str] | None = None,
    missing_chunks: str = "fill",
) -> None:
    """Write the rows of a store with missing values filled in; with `std`, also their standard deviations."""
    estimator: Any = load(model)
    source = open_for(estimator, data, columns=columns, missing_chunks=missing_chunks)
    places = {"filled": output, **({"deviation": std_path(output)} if std else {})}
    for what in places:
        if what not in estimator.outputs:
            kind = type(estimator).__name__
            raise ValueError(f"{model} is a {kind}, which gives no standard deviations: leave out --std.")
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
    summary = f"{source.n_rows:,} rows, in {human.seconds(seconds)}"
    session.result({**record, "seconds": seconds}, facts({**shown, "of": summary}))


def std_path(output: str) -> str:
    """Return the path for the standard deviations: filled_std.zarr for filled.zarr."""
    stem, dot, suffix = output.rstrip("/").rpartition(".")
    return f"{stem}_std.{suffix}" if dot and "/" not in suffix else f"{output.rstrip('/')}_std"


def show_score(
    model: str,
    data: str,
    session: Session,
    *,
    weights: str | None,
    columns: list[str] | None = None,
    missing_chunks: str = "fill",
) -> None:
    """Show how well a model fits a store."""
    estimator = load(model)
    with session.engine() as engine:
        found = score_record(estimator, data, engine, weights, missing_chunks, columns)
    shown = {
        **{name: f"{words}, {rows_scored(found)}" for name, words in objectives_in_words(found).items()},
        **criteria_in_words(found),
    }
    session.result({"model": model, "data": data, **found}, facts(shown), summary=False)


def score_record(
    estimator: Any,
    data: str,
    engine: Engine,
    weights: str | None = None,
    missing_chunks: str = "fill",
    columns: list[str] | None = None,
) -> dict[str, Any]:
    """Return the number of rows, the number of rows without any value, and the score of a store; in one pass.

    The score is the mean log-likelihood, with the criteria if there are no weights; for variational models a bound; for
    K-means the inertia.
    """
    source = open_for(estimator, data, weights, columns=columns, missing_chunks=missing_chunks)
    mean = estimator.set_params(engine=engine).mean_score(source)
    rows = {"rows": mean.rows, "empty_rows": mean.empty_rows}
    if estimator.objective_name == "inertia":
        return {**rows, "inertia": -mean.total}
    if estimator.objective_name == "bound":
        return {**rows, "score": mean.mean}
    found = {**rows, "log_likelihood": mean.mean}
    return found if weights is not None else {**found, **criteria(estimator, mean.total, mean.counted)}


def rows_scored(found: dict[str, Any]) -> str:
    """Return the number of rows in a score, in words."""
    empty = found.get("empty_rows", 0)
    rest = f" ({empty:,} more rows have no value at all)" if empty else ""
    return f"over {human.plural(found['rows'] - empty, 'row')}{rest}"


def with_density(estimator: RowwiseEstimator, model: str, lack: str) -> DensityEstimator:
    """Return the estimator if it has a density.

    Raises
    ------
    ValueError
        If it has no density; `lack` says in the message what is not possible.
    """
    if not isinstance(estimator, DensityEstimator):
        raise ValueError(f"{model} is a {type(estimator).__name__}, which has no density: {lack}.")
    return estimator


def write_drawn_rows(
    model: str, output: str, session: Session, *, n: int, dtype: str, seed: int, overwrite: bool
) -> None:
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
