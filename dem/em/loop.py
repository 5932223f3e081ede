"""The EM loop: pass, objective, stopping test, M-step. It uses only the Model contract.

The variational view (PRML 9.4): after the E-step the bound equals the log-likelihood; the M-step raises it to
Q(new) + H(q), where the entropy H(q) = log-likelihood - Q(old). So the sums of a pass also give the bound after its
M-step, and the next pass gives the KL divergence that its E-step removes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic

from dem.core.block import Block, MakeKernel, Sweep
from dem.core.stats import S
from dem.em.aitken import remaining_gain, remaining_gain_of_step
from dem.em.model import Model, Moving, P
from dem.em.start_records import StartRecord

FALL_ROUNDING = 1e-9
"""A relative fall of the objective below this is rounding; it is the tolerance of the kernels."""


@dataclass(frozen=True)
class Pass:
    """The results of one pass.

    Attributes
    ----------
    objective : float
        The objective of the parameters that the pass used, in nats a row.
    log_likelihood : float or None
        The objective without priors, in nats a row; None where the model has no likelihood.
    bound : float or None
        The evidence lower bound after the M-step that followed; None after the last pass, after a pass that is
        repeated, or if the model has no bound. The objective of the next pass minus this bound is the KL divergence
        that its E-step removed.
    exact : bool
        Whether the arithmetic of the pass was accurate enough for reported results.
    """

    objective: float
    log_likelihood: float | None = None
    bound: float | None = None
    exact: bool = True


@dataclass(frozen=True)
class State(Generic[P]):
    """The state of a fit.

    Attributes
    ----------
    params : P
        The current parameters; at the end, the parameters of the last objective.
    history : tuple of Pass
        One entry for each pass over the data.
    n_iter : int
        M-steps made.
    stop_reason : str or None
        "converged", "max_iter", "fell" (the objective fell by less than `tol`: stopped, but not at a maximum), or None
        while running.
    stats : Statistics or None
        At the end, the statistics of the last pass, made with `params`.
    to_beat : State or None
        A converged state, if the parameters are a trial: the fit ends at that state unless the next pass shows the
        trial to be better.
    starts : tuple of StartRecord
        What the starts on the sample reached; empty if there were none.
    """

    params: P
    history: tuple[Pass, ...] = ()
    n_iter: int = 0
    stop_reason: str | None = None
    stats: Any = None
    to_beat: State[P] | None = None
    starts: tuple[StartRecord, ...] = ()

    @property
    def objective(self) -> float:
        """The last pass's objective, in nats a row."""
        return self.history[-1].objective

    @property
    def change(self) -> float | None:
        """The last change of the objective; None before the second pass in the same arithmetic."""
        last = self.history[-2:]
        return last[1].objective - last[0].objective if len(last) == 2 and last[0].exact == last[1].exact else None

    @property
    def remaining_gain(self) -> float | None:
        """An estimate of what the objective would still gain, in nats a row; None if it cannot be estimated."""
        return gain_left(self.history)


def gain_left(history: Sequence[Pass]) -> float | None:
    """Return an estimate of what the objective would still gain after the last of these passes, by Aitken's method.

    It compares the last two changes. If the arithmetic has just changed, it compares the last change with the bound.
    """
    if not history:
        return None
    last = history[-3:]
    alike = [p.objective for p in last if p.exact == last[-1].exact]
    found = remaining_gain(alike)
    if found is None and len(alike) == 2 and (bound := last[-2].bound) is not None:
        return remaining_gain_of_step(alike[1] - alike[0], bound - alike[0], rounding_of(alike[1]))
    return found


@dataclass(frozen=True)
class OneBlock:
    """A sweep over rows that are one block in memory."""

    block: Block

    def __call__(self, make_kernel: MakeKernel[S]) -> S:
        """Return the kernel's statistics of the block."""
        return make_kernel()(self.block)


