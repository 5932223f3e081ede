"""Several fits to the same rows, of which one is to be chosen: each pass takes all that are still running one step on.

A candidate leaves when its own fit stops. It is also dropped as soon as it cannot win: its criterion, with all that its
log-likelihood is still expected to gain, stays behind the present criterion of another candidate. Only full passes
decide this: a sample of 30,000 rows cannot resolve a penalty of 1e-4 nats a row. If the other candidate fails later,
those that it dropped run again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

from dem.em import loop
from dem.em.aitken import remaining_gain, remaining_gain_of_step
from dem.em.loop import Pass, State
from dem.em.model import Model

DROPPING_RULE = 2
"""The version of the rule; checkpoints of other versions are not continued."""
GAIN_FACTOR, CAREFUL_FACTOR = 2.0, 5.0
"""A candidate is credited with so many times the gain that is estimated, since the estimate is often too low. The
second is for fits that may have begun far from their optimum."""
CAREFUL_PASSES = 3
"""The least number of passes on which the gain of such a fit is estimated."""
INEXACT = 1e-4
"""How far passes in float32 may be off, in nats a row (see `dem.models.mixture.precision`); without a likelihood, as a
share of the objective."""

INFINITE = "its criterion is infinite: it has as many clusters as there are distinct rows; use fewer"


class Bounds(NamedTuple):
    """The criterion of a candidate, of which less is better.

    Attributes
    ----------
    low, high : float
        The least and the most that it can be. They differ where a pass does not tell all that the criterion needs.
    """

    low: float
    high: float


class Judge(Protocol):
    """The criterion by which candidates are compared."""

    def __call__(self, model: Any, params: Any, stats: Any, gain: float = 0.0) -> Bounds:
        """Return the criterion of parameters, given the statistics of a pass with them.

        `gain` is added to the log-likelihood (or the objective), in its unit a row.
        """


@dataclass(frozen=True)
class Limits:
    """When a candidate leaves.

    Attributes
    ----------
    tol : float
    max_iter : int
        See `dem.em.loop.advance`.
    careful : bool
        Its fit may have begun far from its optimum, where gains are not yet a geometric series: it is dropped later.
    """

    tol: float
    max_iter: int
    careful: bool = False


@dataclass(frozen=True)
class Candidate:
    """One of the fits.

    Attributes
    ----------
    name : str
    state : State or None
        None before the start. Of a dropped candidate: the parameters that its last pass scored.
    value, most : float or None
        The criterion in the last pass, and the most that it can be where passes do not tell all of it: see `Bounds`.
    ended_in : int or None
        The number of the pass of EM after which it left; None while it runs.
    why : str
        Why it was dropped, or why its fit failed, in words.
    behind : str
        Of a dropped candidate: the name of the one that it stays behind.
    """

    name: str
    state: State[Any] | None = None
    value: float | None = None
    most: float | None = None
    ended_in: int | None = None
    why: str = ""
    behind: str = ""

    @property
    def running(self) -> bool:
        """Whether it takes part in the next pass."""
        return self.ended_in is None

    @property
    def failed(self) -> bool:
        """Whether its fit ended with an error."""
        return self.ended_in is not None and (self.state is None or self.state.stop_reason is None)

    @property
    def dropped(self) -> bool:
        """Whether it left before its fit had stopped, since it could not win."""
        return self.state is not None and self.state.stop_reason == "dropped"


@dataclass(frozen=True)
class Candidates:
    """All candidates, in the order in which they were given.

    Attributes
    ----------
    of : tuple of Candidate
    n_passes : int
        The passes of EM so far, in each of which all running candidates have taken a step.
    """

    of: tuple[Candidate, ...]
    n_passes: int = 0

    @property
    def running(self) -> tuple[Candidate, ...]:
        """Those that take part in the next pass."""
        return tuple(candidate for candidate in self.of if candidate.running)

    @property
    def stop_reason(self) -> str | None:
        """None while any candidate runs; a journal asks for this."""
        return None if self.running else "ended"

    def in_order(self, names: Sequence[str]) -> Candidates:
        """Return the candidates in the order of their names."""
        return replace(self, of=tuple(sorted(self.of, key=lambda candidate: names.index(candidate.name))))

    def replaced(self, new: Candidate) -> Candidates:
        """Return the candidates with another one of this name."""
        return replace(self, of=tuple(new if new.name == old.name else old for old in self.of))


class _Scored(NamedTuple):
    """A candidate after a pass, and what the rule needs of the pass."""

    candidate: Candidate
    state: State[Any] | None = None
    attainable: float | None = None


def advance_all(
    candidates: Candidates,
    models: Mapping[str, Model[Any, Any]],
    stats: Mapping[str, Any],
    judge: Judge,
    limits: Mapping[str, Limits],
) -> Candidates:
    """Return the candidates after one pass: advanced, stopped, or dropped.

    Parameters
    ----------
    candidates : Candidates
    models : mapping of str to Model
        Bound to the data.
    stats : mapping of str to Statistics
        For each running candidate, of a full pass with its parameters.
    judge : Judge
    limits : mapping of str to Limits
    """
    number = candidates.n_passes + 1
    scored = [
        _advanced(c, models[c.name], stats[c.name], judge, limits[c.name], number) if c.running else _Scored(c)
        for c in candidates.of
    ]
    known = [(s.candidate.most, s.candidate.name) for s in scored if s.candidate.most is not None]
    best, leader = min(known, default=(math.inf, ""))
    after = [_kept_or_dropped(s, best, leader, number) for s in scored]
    failed = {c.name for c in after if c.failed}
    return Candidates(tuple(_again(c) if c.dropped and c.behind in failed else c for c in after), number)


def _advanced(old: Candidate, model: Model[Any, Any], stats: Any, judge: Judge, limits: Limits, number: int) -> _Scored:
    """Return a candidate after its step of EM."""
    state = old.state
    assert state is not None
    try:
        new = loop.advance(model, state, stats, tol=limits.tol, max_iter=limits.max_iter)
    except (ValueError, ArithmeticError) as error:
        return _Scored(replace(old, value=None, most=None, ended_in=number, why=str(error)))
    last = new.history[-1]
    margin = 0.0 if last.exact else INEXACT * (abs(last.objective) if last.log_likelihood is None else 1.0)
    params, stats = (new.params, new.stats) if new is state.to_beat else (state.params, stats)  # of a trial that lost
    value, most = judge(model, params, stats).low, judge(model, params, stats, -margin).high
    if not math.isfinite(value):
        why = "its criterion is not a number" if math.isnan(value) else INFINITE
        return _Scored(replace(old, value=None, most=None, ended_in=number, why=why))
    kept = replace(old, state=new, value=value, most=most)
    if new.stop_reason is not None:
        return _Scored(replace(kept, ended_in=number))
    if new.to_beat is not None:  # the next pass tells what the trial gains
        return _Scored(kept)
    gain = expected_gain(new.history, careful=limits.careful)
    attainable = None if gain is None else judge(model, state.params, stats, gain + margin).low
    as_scored = replace(state, history=(*state.history, replace(last, bound=None)), stats=stats)
    return _Scored(kept, as_scored, attainable)


def _kept_or_dropped(scored: _Scored, best: float, leader: str, number: int) -> Candidate:
    """Return the candidate; dropped, if the best that it can attain is worse than the present `best`."""
    kept, state, attainable = scored
    if state is None or attainable is None or not attainable > best:
        return kept
    why = f"at best {attainable:.10g}, behind the {best:.10g} of {leader}"
    return replace(kept, state=replace(state, stop_reason="dropped"), ended_in=number, why=why, behind=leader)


def _again(dropped: Candidate) -> Candidate:
    """Return a dropped candidate as it was before its last pass, which is made again."""
    state = dropped.state
    assert state is not None
    before = replace(state, history=state.history[:-1], stats=None, stop_reason=None)
    return Candidate(dropped.name, before)


def expected_gain(history: Sequence[Pass], *, careful: bool = False) -> float | None:
    """Return how much the objective is credited to gain after these passes, a row; None if nothing can be said.

    The largest of several estimates, times a factor: Aitken's, from the last three objectives; the same from the
    last change and the gain that its M-step promised; and from the promises of the last two M-steps.
    """
    if len(history) < (CAREFUL_PASSES if careful else 2):
        return None
    before, last = history[-2:]
    change, found = last.objective - before.objective, [0.0]
    if before.bound is not None and last.bound is not None:
        promised, promise = before.bound - before.objective, last.bound - last.objective
        if not (promised > 0 and promise < promised):
            return None
        share = math.sqrt(max(0.0, promise / promised))
        by_step = remaining_gain_of_step(change, promised)
        found += [max(0.0, promise) / (1.0 - share), 0.0 if by_step is None else by_step]
    elif len(history) < 3:
        return None
    if len(history) > 2:
        by_changes = remaining_gain([entry.objective for entry in history])
        if by_changes is None:
            return None
        found.append(by_changes)
    return (CAREFUL_FACTOR if careful else GAIN_FACTOR) * max(found)
