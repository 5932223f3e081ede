"""Compute or write the row-wise outputs of a fitted model: labels, responsibilities, scores, latents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic

import numpy as np

from dem.core.block import Array, Block, find_empty_rows
from dem.core.columns import Columns
from dem.core.dtypes import float_dtype
from dem.core.error_state import default_error_state
from dem.core.stats import Additive
from dem.core.version import __version__
from dem.em.model import P, Rowwise
from dem.em.row_output import REAL, RowOutput, find_output
from dem.engine.engine import Engine
from dem.engine.passes import Passes
from dem.kernel.kernel_id import kernel_of
from dem.models.row_checks import NotFiniteError, check_complete
from dem.results import row_outputs
from dem.results.row_outputs import Destination, MakeRows
from dem.run.absent_chunks import AbsentChunkReporter
from dem.run.empty_rows import left_out_note, missing_where_empty, put_rows
from dem.source import Source
from dem.storage.encoding import digest

MISSING_TREATMENTS = ("marginalize", "error")
"""How missing values are handled: marginalised, or refused."""


@dataclass(frozen=True)
class RowRequest(Generic[P]):
    """A request for a row output of a fitted model, for the rows of a source.

    Attributes
    ----------
    model : Rowwise
    params : P
    source : Source
    output : RowOutput
        One of the outputs of the model.
    missing : {"marginalize", "error"}
        Whether missing values are marginalised or refused.
    """

    model: Rowwise[P]
    params: P
    source: Source
    output: RowOutput
    missing: str = "marginalize"

    @classmethod
    def of(cls, model: Rowwise[P], params: P, source: Source, word: str, missing: str = "marginalize") -> RowRequest[P]:
        """Return the request for the output with the name that a user wrote.

        Outputs with the shape of the rows have the floating dtype of the rows, at most float64.

        Raises
        ------
        ValueError
            If the model has no such output.
        """
        floating = float_dtype(source.dtype)
        outputs = model.row_outputs(params, floating if floating.itemsize <= REAL.itemsize else REAL)
        return cls(model, params, source, find_output(outputs, word), missing)

    @property
    def make_rows(self) -> MakeRows:
        """Makes the function from a block to the output; the output is missing for rows without any value."""
        rows = partial(missing_where_empty, partial(self.model.rows, self.params, self.output), self.output)
        if self.missing == "error":
            rows = partial(_of_complete_rows, rows)
        columns = self.source.columns
        return partial(_naming_columns, rows, columns) if columns.named else rows


@default_error_state()
def compute_rows(request: RowRequest[Any], engine: Engine | None = None) -> Any:
    """Return a row output: a NumPy array for data in memory, a lazy Dask array otherwise.

    Parameters
    ----------
    request : RowRequest
    engine : Engine, optional
        For data in memory its number of workers is the number of threads.
    """
    source = request.source
    if source.lazy:
        return row_outputs.lazy(source, request.make_rows, request.output)
    n_threads = min((engine or Engine()).n_workers, len(source.partitions))
    return row_outputs.collect(source, request.make_rows, n_threads)


@default_error_state()
def write_rows(
    request: RowRequest[Any],
    path: str | Path,
    *,
    engine: Engine | None = None,
    overwrite: bool = False,
    kind: str | None = None,
) -> None:
    """Write a row output as a Zarr array, region by region, in one pass.

    Parameters
    ----------
    request : RowRequest
    path : str or Path
    engine : Engine, optional
    overwrite : bool
        Replace an existing array at `path` when the new one is complete.
    kind : str, optional
        Name of the model in the attributes of the array; by default its class name.
    """
    model, source, output = request.model, request.source.for_writing(), request.output
    attributes = {"model": kind or type(model).__name__, "source": source.name}
    identity = output_identity(model, request.params, source, what=output.word)
    held = model.rows_bytes(source.n_columns) + row_outputs.results_bytes(source, output)
    with (engine or Engine()).open(source, held) as passes, with_location(source):
        passes.check_kernel(kernel_of(model))
        write_to(passes, source, request.make_rows, Destination(path, output, attributes, overwrite, identity))


def _of_complete_rows(make_rows: MakeRows) -> Callable[[Block], Array]:
    """Return the output function that `make_rows` makes; it refuses blocks with missing values."""
    rows = make_rows()

    def complete(block: Block) -> Array:
        check_complete(block)
        return rows(block)

    return complete


def _naming_columns(make_rows: MakeRows, columns: Columns) -> Callable[[Block], Array]:
    """Return the output function that `make_rows` makes; its errors name the columns."""
    rows = make_rows()

    def naming(block: Block) -> Array:
        try:
            return rows(block)
        except NotFiniteError as error:
            raise error.naming(columns.in_words([error.column])) from None

    return naming


@contextmanager
def with_location(source: Source) -> Iterator[None]:
    """Add the chunk to the message of an error about a value that is not finite."""
    try:
        yield
    except NotFiniteError as error:
        raise ValueError(f"{error} (it is in {source.locate(error.row, error.column)})") from None


def write_to(passes: Passes, source: Source, make_rows: MakeRows, to: Destination) -> None:
    """Write an output by these passes, which are reported under its name; see `row_outputs.write`."""
    reporter = AbsentChunkReporter(passes.with_name(to.output.word), source, passes.progress)
    row_outputs.write(reporter, source, make_rows, to, note=passes.progress.note, require=passes.check_visible)


def output_identity(model: Rowwise[P], params: P, source: Source, **settings: Any) -> Any:
    """Return everything that the rows written depend on, valid in JSON; None if the data cannot be identified."""
    data = source.identity()
    if data is None:
        return None
    try:
        model_digest = digest([model, params])
    except TypeError:  # a user's model with parameters that dem cannot encode
        return None
    return {"dem": __version__, "model": model_digest, "data": data, **settings}


MEAN_ROWS = 2**16
"""Number of rows whose outputs are held at a time while a mean is computed."""


@dataclass(frozen=True)
class Mean(Additive):
    """The weighted mean of a row-wise output.

    Attributes
    ----------
    rows : int
    empty_rows : int
        Rows without any value; the mean leaves them out.
    weight : float
        Sum of the weights.
    total : float
        Weighted sum of the output.
    """

    empty_rows: int
    weight: float
    total: float

    @property
    def mean(self) -> float:
        """The weighted mean.

        Raises
        ------
        ValueError
            If no row has a value, or all weights are zero.
        """
        return self.total / self.counted

    @property
    def counted(self) -> float:
        """The sum of the weights; without weights, the number of rows that have a value.

        Raises
        ------
        ValueError
            If no row has a value, or all weights are zero.
        """
        if self.empty_rows == self.rows:
            raise ValueError("no row has any value (all are NaN), so there is no mean: give rows that have values")
        if not self.weight > 0:
            raise ValueError("the weights are all zero: give some rows a positive sample_weight")
        return self.weight


@default_error_state()
def mean_of_rows(request: RowRequest[Any], engine: Engine | None = None) -> Mean:
    """Return the weighted mean of an output that has one value per row, from one pass."""
    source = request.source
    workspace = request.model.rows_bytes(source.n_columns)
    with (engine or Engine()).open(source, workspace) as passes, with_location(source):
        passes.check_kernel(kernel_of(request.model))
        reporter = AbsentChunkReporter(passes.with_name(request.output.word), source, passes.progress)
        found = reporter(partial(mean_kernel, request.make_rows))
        if found.empty_rows:
            passes.progress.note(left_out_note(found.empty_rows, found.rows, source))
        return found


def mean_kernel(make_rows: MakeRows) -> Callable[[Block], Mean]:
    """Return the kernel that sums a row-wise output."""
    rows = make_rows()

    def kernel(block: Block) -> Mean:
        empty_rows, weight, total = 0, 0.0, 0.0
        for start in range(0, len(block.x), MEAN_ROWS):
            part = block.part(start, start + MEAN_ROWS)
            weights = np.ones(len(part.x)) if part.weight is None else np.asarray(part.weight, dtype=np.float64)
            if (weights > 0).all():
                values = rows(part)
            else:  # rows of weight 0 may have values for which no output can be computed
                values = np.zeros(len(weights))
                put_rows(rows, part, weights == 0, values)
            if (empty := find_empty_rows(part.x)) is not None:
                values, weights = values[~empty], weights[~empty]
                empty_rows += int(empty.sum())
            weight += float(weights.sum())
            total += float(values @ weights)
        return Mean(len(block.x), empty_rows, weight, total)

    return kernel
