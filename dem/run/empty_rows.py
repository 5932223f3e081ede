"""Rows without any value: fits leave them out, and their results are missing.

They are removed from a block before a kernel or an output function gets it, so they have no influence on any statistic,
criterion or output of the other rows. Blocks without such rows are passed on unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dem.core import human
from dem.core.block import Array, Block, MakeKernel, Sweep, find_empty_rows
from dem.core.rows import RowKeys
from dem.core.stats import S
from dem.em.row_output import RowOutput
from dem.models.row_checks import NotFiniteError
from dem.results.row_outputs import MakeRows, missing_result
from dem.source import Source

COPY_BYTES = 2**24
"""Most bytes of the rows that are copied at a time."""


@dataclass(frozen=True)
class WithoutEmptyRows:
    """A sweep whose kernels get only the rows that have a value.

    Attributes
    ----------
    sweep : Sweep
    """

    sweep: Sweep

    def __call__(self, make_kernel: MakeKernel[S]) -> S:
        """Return the sum of the kernel's statistics over all blocks; `rows` counts all rows."""
        return self.sweep(partial(leaving_out_empty, make_kernel))


def copied_bytes(source: Source) -> int:
    """Return the additional bytes that a task of `WithoutEmptyRows` needs."""
    return min(COPY_BYTES, source.block_bytes or COPY_BYTES)


def leaving_out_empty(make_kernel: MakeKernel[S]) -> Callable[[Block], S]:
    """Return the kernel that gets only the rows that have a value."""
    kernel = make_kernel()

    def leaving_out(block: Block) -> S:
        empty = find_empty_rows(block.x)
        if empty is None:
            return kernel(block)
        total: Any = None
        for part, _ in _parts(block, empty):
            stats = kernel(part)
            total = stats if total is None else total + stats
        counted: S = replace(total, rows=len(block.x))
        return counted

    return leaving_out


def missing_where_empty(make_rows: MakeRows, output: RowOutput) -> Callable[[Block], Array]:
    """Return the output function that `make_rows` makes, with missing results for rows without any value.

    Parameters
    ----------
    make_rows : callable
    output : RowOutput
        What it makes.
    """
    rows = make_rows()

    def of_rows(block: Block) -> Array:
        empty = find_empty_rows(block.x)
        if empty is None:
            return rows(block)
        out = np.full(output.shape(len(block.x)), missing_result(output.dtype), output.dtype)
        put_rows(rows, block, empty, out)
        return out

    return of_rows


def put_rows(rows: Callable[[Block], Array], block: Block, leave: NDArray[np.bool_], out: Array) -> None:
    """Write the results of `rows` for a block's rows into `out` (n, ...), except for the rows to `leave` (n,).

    Raises
    ------
    NotFiniteError
        A row has a value that is not finite; the error has the number of the row in the data.
    """
    for part, places in _parts(block, leave):
        try:
            out[places] = rows(part)
        except NotFiniteError as error:
            raise error.at_row(block.keys.of(int(places[error.row - part.keys.first]))) from None


def left_out_note(empty_rows: int, rows: int, source: Source) -> str:
    """Return the sentence that says how many rows without any value are left out."""
    of_all = human.share(empty_rows, rows)
    return f"{of_all} of the {human.plural(rows, 'row')} of {source.name} have no value at all and are left out"


def _parts(block: Block, leave: NDArray[np.bool_]) -> Iterator[tuple[Block, NDArray[np.intp]]]:
    """Yield the rows of a block except those to `leave`, at most `COPY_BYTES` at a time, and their positions.

    At least one part is yielded. The rows of a part have consecutive numbers, not their numbers in the data.
    """
    kept = np.flatnonzero(~leave)
    step = max(1, COPY_BYTES // max(1, block.x[:1].nbytes))
    for start in range(0, max(1, len(kept)), step):
        places = kept[start : start + step]
        weight = None if block.weight is None else block.weight[places]
        yield Block(block.x[places], weight, RowKeys.from_first(start)), places