def advance(model: Model[P, S], state: State[P], stats: S, *, tol: float, max_iter: int) -> State[P]:
    """Return the state after one pass: stopped, or with new parameters.

    The stopping test comes before the M-step, so that the reported objective belongs to the reported parameters. A fit
    stops only in exact arithmetic. If it would stop earlier, or if the sums show that an M-step gains little, the next
    passes are exact. The last two passes are always exact: the one that gives the parameters, and the one that scores
    them. If the M-step fails on sums that are not exact, the pass is repeated in exact arithmetic. The fit also stops
    if the model says in its M-step that it has converged. Where a fit would stop because it has converged, a model may
    move instead to parameters that EM does not reach (`dem.em.model.Moving`).

    Parameters
    ----------
    model : Model
    state : State
    stats : S
        The statistics of a full pass with `state.params`.
    tol : float
        Stop when the objective rises by less, in nats a row, and no more is left to gain by Aitken's estimate; or when
        it does not rise at all.
    max_iter : int
        Most M-steps.

    Raises
    ------
    FloatingPointError
        If the objective is not a number.
    ValueError
        If the M-step fails on exact sums.
    """
    objective = model.objective(state.params, stats)
    if objective != objective:
        raise FloatingPointError(f"the objective is not a number in pass {len(state.history) + 1} of the fit")
    exact = model.is_exact(state.params)
    if state.to_beat is not None:
        if objective <= state.to_beat.objective + rounding_of(objective):
            return state.to_beat
        state, tol = replace(state, to_beat=None), 0.0  # a small gain of the trial does not mean convergence
    this_pass = Pass(objective, model.log_likelihood(state.params, stats), None, exact)
    scored = replace(state, history=(*state.history, this_pass))
    reason = why_stop(scored, tol=tol, max_iter=max_iter)
    if reason == "converged" and exact and isinstance(model, Moving) and state.n_iter < max_iter:
        move = model.move(state.params, stats)
        if move is not None:
            moved_pass = replace(this_pass, bound=objective + move.gain)
            return replace(
                state, params=model.exact(move.params), history=(*state.history, moved_pass), n_iter=state.n_iter + 1
            )
    if reason is not None and exact:
        return _ended(model, replace(scored, stop_reason=reason, stats=stats), max_iter)
    try:
        step = model.m_step(state.params, stats)
    except ValueError:
        if exact:
            raise
        return replace(scored, params=model.exact(state.params))
    if step.converged and exact:
        return _ended(model, replace(scored, stop_reason="converged", stats=stats), max_iter)
    before, after = (model.expected(state.params, stats, new) for new in (state.params, step.params))
    gain = None if before is None or after is None else after - before
    n_iter = state.n_iter + 1
    settled = reason is not None or step.converged or (gain is not None and gain < tol)
    params = model.exact(step.params) if settled or n_iter + 1 >= max_iter else step.params
    bound = None if gain is None else objective + gain
    return replace(state, params=params, history=(*state.history, replace(this_pass, bound=bound)), n_iter=n_iter)


def _ended(model: Any, state: State[P], max_iter: int) -> State[P]:
    """Return a state at which EM has stopped; if it has converged and the model has a trial, that of the trial."""
    moves = isinstance(model, Moving)
    if state.stop_reason != "converged" or not moves or state.n_iter >= max_iter:
        return state
    trial = model.trial(state.params, state.stats)
    if trial is None:
        return state
    return State(model.exact(trial), state.history, state.n_iter + 1, to_beat=state, starts=state.starts)


def rounding_of(objective: float) -> float:
    """Return the largest change of an objective, in nats a row, that may be rounding."""
    return FALL_ROUNDING * max(1.0, abs(objective))


def why_stop(state: State[P], *, tol: float, max_iter: int) -> str | None:
    """Return why the fit should stop, or None."""
    change = state.change
    if change is not None:
        if change < -rounding_of(state.objective):
            if -change < tol:
                return "fell"
        elif change <= 0 or (change < tol and (state.remaining_gain or 0.0) < tol):
            return "converged"
    return "max_iter" if state.n_iter >= max_iter else None


def fit(
    model: Model[P, S],
    params: P,
    sweep: Sweep,
    *,
    tol: float,
    max_iter: int,
    callback: Callable[[State[P]], object] | None = None,
) -> State[P]:
    """Return the state at which EM stops.

    Parameters
    ----------
    model : Model
        Bound to the data.
    params : P
        The first parameters.
    sweep : Sweep
        Makes one full pass over the data.
    tol, max_iter
        See `advance`.
    callback : callable or None
        Called with the state after each pass.
    """
    state = first_state(model, params, max_iter=max_iter)
    return continue_fit(model, state, sweep, tol=tol, max_iter=max_iter, callback=callback)


def first_state(model: Model[P, S], params: P, *, max_iter: int) -> State[P]:
    """Return the state before the first pass."""
    return State(params if max_iter > 1 else model.exact(params))


def continue_fit(
    model: Model[P, S],
    state: State[P],
    sweep: Sweep,
    *,
    tol: float,
    max_iter: int,
    callback: Callable[[State[P]], object] | None = None,
) -> State[P]:
    """Return the state at which EM stops, from any state: an interrupted fit continues with the same results."""
    while state.stop_reason is None:
        stats = sweep(partial(model.kernel, state.params))
        state = advance(model, state, stats, tol=tol, max_iter=max_iter)
        if callback is not None:
            callback(state)
    return state
