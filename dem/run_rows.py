"""Where source, sweep and outputs meet: what a fitted model says of every row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dem import outputs
from dem.engine import Engine
from dem.model import Array, Block, P, Rowwise
from dem.models.rowwise import NotFiniteError
from dem.source import Source
from dem.stats import Additive


def rows(model: Rowwise[P], params: P, source: Source, what: str, engine: Engine | None = None) -> Any:
    """Return a row-wise output: a NumPy array for data in memory, a lazy Dask array otherwise.

    Parameters
    ----------
    model : Rowwise
    params : P
    source : Source
    what : str
        Which output: see the model.
    engine : Engine, optional
        Its number of workers is used for data in memory.
    """
    dtype, columns = model.output(params, what)
    make_rows = partial(model.rows, params, what)
    if source.lazy:
        return outputs.lazy(source, make_rows, dtype, columns)
    return outputs.collect(source, make_rows, min((engine or Engine()).n_workers, len(source.partitions)))


def write(
    model: Rowwise[P],
    params: P,
    source: Source,
    what: str,
    path: str | Path,
    *,
    engine: Engine | None = None,
    overwrite: bool = False,
) -> None:
    """Write a row-wise output as a Zarr array, region by region, in one pass.

    Parameters
    ----------
    model, params, source, what
        See `rows`.
    path : str or Path
    engine : Engine, optional
    overwrite : bool
        Replace what stands at `path`, once the new array is whole.
    """
    dtype, columns = model.output(params, what)
    held = model.workspace_bytes(source.n_columns) + outputs.results_bytes(source, columns, dtype)
    with (engine or Engine()).open(source, held) as sweep:
        attributes = {"what": what, "model": type(model).__name__, "source": source.name}
        make_rows = partial(model.rows, params, what)
        with located(source):
            outputs.write(sweep.as_named(what), source, make_rows, path, dtype, columns, attributes, overwrite)


@contextmanager
def located(source: Source) -> Iterator[None]:
    """Add to the error of a value that is not finite which chunk it is in."""
    try:
        yield
    except NotFiniteError as error:
        raise ValueError(f"{error} (it is in {source.locate(error.row, error.column)})") from None


def write_sample(
    model: Rowwise[P],
    params: P,
    source: Source,
    path: str | Path,
    *,
    seed: int,
    engine: Engine | None = None,
    overwrite: bool = False,
) -> None:
    """Write rows drawn from the model, chunk by chunk.

    Parameters
    ----------
    model, params
    source : Source
        A generated one: it tells the shape, the dtype and the chunks.
    path : str or Path
    seed : int
        Each chunk's generator is seeded by this and the chunk's first row.
    engine : Engine, optional
    overwrite : bool
    """
    make_rows = partial(_draw_rows, model, params, seed)
    columns, dtype = source.n_columns, source.dtype
    made = 4 * 8 * columns * (source.chunk_rows or 0)
    with (engine or Engine()).open(source, made) as sweep:
        attributes = {"what": "sample", "model": type(model).__name__, "seed": seed}
        outputs.write(sweep.as_named("sample"), source, make_rows, path, dtype, columns, attributes, overwrite)


def _draw_rows(model: Rowwise[P], params: P, seed: int) -> Callable[[Block], Array]:
    """Return the function that draws the rows of a block."""
    return lambda block: model.draw(params, len(block.x), np.random.default_rng([seed, block.first]))[0]


MEAN_ROWS = 2**16
"""Rows whose outputs are held at a time where only their mean is wanted."""


@dataclass(frozen=True)
class Mean(Additive):
    """The weighted mean of a row-wise output.

    Attributes
    ----------
    rows : int
    weight : float
        Sum of the weights.
    total : float
        Weighted sum of the output.
    """

    weight: float
    total: float

    @property
    def mean(self) -> float:
        """The weighted mean.

        Raises
        ------
        ValueError
            If all weights are zero.
        """
        if not self.weight > 0:
            raise ValueError("the weights are all zero: give some rows a positive sample_weight")
        return self.total / self.weight


def mean(model: Rowwise[P], params: P, source: Source, what: str, engine: Engine | None = None) -> Mean:
    """Return the weighted mean of an output with one value a row, from one pass."""
    workspace = model.workspace_bytes(source.n_columns)
    with (engine or Engine()).open(source, workspace) as sweep, located(source):
        return sweep.named(what, partial(_mean_kernel, model, params, what))


def _mean_kernel(model: Rowwise[P], params: P, what: str) -> Callable[[Block], Mean]:
    """Return the kernel that sums a row-wise output."""
    rows = model.rows(params, what)

    def kernel(block: Block) -> Mean:
        weight, total = 0.0, 0.0
        for start in range(0, len(block.x), MEAN_ROWS):
            part = block.part(start, start + MEAN_ROWS)
            values = rows(part)
            weights = np.ones(len(values)) if part.weight is None else np.asarray(part.weight, dtype=np.float64)
            weight += float(weights.sum())
            total += float(values @ weights)
        return Mean(len(block.x), weight, total)

    return kernel
