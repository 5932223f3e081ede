"""Accelerated EM: the limit of EM, in fewer passes, and never a fall."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from dem.core.block import Block
from dem.core.stats import Additive
from dem.em import acceleration, loop
from dem.em.model import Step
from dem.models.latent.factor_analysis import FactorModel, MomentsFactorModel
from dem.models.latent.ppca import MomentsPPCAModel, PPCAModel
from laws import bind, data, mixture


@dataclass(frozen=True)
class Sums(Additive):
    value: float


@dataclass(frozen=True)
class Slow:
    """Steps go a small share of the way to 0, in other directions at other speeds."""

    speeds: np.ndarray
    wild: bool = False

    def kernel(self, params):
        return lambda block: Sums(0, 0.0)

    def objective(self, params, stats):
        return -float(params @ params)

    log_likelihood = objective

    def expected(self, params, stats, new):
        return None

    def m_step(self, params, stats):
        return Step(params * (1 - self.speeds))

    def is_exact(self, params):
        return True

    def exact(self, params):
        return params

    def vector(self, params, like):
        return params

    def of_vector(self, vector, like):
        return 100 * vector if self.wild else vector


NOTHING = loop.OneBlock(Block(np.empty((0, 1))))
SLOW = Slow(np.array([0.01, 0.02, 0.05]))
FIRST = np.ones(3)


def falls(state):
    return min(
        b.objective - (a.objective if a.bound is None else a.bound)
        for a, b in zip(state.history, state.history[1:], strict=False)
    )


def test_slow_steps_become_long():
    seen = []
    fast = acceleration.fit(SLOW, FIRST, NOTHING, tol=1e-12, max_iter=500, callback=seen.append)
    plain = loop.fit(SLOW, FIRST, NOTHING, tol=1e-12, max_iter=5000)
    assert len(fast.history) < len(plain.history) / 5
    assert (fast.stop_reason, falls(fast) >= 0) == ("converged", True)
    assert fast.objective == pytest.approx(0, abs=1e-9)
    assert fast.objective == SLOW.objective(fast.params, None)
    assert [len(state.history) for state in seen] == list(range(1, len(fast.history) + 1))


@pytest.mark.parametrize("max_iter", [0, 1, 2, 3, 4])
def test_max_iter_counts_the_steps(max_iter):
    state = acceleration.fit(SLOW, FIRST, NOTHING, tol=0, max_iter=max_iter)
    assert (state.stop_reason, state.n_iter, len(state.history)) == ("max_iter", max_iter, max_iter + 1)


@pytest.mark.parametrize("tol", [0.0, 1e-3])
def test_without_jumps_it_is_em(tol):
    wild = acceleration.fit(replace(SLOW, wild=True), FIRST, NOTHING, tol=0.0, max_iter=30)
    plain = loop.fit(SLOW, FIRST, NOTHING, tol=0.0, max_iter=30)
    assert wild.history == plain.history
    sample = Block(data())
    model = bind(mixture("full"), sample.x)
    params = model.start(sample, np.random.default_rng(0))
    runs = [f(model, params, loop.OneBlock(sample), tol=tol, max_iter=9) for f in (acceleration.fit, loop.fit)]
    assert runs[0].history == runs[1].history


def heywood(seed=0, n=47):
    """Return rows of which one column is nearly a factor itself, so that its noise goes to 0; with holes."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 2))
    x = z @ rng.normal(size=(2, 6)) + 0.7 * rng.normal(size=(n, 6))
    x[:, 0] = z[:, 0] + 1e-3 * rng.normal(size=n)
    holes = rng.random(x.shape) < 0.18
    holes[holes.all(axis=1), 1] = False
    return x, np.where(holes, np.nan, x)


@pytest.mark.parametrize(
    ("model", "holes"),
    [
        (FactorModel(2), False),
        (MomentsFactorModel(2), False),
        (PPCAModel(2), False),
        (MomentsPPCAModel(2), False),
        pytest.param(FactorModel(2), True, marks=pytest.mark.slow),
        (PPCAModel(2), True),
    ],
)
def test_latent_models_reach_what_em_reaches(model, holes):
    x = heywood()[int(holes)]
    sample = Block(x)
    bound = bind(model, x)
    params = bound.start(Block(heywood()[0]), np.random.default_rng(0))
    fast = acceleration.fit(bound, params, loop.OneBlock(sample), tol=1e-9, max_iter=2000)
    plain = loop.fit(bound, params, loop.OneBlock(sample), tol=1e-9, max_iter=2000)
    assert falls(fast) > -1e-10  # rounding, at small noise
    assert fast.stop_reason == "converged"
    assert fast.objective > plain.objective - 1e-6
    assert len(fast.history) <= len(plain.history) + 3
