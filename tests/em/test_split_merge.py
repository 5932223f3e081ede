"""Moves on the sample: joining two components, and splitting another."""

import numpy as np
import pytest

from dem.core.block import Block
from dem.em import loop
from dem.em.moves import Move, Rows, Work
from dem.em.projection_cut import cut_labels
from dem.em.split_merge import LEAST_GAIN, choices, improved, proposals
from dem.families import COVARIANCE_TYPES
from dem.families.family import Given
from dem.models.kmeans.kmeans import KMeansModel
from dem.models.mixture.mixture import MixtureModel
from laws import bind, scan

N, K = 900, 3


def three_clusters(seed=0):
    rng = np.random.default_rng(seed)
    label = np.arange(N) % K
    return np.array([[0.0, 0.0], [9, 0], [9, 9]])[label] + rng.normal(size=(N, 2)), label


def badly_begun(model, x, label, weight=None):
    """Return the end of EM where two components share a cluster, and the third covers two."""
    rows = np.zeros((K, len(x)))
    rows[0, (label == 0) & (x[:, 1] > 0)] = 1
    rows[1, (label == 0) & (x[:, 1] <= 0)] = 1
    rows[2, label > 0] = 1
    params = model.from_responsibilities(x.T.copy(), rows * (1 if weight is None else weight))
    return loop.fit(model, params, loop.OneBlock(Block(x, weight)), tol=1e-6, max_iter=100)


def best(model, x, label, sweep):
    params = model.from_responsibilities(x.T.copy(), np.eye(K)[label].T)
    return loop.fit(model, params, sweep, tol=1e-6, max_iter=100).objective


def after(state):
    pass


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("weighted", [False, True])
def test_moves_leave_a_bad_optimum(kind, weighted):
    x, label = three_clusters()
    weight = np.random.default_rng(1).integers(0, 4, N).astype(float) if weighted else None
    model, block = bind(MixtureModel(K, COVARIANCE_TYPES[kind]()), x, weight), Block(x, weight)
    bad = badly_begun(model, x, label, weight)
    good = best(model, x, label, loop.OneBlock(block))
    assert bad.objective < good - 0.1
    state, rounds = improved(model, bad, block, block, seed=0, left=Work(np.inf), tol=1e-6, after=after)
    assert rounds >= 1
    assert state.objective == pytest.approx(good, abs=1e-3)
    again = improved(model, bad, block, block, seed=0, left=Work(np.inf), tol=1e-6, after=after)[0]
    assert again.objective == state.objective
    assert improved(model, bad, block, block, seed=0, left=Work(0), tol=1e-6, after=after) == (bad, 0)


def test_moves_with_missing_values():
    x, label = three_clusters()
    holed = np.where(np.random.default_rng(2).random(x.shape) < 0.2, np.nan, x)
    holed[np.isnan(holed).all(axis=1), 0] = 0.0
    model = bind(MixtureModel(K, COVARIANCE_TYPES["full"]()), holed)
    sample, whole = Block(holed), Block(scan(model, holed).sample.x)
    params = badly_begun(bind(model, x), x, label).params
    bad = loop.fit(model, params, loop.OneBlock(sample), tol=1e-6, max_iter=100)
    good = best(bind(model, holed), x, label, loop.OneBlock(sample))
    state, _ = improved(model, bad, sample, whole, seed=0, left=Work(np.inf), tol=1e-6, after=after)
    assert bad.objective < good - 0.1
    assert state.objective == pytest.approx(good, abs=5e-3)


def test_a_gain_is_the_least_that_a_move_gains():
    x, label = three_clusters()
    model, block = bind(MixtureModel(K, COVARIANCE_TYPES["full"]()), x), Block(x)
    bad = badly_begun(model, x, label)
    rows = Rows.of(model, bad.params, block, block)
    moves = proposals(model, rows, np.random.default_rng(0), Work(np.inf))
    assert moves == sorted(moves, key=lambda move: -move.gain)
    assert moves[0].gain > 0.1 * N
    for move in moves:
        resp = rows.resp.copy()
        move.apply(resp)
        np.testing.assert_allclose(resp.sum(axis=0), 1, atol=1e-9)
        params = model.from_responsibilities(x.T.copy(), resp)
        reached = loop.fit(model, params, loop.OneBlock(block), tol=0, max_iter=0).objective
        assert reached > bad.objective + move.gain / N - 0.01  # rows of small responsibility were left out


def move(gain, joined, split):
    return Move(gain, joined, split, np.arange(1), np.ones(1))


def test_sure_moves_of_other_components_are_made_together():
    moves = [move(5.0, (0, 1), (2, 1)), move(4.0, (3, 1), (4, 1)), move(3.0, None, (3, 4)), move(-1.0, None, (5, 6))]
    tries = list(choices(moves, 100.0))
    assert tries == [[moves[0], moves[2]], [moves[0]], [moves[1]], [moves[2]], [moves[3]]]
    assert list(choices(moves[3:], 10.0)) == []
    assert list(choices([move(LEAST_GAIN / 2, None, (0, 1))], 1.0)) != []


def test_only_free_mixtures_move():
    assert MixtureModel(2, COVARIANCE_TYPES["full"]()).can_split
    assert not MixtureModel(1, COVARIANCE_TYPES["full"]()).can_split
    assert not MixtureModel(2, COVARIANCE_TYPES["full"](), given=Given(means=np.zeros((2, 1)))).can_split
    assert not hasattr(KMeansModel(2), "can_split")


@pytest.mark.parametrize("share", [0.5, 0.05])
def test_a_cut_sees_clusters_that_many_columns_hide(share):
    rng = np.random.default_rng(3)
    x, small = rng.normal(size=(4000, 16)), rng.random(4000) < share
    x[small] += 8 * (turn := rng.normal(size=16)) / np.linalg.norm(turn)
    found = max(cut_labels(x, np.ones(4000), rng), key=lambda side: abs(np.mean(side == small) - 0.5))
    assert max(np.mean(found == small), np.mean(found != small)) > 0.99


def test_no_cut_without_rows_or_spread():
    rng = np.random.default_rng(0)
    assert cut_labels(rng.normal(size=(4, 2)), np.ones(4), rng) == []
    assert cut_labels(np.ones((40, 2)), np.ones(40), rng) == []
