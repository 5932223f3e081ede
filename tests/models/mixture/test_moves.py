"""Merges and deletions of components: what they gain is exact on the sample, and a lower bound by sums alone."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import xlogy

import laws
from crosses import cross
from dem.core.block import Block
from dem.em import loop
from dem.em.starts import Start, best_start
from dem.families import COVARIANCE_TYPES
from dem.models.mixture.bayesian import BayesianMixtureModel
from dem.models.mixture.mixing import Dirichlet, StickBreaking
from dem.models.mixture.mixture import MixtureModel
from dem.models.mixture.moves import LEAST_ROWS, entropy_on_rows, most_entropy, moved_on_sample

K, D = 5, 3
X = laws.data()


def separate(seed=0, n=laws.N):
    """Return rows of three clusters far apart."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, D)) + 12.0 * np.eye(3)[rng.integers(3, size=n)]


APART = separate()
MIXINGS = {"process": StickBreaking, "distribution": Dirichlet}
BOTH = cross("kind, mixing", list(COVARIANCE_TYPES), list(MIXINGS))


def bound_model(kind, mixing, x=X, weight=None, k=K):
    model = MixtureModel(k, COVARIANCE_TYPES[kind]())
    return laws.bind(BayesianMixtureModel(model, MIXINGS[mixing].prior(k, 1 / k)), x, weight)


def responsibilities(seed=7):
    return np.random.default_rng(seed).dirichlet(np.full(K, 0.3), size=len(X)).T


def sums_of(model, resp, x=X):
    """Return the sums from responsibilities (K, n)."""
    params = model.from_responsibilities(np.ascontiguousarray(x.T), resp)
    return model._component_sums(replace(laws.total(model, params, x), **as_stats(model, resp, x)))


def as_stats(model, resp, x):
    sums, frame = model.family.sums_about_means(np.ascontiguousarray(x.T), resp)
    return {"sums": sums, "frame": frame}


def in_halves(model):
    """Return parameters at which each of two pairs shares a cluster, near a fixed point of EM."""
    nearest = APART.argmax(axis=1)
    resp = np.zeros((K, len(APART)))
    for cluster, parts in enumerate([(0, 3), (1, 4), (2,)]):
        for part in parts:
            resp[part, nearest == cluster] = 1 / len(parts)
    return model.from_responsibilities(np.ascontiguousarray(APART.T), resp)


@BOTH
def test_the_bound_by_sums_is_that_of_the_loop(kind, mixing):
    model = bound_model(kind, mixing)
    params = model.from_responsibilities(np.ascontiguousarray(X.T), responsibilities())
    stats = laws.total(model, params, X)
    new = model.m_step(params, stats).params
    found = model.bound_of(model.component_sums(params, stats))
    assert abs(found - model.expected(params, stats, new) * len(X)) < 1e-9 * abs(found)


@BOTH
def test_a_merge_adds_the_rows(kind, mixing):
    """Merged sums are those of merged responsibilities, and the gain is the difference of the bounds."""
    model, resp = bound_model(kind, mixing), responsibilities()
    sums = sums_of(model, resp)
    merged = resp.copy()
    merged[1] += merged[3]
    merged[3] = 0
    expected, found = sums_of(model, merged), sums.merged(1, 3)
    for name in ("counts", "scatter"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-9, atol=1e-9)
    used = [0, 1, 2, 4]
    np.testing.assert_allclose(found.means[used], expected.means[used], rtol=1e-10)
    gain = model.bound_of(expected) - model.bound_of(sums)
    assert abs(model.merge_gain(sums, 1, 3) - gain) < 1e-7


