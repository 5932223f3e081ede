"""Several runs of EM in parallel threads. The calling thread gets a report of every iteration, and can stop them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from threading import Event, Thread
from time import monotonic
from typing import Any, TypeVar

from dem.core import human
from dem.core.blas import single_threaded_openmp
from dem.em.loop import State
from dem.em.runs_left import runs_left

T = TypeVar("T")
THREAD_NAME = "dem-start"
"""The first part of the threads' names."""
REPORT_SECONDS = 1.0
"""The calling thread gets a report at least this often, also if an iteration takes longer."""
JOIN_SECONDS = 1.0
"""How long to wait for cancelled runs: an iteration with full covariances of thousands of columns takes minutes, and it
cannot be interrupted."""


@dataclass(frozen=True)
class RunProgress:
    """A report on the runs: after an iteration of one of them, when one ends, and regularly while nothing happens.

    Attributes
    ----------
    kind : str
        The name of the runs, such as "start".
    run, runs : int
        The number of the run, from 1, and the number of all runs.
    ended : int
        Runs that have ended.
    state : State or None
        The run's state after its iteration; None when it has ended, and while nothing happens.
    first, iteration : int
        The number of the first run that has not ended, from 1, and of its iterations.
    seconds_left : (float, float) or None
        An estimate of the time until all runs have ended: the least and the most. None before the first end.
    """

    kind: str
    run: int
    runs: int
    ended: int
    state: State[Any] | None
    first: int
    iteration: int
    seconds_left: tuple[float, float] | None

    def __str__(self) -> str:
        """Return "start 3 of 10, iteration 12"."""
        return self._text(self.run, "", 0 if self.state is None else len(self.state.history))

    @property
    def summary(self) -> str:
        """The runs in one line: "start 3 of 10, about 20 to 60 seconds left for all, iteration 12".

        Of runs in parallel it names the first that has not ended, so successive lines do not jump between them. The
        iteration is the last: narrow terminals cut it off.
        """
        left = human.time_left(*self.seconds_left) if self.seconds_left is not None else ""
        return self._text(self.first, f"{left} for all" if left else "", self.iteration)

    def _text(self, run: int, left: str, iteration: int) -> str:
        parts = [f"{self.kind} {run} of {self.runs}", left, f"iteration {iteration}" if iteration else ""]
        return ", ".join(part for part in parts if part)


Watch = Callable[[RunProgress], object]
"""Called in the calling thread. An exception in it stops all runs."""


class _Record:
    """Which runs have begun and ended, when, and how many iterations they have made."""

    def __init__(self, kind: str, n: int, n_threads: int) -> None:
        self.kind, self.n, self.n_threads = kind, n, n_threads
        self._begun: dict[int, float] = {}
        self._seconds: dict[int, float] = {}
        self._iterations = [0] * n

    def begin(self, i: int) -> None:
        """Run i begins; this is called in its thread."""
        self._begun[i] = monotonic()

    @property
    def ended(self) -> int:
        """Runs that have ended."""
        return len(self._seconds)

    def iterate(self, i: int, state: State[Any] | None) -> None:
        """Take the state of run i after an iteration, or None when it has ended."""
        if state is None:
            self._seconds[i] = monotonic() - self._begun[i]
        else:
            self._iterations[i] = len(state.history)

    def report(self, i: int, state: State[Any] | None) -> RunProgress:
        """Return a report, in which run i has this state."""
        now, seconds = monotonic(), self._seconds
        running = [now - begun for run, begun in self._begun.copy().items() if run not in seconds]
        left = runs_left([*seconds.values()], running, self.n - len(seconds) - len(running), self.n_threads)
        first = next((run for run in range(self.n) if run not in seconds), self.n - 1)
        return RunProgress(self.kind, i + 1, self.n, len(seconds), state, first + 1, self._iterations[first], left)


class _CancelledError(Exception):
    """The calling thread has cancelled the runs: Ctrl-C, or a limit is reached."""


def in_threads(
    runs: Sequence[Callable[[Callable[[State[Any]], None]], T]], n_threads: int, kind: str, watch: Watch | None = None
) -> list[T]:
    """Run the callables in threads, and return their results in order.

    Parameters
    ----------
    runs : sequence of callables
        Each gets a function, which it must call with its state after every iteration.
    n_threads : int
    kind : str
        The name of the runs.
    watch : callable, optional
        Called after every iteration, and regularly in between. Ctrl-C, or an exception in `watch`, stops the runs at
        their next iteration and is raised again; runs that take long to reach it are abandoned.
    """
    reports: SimpleQueue[tuple[int, State[Any] | None]] = SimpleQueue()
    waiting: SimpleQueue[int] = SimpleQueue()
    futures: list[Future[T]] = [Future() for _ in runs]
    cancelled, n_threads = Event(), min(n_threads, len(runs))
    record = _Record(kind, len(runs), n_threads)

    def after(i: int, state: State[Any]) -> None:
        if cancelled.is_set():
            raise _CancelledError
        reports.put((i, state))

    def work() -> None:
        single_threaded_openmp()
        while not cancelled.is_set():
            try:
                i = waiting.get_nowait()
            except Empty:
                return
            record.begin(i)
            try:
                futures[i].set_result(runs[i](partial(after, i)))
            except BaseException as error:
                futures[i].set_exception(error)
            reports.put((i, None))

    for i in range(len(runs)):
        waiting.put(i)
    threads = [Thread(target=work, name=f"{THREAD_NAME}_{n}", daemon=True) for n in range(n_threads)]
    i = 0
    try:
        for thread in threads:
            thread.start()
        while record.ended < len(runs):
            state = None
            with suppress(Empty):
                i, state = reports.get(timeout=REPORT_SECONDS)
                record.iterate(i, state)
            if watch is not None:
                watch(record.report(i, state))
        return [future.result() for future in futures]
    except BaseException:
        cancelled.set()
        _join(threads)
        raise


def _join(threads: Sequence[Thread]) -> None:
    """Wait for the end of threads, at most `JOIN_SECONDS`."""
    until = monotonic() + JOIN_SECONDS
    for thread in threads:
        if thread.is_alive():
            thread.join(max(0.0, until - monotonic()))
