"""dem predict, transform, impute, score and sample: apply a fitted model to rows."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import zarr

from dem.cli.commands.session import Session
from dem.cli.commands.tables import facts
from dem.core import human
from dem.em.row_output import OTHER_WORDS, TopOutput
from dem.engine.engine import Engine
from dem.estimators import load
from dem.estimators.base import RowwiseEstimator
from dem.estimators.density import DensityEstimator
from dem.estimators.loading import ESTIMATORS
from dem.estimators.named_dims import open_for
from dem.estimators.objectives import criteria_in_words, objectives_in_words, rows_scored, score_in_numbers
from dem.results.new_array import check_output_free, check_place
from dem.source import Source
from dem.source.members import STAMPS
from dem.source.stores import ZarrNode, open_node

WORDS = {name: word for word, name in OTHER_WORDS.items()}
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


def write_outputs(
    model: str,
    data: str,
    output: str,
    session: Session,
    *,
    what: Sequence[str],
    overwrite: bool,
    top: int | None = None,
    columns: list[str] | None = None,
    missing_chunks: str = "fill",
) -> None:
    """Write outputs of a model for every row of a store, such as labels; several to arrays of a Zarr group."""
    estimator: Any = load(model)
    names = [output_name(estimator, model, word, top) for word in what]
    places = places_of(names, output)
    source = open_for(estimator, data, columns=columns, missing_chunks=missing_chunks)
    for place in places.values():  # fails early, before an engine starts
        check_place(place, source)
        if len(places) > 1:
            check_output_free(place, source, overwrite=overwrite)
    seconds = write_all(estimator, source, places, session, overwrite=overwrite)
    rows, arrays = source.n_rows, list(places.values())
    record = {"output": output, "what": ",".join(what), "arrays": arrays, "model": model, "data": data, "rows": rows}
    summary = f"{', '.join(arrays)}: {', '.join(what)} of {rows:,} rows, in {human.seconds(seconds)}"
    session.result({**record, "seconds": seconds}, summary)


def output_name(estimator: Any, model: str, word: str, top: int | None) -> str:
    """Return the name that an estimator's `write` has for a word of the command line.

    Raises
    ------
    ValueError
        The model has no such output, or fewer than `top` components.
    """
    names = {WORDS.get(name, name): name for name in estimator.outputs}
    if word not in names:
        words = {**{word: word for word in names}, "latent": "latents (by dem transform)"}
        *most, last = [words[word] for word, name in names.items() if name not in ("filled", "deviation")]
        kind = type(estimator).__name__
        lack = "latents" if word == "latent" else word
        raise ValueError(f"{model} is a {kind}, which does not have {lack}: it has {', '.join(most)} and {last}.")
    name = names[word]
    if top is None or not isinstance(estimator.outputs[name], TopOutput):
        return name
    k = len(estimator.weights_)
    if top > k:
        raise ValueError(f"--top {top} is more than the {k} components of {model}: give at most {k}.")
    return f"{name}:{top}"


def places_of(names: Sequence[str], output: str) -> dict[str, str]:
    """Return the path for each output: that of a single one is `output`, several are arrays of the group there.

    Raises
    ------
    ValueError
        There are several outputs, and no Zarr group of data or results is at `output`.
    """
    if len(names) == 1:
        return {names[0]: output}
    try:
        node: ZarrNode | None = open_node(output)
    except FileNotFoundError:
        node = None
    if not isinstance(node, zarr.Group) or not STAMPS.keys().isdisjoint(node.attrs):
        raise ValueError(
            f"Several outputs are written into a Zarr group that exists, such as that of the data. {output} is no such "
            "group: give one, or write one output at a time."
        )
    return {name: f"{output.rstrip('/')}/{name.partition(':')[0]}" for name in names}


def write_all(estimator: Any, source: Source, places: Mapping[str, str], session: Session, *, overwrite: bool) -> float:
    """Write outputs, each to its place, with one engine; return the seconds that this took."""
    with session.engine() as engine:
        started = time.perf_counter()
        estimator.set_params(engine=engine)
        for name, place in places.items():
            estimator.write(source, place, name, overwrite=overwrite)
        return time.perf_counter() - started


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
    seconds = write_all(estimator, source, places, session, overwrite=overwrite)
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
    return score_in_numbers(estimator, mean, weighted=weights is not None)


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
