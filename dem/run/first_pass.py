"""The first pass of a fit that starts from an earlier model: the scan, and the E-step of its parameters, at once.

An E-step needs a bound model, and a model is bound to a scan, which is not known before the pass. So the model is bound
to a guess: to rows that the earlier model expects. When the true scan is known, `Model.bind_like` decides whether the
statistics of the pass are as exact as those of any pass. If they are not, the pass is made again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, Self

import numpy as np

from dem.core.block import Array, Block, Float, MakeKernel, Sweep
from dem.core.stats import S
from dem.em.model import Model, P
from dem.em.progress import Progress
from dem.run.empty_rows import leaving_out_empty
from dem.scan.scanner import Scan, Scanner

GUESSED_ROWS, GUESSED_BYTES = 4096, 2**25
"""Rows drawn for a guess, and the most bytes of them."""
LARGEST_VALUE = 1e150
"""The E-step is not made on blocks with larger values, whose squares overflow. The scan refuses them, or models do not
square them."""


@dataclass(frozen=True)
class Guess(Generic[P, S]):
    """What is expected of the data before they are read.

    Attributes
    ----------
    model : Model
        Bound to the rows that are expected.
    params : P
        The parameters of the first E-step, marked for exact arithmetic.
    holes : bool
        Whether values are expected to be missing in some rows.
    """

    model: Model[P, S]
    params: P
    holes: bool


def guess_of(
    model: Model[P, S], params: P, rows: Array, ranges: tuple[Float, Float] | None, *, holes: bool
) -> Guess[P, S] | None:
    """Return the guess for a model and its first parameters; None if the model cannot be bound to the rows.

    Parameters
    ----------
    model : Model
        Not yet bound to data.
    params : P
    rows : array of shape (n, d)
        Complete rows like those that are expected, in the dtype of the data.
    ranges : (array of shape (d,), array of shape (d,)) or None
        The lowest and highest values expected, if they are known; those of `rows` are expected, too. Values may be
        outside of these ranges, by half of their width without any loss.
    holes : bool
        Whether values are expected to be missing in some rows.
    """
    d = rows.shape[1]
    scan = Scanner(d, model.needs_scatter, len(rows), 0, None)()(Block(rows))
    low, high = scan.low, scan.high
    if ranges is not None:
        low, high = np.minimum(low, ranges[0]), np.maximum(high, ranges[1])
    half = (high - low) / 2
    scan = replace(scan, low=low - half, high=high + half, missing=np.full(d, int(holes)))
    try:
        bound = model.bind(scan)
        return Guess(bound, bound.exact(model.for_new_fit(params)), holes)
    except (ValueError, ArithmeticError):
        return None


@dataclass(frozen=True)
class ScanAndStep:
    """The scan of some rows, and the statistics of an E-step on them.

    Attributes
    ----------
    scan : Scan
    stats : Statistics or None
        None if there are rows that were not expected, for which the kernel is not made.
    """

    scan: Scan
    stats: Any

    @property
    def rows(self) -> int:
        """The number of rows."""
        return self.scan.rows

    def __add__(self, other: Self) -> Self:
        """Return those of both sets of rows together."""
        both = self.stats is not None and other.stats is not None
        return replace(self, scan=self.scan + other.scan, stats=self.stats + other.stats if both else None)


def scan_and_step(scanner: Scanner, guess: Guess[P, S]) -> MakeKernel[ScanAndStep]:
    """Return the maker of the kernel that scans a block, and makes the E-step if its rows are as expected."""
    return partial(_scan_and_step, scanner, guess)


def _scan_and_step(scanner: Scanner, guess: Guess[P, S]) -> Callable[[Block], ScanAndStep]:
    scan, step = scanner(), leaving_out_empty(partial(guess.model.kernel, guess.params))

    def kernel(block: Block) -> ScanAndStep:
        found = scan(block)
        return ScanAndStep(found, step(block) if _is_expected(found, holes=guess.holes) else None)

    return kernel


def _is_expected(scan: Scan, *, holes: bool) -> bool:
    """Whether the kernel is made for the rows of a block."""
    if scan.infinite.any() or scan.measured.outside is not None or (scan.lacking.any() and not holes):
        return False
    return bool((scan.low > -LARGEST_VALUE).all() and (scan.high < LARGEST_VALUE).all())


@dataclass
class Primed:
    """A sweep whose first pass has been made already.

    Attributes
    ----------
    stats : Statistics or None
        Those of the first pass, for its first call.
    sweep : Sweep
    progress : Progress
    """

    stats: Any
    sweep: Sweep
    progress: Progress

    def __call__(self, make_kernel: MakeKernel[S]) -> S:
        """Return the statistics of the first pass, and then those of further passes."""
        if self.stats is None:
            return self.sweep(make_kernel)
        found: S = self.stats
        self.stats = None
        self.progress.begin("pass 1", None, None)
        return found
