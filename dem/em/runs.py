"""Runs of EM side by side in threads, of which the calling thread hears every iteration, and which it can end."""

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
THREADS = "dem-start"
"""What their threads are called."""
TELL_SECONDS = 1.0
"""The calling thread is told at least as often, also where an iteration takes longer."""
END_SECONDS = 1.0
"""How long runs that were given up are waited for: an iteration of full covariances of thousands of columns takes
minutes, and what it calls cannot be interrupted."""


@dataclass(frozen=True)
class RunProgress:
    """What is told of the runs after an iteration of one of them, when one ends, and while nothing happens.

    Attributes
    ----------
    kind : str
        What the runs are called: "short run".
    run, runs : int
        The number of the run, from 1 on, and of how many.
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
        """Return "short run 3 of 10, iteration 12"."""
        place = f"{self.kind} {self.run} of {self.runs}"
        return place if self.state is None else f"{place}, iteration {len(self.state.history)}"


Watch = Callable[[RunProgress], object]
"""Called in the calling thread; what it raises ends all runs."""


class _EndedError(Exception):
    """The calling thread has given up: Ctrl-C, or a limit is reached."""


def in_threads(
    runs: Sequence[Callable[[Callable[[State[Any]], None]], T]], n_threads: int, kind: str, watch: Watch | None = None
) -> list[T]:
    """Return what the runs return, in their order.

    Parameters
    ----------
    runs : sequence of callables
        Each is given what it has to call after every iteration, with its state.
    n_threads : int
    kind : str
        What to call them.
    watch : callable, optional
        Told of every iteration, and that there is none yet. Ctrl-C and what it raises end the runs at their next
        iteration, and are raised; runs that take long to come to it are left behind.
    """
    told: SimpleQueue[tuple[int, State[Any] | None]] = SimpleQueue()
    waiting: SimpleQueue[int] = SimpleQueue()
    futures: list[Future[T]] = [Future() for _ in runs]
    given_up = Event()

    def after(i: int, state: State[Any]) -> None:
        if given_up.is_set():
            raise _EndedError
        told.put((i, state))

    def work() -> None:
        single_threaded_openmp()
        while not given_up.is_set():
            try:
                i = waiting.get_nowait()
            except Empty:
                return
            try:
                futures[i].set_result(runs[i](partial(after, i)))
            except BaseException as error:
                futures[i].set_exception(error)
            told.put((i, None))

    for i in range(len(runs)):
        waiting.put(i)
    threads = [Thread(target=work, name=f"{THREADS}_{n}", daemon=True) for n in range(min(n_threads, len(runs)))]
    i = ended = 0
    try:
        for thread in threads:
            thread.start()
        while ended < len(runs):
            state = None
            with suppress(Empty):
                i, state = told.get(timeout=TELL_SECONDS)
                ended += state is None
            if watch is not None:
                watch(RunProgress(kind, i + 1, len(runs), ended, state))
        return [future.result() for future in futures]
    except BaseException:
        given_up.set()
        until = monotonic() + END_SECONDS
        for thread in threads:
            if thread.is_alive():
                thread.join(max(0.0, until - monotonic()))
        raise
