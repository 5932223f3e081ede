"""Initial parameters from the sample: short runs of EM from many starts, long runs from the best, and moves.

This is the strategy of Biernacki, Celeux and Govaert (2003), "Choosing starting values for the EM algorithm". Then
components of the best run are joined and split where that is better (`dem.em.split_merge`).
Everything here depends only on the sample, whose rows are in the order of their hashes. Moments of the whole data
depend on the chunking in the last bit, and such a difference could change a choice of k-means++.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from threading import Lock
from typing import Any, Generic, NamedTuple

import numpy as np

from dem.core.blas import single_threaded_blas
from dem.core.block import Block
from dem.core.stats import S
from dem.em import acceleration, loop, split_merge
from dem.em.model import Model, Moving, P
from dem.em.moves import Work
from dem.em.runs import Watch, in_threads
from dem.em.start_records import StartRecord, with_optima
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
MOVES, MOVED = 12, 3
"""Moves may do the work of so many runs, and what the runs before them have left. They begin at so many of the best
runs, of each optimum once."""
MOST_STALLED = 4
"""Where the runs have found several optima on all the data, moves are looked for until so many rounds have found none;
else, until one has."""
MUCH, MORE = 0.1, 4
"""Where moves from one run gain so many nats a row, EM stopped far from the best optimum: they may do so many times the
work."""
MOVING = "joining and splitting components"
"""The name of moves in reports."""
MOST_MOVES, MOST_ON_ALL = 4000, 1000
"""The most iterations that moves may make; the second number is for a sample that is all of the data."""
NEAR = 1e-4
"""Ends of long runs that differ by less, in nats a row, are the same optimum."""
PARALLEL_WORK = split_merge.OVERHEAD
"""Starts run in parallel if an iteration has so many operations. Below, most of the time is Python's, in one thread."""
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
    a_run : float
        Operations allowed for a run, on average.
    """

    short_rows: int
    short_iter: int
    work: float
    long_work: float
    a_run: float = 0.0

    @classmethod
    def of(cls, model: Model[P, S], sample: Block, n_init: int, rows: int) -> StartBudget:
        """Return the budget of `n_init` starts on a sample; `rows` is the number of rows of the data with any value.

        If an iteration is cheap, or the data are much larger than the sample, nothing is reduced. Otherwise the short
        runs get half of the work: first their rows are reduced, then their iterations.
        """
        n = len(sample.x)
        work = model.work(sample.x)
        a_run = max(WORK_A_RUN, PASSES_A_RUN * work * rows / max(1, n))
        most = (n_init + FINALISTS) * a_run
        iterations = n_init * SHORT_ITER
        if iterations * work <= most / 2:
            return cls(n, SHORT_ITER, work, most - iterations * work, a_run)
        short = min(n, max(LEAST_ROWS, n // LEAST_SHARE, int(n * most / (2 * iterations * work))))
        each = n_init * model.work(sample.x[:short])
        short_iter = int(np.clip(most / (2 * each), LEAST_SHORT, SHORT_ITER))
        return cls(short, short_iter, work, max(most / 4, most - each * short_iter), a_run)

    def for_moves(self, passes: int, *, is_all: bool) -> float:
        """Return the operations that moves may do, after so many passes of the long runs over a sample.

        On a small sample an iteration is hardly any work: then their number counts.
        """
        work = self.a_run * MOVES + max(0.0, self.long_work - passes * self.work)
        return min(work, (MOST_ON_ALL if is_all else MOST_MOVES) * (self.work + split_merge.OVERHEAD))

    def long_runs(self, runs: int) -> tuple[int, int]:
        """Return how many of the best runs continue, and the largest number of iterations of each."""
        iterations = self.long_work / self.work
        finalists = int(np.clip(iterations / LEAST_LONG, 1, min(FINALISTS, runs)))
        return finalists, int(np.clip(iterations / finalists, LEAST_SHORT, LONG_ITER))


@dataclass(frozen=True)
class Started(Generic[P]):
    """The result of the starts.

    Attributes
    ----------
    params : P
        The first parameters for the whole data.
    starts : tuple of StartRecord
        One for each start; and one more if moves have improved the best of them.
    """

    params: P
    starts: tuple[StartRecord, ...] = ()


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


After = Callable[[loop.State[Any]], None]
"""What a run calls after each of its iterations."""


@dataclass(frozen=True)
class OnSample(Generic[P]):
    """The runs on the sample.

    Attributes
    ----------
    model : Model
        Bound to the sample.
    sample, whole : Block
        The rows, and the same with missing values filled in.
    budget : StartBudget
    seed : int
    tol : float
        Of the long runs.
    is_all : bool
        Whether the sample has all rows of the data.
    """

    model: Any
    sample: Block
    whole: Block
    budget: StartBudget
    seed: int
    tol: float
    is_all: bool
    best: BestRuns[P] = field(default_factory=BestRuns)

    def short(self, size: int, i: int, after: After) -> StartRecord | Exception:
        """Make start number i on the first rows; its end is added to the best runs."""
        model, rng = self.model, np.random.default_rng([self.seed, i])
        try:
            first = getattr(model, "varied_start", model.start) if i else model.start
            params, sweep = first(self.whole.part(0, size), rng), loop.OneBlock(self.sample.part(0, size))
            run = self._run(params, sweep, self.budget.short_iter, after)
        except (ValueError, ArithmeticError) as error:
            return error
        self.best.add(i, run)
        return StartRecord(i + 1, run.objective, run.n_iter, size)

    def long(self, run: loop.State[P], max_iter: int, after: After) -> loop.State[P]:
        """Continue a run on the whole sample; if it fails, return it as far as it came."""

        def again(model: Any, params: P, most: int) -> loop.State[P]:
            return acceleration.fit(model, params, sweep, tol=self.tol, max_iter=most, callback=after)

        end, sweep = run, loop.OneBlock(self.sample)
        try:
            end = again(self.model, run.params, max_iter)
            if isinstance(self.model, Moving):
                end = self.model.moved_on_sample(end, self.sample, again, max_iter)
        except (ValueError, ArithmeticError):  # a component collapsed on the way
            pass
        return end if end is run else replace(end, stats=None)

    def _run(self, params: P, sweep: loop.OneBlock, max_iter: int, after: After) -> loop.State[P]:
        return acceleration.fit(self.model, params, sweep, tol=self.tol, max_iter=max_iter, callback=after)

    def moved(self, runs: Sequence[tuple[int, loop.State[P]]], work: float, after: After) -> Moved[P]:
        """Return the best state that moves from the best of the runs find, after another long run from there."""
        left = Work(work)
        (number, best), moves, longer = runs[0], 0, False
        others = [b for a, b in pairwise(runs) if a[1].objective - b[1].objective > NEAR]
        for i, run in [runs[0], *others][:MOVED]:
            end, rounds = split_merge.improved(
                self.model,
                run,
                self.sample,
                self.whole,
                seed=self.seed,
                left=left,
                tol=self.tol,
                accidents=not self.is_all,
                most_stalled=MOST_STALLED if self.is_all and others else 1,
                after=after,
            )
            if end.objective - run.objective > MUCH and not longer:
                longer = True
                left.left += (MORE - 1) * work
            if rounds and end.objective > best.objective:
                number, best, moves = i, end, rounds
        max_iter = int(np.clip(work / self.budget.work, LEAST_SHORT, LONG_ITER))
        return Moved(number, self.long(best, max_iter, after) if moves else best, moves)


class Moved(NamedTuple, Generic[P]):
    """The best run after moves: its number, its state, and the rounds of moves."""

    number: int
    state: loop.State[P]
    moves: int


def best_start(
    model: Model[P, S],
    sample: Block,
    start: Start,
    n_threads: int = 1,
    completion: Sample | None = None,
    *,
    rows: int | None = None,
    tol: float = LONG_TOL,
    watch: Watch | None = None,
) -> Started[P]:
    """Return the parameters that the best of several EM runs on the sample has found, and what all runs have reached.

    Parameters
    ----------
    model : Model
        It is already bound to the whole data. Here it is bound to the sample, and keeps what only the whole data give.
    sample : Block
        The rows, in an order that does not depend on the chunking. If values are missing, the starts use a sample in
        which they are filled in (`dem.scan.fill_sample`), and EM uses the observed values only.
    start : Start
    n_threads : int
        Most starts that run at the same time, which do not depend on each other; on a small sample it is one.
    completion : Sample, optional
        The sample with missing values filled in, if it is already known.
    rows : int, optional
        Number of rows of the whole data with any value, for `StartBudget`; by default the rows of the sample.
    tol : float
        When the fit to the whole data stops, in nats a row. If the sample has all rows, accelerated EM goes on to it.
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
    bound: Any = model.bind(found)
    whole = Block(found.sample.x, found.sample.weight) if found.lacking.any() else sample
    n = len(sample.x)
    n_init = max(start.n_init, getattr(bound, "least_starts", 1))
    budget = StartBudget.of(bound, sample, n_init, n if rows is None else rows)
    is_all = rows is None or rows <= n
    closer = is_all and acceleration.can_extrapolate(bound)
    on = OnSample[P](bound, sample, whole, budget, start.seed, min(tol, LONG_TOL) if closer else LONG_TOL, is_all)

    n_threads = n_threads if budget.work >= PARALLEL_WORK else 1
    with single_threaded_blas():
        for size in dict.fromkeys([budget.short_rows, n]):
            shorts = [partial(on.short, size, i) for i in range(n_init)]
            records = in_threads(shorts, n_threads, "start", watch)
            if on.best.kept:
                break
        else:
            raise next(record for record in records if isinstance(record, Exception))
        finalists, max_iter = budget.long_runs(len(on.best.kept))
        chosen = on.best.kept[:finalists]
        longer = in_threads([partial(on.long, run, max_iter) for _, run in chosen], n_threads, "best start", watch)
        ends = [_record(i, record, size) for i, record in enumerate(records)]
        for (i, short), end in zip(chosen, longer, strict=True):
            if end is not short:
                course = (*(course_of(short)[:-1] if size == n else ()), *course_of(end))
                ends[i] = StartRecord(i + 1, end.objective, short.n_iter + end.n_iter, n, course=course)
        ranked = sorted(zip([i for i, _ in chosen], longer, strict=True), key=lambda run: -run[1].objective)
        best = ranked[0][1]
        if getattr(bound, "can_split", False):
            work = budget.for_moves(sum(len(run.history) for run in longer), is_all=is_all)
            [moved] = in_threads([partial(on.moved, ranked, work)], 1, MOVING, watch)
            best = moved.state
            if moved.moves:
                before = ends[moved.number]
                n_iter, course = before.n_iter + best.n_iter, (*before.course, *course_of(best))
                ends.append(StartRecord(moved.number + 1, best.objective, n_iter, n, moved.moves, course=course))
    return Started(model.for_new_fit(best.params), with_optima(ends))


def course_of(run: loop.State[P]) -> tuple[float, ...]:
    """Return the objective before each iteration of a run, and at its end, where a run that continues it begins."""
    return tuple(one.objective for one in run.history)


def _record(i: int, record: StartRecord | Exception, size: int) -> StartRecord:
    """Return the record of start number i, also if it has failed."""
    return StartRecord(i + 1, None, 0, size) if isinstance(record, Exception) else record
