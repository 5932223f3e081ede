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
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Block, Float
from dem.em import loop
from dem.em.projection_cut import cut_labels

LEAST_SHARE = 1e-2
"""Rows with a smaller responsibility are left out of a component's own rows."""
LOCAL_ITER, LOCAL_TOL = 8, 1e-4
"""Of the fits to the rows of one or two components."""
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
ROUND_ITER, LOOK, HOPE = 30, 5, 3.0
"""Iterations of EM on the sample after a jump. After every few of them it is given up if so many times what it seems to
gain yet would not be enough."""


class Movable(Protocol):
    """What a model needs for moves, besides the contract of `dem.em.model`."""

    @property
    def n_components(self) -> int:
        """K."""

    def resized(self, n_components: int) -> Any:
        """Return the bound model with another number of components, for some of the rows."""

    def points(self, x: Float) -> Float:
        """Return rows x (n, d) as points with meaningful directions."""

    def from_responsibilities(self, x: Float, resp: Float) -> Any:
        """Return the parameters for responsibilities (K, n), times weights, of the columns of x (d, n)."""

    def responsibilities(self, params: Any, block: Block) -> tuple[Float, Float]:
        """Return the responsibilities (K, n) of a block, and its log-likelihoods (n,) without the base measure."""


@dataclass(frozen=True)
class Rows:
    """The sample under the current parameters.

    Attributes
    ----------
    sample, whole : Block
        The rows as they are, and with missing values filled in.
    weight : array of shape (n,)
    resp : array of shape (K, n)
    score : array of shape (n,)
    """

    sample: Block
    whole: Block
    weight: Float
    resp: Float
    score: Float

    @classmethod
    def of(cls, model: Movable, params: Any, sample: Block, whole: Block) -> Rows:
        """Return the sample with the responsibilities of a model."""
        weight = np.ones(len(sample.x)) if sample.weight is None else np.asarray(sample.weight, dtype=np.float64)
        resp, score = model.responsibilities(params, sample)
        return cls(sample, whole, weight, resp, score)

    def own(self, *members: int) -> Own:
        """Return the rows of some components."""
        resp = self.resp[list(members)].sum(axis=0)
        at = np.flatnonzero((resp > LEAST_SHARE) & (self.weight > 0))
        share, total = resp[at], self.weight @ resp
        weight = self.weight[at] * share
        log_f = self.score[at] + np.log(share) - np.log(total / self.weight.sum())
        sample = Block(self.sample.x[at], weight)
        whole = sample if self.whole is self.sample else Block(self.whole.x[at], weight)
        return Own(at, weight, float(weight @ log_f), sample, whole)


@dataclass(frozen=True)
class Own:
    """The rows of some components, weighted by their responsibilities.

    Attributes
    ----------
    at : array of shape (m,)
        Their numbers in the sample.
    weight : array of shape (m,)
    level : float
        The sum of their weighted log-densities, in nats.
    sample, whole : Block
        The rows as they are, and with missing values filled in.
    """

    at: NDArray[np.intp]
    weight: Float
    level: float
    sample: Block
    whole: Block


@dataclass(frozen=True)
class Move:
    """A jump.

    Attributes
    ----------
    gain : float
        The least that it changes the log-likelihood by, in nats.
    joined : (int, int) or None
        The components that become one: the second one is free then.
    split : (int, int)
        The component that becomes two, and where its second half goes. Without `joined` these two are divided anew.
    at : array of shape (m,)
        The rows that are divided.
    first : array of shape (m,)
        The share of each that the first half gets.
    """

    gain: float
    joined: tuple[int, int] | None
    split: tuple[int, int]
    at: NDArray[np.intp]
    first: Float

    @property
    def components(self) -> set[int]:
        """The components that change."""
        return {*self.split, *(self.joined or ())}

    def apply(self, resp: Float) -> None:
        """Change responsibilities (K, n)."""
        i, j = self.split
        if self.joined is None:
            both = resp[i, self.at] + resp[j, self.at]
        else:
            into, free = self.joined
            resp[into] += resp[free]
            resp[free] = 0
            both = resp[i, self.at]
        resp[i, self.at], resp[j, self.at] = both * self.first, both * (1 - self.first)


class _BehindError(Exception):
    """A jump falls behind."""


@dataclass
class Work:
    """The work that is left, in operations."""

    left: float

    def spend(self, operations: float) -> None:
        """Take note of work."""
        self.left -= operations


