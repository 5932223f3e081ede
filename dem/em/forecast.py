"""An estimate of the passes that a fit still needs, from how fast the changes of its objective shrink."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from dem.em.loop import Pass, State

LEAST_SHARES, MOST_SHARES = 2, 4
"""An estimate needs two shares (four passes) at least, and uses the last four."""
LAST_PASSES = MOST_SHARES + 4
"""An estimate reads so many passes: four shares need six, and two more if the arithmetic changed between them."""
FEWER, MORE = 0.5, 3.0
"""How much wider the range is than the shares say. So about nine of ten ends were right in 75 fits of mixtures and of
factor analysis from poor starts."""


class PassesLeft(NamedTuple):
    """A range of the number of passes that a fit still needs.

    Attributes
    ----------
    least, most : int
        Both are at least 1, and at most what `max_iter` allows.
    """

    least: int
    most: int


def passes_left(state: State[Any], *, tol: float, max_iter: int) -> PassesLeft | None:
    """Return an estimate of the passes that a fit still needs.

    EM converges linearly: close to its end, each change of the objective is the same share of the change before it. The
    least number follows from the smallest of the last shares, the largest number from the largest one. If a change has
    not become smaller, there is no other upper limit than `max_iter`. The time that this takes does not grow with the
    history.

    Parameters
    ----------
    state : State
        The state after a pass.
    tol, max_iter
        See `dem.em.loop.advance`.

    Returns
    -------
    PassesLeft or None
        None if the fit has stopped, if it has made too few passes for an estimate, or if `tol` is 0: then `max_iter` or
        the model ends the fit, and the changes do not say when.
    """
    if state.stop_reason is not None or tol <= 0:
        return None
    changes = _changes(state.history[-LAST_PASSES:])
    shares = [_share(a, b) for a, b in pairwise(changes) if a is not None and b is not None]
    if len(shares) < LEAST_SHARES:
        return None
    shares = shares[-MOST_SHARES:]
    since = next(i for i, change in enumerate(reversed(changes)) if change is not None)
    last = changes[-1 - since]
    assert last is not None
    rounding = math.ulp(max(1.0, abs(state.objective)))  # smaller changes are never seen
    limit = max(1, max_iter - state.n_iter + 1)  # the last pass only scores
    least = FEWER * _passes(last, max(tol, rounding), min(shares)) - since
    most = MORE * _passes(last, tol, max(shares)) - since
    if not state.history[-1].exact:
        most += 2  # a fit stops after two passes in exact arithmetic
    return PassesLeft(
        1 if math.isinf(least) else min(limit, max(1, int(least))),
        limit if most >= limit else max(1, math.ceil(most)),
    )


def _changes(history: Sequence[Pass]) -> list[float | None]:
    """Return the changes of the objective; None where the arithmetic changed, because they cannot be compared."""
    return [b.objective - a.objective if a.exact == b.exact else None for a, b in pairwise(history)]


def _share(before: float, after: float) -> float:
    """Return the share of one change in the change before it; 1 if one of them is a fall, or not finite."""
    return after / before if 0 < before < math.inf and 0 < after < math.inf else 1.0


def _passes(change: float, tol: float, share: float) -> float:
    """Return after how many passes a fit stops, if each change is this share of the one before it.

    Then the change and the sum of all later ones are below `tol`: see `dem.em.loop.why_stop`.
    """
    if 0.5 < share < 1:
        tol *= (1 - share) / share
    if 0 < change < tol:
        return 1.0
    if not 0 < change < math.inf or share >= 1:
        return math.inf
    share = max(share, math.ulp(0.0))  # it may have underflowed
    return math.floor((math.log(change) - math.log(tol)) / -math.log(share)) + 1.0
