"""The loop, with toy models: it knows the contract alone."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from dem.core.block import Block
from dem.core.stats import Additive
from dem.em import loop
from dem.em.model import Move, Step


@dataclass(frozen=True)
class Sums(Additive):
    value: float


@dataclass
class Scripted:
    """A model whose parameters are a number of M-steps, and whose objectives are given."""

    objectives: list[float]
    gains: float | None = None
    single: bool = False  # objectives of inexact passes are off by 1e-6
    calls: list[str] = field(default_factory=list)

    def kernel(self, params):
        self.calls.append("sweep")
        return lambda block: Sums(len(block.x), 0.0)

    def objective(self, params, stats):
        step, exact = params
        return self.objectives[step] + (0.0 if exact or not self.single else 1e-6)

    def m_step(self, params, stats):
        self.calls.append("m_step")
        return Step((params[0] + 1, params[1]))

    def log_likelihood(self, params, stats):
        return None

    def expected(self, params, stats, new):
        return None if self.gains is None else self.gains * new[0]

    def is_exact(self, params):
        return params[1]

    def exact(self, params):
        return params[0], True


@dataclass
class Trying(Scripted):
    """It has a move and a trial, each to the parameters of that step; None for neither."""

    move_to: int | None = None
    trial_of: int | None = None

    def move(self, params, stats):
        step, self.move_to = self.move_to, None
        return None if step is None else Move((step, True), 0.5)

    def trial(self, params, stats):
        step, self.trial_of = self.trial_of, None
        return None if step is None else (step, True)

    def moved_on_sample(self, state, sample, again, most):
        return state


@dataclass(frozen=True)
class UnitMixture:
    """Two unit Gaussians at -m and m: EM for m is m <- mean of x tanh(m x)."""

    def kernel(self, m):
        def kernel(block):
            x = block.x[:, 0]
            log_likelihood = (np.logaddexp(-((x - m) ** 2) / 2, -((x + m) ** 2) / 2)).sum()
            return replace(Sums(len(x), 0.0), value=np.array([(x * np.tanh(m * x)).sum(), log_likelihood]))

        return kernel

    def objective(self, m, stats):
        return stats.value[1] / stats.rows

    def m_step(self, m, stats):
        return Step(stats.value[0] / stats.rows)

    def log_likelihood(self, m, stats):
        return self.objective(m, stats)

    def expected(self, m, stats, new):
        return new * stats.value[0] / stats.rows - new * new / 2

    def is_exact(self, m):
        return True

    def exact(self, m):
        return m


NOTHING = loop.OneBlock(Block(np.empty((0, 1))))


def fit(model, *, tol=0.0, max_iter=100, exact=True, callback=None):
    return loop.fit(model, (0, exact), NOTHING, tol=tol, max_iter=max_iter, callback=callback)


def test_converges_to_the_fixed_point(rng):
    x = np.concatenate([rng.normal(-2, 1, 500), rng.normal(2, 1, 500)])[:, None]
    state = loop.fit(UnitMixture(), 0.3, loop.OneBlock(Block(x)), tol=1e-14, max_iter=10_000)
    assert state.stop_reason == "converged"
    m = state.params
    assert abs(m - np.mean(x * np.tanh(m * x))) < 1e-6
    assert abs(m - 2) < 0.15
    assert [p.objective for p in state.history] == sorted(p.objective for p in state.history)
    for old, new in zip(state.history[:-1], state.history[1:], strict=True):
        assert old.objective <= old.bound <= new.objective + 1e-14


def test_stops_when_the_gain_is_below_tol():
    state = fit(Scripted([0.0, 1.0, 1.5, 1.6, 1.61]), tol=0.2)
    assert (state.stop_reason, state.n_iter, state.params) == ("converged", 3, (3, True))
    assert [p.objective for p in state.history] == [0.0, 1.0, 1.5, 1.6]
    assert state.change == pytest.approx(0.1)


def test_stop_is_tested_before_the_m_step():
    """The last objective belongs to the reported parameters."""
    model = Scripted([0.0, 1.0, 1.0])
    state = fit(model)
    assert model.objectives[state.params[0]] == state.objective == 1.0
    assert model.calls == ["sweep", "m_step", "sweep", "m_step", "sweep"]


@pytest.mark.parametrize("max_iter", [1, 2, 5])
def test_max_iter_counts_m_steps_and_one_more_pass_scores(max_iter):
    model = Scripted(list(map(float, range(10))))
    state = fit(model, max_iter=max_iter)
    assert (state.stop_reason, state.n_iter) == ("max_iter", max_iter)
    assert model.calls.count("m_step") == max_iter
    assert model.calls.count("sweep") == len(state.history) == max_iter + 1
    assert state.objective == max_iter


def test_convergence_at_max_iter_is_convergence():
    assert fit(Scripted([0.0, 1.0, 1.0]), max_iter=2).stop_reason == "converged"


def test_a_fall_below_tol_is_told_as_such():
    assert fit(Scripted([0.0, 1.0, 1.0 - 1e-4]), tol=1e-3).stop_reason == "fell"


@pytest.mark.parametrize("fall", [1.1e-3, 0.5])
def test_a_fall_of_tol_or_more_goes_on(fall):
    state = fit(Scripted([0.0, 1.0, 1.0 - fall, 2.0, 2.0]), tol=1e-3)
    assert (state.stop_reason, state.n_iter) == ("converged", 4)


@pytest.mark.parametrize("scale", [1.0, 1e6])
def test_a_fall_within_rounding_is_convergence(scale):
    rounded = scale * (1 + 1e-12)
    assert fit(Scripted([0.0, rounded, scale]), tol=1e-15).stop_reason == "converged"
    below = scale * (1 - 1e-8)
    assert fit(Scripted([0.0, scale, below]), tol=1e-1).stop_reason == "fell"


def test_tol_zero_never_stops_while_the_objective_rises():
    assert fit(Scripted([0.0, 1.0, 1.0 + 1e-15, 1.0 + 1e-15])).n_iter == 3


def test_an_objective_that_is_not_a_number_is_an_error():
    with pytest.raises(FloatingPointError, match="pass 2"):
        fit(Scripted([0.0, np.nan]))


def test_the_callback_sees_every_pass():
    seen = []
    state = fit(Scripted([0.0, 1.0, 1.0]), callback=seen.append)
    assert [len(s.history) for s in seen] == [1, 2, 3]
    assert [s.n_iter for s in seen] == [1, 2, 2]
    assert seen[-1] is state
    assert [s.stop_reason for s in seen] == [None, None, "converged"]


def exactness(state):
    return [p.exact for p in state.history]


def test_the_last_two_passes_of_a_fit_that_converges_are_exact():
    """Where inexact arithmetic would stop, one exact pass gives the parameters and one scores them."""
    model = Scripted([0.0, 1.0, 1.0, 1.0, 1.0], single=True)
    state = fit(model, exact=False)
    assert exactness(state) == [False, False, False, True, True]
    assert (state.stop_reason, state.n_iter, state.params, state.objective) == (
        "converged",
        4,
        (4, True),
        1.0,
    )


@pytest.mark.parametrize("max_iter", [1, 2, 3, 5])
def test_the_last_two_of_all_passes_are_exact(max_iter):
    state = fit(Scripted(list(map(float, range(9))), single=True), max_iter=max_iter, exact=False)
    assert exactness(state) == [False] * (max_iter - 1) + [True, True]
    assert (state.stop_reason, state.n_iter, state.objective) == ("max_iter", max_iter, max_iter)


def test_a_step_that_gains_little_is_followed_by_exact_passes():
    model = Scripted([0.0, 1.0, 1.0 + 1e-9], gains=1e-9, single=True)
    assert exactness(fit(model, tol=1e-3, exact=False)) == [False, True, True]


@dataclass
class Demanding(Scripted):
    """A model whose second M-step asks for exact sums, and the one numbered `impossible` for what nobody has."""

    impossible: int = -1

    def m_step(self, params, stats):
        if params[0] == self.impossible or (params[0] == 1 and not params[1]):
            raise ValueError(f"step {params[0]}")
        return super().m_step(params, stats)


def test_a_pass_whose_sums_do_not_suffice_is_made_again():
    state = fit(Demanding([0.0, 1.0, 2.0, 2.0], single=True), exact=False)
    assert exactness(state) == [False, False, True, True, True]
    assert (state.stop_reason, state.n_iter, state.params) == ("converged", 3, (3, True))
    with pytest.raises(ValueError, match="step 2"):
        fit(Demanding([0.0, 1.0, 2.0, 2.0], single=True, impossible=2), exact=False)


def test_objectives_of_different_arithmetic_are_not_compared():
    """Here the inexact ones lie above by 1e-6: that is no fall."""
    state = fit(Scripted([0.0, 1.0, 1.0, 1.0, 1.0], single=True), exact=False, max_iter=4)
    assert state.stop_reason == "converged"
    assert loop.State(None, state.history[:4]).change is None


def test_the_bound_is_the_objective_plus_the_gain():
    state = fit(Scripted([0.0, 1.0, 1.0], gains=0.5))
    assert [p.bound for p in state.history] == [0.5, 1.5, None]
    assert [p.bound for p in fit(Scripted([0.0, 1.0, 1.0])).history] == [None] * 3


def test_advance_is_pure():
    model, state = Scripted([0.0, 1.0]), loop.State((0, True))
    stats = Sums(1, 0.0)
    first = loop.advance(model, state, stats, tol=0, max_iter=5)
    again = loop.advance(model, state, stats, tol=0, max_iter=5)
    assert first == again
    assert state == loop.State((0, True))


@pytest.mark.parametrize("how", ["move_to", "trial_of"])
def test_a_fit_that_has_converged_goes_on_from_something_better(how):
    model = Trying([0.0, 1.0, 1.0, 5.0, 5.0], **{how: 3})
    state = fit(model)
    assert [p.objective for p in state.history] == [0, 1, 1, 5, 5]
    assert (state.params[0], state.stop_reason) == (4, "converged")
    assert model.calls.count("sweep") == 5
    assert state.n_iter == 4
    assert how != "move_to" or state.history[2].bound == 1.5


def test_a_trial_that_is_no_better_costs_a_pass_and_nothing_else():
    model = Trying([0.0, 1.0, 1.0, 0.9], trial_of=3)
    state, alone = fit(model), fit(Scripted([0.0, 1.0, 1.0]))
    assert model.calls.count("sweep") == 4
    assert (state.params, state.history, state.stop_reason) == (alone.params, alone.history, "converged")
    assert fit(Trying([0.0, 1.0, 1.0, 9.0], trial_of=3), max_iter=2).objective == 1.0  # no iteration is left