def improved(
    model: Any,
    state: loop.State[Any],
    sample: Block,
    whole: Block,
    *,
    seed: int,
    work: float,
    tol: float,
    after: Callable[[loop.State[Any]], object],
) -> tuple[loop.State[Any], int]:
    """Return the best state that moves and EM find on the sample, and how many rounds of moves it took.

    Parameters
    ----------
    model : Model
        Bound to the sample, and `Movable`.
    state : State
        The end of a run of EM on the sample.
    sample, whole : Block
        The rows, and the same with missing values filled in.
    seed : int
    work : float
        Operations that may be made, about; they are counted, not timed.
    tol : float
        EM after a jump stops when the objective rises by less, in nats a row.
    after : callable
        Called with the state after every iteration on the sample.
    """
    left, rounds = Work(work), 0
    each = model.work(sample.x)
    while left.left > 2 * each:
        rng = np.random.default_rng([seed, 1, rounds])
        rows = Rows.of(model, state.params, sample, whole)
        moves = proposals(model, rows, rng, left)
        for chosen in choices(moves, float(rows.weight.sum())):
            if left.left < each:
                break
            resp = rows.resp.copy()
            for move in chosen:
                move.apply(resp)
            trial = _tried(model, rows, resp, state.objective, left, each, tol, after)
            if trial is not None and trial.objective > state.objective + LEAST_GAIN:
                state, rounds = trial, rounds + 1
                break
        else:
            break
    return state, rounds


def choices(moves: list[Move], weight: float) -> Iterator[list[Move]]:
    """Yield sets of moves to try: first all that are sure to gain, in different components; then single ones."""
    sure: list[Move] = []
    taken: set[int] = set()
    for move in moves:
        if move.gain > LEAST_GAIN * weight and not taken & move.components:
            sure.append(move)
            taken |= move.components
    if len(sure) > 1:
        yield sure
    tried: Counter[Any] = Counter()
    for move in moves:
        if move.gain > -MOST_LOSS * weight and max(tried[move.joined], tried[move.split[0]]) < ALIKE:
            tried.update([move.joined, move.split[0]])
            yield [move]
            if tried.total() >= 2 * TRIES:
                break


def proposals(model: Any, rows: Rows, rng: np.random.Generator, left: Work) -> list[Move]:
    """Return moves, that of the largest gain first."""
    k = model.n_components
    one, two = model.resized(1), model.resized(2)
    counts = rows.resp @ rows.weight
    looked = np.sort(np.argsort(-counts, kind="stable")[:MOST_COMPONENTS]).tolist()
    moves = []
    joins = []
    for i, j in _pairs(rows, looked):
        own = rows.own(i, j)
        joins.append((own.level - _level(one, own, left), i, j))
    joins = sorted(joins)[:MOST_JOINS]
    for _, i, j in joins:
        own = rows.own(i, j)
        gain, first = _divided(two, own, rng, left, random=True)
        if first is not None:
            moves.append(Move(gain, None, (i, j), own.at, first))
    for i in looked if k > 2 else []:
        own = rows.own(i)
        gain, first = _divided(two, own, rng, left)
        if first is not None:
            free = [join for join in joins if i not in join[1:]]
            moves += [Move(gain - loss, (into, out), (i, out), own.at, first) for loss, into, out in free]
    return sorted(moves, key=lambda move: -move.gain)


def _pairs(rows: Rows, looked: list[int]) -> list[tuple[int, int]]:
    """Return the pairs of components that overlap most; of each component `PARTNERS`."""
    resp = rows.resp[looked]
    overlap = (resp * rows.weight) @ resp.T
    np.fill_diagonal(overlap, -1.0)
    best = np.argsort(-overlap, axis=1, kind="stable")[:, : min(PARTNERS, len(looked) - 1)]
    found = {(min(i, j), max(i, j)) for i, others in enumerate(best.tolist()) for j in others}
    return [(looked[i], looked[j]) for i, j in sorted(found)]


def _divided(
    two: Any, own: Own, rng: np.random.Generator, left: Work, *, random: bool = False
) -> tuple[float, Float | None]:
    """Return how much the best division of rows in two gains, and the share of the first half in each row.

    It begins with a cut; if there is none, or with `random`, with centres drawn at random too.
    """
    best, found = -np.inf, None
    labels = cut_labels(two.points(own.whole.x), own.weight, rng)
    starts: list[Callable[[], Any]] = []
    if labels is not None:
        resp = np.array([labels, ~labels], dtype=np.float64) * own.weight
        starts.append(lambda: two.from_responsibilities(np.ascontiguousarray(own.whole.x.T), resp))
    if labels is None or random:
        starts.append(lambda: two.start(own.whole, rng))
    for start in starts:
        end = _local_fit(two, start, own, left)
        if end is not None and end.stats.log_likelihood > best:
            best, found = end.stats.log_likelihood, end.params
    if found is None:
        return -np.inf, None
    return best - own.level, two.responsibilities(found, own.sample)[0][0]


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
    left.spend(len(end.history) * model.work(own.sample.x))
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
        left.spend(each)
        more = state.remaining_gain
        if len(state.history) % LOOK == 0 and more is not None and state.objective + HOPE * more < least:
            raise _BehindError

    try:
        params = model.from_responsibilities(np.ascontiguousarray(rows.whole.x.T), resp * rows.weight)
        state = loop.fit(model, params, loop.OneBlock(rows.sample), tol=tol, max_iter=ROUND_ITER, callback=look)
    except (ValueError, ArithmeticError, _BehindError):  # a component collapsed, or the jump leads nowhere
        return None
    return replace(state, stats=None)
