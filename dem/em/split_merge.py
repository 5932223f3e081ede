"""Moves of mixtures on the sample that EM cannot make: two components become one, another one becomes two.

EM stays near the optimum of its start. Where two components share a cluster and another component covers two, only a
jump helps (Ueda, Nakano, Ghahramani and Hinton 2000, "SMEM algorithm for mixture models"). Which jump is worth trying
is found in each component's own rows, which costs little: the rows of K components together are the sample.

For rows with weights r, the responsibilities of one component or the sum of two, let the level be the sum of
r log f(x), where f is the density of these components alone. If a fit to these rows alone changes the level by g, the
log-likelihood of the whole mixture rises by g at least, as r stays a bound (PRML 9.70). So the gains of jumps in
different components add up, and a jump of positive gain is sure to be better.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from dem.core.block import Block, Float
from dem.em import loop
from dem.em.moves import Division, Join, Move, Own, Rows, Work, Worth
from dem.em.projection_cut import cut_labels

LOCAL_ITER, LOCAL_TOL = 8, 1e-4
"""Of the fits to the rows of one or two components."""
OVERHEAD = 1.5e6
"""An iteration of such a fit takes as long as so many operations more (measured)."""
PARTNERS = 2
"""For each component, so many of those that overlap it most are candidates to become one with it."""
MOST_JOINS = 8
"""The pairs that lose least by becoming one."""
MOST_COMPONENTS = 64
"""At most so many components are looked at in a round, the largest ones."""
LEAST_GAIN = 2e-5
"""Nats a row: a jump that gains less is not worth it; the sample does not show smaller differences anyway."""
TRIES, ALIKE, MOST_LOSS = 10, 3, 2e-2
"""So many jumps are tried out, of an expected loss of at most so many nats a row: the other components adapt to a jump,
which the bound does not see. At most `ALIKE` of them join the same components, or split the same one."""
ROUND_ITER, LOOK, HOPE = 40, 5, 3.0
"""Iterations of EM on the sample after a jump. After every few of them it is given up if so many times what it seems to
gain yet would not be enough."""


class _BehindError(Exception):
    """A jump falls behind."""


def improved(
    model: Any,
    state: loop.State[Any],
    sample: Block,
    whole: Block,
    *,
    seed: int,
    left: Work,
    tol: float,
    accidents: bool = True,
    most_stalled: int = 1,
    after: Callable[[loop.State[Any]], object],
) -> tuple[loop.State[Any], int]:
    """Return the best state that moves and EM find on the sample, and how many rounds of moves it took.

    Parameters
    ----------
    model : Model
        Bound to the sample, and `Splittable`.
    state : State
        The end of a run of EM on the sample.
    sample, whole : Block
        The rows, and the same with missing values filled in.
    seed : int
    left : Work
        The work that may be done, about. It is counted, not timed.
    tol : float
        EM after a jump stops when the objective rises by less, in nats a row.
    accidents : bool
        Whether rows of the sample may lie together by chance: not if they are all the data.
    most_stalled : int
        Jumps are looked for until so many rounds have found none.
    after : callable
        Called with the state after every iteration on the sample.
    """
    rounds, tries, stalled, falls = 0, 0, 0, 0
    each = model.work(sample.x)
    while left.left > 2 * (each + OVERHEAD) and stalled < most_stalled:
        rows = Rows.of(model, state.params, sample, whole)
        moves = proposals(model, rows, np.random.default_rng([seed, 1, tries]), left, accidents=accidents)
        if falls >= model.n_components:  # no circles
            moves = [replace(move, credit=0.0) for move in moves]
        better = _first_better(model, rows, moves, state.objective, left, tol, after)
        tries, stalled = tries + 1, stalled + 1
        if better is not None:
            falls += better.objective <= state.objective + LEAST_GAIN
            state, rounds, stalled = better, rounds + 1, 0
    return state, rounds


def _first_better(
    model: Any,
    rows: Rows,
    moves: list[Move],
    objective: float,
    left: Work,
    tol: float,
    after: Callable[[loop.State[Any]], object],
) -> loop.State[Any] | None:
    """Return the end of EM after the first of the jumps that leads to a better optimum; None if none does."""
    weight, each = float(rows.weight.sum()), model.work(rows.sample.x)
    for chosen in choices(moves, weight):
        if left.left < each:
            break
        resp = rows.resp.copy()
        for move in chosen:
            move.apply(resp)
        least = objective - sum(move.credit for move in chosen) / weight
        trial = _tried(model, rows, resp, least, left, each, tol, after)
        if trial is not None and trial.objective > least + LEAST_GAIN:
            return trial
    return None


def choices(moves: list[Move], weight: float) -> Iterator[list[Move]]:
    """Yield sets of moves to try: first all that are sure to gain, in different components; then single ones."""
    sure: list[Move] = []
    taken: set[int] = set()
    for move in moves:
        if move.total > LEAST_GAIN * weight and not taken & move.components:
            sure.append(move)
            taken |= move.components
    if len(sure) > 1:
        yield sure
    tried: Counter[Any] = Counter()
    for move in moves:
        if move.total > -MOST_LOSS * weight and max(tried[move.joined], tried[move.split[0]]) < ALIKE:
            tried.update([move.joined, move.split[0]])
            yield [move]
            if tried.total() >= 2 * TRIES:
                break


def proposals(model: Any, rows: Rows, rng: np.random.Generator, left: Work, *, accidents: bool = True) -> list[Move]:
    """Return moves, the best first; for `accidents` see `improved`."""
    k = model.n_components
    one, two = model.resized(1), model.resized(2)
    worth = Worth(model.n_parameters(rows.sample.x.shape[1]) / k if accidents else 0.0, float(rows.weight.sum()))
    counts = rows.resp @ rows.weight
    looked = np.sort(np.argsort(-counts, kind="stable")[:MOST_COMPONENTS]).tolist()
    joins, moves = _joins(one, rows, looked, worth, counts, left), []
    for join in joins:
        own = rows.own(*join.pair)
        found = _divided(two, own, rng, worth, left)
        if found is not None and found.beyond + join.loss > 0:
            moves.append(Move(found.gain, None, join.pair, own.at, found.first))
    for i in looked if k > 2 else []:
        own = rows.own(i)
        found = _divided(two, own, rng, worth, left)
        if found is not None and found.beyond > 0:
            moves += [
                Move(found.gain - join.loss, join.pair, (i, join.pair[1]), own.at, found.first, join.credit)
                for join in joins
                if i not in join.pair
            ]
    return sorted(moves, key=lambda move: -move.total)


def _joins(one: Any, rows: Rows, looked: list[int], worth: Worth, counts: Float, left: Work) -> list[Join]:
    """Return the pairs of components that lose least by becoming one, `MOST_JOINS` at most."""
    joins = []
    for pair in _pairs(rows, looked):
        own = rows.own(*pair)
        loss = own.level - _level(one, own, left)
        smaller = float(min(counts[pair[0]], counts[pair[1]]))
        joins.append(Join(pair, loss, 0.0 if worth.is_large(smaller) else float(np.clip(loss, 0.0, worth(smaller)))))
    return sorted(joins, key=lambda join: (join.loss - join.credit, join.loss))[:MOST_JOINS]


def _pairs(rows: Rows, looked: list[int]) -> list[tuple[int, int]]:
    """Return the pairs of components that overlap most; of each component `PARTNERS`."""
    resp = rows.resp[looked]
    overlap = (resp * rows.weight) @ resp.T
    np.fill_diagonal(overlap, -1.0)
    best = np.argsort(-overlap, axis=1, kind="stable")[:, : min(PARTNERS, len(looked) - 1)]
    found = {(min(i, j), max(i, j)) for i, others in enumerate(best.tolist()) for j in others}
    return [(looked[i], looked[j]) for i, j in sorted(found)]


def _divided(two: Any, own: Own, rng: np.random.Generator, worth: Worth, left: Work) -> Division | None:
    """Return the division of rows in two that gains most beyond what it must be worth; None if all fail."""
    columns, best, gain, found = np.ascontiguousarray(own.whole.x.T), -np.inf, 0.0, None
    starts: list[Callable[[], Any]] = [lambda: two.start(own.whole, rng)]
    for labels in cut_labels(two.points(own.whole.x), own.weight, rng):
        resp = np.array([labels, ~labels], dtype=np.float64) * own.weight
        starts.append(partial(two.from_responsibilities, columns, resp))
    for start in starts:
        end = _local_fit(two, start, own, left)
        if end is None:
            continue
        won = end.stats.log_likelihood - own.level
        beyond = won - worth.of_part(own, two.responsibilities(end.params, own.sample)[0][0])
        if beyond > best:
            best, gain, found = beyond, won, end.params
    if not best > -np.inf:
        return None
    return Division(gain, best, two.responsibilities(found, own.every)[0][0])


def _level(one: Any, own: Own, left: Work) -> float:
    """Return the level of rows under one component that is fitted to them: at once if no value is missing."""
    columns, more = np.ascontiguousarray(own.whole.x.T), 0 if own.whole is own.sample else 2
    end = _local_fit(one, lambda: one.from_responsibilities(columns, own.weight[None]), own, left, more)
    return -np.inf if end is None else float(end.stats.log_likelihood)


def _local_fit(
    model: Any, start: Callable[[], Any], own: Own, left: Work, max_iter: int = LOCAL_ITER
) -> loop.State[Any] | None:
    """Return the end of a short run of EM on the rows of some components; None if it fails."""
    try:
        end = loop.fit(model, start(), loop.OneBlock(own.sample), tol=LOCAL_TOL, max_iter=max_iter)
    except (ValueError, ArithmeticError):  # too few rows, or they collapse
        return None
    left.spend(len(end.history) * (model.work(own.sample.x) + OVERHEAD))
    return end


def _tried(
    model: Any,
    rows: Rows,
    resp: Float,
    least: float,
    left: Work,
    each: float,
    tol: float,
    after: Callable[[loop.State[Any]], object],
) -> loop.State[Any] | None:
    """Return the end of EM on the sample from these responsibilities; None if it does not come near `least`."""

    def look(state: loop.State[Any]) -> None:
        after(state)
        left.spend(each + OVERHEAD)
        more = state.remaining_gain
        if left.left < 0:
            raise _BehindError
        if len(state.history) % LOOK == 0 and more is not None and state.objective + HOPE * more < least:
            raise _BehindError

    try:
        params = model.from_responsibilities(np.ascontiguousarray(rows.whole.x.T), resp * rows.weight)
        state = loop.fit(model, params, loop.OneBlock(rows.sample), tol=tol, max_iter=ROUND_ITER, callback=look)
    except (ValueError, ArithmeticError, _BehindError):  # a component collapsed, or the jump leads nowhere
        return None
    return replace(state, stats=None)
