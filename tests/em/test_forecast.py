"""The estimate of the passes left, held against histories whose end is known."""

import itertools
import math
from dataclasses import replace

import pytest

from dem.em.forecast import PassesLeft, passes_left
from dem.em.loop import Pass, State, why_stop

ALWAYS = itertools.repeat(True)


def states(changes, *, tol, max_iter, exact=ALWAYS):
    """Return the states of a fit whose objective changes like this, up to its end."""
    objectives = itertools.accumulate(changes, initial=-10.0)
    found, history = [], ()
    for n_iter, (objective, is_exact) in enumerate(zip(objectives, exact, strict=False)):
        history = (*history, Pass(objective, exact=is_exact))
        reason = why_stop(State(None, history, n_iter), tol=tol, max_iter=max_iter)
        found.append(State(None, history, n_iter + (reason is None), reason))
        if reason is not None:
            break
    return found


def geometric(share, first=1.0):
    return (first * share**i for i in itertools.count())


def estimates(fit, **settings):
    """Return the numbers of passes that were left after each pass, and the estimates."""
    return [(len(fit) - i, passes_left(state, **settings)) for i, state in enumerate(fit, 1)]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-7])
def test_a_geometric_decrease_is_bracketed(share, tol):
    fit = states(geometric(share), tol=tol, max_iter=5000)
    assert fit[-1].stop_reason == "converged"
    told = [(true, left) for true, left in estimates(fit, tol=tol, max_iter=5000) if left is not None]
    assert len(told) == max(0, len(fit) - 4)  # after four passes there are two shares; none is told at the end
    for true, left in told:
        assert left.least <= true <= left.most
        assert left.most <= 6 * true + 6
        assert true <= 2 * left.least + 2


def test_a_share_that_rises_is_bracketed_once_it_has_risen():
    changes = (0.3**i + 1e-3 * 0.95**i for i in itertools.count())
    fit = states(changes, tol=1e-5, max_iter=1000)
    told = estimates(fit, tol=1e-5, max_iter=1000)[12:-1]
    assert len(told) > 50
    assert all(left.least <= true <= left.most for true, left in told)


@pytest.mark.parametrize("changes", [[1.0] * 20, [1.0, 2.0, 3.0, 4.0, 5.0], [0.5, 0.1, -1.0, 0.4, 0.1]])
def test_without_a_decrease_max_iter_is_the_upper_end(changes):
    fit = states(changes, tol=1e-3, max_iter=100)
    state = fit[-1]
    assert passes_left(state, tol=1e-3, max_iter=100).most == 100 - state.n_iter + 1


def test_an_estimate_never_goes_beyond_max_iter():
    """A fit of max_iter M-steps has one pass more, which scores the last parameters."""
    fit = states(geometric(0.99), tol=1e-9, max_iter=12)
    assert (fit[-1].stop_reason, len(fit)) == ("max_iter", 13)
    for true, left in estimates(fit, tol=1e-9, max_iter=12)[3:-1]:
        assert left == PassesLeft(true, true)


def test_with_a_tiny_tolerance_the_lower_end_is_set_by_rounding():
    fit = states(itertools.islice(geometric(0.5), 20), tol=5e-324, max_iter=1000)
    left = passes_left(fit[-1], tol=5e-324, max_iter=1000)
    assert left.most == 1000 - fit[-1].n_iter + 1
    assert 10 <= left.least <= 20  # the unit in the last place is 1.8e-15, and 2^-49 of the first change


def test_without_a_tolerance_there_is_no_estimate():
    fit = states(itertools.islice(geometric(0.5), 20), tol=0, max_iter=1000)
    assert {left for _, left in estimates(fit, tol=0, max_iter=1000)} == {None}


class Long(tuple):
    """A history that must not be walked."""

    __slots__ = ()

    def __iter__(self):
        raise AssertionError("an estimate walks the whole history")


@pytest.mark.parametrize("inexact", range(51, 61))
def test_only_the_last_passes_are_read(inexact):
    """They are enough for an estimate, wherever the arithmetic changed."""
    exact = itertools.chain(itertools.repeat(False, inexact), ALWAYS)
    state = states(itertools.islice(geometric(0.7), 59), tol=1e-12, max_iter=1000, exact=exact)[-1]
    assert len(state.history) == 60
    left = passes_left(replace(state, history=Long(state.history)), tol=1e-12, max_iter=1000)
    true = 1 + math.ceil(math.log(1e-12) / math.log(0.7)) + 1 - 60
    assert left.least <= true <= left.most


def test_there_is_no_estimate_at_the_begin_nor_at_the_end():
    fit = states(geometric(0.5), tol=1e-3, max_iter=100)
    found = [left is not None for _, left in estimates(fit, tol=1e-3, max_iter=100)]
    assert found == [False] * 3 + [True] * (len(fit) - 4) + [False]


def test_a_change_of_arithmetic_is_no_change_of_the_objective():
    exact = [False] * 8 + [True] * 50
    fit = states(geometric(0.5), tol=1e-3, max_iter=100, exact=exact)
    told = estimates(fit, tol=1e-3, max_iter=100)
    assert all(left.least <= true <= left.most for true, left in told[3:-1])
    assert told[8][1] is not None  # the first exact pass has no change of its own
    assert told[7][1].most > told[8][1].most


def test_too_few_passes_in_one_arithmetic_are_no_basis():
    fit = states(geometric(0.9), tol=1e-3, max_iter=100, exact=itertools.cycle([True, False]))
    assert {left for _, left in estimates(fit, tol=1e-3, max_iter=100)} == {None}


@pytest.mark.parametrize("tol", [5e-324, 1e-3, 1e300])
@pytest.mark.parametrize(
    "objectives",
    [
        [-1e308, -1e300, -1e290, -1e270, -1.0],
        [-1e300, -1.0, -1e-30, -1e-60, -1e-300],
        [-math.inf, -1.0, -0.5, -0.25, -0.125],
        [-math.inf, -math.inf, -math.inf, -math.inf, -math.inf],
        [-4.0, -3.0, -2.5, -2.25, math.inf],
        [-4.0, -3.0, -3.0, -3.0, -3.0],
    ],
)
def test_no_history_breaks_it(objectives, tol):
    state = State(None, tuple(map(Pass, objectives)), 5)
    left = passes_left(state, tol=tol, max_iter=100)
    assert 1 <= left.least <= left.most <= 96
