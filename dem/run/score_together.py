"""Scores of several fitted models on the same rows, from one pass: their sums, and the noise of their differences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from dem.core.block import Block, Float, find_empty_rows
from dem.core.error_state import default_error_state
from dem.core.stats import Additive
from dem.engine.engine import Engine
from dem.kernel.kernel_id import kernel_of
from dem.results.row_outputs import MakeRows
from dem.run.absent_chunks import AbsentChunkReporter
from dem.run.empty_rows import put_rows
from dem.run.rows import MEAN_ROWS, RowRequest, with_location
from dem.source import Source


@dataclass(frozen=True)
class Scores(Additive):
    """Sums over the rows of the scores of m models.

    Attributes
    ----------
    rows : int
    weight : float
        Sum of the weights.
    totals : array of shape (m,)
        Weighted sums of the scores.
    squares : array of shape (m, m)
        Weighted sums of the products of two scores, each less its model's mean on other rows.
    centred : array of shape (m,)
        Weighted sums of the scores less these means.
    """

    weight: float
    totals: Float
    squares: Float
    centred: Float

    def noise(self, i: int, j: int) -> float:
        """Return the standard error of the difference of two models' totals, if the rows are independent."""
        mean = (self.centred[i] - self.centred[j]) / self.weight
        square = self.squares[i, i] + self.squares[j, j] - 2 * self.squares[i, j]
        return float(np.sqrt(max(0.0, square - self.weight * mean**2)))


@default_error_state()
def scores_of_rows(
    requests: Mapping[str, RowRequest[Any]], source: Source, means: Sequence[float], engine: Engine | None = None
) -> Scores:
    """Return the sums of the scores of several models, in the order of the requests, from one pass.

    Parameters
    ----------
    requests : mapping of str to RowRequest
        By the model's name, of outputs that have one value per row.
    source : Source
    means : sequence of float
        About the mean of each score, so that squares lose no digits.
    engine : Engine, optional
    """
    d, n = source.n_columns, len(requests)
    workspace = sum(request.model.rows_bytes(d) for request in requests.values()) + 8 * 3 * n * MEAN_ROWS
    with (engine or Engine()).open(source, workspace) as passes, with_location(source):
        for kernel in {kernel_of(request.model) for request in requests.values()}:
            passes.check_kernel(kernel)
        what = next(iter(requests.values())).output.word
        reporter = AbsentChunkReporter(passes.with_name(f"{what}, {n} candidates"), source, passes.progress)
        makers = tuple(request.make_rows for request in requests.values())
        return reporter(partial(_kernel, makers, tuple(means)))


def _kernel(makers: Sequence[MakeRows], means: Sequence[float]) -> Callable[[Block], Scores]:
    """Return the kernel that sums the scores of all models."""
    each, m = [make() for make in makers], len(makers)
    shift = np.asarray(means, np.float64)[:, None]

    def kernel(block: Block) -> Scores:
        weight, totals, squares, centred = 0.0, np.zeros(m), np.zeros((m, m)), np.zeros(m)
        for start in range(0, len(block.x), MEAN_ROWS):
            part = block.part(start, start + MEAN_ROWS)
            weights = np.ones(len(part.x)) if part.weight is None else np.asarray(part.weight, np.float64)
            used = weights > 0
            if (empty := find_empty_rows(part.x)) is not None:
                used &= ~empty
            values = np.zeros((m, len(weights)))
            for rows, out in zip(each, values, strict=True):
                if used.all():
                    out[:] = rows(part)
                else:  # rows of weight 0 may have values for which no output can be computed
                    put_rows(rows, part, ~used, out)
            values, weights = values[:, used], weights[used]
            weight += float(weights.sum())
            totals += values @ weights
            values -= shift
            squares += (values * weights) @ values.T
            centred += values @ weights
        return Scores(len(block.x), weight, totals, squares, centred)

    return kernel
