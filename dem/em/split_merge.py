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
from functools import partial
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
ROWS_A_PARAMETER = 10
"""Components with fewer rows must be worth more. A component may go to a few rows that happen to lie together: that
raises the likelihood of the sample, but not that of the data."""
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
    credit : float
        See `Join`.
    """

    gain: float
    joined: tuple[int, int] | None
    split: tuple[int, int]
    at: NDArray[np.intp]
    first: Float
    credit: float = 0.0

    @property
    def total(self) -> float:
        """The gain, without losses that are not real."""
        return self.gain + self.credit

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


@dataclass(frozen=True)
class Worth:
    """The gain, in nats, that a component must be worth so that it is not an accident of the sample.

    Attributes
    ----------
    parameters : float
        Free parameters of a component.
    weight : float
        Of all rows of the sample.
    """

    parameters: float
    weight: float

    def is_large(self, count: float) -> bool:
        """Whether so many rows do not lie together by chance."""
        return count >= ROWS_A_PARAMETER * self.parameters

    def __call__(self, count: float) -> float:
        """Return the least gain of a component of so many rows: by AIC if it is large, else by BIC."""
        return self.parameters * (1.0 if self.is_large(count) else 0.5 * float(np.log(max(self.weight, 2.0))))

    def of_part(self, own: Own, first: Float) -> float:
        """Return the least gain of the smaller part of a division."""
        part = float(own.weight @ first)
        return self(min(part, float(own.weight.sum()) - part))


@dataclass(frozen=True)
class Join:
    """Two components that could become one.

    Attributes
    ----------
    pair : (int, int)
    loss : float
        The most that the log-likelihood loses, in nats.
    credit : float
        How much of this is no real loss, because the smaller component may be an accident of the sample.
    """

    pair: tuple[int, int]
    loss: float
    credit: float


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
            least = state.objective - sum(move.credit for move in chosen) / rows.weight.sum()
            trial = _tried(model, rows, resp, least, left, each, tol, after)
            if trial is not None and trial.objective > least + LEAST_GAIN:
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


def proposals(model: Any, rows: Rows, rng: np.random.Generator, left: Work) -> list[Move]:
    """Return moves, the best first."""
    k = model.n_components
    one, two = model.resized(1), model.resized(2)
    worth = Worth(model.n_parameters(rows.sample.x.shape[1]) / k, float(rows.weight.sum()))
    counts = rows.resp @ rows.weight
    looked = np.sort(np.argsort(-counts, kind="stable")[:MOST_COMPONENTS]).tolist()
    joins, moves = _joins(one, rows, looked, worth, counts, left), []
    for join in joins:
        own = rows.own(*join.pair)
        found = _divided(two, own, rng, worth, left)
        if found is not None and found[0] + join.loss > worth.of_part(own, found[1]):
            moves.append(Move(found[0], None, join.pair, own.at, found[1]))
    for i in looked if k > 2 else []:
        own = rows.own(i)
        found = _divided(two, own, rng, worth, left)
        if found is not None and found[0] > worth.of_part(own, found[1]):
            moves += [
                Move(found[0] - join.loss, join.pair, (i, join.pair[1]), own.at, found[1], join.credit)
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


def _divided(two: Any, own: Own, rng: np.random.Generator, worth: Worth, left: Work) -> tuple[float, Float] | None:
    """Return how much the best division of rows in two gains, and the share of the first half in each row.

    It is the division that gains most beyond what it must be worth. None if all fail.
    """
    columns, best, found = np.ascontiguousarray(own.whole.x.T), -np.inf, None
    starts: list[Callable[[], Any]] = [lambda: two.start(own.whole, rng)]
    for labels in cut_labels(two.points(own.whole.x), own.weight, rng):
        resp = np.array([labels, ~labels], dtype=np.float64) * own.weight
        starts.append(partial(two.from_responsibilities, columns, resp))
    for start in starts:
        end = _local_fit(two, start, own, left)
        if end is None:
            continue
        gain, first = end.stats.log_likelihood - own.level, two.responsibilities(end.params, own.sample)[0][0]
        beyond = gain - worth.of_part(own, first)
        if beyond > best:
            best, found = beyond, (gain, first)
    return found


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
