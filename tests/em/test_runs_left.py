"""The time left of runs in parallel threads."""

import numpy as np
import pytest

from dem.em.runs_left import WIDER, runs_left


def in_order(seconds, n_threads):
    """Return when each run begins and ends, if each goes to the first thread that is free."""
    free, times = [0.0] * n_threads, []
    for each in seconds:
        begun = min(free)
        free[free.index(begun)] = begun + each
        times.append((begun, begun + each))
    return times


def left_at(now, times, n_threads):
    """Return the estimate at a time."""
    ended = [end - begun for begun, end in times if end <= now]
    running = [now - begun for begun, end in times if begun <= now < end]
    return runs_left(ended, running, len(times) - len(ended) - len(running), n_threads)


def test_without_an_end_there_is_no_estimate():
    assert runs_left([], [3.0, 2.0], 8, 2) is None


def test_one_after_the_other():
    assert runs_left([10.0], [4.0], 8, 1) == (1 + 8 * 5, 16 + 8 * 20)


def test_when_all_have_ended_nothing_is_left():
    assert runs_left([10.0, 9.0], [], 0, 2) == (0, 0)


@pytest.mark.parametrize("n_threads", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("n", [2, 5, 10])
def test_runs_that_take_equally_long_end_within_the_range(n, n_threads):
    times = in_order([6.0] * n, min(n, n_threads))
    end = max(end for _, end in times)
    for now in np.arange(6.0, end, 0.5):
        least, most = left_at(now, times, min(n, n_threads))
        assert least <= end - now <= most
        assert most > 0


def test_every_end_makes_the_range_narrower():
    ranges = [runs_left([6.0] * ended, [], 5, 1) for ended in (1, 2, 4, 8)]
    np.testing.assert_allclose([most / least for least, most in ranges], [WIDER ** (2 / n) for n in (1, 2, 4, 8)])


def test_a_run_that_takes_longer_than_any_other_is_not_at_its_end():
    least, most = runs_left([1.0, 1.0, 1.0], [50.0], 0, 2)
    assert least == 0
    assert most > 10
