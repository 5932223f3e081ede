"""Several candidates: they advance as alone, and those that cannot win are dropped."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from dem.core.stats import Additive
from dem.em import candidates as module
from dem.em.candidates import Bounds, Candidate, Candidates, Limits, advance_all, expected_gain
from dem.em.loop import Pass, State, advance
from dem.em.model import Step


@dataclass(frozen=True)
class Approaching:
    """A model whose objective rises to `limit`: after i steps it is below it by `gap` times share^i."""

    limit: float
    gap: float = 1.0
    share: float = 0.1
    fails_at: int = 99
    single: bool = False

    def objective(self, params, stats):
        return self.limit - self.gap * self.share**params

    log_likelihood = objective

    def m_step(self, params, stats):
        if params == self.fails_at:
            raise ValueError("a component has collapsed")
        return Step(params + 1)

    def expected(self, params, stats, new):
        return None

    def is_exact(self, params):
        return not self.single

    def exact(self, params):
        return params


def judge(model, params, stats, gain=0.0):
    value = -2 * (model.log_likelihood(params, stats) + gain)
    return Bounds(value, value)


def run(models, tol=1e-6, max_iter=50):
    """Return the candidates after each pass."""
    now = Candidates(tuple(Candidate(name, State(0)) for name in models))
    seen = []
    while now.running:
        stats = {c.name: Additive(1) for c in now.running}
        now = advance_all(now, models, stats, judge, dict.fromkeys(models, Limits(tol, max_iter)))
        seen.append(now)
    return seen


def alone(model, tol=1e-6, max_iter=50):
    state = State(0)
    while state.stop_reason is None:
        state = advance(model, state, Additive(1), tol=tol, max_iter=max_iter)
    return state


def by_name(candidates):
    return {c.name: c for c in candidates.of}


def test_the_winner_ends_as_alone_and_the_hopeless_are_dropped_early():
    models = {"good": Approaching(-1.0, share=0.3), "bad": Approaching(-3.0, share=0.3)}
    ended = by_name(run(models)[-1])
    assert ended["good"].state == alone(models["good"])
    bad = ended["bad"]
    assert bad.dropped
    assert bad.ended_in == 3  # Aitken's estimate needs three passes
    assert "good" in bad.why
    assert bad.state.params == 2  # those that the last pass scored
    assert bad.state.objective == models["bad"].objective(2, None)
    assert bad.state.stats is not None


def test_one_that_can_still_overtake_stays():
    models = {"ahead": Approaching(-1.0, gap=0.01), "later": Approaching(-0.9, gap=5.0, share=0.8)}
    assert not by_name(run(models)[-1])["later"].dropped
    assert run(models)[-1].of[1].value < run(models)[-1].of[0].value


def test_float32_passes_drop_nobody_within_their_error(monkeypatch):
    models = {"a": Approaching(-1.0, gap=1e-9), "b": Approaching(-1.0 - 1e-4, gap=1e-9, single=True)}
    monkeypatch.setattr(module, "expected_gain", lambda history, careful: 0.0)
    stats = dict.fromkeys(models, Additive(1))
    limits = dict.fromkeys(models, Limits(0.0, 9))
    first = Candidates(tuple(Candidate(name, State(0)) for name in models))
    assert not by_name(advance_all(first, models, stats, judge, limits))["b"].dropped
    models["b"] = replace(models["b"], single=False)
    assert by_name(advance_all(first, models, stats, judge, limits))["b"].dropped


def test_a_fit_that_fails_leaves_the_others():
    ended = by_name(run({"fails": Approaching(0.0, fails_at=1), "runs": Approaching(-1.0)})[-1])
    assert ended["fails"].failed
    assert ended["fails"].why == "a component has collapsed"
    assert ended["fails"].ended_in == 2
    assert ended["runs"].state.stop_reason == "converged"


class Trying(Approaching):
    """A model that tries a jump over 2 nats where EM has converged."""

    def move(self, params, stats):
        return None

    def trial(self, params, stats):
        return None if params >= 100 else 100

    def moved_on_sample(self, state, sample, again, most):
        return state

    def objective(self, params, stats):
        return super().objective(params, stats) + 2.0 * (params >= 100)

    log_likelihood = objective


def test_a_pending_trial_is_not_dropped():
    models = {"leads": Approaching(0.0, share=0.3), "tries": Trying(-1.0, share=0.01)}
    ended = by_name(run(models, tol=0.1)[-1])
    assert ended["tries"].state == alone(models["tries"], tol=0.1)
    assert ended["tries"].value == pytest.approx(-2.0)


def test_those_that_a_failed_leader_dropped_run_again():
    models = {"leads": Approaching(-1.0, share=0.3, fails_at=5), "dropped": Approaching(-3.0, share=0.3)}
    seen = run(models)
    assert by_name(seen[2])["dropped"].dropped
    ended = by_name(seen[-1])
    assert ended["leads"].failed
    assert ended["dropped"].state == alone(models["dropped"])


def test_a_criterion_that_is_not_a_number_is_a_failure():
    ended = by_name(run({"nan": Approaching(-1.0), "runs": Approaching(-1.0)})[-1])
    assert ended["nan"].state.stop_reason == "converged"

    def no_number(model, params, stats, gain=0.0):
        return Bounds(np.nan, np.nan)

    now = Candidates((Candidate("nan", State(0)),))
    models = {"nan": Approaching(-1.0)}
    now = advance_all(now, models, {"nan": Additive(1)}, no_number, {"nan": Limits(0.0, 9)})
    assert now.of[0].failed


def test_they_can_be_put_in_order():
    found = Candidates((Candidate("b"), Candidate("a")), 3).in_order(["a", "b"])
    assert [candidate.name for candidate in found.of] == ["a", "b"]
    assert found.n_passes == 3


def passes(objectives, bounds):
    return tuple(Pass(o, o, b) for o, b in zip(objectives, bounds, strict=True))


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
def test_the_credit_is_at_least_what_one_slow_direction_gains(share):
    """Of EM on a quadratic: steps shrink by `share`, gains by its square; M-steps promise 1 / (1 + share)."""
    left = share ** (2 * np.arange(4))
    objectives, promises = -left, left * (1 - share)
    for n in (2, 3, 4):
        found = expected_gain(passes(objectives[:n], (objectives + promises)[:n]))
        assert found == pytest.approx(module.GAIN_FACTOR * left[n - 1], rel=1e-6)
    assert expected_gain(passes(objectives[:1], objectives[:1])) is None


def test_nothing_can_be_said_while_gains_grow():
    assert expected_gain(passes([-3.0, -2.9], [-2.95, -2.5])) is None
    assert expected_gain(passes([-3.0, -2.9, -2.5], [None] * 3)) is None
    assert expected_gain(passes([-3.0, -2.9], [None] * 2)) is None


def test_a_fit_that_began_far_from_its_optimum_gets_more_credit():
    history = passes([-1.0, -0.1, -0.01], [-0.2, -0.02, -0.002])
    assert expected_gain(history[:2]) is not None
    assert expected_gain(history[:2], careful=True) is None
    share = module.CAREFUL_FACTOR / module.GAIN_FACTOR
    assert expected_gain(history, careful=True) == pytest.approx(share * expected_gain(history))
