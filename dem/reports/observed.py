"""The rows of a store as a report needs them: one pass, for everything that the page says about them."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from dem.core.block import Float
from dem.engine.engine import Engine
from dem.estimators.named_dims import open_for
from dem.estimators.objectives import score_in_numbers
from dem.estimators.telling import component_means
from dem.plot.sampled import SAMPLE_ROWS, SEED, RowSample, sample_of
from dem.run.observe import ClassSums, observe
from dem.source import Source


@dataclass(frozen=True)
class StoreFacts:
    """What the rows of a store are.

    Attributes
    ----------
    name : str
    rows, columns : int
    chunk_rows : int or None
        The rows of a chunk; None for data in memory, and for chunks of unequal sizes.
    blocks : int
        How many blocks a pass reads: chunks, or several small ones.
    incomplete_rows, empty_rows : int
        Rows with some values missing, and without any value.
    missing : list of int
        The number of missing values in each column.
    """

    name: str
    rows: int
    columns: int
    chunk_rows: int | None
    blocks: int
    incomplete_rows: int
    empty_rows: int
    missing: list[int]


@dataclass(frozen=True)
class ObservedRows:
    """What a pass over a store has found.

    Attributes
    ----------
    store : StoreFacts
    score : dict of str to number
        "log_likelihood" and criteria, "score" or "inertia"; see `score_in_numbers`.
    classes : ClassSums or None
    centre : array of shape (K, d)
        What the sums of the classes are centred at.
    sample : RowSample
        For the pictures.
    """

    store: StoreFacts
    score: dict[str, Any]
    classes: ClassSums | None
    centre: Float
    sample: RowSample


def observed_rows(model: Any, data: Any, engine: Engine | None = None) -> ObservedRows:
    """Return what one pass over the rows of any data tells about a model.

    Parameters
    ----------
    model : estimator
        A fitted model.
    data : str, Path, array, data frame, xarray object
    engine : Engine, optional

    Raises
    ------
    ValueError
        The data do not suit the model.
    MemoryError
        The pass does not fit into the engine's limit.
    """
    source = model._open(data) if not isinstance(data, str) else open_for(model, data)
    if source.n_columns != model.n_features_in_:
        raise ValueError(
            f"{source.name} has {source.n_columns} columns, but the model was fitted to {model.n_features_in_}."
        )
    score = model._request(source, "score")
    has_classes = "label" in model.outputs
    centre = np.nan_to_num(component_means(model)) if has_classes else np.zeros((0, source.n_columns))
    label = model._request(source, "label") if has_classes else None
    found = observe(score, label, centre, engine=engine or model.engine, sample_size=SAMPLE_ROWS, seed=SEED)
    numbers = score_in_numbers(model, found.score)
    return ObservedRows(
        _facts(source, found.scan), numbers, found.classes, centre, sample_of(model, source, found.scan)
    )


def _facts(source: Source, scan: Any) -> StoreFacts:
    return StoreFacts(
        source.name,
        scan.rows,
        source.n_columns,
        None if source.in_memory or source.chunk_rows is None else source.chunk_rows * prod(source.chunk_sides),
        sum(map(len, source.boxes)) or len(source.partitions),
        scan.incomplete_rows,
        scan.empty_rows,
        scan.missing.tolist() if scan.missing.any() else [],
    )
