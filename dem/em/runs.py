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

from dem.core.blas import single_threaded_openmp
from dem.em.loop import State

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
    """

    kind: str
    run: int
    runs: int
    ended: int
    state: State[Any] | None

    def __str__(self) -> str:
        """Return "start 3 of 10, iteration 12"."""
        place = f"{self.kind} {self.run} of {self.runs}"
        return place if self.state is None else f"{place}, iteration {len(self.state.history)}"


Watch = Callable[[RunProgress], object]
"""Called in the calling thread. An exception in it stops all runs."""


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
    cancelled = Event()

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
            try:
                futures[i].set_result(runs[i](partial(after, i)))
            except BaseException as error:
                futures[i].set_exception(error)
            reports.put((i, None))

    for i in range(len(runs)):
        waiting.put(i)
    threads = [Thread(target=work, name=f"{THREAD_NAME}_{n}", daemon=True) for n in range(min(n_threads, len(runs)))]
    i = ended = 0
    try:
        for thread in threads:
            thread.start()
        while ended < len(runs):
            state = None
            with suppress(Empty):
                i, state = reports.get(timeout=REPORT_SECONDS)
                ended += state is None
            if watch is not None:
                watch(RunProgress(kind, i + 1, len(runs), ended, state))
        return [future.result() for future in futures]
    except BaseException:
        cancelled.set()
        until = monotonic() + JOIN_SECONDS
        for thread in threads:
            if thread.is_alive():
                thread.join(max(0.0, until - monotonic()))
        raise
