import threading
import time

import pytest

from dem.core.block import Block
from dem.em import loop, runs
from dem.em.runs import in_threads
from dem.em.starts import Start, best_start
from laws import data, mixture

STATE = loop.State(None, (loop.Pass(0.0),))


def test_results_come_in_the_order_of_the_runs_and_every_iteration_is_told():
    told = []

    def run(i, after):
        for _ in range(i):
            after(STATE)
        return i

    four = [lambda after, i=i: run(i, after) for i in range(4)]
    assert in_threads(four, 2, "start", told.append) == [0, 1, 2, 3]
    assert sum(step.state is not None for step in told) == 0 + 1 + 2 + 3
    assert [step.ended for step in told if step.state is None] == [1, 2, 3, 4]
    assert {str(step) for step in told} >= {"start 4 of 4, iteration 1", "start 1 of 4"}


def test_the_summary_names_the_first_run_that_has_not_ended():
    """Two runs at the same time, which take turns; the second ends first."""
    record = runs._Record("start", 3, 2)
    record.begin(0)
    record.begin(1)
    told = []
    for i, n in [(0, 1), (1, 1), (0, 2), (1, 2), (1, None), (0, 3), (0, None)]:
        state = None if n is None else loop.State(None, (loop.Pass(0.0),) * n)
        record.iterate(i, state)
        told.append(record.report(i, state).summary)
        if (i, n) == (1, None):
            record.begin(2)
    one = [f"start 1 of 3, iteration {n}" for n in (1, 1, 2, 2, 2, 3)]
    assert told == [*one, "start 3 of 3"]


def test_after_the_first_end_the_summary_has_the_time_left(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(runs, "monotonic", lambda: now[0])
    record, told = runs._Record("best start", 3, 1), []
    for i in range(3):
        record.begin(i)
        told.append(record.report(i, None).summary)
        now[0] += 100.0
        record.iterate(i, STATE)
        record.iterate(i, None)
    assert told == [
        "best start 1 of 3",
        "best start 2 of 3, about 100 seconds to 7 minutes left for all",
        "best start 3 of 3, about 70 seconds to 3 minutes left for all",
    ]
    assert record.report(2, None).summary == "best start 3 of 3, iteration 1"


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_what_the_watch_raises_ends_all_runs_at_their_next_iteration(error):
    begun = []

    def endless(after):
        begun.append(threading.get_ident())
        while True:
            after(STATE)

    def watch(step):
        raise error("enough")

    with pytest.raises(error, match="enough"):
        in_threads([endless] * 5, 2, "start", watch)
    assert len(begun) <= 4
    assert not any(thread.name.startswith("dem-start") for thread in threading.enumerate())


def test_what_a_run_raises_is_raised():
    def broken(after):
        raise ZeroDivisionError("of this run")

    with pytest.raises(ZeroDivisionError, match="of this run"):
        in_threads([broken], 1, "start")


@pytest.mark.parametrize("threads", [1, 3])
def test_a_start_is_broken_off_at_any_iteration(threads, monkeypatch):
    monkeypatch.setattr("dem.em.starts.PARALLEL_WORK", 0)
    iterations = []

    def watch(step):
        iterations.append(step)
        if len(iterations) == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        best_start(mixture("full"), Block(data()), Start(), threads, watch=watch)
    assert len(iterations) == 7


def test_a_long_iteration_is_left_behind_and_the_watch_is_heard_during_it(monkeypatch):
    """What LAPACK does to matrices of thousands of columns takes minutes, and cannot be interrupted."""
    monkeypatch.setattr(runs, "REPORT_SECONDS", 0.01)
    monkeypatch.setattr(runs, "JOIN_SECONDS", 0.01)
    go_on, told = threading.Event(), []

    def watch(step):
        told.append(str(step))
        if len(told) == 2:
            raise KeyboardInterrupt

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        in_threads([lambda after: go_on.wait(60)] * 2, 1, "start", watch)
    assert time.monotonic() - begun < 10
    assert told == ["start 1 of 2"] * 2
    go_on.set()
