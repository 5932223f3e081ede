"""Initial parameters from the sample: short runs of EM from many starts, then long runs from the best.

This is the strategy of Biernacki, Celeux and Govaert (2003), "Choosing starting values for the EM algorithm".
Everything here depends only on the sample, whose rows are in the order of their hashes. Moments of the whole data
depend on the chunking in the last bit, and such a difference could change a choice of k-means++.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Lock
from typing import Any, Generic

import numpy as np

from dem.core.blas import single_threaded_blas
from dem.core.block import Block
from dem.core.stats import S
from dem.em import loop
from dem.em.model import Model, Moving, P
from dem.em.runs import Watch, in_threads
from dem.scan.fill_sample import completed_scan
from dem.scan.sample import Sample
from dem.scan.scanner import Scanner

SHORT_ITER, LONG_ITER = 20, 250
FINALISTS = 4
LONG_TOL = 1e-5
"""In nats a row: well below the sampling error of the sample."""
PASSES_A_RUN, WORK_A_RUN = 2, 2e9
"""Average cost allowed for a run: passes over the data, or operations (half a second); the larger one counts."""
LEAST_ROWS, LEAST_SHARE = 2000, 8
"""Short runs use at least this number of rows, and at least one row in 8 of the sample."""
LEAST_SHORT, LEAST_LONG = 5, 40
"""Least iterations of a short and of a long run: with fewer, it is better to make fewer runs."""


@dataclass(frozen=True)
class Start:
    """How the first parameters are found.

    Attributes
    ----------
    n_init : int
        Number of starts on the sample. They need no pass over the data.
    sample_size : int
        Number of rows in the sample; fewer if they would take more than 64 MiB.
    seed : int
        Random seed of the sample and the starts.
    """

    n_init: int = 10
    sample_size: int = 30_000
    seed: int = 0


@dataclass(frozen=True)
class StartBudget:
    """The work that a start may do. It is counted, not timed, so that the result does not depend on the machine.

    Attributes
    ----------
    short_rows, short_iter : int
        Rows (the first ones of the sample) and largest number of iterations of each short run.
    work : float
        Operations of one iteration on the whole sample; see `dem.em.model.Model.work`.
    long_work : float
        Operations left for the long runs, if the short runs make all their iterations.
    """

    short_rows: int
    short_iter: int
    work: float
    long_work: float

    @classmethod
    def of(cls, model: Model[P, S], sample: Block, n_init: int, rows: int) -> StartBudget:
        """Return the budget of `n_init` starts on a sample; `rows` is the number of rows of the data with any value.

        If an iteration is cheap, or the data are much larger than the sample, nothing is reduced. Otherwise the short
        runs get half of the work: first their rows are reduced, then their iterations.
        """
        n = len(sample.x)
        work = model.work(sample.x)
        most = (n_init + FINALISTS) * max(WORK_A_RUN, PASSES_A_RUN * work * rows / max(1, n))
        iterations = n_init * SHORT_ITER
        if iterations * work <= most / 2:
            return cls(n, SHORT_ITER, work, most - iterations * work)
        short = min(n, max(LEAST_ROWS, n // LEAST_SHARE, int(n * most / (2 * iterations * work))))
        each = n_init * model.work(sample.x[:short])
        short_iter = int(np.clip(most / (2 * each), LEAST_SHORT, SHORT_ITER))
        return cls(short, short_iter, work, max(most / 4, most - each * short_iter))

    def long_runs(self, runs: int) -> tuple[int, int]:
        """Return how many of the best runs continue, and the largest number of iterations of each."""
        iterations = self.long_work / self.work
        finalists = int(np.clip(iterations / LEAST_LONG, 1, min(FINALISTS, runs)))
        return finalists, int(np.clip(iterations / finalists, LEAST_SHORT, LONG_ITER))


@dataclass(frozen=True)
class BestRuns(Generic[P]):
    """The best of the finished runs, which may finish in any order. The results of the other runs are not kept.

    Attributes
    ----------
    kept : list of (int, State)
        Numbers and states of at most `FINALISTS` runs, the best first; if equal, the one with the lower number.
    """

    kept: list[tuple[int, loop.State[P]]] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def add(self, i: int, state: loop.State[P]) -> None:
        """Add run number i if it is among the best. Its statistics are not needed any more and are dropped."""
        with self._lock:
            self.kept.append((i, replace(state, stats=None)))
            self.kept.sort(key=lambda run: (-run[1].objective, run[0]))
            del self.kept[FINALISTS:]


def best_start(
    model: Model[P, S],
    sample: Block,
    start: Start,
    n_threads: int = 1,
    completion: Sample | None = None,
    *,
    rows: int | None = None,
    watch: Watch | None = None,
) -> P:
    """Return the parameters that the best of several EM runs on the sample has found.

    Parameters
    ----------
    model : Model
        It is already bound to the whole data. Here it is bound to the sample, and keeps what only the whole data give.
    sample : Block
        The rows, in an order that does not depend on the chunking. If values are missing, the starts use a sample in
        which they are filled in (`dem.scan.fill_sample`), and EM uses the observed values only.
    start : Start
    n_threads : int
        Number of starts that run at the same time; they do not depend on each other.
    completion : Sample, optional
        The sample with missing values filled in, if it is already known.
    rows : int, optional
        Number of rows of the whole data with any value, for `StartBudget`; by default the rows of the sample.
    watch : callable, optional
        Called after every iteration, in the calling thread; an error that it raises ends the start (see `dem.em.runs`).

    Raises
    ------
    ValueError
        If every start fails; the message is that of the first failed start.
    """
    sample = Block(sample.x.astype(np.float64), sample.weight)  # exact arithmetic costs little here
    scan = Scanner(sample.x.shape[1], model.needs_scatter, len(sample.x), start.seed, None)
    if completion is not None:
        completion = replace(completion, x=completion.x.astype(np.float64))
    found = completed_scan(scan()(sample), completion)
    bound = model.bind(found)
    whole = Block(found.sample.x, found.sample.weight) if found.lacking.any() else sample
    n = len(sample.x)
    budget = StartBudget.of(bound, sample, start.n_init, n if rows is None else rows)

    best: BestRuns[P] = BestRuns()

    def short(size: int, i: int, after: Callable[[loop.State[P]], None]) -> Exception | None:
        try:
            params = bound.start(whole.part(0, size), np.random.default_rng([start.seed, i]))
            sweep = loop.OneBlock(sample.part(0, size))
            run = loop.fit(bound, params, sweep, tol=LONG_TOL, max_iter=budget.short_iter, callback=after)
        except (ValueError, ArithmeticError) as error:
            return error
        best.add(i, run)
        return None

    def long(run: loop.State[P], max_iter: int, after: Callable[[loop.State[P]], None]) -> loop.State[P]:
        def again(model: Model[P, Any], params: P, most: int) -> loop.State[P]:
            return loop.fit(model, params, loop.OneBlock(sample), tol=LONG_TOL, max_iter=most, callback=after)

        end = run
        try:
            end = again(bound, run.params, max_iter)
            if isinstance(bound, Moving):
                end = bound.moved_on_sample(end, sample, again, max_iter)
        except (ValueError, ArithmeticError):  # a component collapsed on the way
            pass
        return replace(end, stats=None)

    with single_threaded_blas():
        for size in dict.fromkeys([budget.short_rows, n]):
            shorts = [partial(short, size, i) for i in range(start.n_init)]
            errors = in_threads(shorts, n_threads, "start", watch)
            if best.kept:
                break
        else:
            raise next(error for error in errors if error is not None)
        finalists, max_iter = budget.long_runs(len(best.kept))
        longs = [partial(long, run, max_iter) for _, run in best.kept[:finalists]]
        longer = in_threads(longs, n_threads, "best start", watch)
    return model.for_new_fit(max(longer, key=lambda run: run.objective).params)
