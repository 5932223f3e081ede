"""From the sample to initial parameters: short runs of EM from many starts, long ones from the best.

That is the strategy of Biernacki, Celeux and Govaert (2003), "Choosing starting values for the EM
algorithm". Everything here depends on the sample alone, in the order of its hashes: last-bit differences
in moments of the whole data, which depend on the chunking, could flip a choice of k-means++.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Lock
from typing import Generic

import numpy as np

from dem.core.blas import single_threaded_blas
from dem.core.block import Block
from dem.core.stats import S
from dem.em import loop
from dem.em.model import Model, P
from dem.em.runs import Watch, in_threads
from dem.scan.fill_sample import completed
from dem.scan.sample import Sample
from dem.scan.scanner import Scanner

SHORT_ITER, LONG_ITER = 20, 250
FINALISTS = 4
LONG_TOL = 1e-5
"""Nats a row: well below the sampling error of the sample itself."""
PASSES_A_RUN, WORK_A_RUN = 2, 2e9
"""What a run may cost on the average: so many passes over the data, or operations (half a second)."""
LEAST_ROWS, LEAST_SHARE = 2000, 8
"""Rows of the sample that short runs keep, and one row in so many."""
LEAST_SHORT, LEAST_LONG = 5, 40
"""Iterations of a run below which fewer runs serve better."""


@dataclass(frozen=True)
class Start:
    """How the first parameters are found.

    Attributes
    ----------
    n_init : int
        Starts tried on the sample. They cost no pass over the data.
    sample_size : int
        Rows in the sample (fewer where they would take more than 64 MiB).
    seed : int
        Of the sample and of the starts.
    """

    n_init: int = 10
    sample_size: int = 30_000
    seed: int = 0


@dataclass(frozen=True)
class StartBudget:
    """What a start may spend, counted and not timed: the parameters found must not depend on the machine.

    Attributes
    ----------
    short_rows, short_iter : int
        Rows of the sample, the first ones, and most iterations of each short run.
    work : float
        Operations of an iteration on the whole sample; see `dem.em.model.Model.work`.
    long_work : float
        Operations that the short runs leave to the long ones, if they make all their iterations.
    """

    short_rows: int
    short_iter: int
    work: float
    long_work: float

    @classmethod
    def of(cls, model: Model[P, S], sample: Block, n_init: int, rows: int) -> StartBudget:
        """Return the effort of `n_init` starts on a sample of data of so many `rows` with some value.

        Where an iteration is cheap, or the data are many times the sample, nothing is cut. Else half of the work goes
        to the short runs: on fewer rows first, then with fewer iterations.
        """
        n = len(sample.x)
        work = model.work(sample.x)
        most = (n_init + FINALISTS) * max(WORK_A_RUN, PASSES_A_RUN * work * rows / max(1, n))
        asked = n_init * SHORT_ITER
        if asked * work <= most / 2:
            return cls(n, SHORT_ITER, work, most - asked * work)
        short = min(n, max(LEAST_ROWS, n // LEAST_SHARE, int(n * most / (2 * asked * work))))
        each = n_init * model.work(sample.x[:short])
        short_iter = int(np.clip(most / (2 * each), LEAST_SHORT, SHORT_ITER))
        return cls(short, short_iter, work, max(most / 4, most - each * short_iter))

    def long_runs(self, runs: int) -> tuple[int, int]:
        """Return how many of the best runs go on, and with how many iterations at most each."""
        iterations = self.long_work / self.work
        finalists = int(np.clip(iterations / LEAST_LONG, 1, min(FINALISTS, runs)))
        return finalists, int(np.clip(iterations / finalists, LEAST_SHORT, LONG_ITER))


@dataclass(frozen=True)
class BestRuns(Generic[P]):
    """The best of the runs that have ended, in any order: what all the others found takes no memory.

    Attributes
    ----------
    kept : list of (int, State)
        The numbers and states of `FINALISTS` runs at most, the best first; of equals, the one of the lower number.
    """

    kept: list[tuple[int, loop.State[P]]] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def add(self, i: int, state: loop.State[P]) -> None:
        """Take part with run number i, but without its statistics, which nobody asks for any more."""
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
    """Return the parameters at which the best of several runs of EM on the sample ends.

    Parameters
    ----------
    model : Model
        It is bound to the sample here; whatever only the whole data can tell, it keeps from having been bound to them.
    sample : Block
        The rows, in an order that does not depend on the chunking. Where they lack values, starts are made from a
        sample in which these are filled in (`dem.scan.fill_sample`), and EM goes on with what is observed.
    start : Start
    n_threads : int
        Starts run at a time; they do not depend on each other.
    completion : Sample, optional
        The sample with its missing values filled in, where that is done already.
    rows : int, optional
        Rows of the whole data that have some value, for `StartBudget`; by default those of the sample.
    watch : callable, optional
        Told of every iteration, in the calling thread; what it raises ends the start (see `dem.em.runs`).

    Raises
    ------
    ValueError
        If no start gives a proper model; the last one's reason.
    """
    sample = Block(sample.x.astype(np.float64), sample.weight)  # exact arithmetic costs little here
    scan = Scanner(sample.x.shape[1], model.needs_scatter, len(sample.x), start.seed, None)
    if completion is not None:
        completion = replace(completion, x=completion.x.astype(np.float64))
    found = completed(scan()(sample), completion)
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
        try:
            end = loop.fit(bound, run.params, loop.OneBlock(sample), tol=LONG_TOL, max_iter=max_iter, callback=after)
        except (ValueError, ArithmeticError):  # a component collapsed on the way
            return run
        return replace(end, stats=None)

    with single_threaded_blas():
        for size in dict.fromkeys([budget.short_rows, n]):
            shorts = [partial(short, size, i) for i in range(start.n_init)]
            errors = in_threads(shorts, n_threads, "short run", watch)
            if best.kept:
                break
        else:
            raise next(error for error in errors if error is not None)
        finalists, max_iter = budget.long_runs(len(best.kept))
        longs = [partial(long, run, max_iter) for _, run in best.kept[:finalists]]
        longer = in_threads(longs, n_threads, "long run", watch)
    return model.fresh(max(longer, key=lambda run: run.objective).params)
