"""Aitken's estimate of what is still to be gained."""

import math

import numpy as np
import pytest

from dem.core.block import Block
from dem.em import loop
from dem.em.aitken import remaining_gain, remaining_gain_of_step
from em.test_loop import UnitMixture


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
@pytest.mark.parametrize("limit", [-3.0, 1e4])
def test_a_geometric_series_gives_its_limit(share, limit):
    objectives = [limit - 2 * share**i for i in range(6)]
    assert remaining_gain(objectives) == pytest.approx(limit - objectives[-1], rel=1e-2)


@pytest.mark.parametrize(
    "objectives",
    [[], [1.0], [0.0, 1.0], [0.0, 1.0, 2.0], [0.0, 1.0, 2.5], [0.0, 1.0, 0.5], [1.0, 0.5, 0.75], [0.0, math.inf, 1.0]],
)
def test_nothing_is_said_without_a_basis(objectives):
    assert remaining_gain(objectives) is None


@pytest.mark.parametrize("last", [1e6, 1e6 * (1 + 1e-16), 1e6 * (1 - 4e-16)])
def test_a_last_change_of_rounding_leaves_nothing(last):
    assert remaining_gain([0.0, 1e6, last]) == 0
    assert remaining_gain([1e6, last]) == 0


def test_the_estimates_agree_with_what_em_gains(rng):
    """One from three objectives, the other from one change and its M-step's gain; overlapping clusters are slow."""
    x = Block(np.concatenate([rng.normal(-1, 1, 500), rng.normal(1, 1, 500)])[:, None])
    history = loop.fit(UnitMixture(), 2.0, loop.OneBlock(x), tol=0.0, max_iter=200).history
    limit = history[-1].objective
    for i in (4, 6, 8):
        left = limit - history[i].objective
        assert remaining_gain([p.objective for p in history[: i + 1]]) == pytest.approx(left, rel=0.1)
        before = history[i - 1]
        change = history[i].objective - before.objective
        assert remaining_gain_of_step(change, before.bound - before.objective) == pytest.approx(left, rel=0.1)


@pytest.mark.parametrize(("change", "expected"), [(1.0, 0.0), (1.0, 2.0), (-1.0, 1.0), (2.0, 1.0)])
def test_a_step_that_says_nothing(change, expected):
    assert remaining_gain_of_step(change, expected) is None
