"""Runs of EM side by side in threads, of which the calling thread hears every iteration, and which it can end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Event
from typing import Any, TypeVar

from dem.core.blas import single_threaded_openmp
from dem.em.loop import State

T = TypeVar("T")


@dataclass(frozen=True)
class Step:
    """What is told of the runs after an iteration of one of them, and when one ends.

    Attributes
    ----------
    kind : str
        What the runs are called: "short run".
    run, runs : int
        The number of the run, from 1 on, and of how many.
    ended : int
        Runs that have ended.
    state : State or None
        The run's state after its iteration; None when it has ended.
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


Watch = Callable[[Step], object]
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
        Told of every iteration. Ctrl-C and what it raises end the runs at their next iteration, and are raised.
    """
    told: SimpleQueue[tuple[int, State[Any] | None]] = SimpleQueue()
    given_up = Event()

    def in_thread(i: int) -> T:
        def after(state: State[Any]) -> None:
            if given_up.is_set():
                raise _EndedError
            told.put((i, state))

        try:
            return runs[i](after)
        finally:
            told.put((i, None))

    with ThreadPoolExecutor(n_threads, "dem-start", initializer=single_threaded_openmp) as pool:
        ended = 0
        try:
            futures = [pool.submit(in_thread, i) for i in range(len(runs))]
            while ended < len(runs):
                i, state = told.get()
                ended += state is None
                if watch is not None:
                    watch(Step(kind, i + 1, len(runs), ended, state))
            return [future.result() for future in futures]
        except BaseException:
            given_up.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