def test_the_entropy_by_sums_is_at_least_that_of_the_rows():
    weight = np.arange(len(X)) % 3 / 2.0
    model = bound_model("full", "process", weight=weight)
    params = model.from_responsibilities(np.ascontiguousarray(X.T), responsibilities() * weight)
    sums = model.component_sums(params, laws.total(model, params, X, weight))
    pairs = [(i, j) for j in range(K) for i in range(j)]
    found = entropy_on_rows(model, params, Block(X, weight), pairs)
    r = laws.rows_of(model, params, "proba")(Block(X))
    for (i, j), value in zip(pairs, found, strict=True):
        direct = xlogy(r[:, i] + r[:, j], r[:, i] + r[:, j]) - xlogy(r[:, i], r[:, i]) - xlogy(r[:, j], r[:, j])
        assert value == pytest.approx(weight @ direct, rel=1e-9, abs=1e-12)
    assert (most_entropy(sums, pairs) >= found).all()


@BOTH
def test_halves_merge_where_em_would_stop(kind, mixing):
    """The bound after the move is a lower bound, and no pass lowers the objective."""
    model = bound_model(kind, mixing, APART)
    params = in_halves(model)
    stats = laws.total(model, params, APART)
    move = model.move(params, stats)
    assert move is not None
    after = laws.total(model, move.params, APART)
    assert model.objective(move.params, after) >= model.objective(params, stats) + move.gain - 1e-12
    state = loop.fit(model, params, loop.OneBlock(Block(APART)), tol=1e-9, max_iter=500)
    laws.bound_lies_between(state)
    assert state.stop_reason == "converged"
    assert (state.stats.sums[0] >= LEAST_ROWS).sum() == 3


def test_clusters_do_not_merge():
    model = bound_model("full", "process", APART, k=3)
    params = model.from_responsibilities(np.ascontiguousarray(APART.T), np.eye(3)[APART.argmax(axis=1)].T)
    assert model.move(params, laws.total(model, params, APART)) is None


@BOTH
def test_moves_on_the_sample_leave_the_clusters(kind, mixing):
    model, sweep = bound_model(kind, mixing, APART), loop.OneBlock(Block(APART))

    def again(model, params, most):
        return loop.fit(model, params, sweep, tol=1e-5, max_iter=most)

    begun = again(model, in_halves(model), 1)
    ended = moved_on_sample(model, begun, Block(APART), again, 100)
    assert ended.objective > begun.objective
    assert (again(model, ended.params, 1).stats.sums[0] >= LEAST_ROWS).sum() == 3


def test_without_a_move_on_the_sample_the_state_is_the_same():
    model, sweep = bound_model("full", "distribution", APART, k=3), loop.OneBlock(Block(APART))

    def again(model, params, most):
        return loop.fit(model, params, sweep, tol=1e-5, max_iter=most)

    params = model.from_responsibilities(np.ascontiguousarray(APART.T), np.eye(3)[APART.argmax(axis=1)].T)
    state = again(model, params, 100)
    assert model.moved_on_sample(state, Block(APART), again, 100) is state


@pytest.mark.parametrize("lacking", [False, True], ids=["whole", "holes"])
def test_a_start_with_too_many_components_finds_three(lacking):
    x = laws.with_holes(separate) if lacking else separate()
    model = bound_model("full", "process", x=x, k=12)
    params = best_start(model, Block(x), Start(n_init=2)).params
    assert (laws.total(model, params, x).sums[0] >= 1).sum() == 3


@BOTH
def test_components_of_few_rows_are_doubtful(kind, mixing):
    """Four rows cost more nats than they are; a trial has none of them left, and the clusters as they were."""
    resp = np.eye(3)[APART.argmax(axis=1)].T
    few = np.zeros((1, len(APART)))
    few[0, :4] = 1
    resp = np.concatenate([resp * (1 - few), few])
    model = bound_model(kind, mixing, APART, k=4)
    params = model.from_responsibilities(np.ascontiguousarray(APART.T), resp)
    stats = replace(laws.total(model, params, APART), **as_stats(model, resp, APART))
    trial = model.trial(params, stats)
    after = laws.total(model, trial, APART).sums[0]
    assert after[3] < 0.5 < 90 < after[:3].sum() / 3
    assert model.trial(trial, laws.total(model, trial, APART)) is None
