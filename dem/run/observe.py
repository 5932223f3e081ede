"""What a report says about the rows of a store, all from one pass: scan, score, and what each class has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from dem.core.block import Block, Float
from dem.core.error_state import default_error_state
from dem.core.stats import Additive
from dem.core.together import Together, together
from dem.em.starts import Start
from dem.engine.engine import Engine
from dem.engine.sweep.memory_plan import IDLE_WORKER_BYTES
from dem.kernel.kernel_id import kernel_of
from dem.results.row_outputs import MakeRows
from dem.run.absent_chunks import AbsentChunkReporter
from dem.run.empty_rows import left_out_note
from dem.run.fit import scanner_of
from dem.run.rows import MEAN_ROWS, Mean, RowRequest, mean_kernel, with_location
from dem.run.start import SAMPLE_COPIES
from dem.scan.sample import sample_rows
from dem.scan.scanner import Scan, scan_bytes

CLIENT_BYTES = IDLE_WORKER_BYTES
"""Memory of this process for the pictures, in addition to the sample."""


@dataclass(frozen=True)
class ClassSums(Additive):
    """Sums over the rows of each class; a row belongs to its most probable component, or to its cluster.

    Attributes
    ----------
    rows : int
        All rows, also those without any value.
    counts : array of shape (K,)
        The rows of each class.
    observed, sums, squares : arrays of shape (K, d)
        The number of values, and the sums of their differences from `centre` and of the squares.
    """

    counts: Float
    observed: Float
    sums: Float
    squares: Float

    def means(self, centre: Float) -> Float:
        """Return the mean of each class in each column (K, d), given the (K, d) centre; NaN without values."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(centre + self.sums / self.observed)

    @property
    def deviations(self) -> Float:
        """The standard deviation of each class in each column (K, d); NaN without values."""
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = self.sums / self.observed
            return np.asarray(np.sqrt(np.maximum(self.squares / self.observed - mean**2, 0.0)))


@dataclass(frozen=True)
class Observed:
    """The result of the pass.

    Attributes
    ----------
    scan : Scan
        Counts, moments, ranges and a sample of the rows.
    score : Mean
        The mean of the rows' scores.
    classes : ClassSums or None
        None for models without classes.
    """

    scan: Scan
    score: Mean
    classes: ClassSums | None


@default_error_state()
def observe(
    score: RowRequest[Any],
    label: RowRequest[Any] | None,
    centre: Float,
    *,
    engine: Engine | None = None,
    sample_size: int = Start.sample_size,
    seed: int = 0,
) -> Observed:
    """Return what one pass over the rows of a source tells.

    Parameters
    ----------
    score : RowRequest
        The request for the rows' scores.
    label : RowRequest or None
        The request for their classes, of the same source; None for models without classes.
    centre : array of shape (K, d)
        About the mean of each class, so that no digits are lost.
    engine : Engine, optional
    sample_size, seed : int
        Of the sample of rows.

    Raises
    ------
    ValueError
        A row does not suit the model; the message says where it is.
    MemoryError
        The pass does not fit into the engine's limit.
    """
    source = score.source
    d = source.n_columns
    scanner = scanner_of(source, Start(sample_size=sample_size, seed=seed), scatter=False)
    workspace = scan_bytes(d, scatter=False) + score.model.rows_bytes(d) * (1 if label is None else 2)
    workspace += 0 if label is None else class_bytes(centre)
    held = 8 * sample_rows(sample_size, d) * d * (SAMPLE_COPIES + 1) + CLIENT_BYTES
    kernels: dict[str, Any] = {"scan": scanner, "score": partial(mean_kernel, score.make_rows)}
    if label is not None:
        kernels["classes"] = partial(class_kernel, label.make_rows, centre)
    with (engine or Engine()).open(source, workspace, held) as passes, with_location(source):
        passes.check_kernel(kernel_of(score.model))
        passes.check_kernel(scanner.kernel_used)
        reporter = AbsentChunkReporter(passes.with_name("report"), source, passes.progress)
        found: Together = reporter(together(kernels))
        if (empty := found.of["score"].empty_rows) > 0:
            passes.progress.note(left_out_note(empty, found.rows, source))
    return Observed(found.of["scan"], found.of["score"], found.of.get("classes"))


def class_bytes(centre: Float) -> int:
    """Return the bytes that the sums by class need: of one part of a block, and the sums themselves."""
    k, d = centre.shape
    return 8 * (MEAN_ROWS * (k + 4 * d) + 8 * k * d)


def class_kernel(make_rows: MakeRows, centre: Float) -> Callable[[Block], ClassSums]:
    """Return the kernel that sums the rows by class."""
    rows = make_rows()
    k, d = centre.shape

    def kernel(block: Block) -> ClassSums:
        counts, observed = np.zeros(k), np.zeros((k, d))
        sums, squares = np.zeros((k, d)), np.zeros((k, d))
        for start in range(0, len(block.x), MEAN_ROWS):
            part = block.part(start, start + MEAN_ROWS)
            labels = rows(part)
            used = labels >= 0
            x, labels = np.asarray(part.x[used], dtype=np.float64), labels[used]
            member = np.zeros((k, len(labels)))
            member[labels, np.arange(len(labels))] = 1.0
            seen = np.isfinite(x)
            x = np.where(seen, x - centre[labels], 0.0)
            counts += member.sum(axis=1)
            observed += member @ seen
            sums += member @ x
            squares += member @ (x * x)
        return ClassSums(len(block.x), counts, observed, sums, squares)

    return kernel
