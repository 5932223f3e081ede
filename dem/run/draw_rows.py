"""Rows drawn from a fitted model: in memory, as a lazy Dask array of any size, or written to a store.

Rows are drawn in units, each with a generator seeded by (seed, unit); the size of a unit depends only on the number of
columns. So a row depends only on the seed and its number, not on chunks, workers or the number of rows drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from dem.core.block import Array, Block
from dem.core.error_state import default_error_state
from dem.em.model import Generative, P
from dem.em.row_output import RowOutput
from dem.engine.engine import Engine
from dem.results import row_outputs
from dem.results.row_outputs import Destination
from dem.run.rows import output_identity, write_to
from dem.source.generated import GeneratedSource

UNIT_ROWS = 4096
UNIT_NUMBERS = 2**18
"""Most numbers in a unit of more than one row."""


def unit_rows(d: int) -> int:
    """Return the number of rows in a unit, for rows of d columns."""
    return max(1, min(UNIT_ROWS, UNIT_NUMBERS // d))


@default_error_state()
def draw(model: Generative[P], params: P, d: int, first: int, n: int, seed: int) -> tuple[Array, Array]:
    """Return rows `first` to `first + n - 1` (n, d) of the rows drawn with a seed, and their latents (n, ...)."""
    size = unit_rows(d)
    x, latent = [], []
    for unit in range(first // size, max(first // size + 1, -(-(first + n) // size))):
        rows, hidden = model.draw(params, size, np.random.default_rng([seed, unit]))
        here = slice(max(0, first - unit * size), max(0, first + n - unit * size))
        x.append(rows[here])
        latent.append(hidden[here])
    return np.concatenate(x), np.concatenate(latent)


@default_error_state()
def draw_lazy(model: Generative[P], params: P, d: int, n: int, seed: int, chunk_rows: int) -> tuple[Any, Any]:
    """Return n rows (n, d) and their latent variables as lazy Dask arrays, with chunks of `chunk_rows` rows."""
    source = GeneratedSource(n, min(chunk_rows, n), d, np.dtype(np.float64), partition_bytes=1)
    latent = model.draw(params, 1, np.random.default_rng(0))[1]
    hidden = RowOutput("latent", "latent variables", latent.dtype, None if latent.ndim == 1 else latent.shape[1])
    x = row_outputs.lazy(source, partial(_drawer, model, params, d, seed, 0), drawn_rows(d))
    return x, row_outputs.lazy(source, partial(_drawer, model, params, d, seed, 1), hidden)


def drawn_rows(d: int, dtype: DTypeLike = np.float64) -> RowOutput:
    """Return what rows of d columns that are drawn are, as an output."""
    return RowOutput("sample", "rows drawn from the model", np.dtype(dtype), d)


def write_drawn(
    model: Generative[P],
    params: P,
    source: GeneratedSource,
    path: str | Path,
    *,
    seed: int,
    engine: Engine | None = None,
    overwrite: bool = False,
    kind: str | None = None,
) -> None:
    """Write rows drawn from the model to a Zarr array, chunk by chunk.

    Parameters
    ----------
    model, params
    source : GeneratedSource
        Gives shape, dtype and chunks of the array.
    path : str or Path
    seed : int
    engine : Engine, optional
    overwrite : bool
    kind : str, optional
        Name of the model in the attributes of the array; by default its class name.
    """
    make_rows = partial(_drawer, model, params, source.n_columns, seed, 0)
    made = 4 * 8 * source.n_columns * (source.chunk_rows or 0)
    attributes = {"model": kind or type(model).__name__, "seed": seed}
    known = output_identity(model, params, source, seed=seed)
    output = drawn_rows(source.n_columns, source.dtype)
    with (engine or Engine()).open(source, made) as sweep:
        write_to(sweep, source, make_rows, Destination(path, output, attributes, overwrite, known))


def chunk_rows(d: int, dtype: DTypeLike, nbytes: int) -> int:
    """Return how many rows of d columns have about `nbytes` bytes; if more than a unit, a multiple of it."""
    rows, unit = max(1, nbytes // (d * np.dtype(dtype).itemsize)), unit_rows(d)
    return rows // unit * unit or rows


def _drawer(model: Generative[P], params: P, d: int, seed: int, which: int) -> Callable[[Block], Array]:
    """Return the function that draws the rows of a block (`which` = 0) or their latent variables (`which` = 1)."""
    return lambda block: draw(model, params, d, block.keys.first, len(block.x), seed)[which]
