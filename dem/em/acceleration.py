"""EM with extrapolation, for fits in memory: SQUAREM.

It is scheme S3 of Varadhan and Roland (2008), "Simple and globally convergent methods for accelerating the convergence
of any EM algorithm". From theta_0 two steps of EM lead to theta_1 and theta_2. With r = theta_1 - theta_0 and v =
theta_2 - theta_1 - r, the jump goes to theta_0 + 2 a r + a^2 v, where a = |r| / |v|; a = 1 is theta_2 itself. A jump
counts only if its objective is at least what the plain step has promised. So the objective never falls, and where jumps
do not help, this is EM. Where EM moves slowly on a long way, as towards a noise variance of 0, it needs tens of
iterations instead of thousands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import numpy as np

from dem.core.block import Float, Sweep
from dem.em import loop

FIRST_LIMIT, LIMIT_GROWTH = 4.0, 4.0
"""The largest a at first, and its factor after a jump that it has cut short and that counted."""


class Extrapolable(Protocol):
    """What a model needs besides the contract of `dem.em.model`: its parameters as points of a space."""

    def vector(self, params: Any, like: Any) -> Float:
        """Return the parameters as a vector; equal models have vectors that are close to that of `like`."""

    def of_vector(self, vector: Float, like: Any) -> Any:
        """Return the parameters of a vector that was made with the same `like`."""


def can_jump(model: Any) -> bool:
    """Whether a model is `Extrapolable`."""
    return hasattr(model, "of_vector")


def fit(
    model: Any,
    params: Any,
    sweep: Sweep,
    *,
    tol: float,
    max_iter: int,
    callback: Callable[[loop.State[Any]], object] | None = None,
) -> loop.State[Any]:
    """Return the state at which accelerated EM stops. Models that cannot jump are fitted by plain EM.

    The history has the passes that count. A fit has converged when a jump and the step before it together gain less
    than `tol`: plain steps may be short although the end is far.

    Parameters
    ----------
    model, params, sweep, tol, max_iter, callback
        See `dem.em.loop.fit`.
    """
    if not can_jump(model):
        return loop.fit(model, params, sweep, tol=tol, max_iter=max_iter, callback=callback)

    def advance(state: loop.State[Any], least: float | None) -> loop.State[Any]:
        """Make a pass; with `least`, the fit has converged if the objective is not larger than this by `tol`."""
        stats = sweep(partial(model.kernel, state.params))
        settled = least is not None and model.objective(state.params, stats) - least < tol
        return loop.advance(model, state, stats, tol=np.inf if settled else 0.0, max_iter=max_iter)

    def shown(state: loop.State[Any]) -> loop.State[Any]:
        if callback is not None:
            callback(state)
        return state

    first, limit = params, FIRST_LIMIT
    state = loop.first_state(model, params, max_iter=max_iter)
    first = state.params
    state = shown(advance(state, None))
    while state.stop_reason is None:
        least, second = state.objective, state.params
        state = shown(advance(state, None))
        if state.stop_reason is not None:
            break
        jump, cut = _jump(model, first, second, state.params, limit)
        tried = None if jump is None else _counted(advance, state, jump, least)
        if tried is None:
            limit = max(FIRST_LIMIT, limit / LIMIT_GROWTH)
            first, state = state.params, shown(advance(state, least))
        else:
            limit *= LIMIT_GROWTH if cut else 1.0
            first, state = jump, shown(tried)
    return state


def _counted(
    advance: Callable[[loop.State[Any], float | None], loop.State[Any]], state: loop.State[Any], jump: Any, least: float
) -> loop.State[Any] | None:
    """Return the state after a pass with the parameters of a jump; None if the plain step is better."""
    last = state.history[-1]
    try:
        tried = advance(replace(state, params=jump), least)
    except (ValueError, ArithmeticError):
        return None
    promised = last.objective if last.bound is None else max(last.bound, last.objective)
    return tried if tried.objective >= promised else None


def _jump(model: Any, first: Any, second: Any, third: Any, limit: float) -> tuple[Any, bool]:
    """Return the parameters of the jump from three successive ones, None if it is no more than the plain steps.

    Also return whether its length was cut to `limit`.
    """
    a, b, c = (model.vector(params, second) for params in (first, second, third))
    r, v = b - a, c - 2 * b + a
    length = float(np.linalg.norm(r)) / max(float(np.linalg.norm(v)), float(np.finfo(np.float64).tiny))
    if not 1 < length < np.inf:
        return None, False
    cut = length > limit
    length = min(length, limit)
    return model.of_vector(a + 2 * length * r + length**2 * v, second), cut
