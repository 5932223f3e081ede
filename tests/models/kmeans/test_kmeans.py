"""K-means' model against scikit-learn's Lloyd iterations, long double and brute force."""

from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.cluster._k_means_lloyd import lloyd_iter_chunked_dense

from dem.core.block import Block
from dem.em import loop
from dem.em.model import Step
from dem.models.kmeans.kernel import Nearest, farthest_candidates
from dem.models.kmeans.kmeans import KMeansModel, KMeansParams
from dem.models.mixture.precision import Precision
from laws import assert_close, assert_same_bits, bind, objective_never_falls, rows_of, total

K, D, N = 4, 3, 500


def rows(rng, n=N, k=K, d=D, spread=3.0):
    return (spread * rng.normal(size=(k, d)))[rng.integers(k, size=n)] + rng.normal(size=(n, d))


def lloyd(x, centers, weight=None):
    """Return scikit-learn's centres after one iteration."""
    new, counts, shift = np.zeros_like(centers), np.zeros(len(centers)), np.zeros(len(centers))
    weight = np.ones(len(x)) if weight is None else weight
    lloyd_iter_chunked_dense(x, weight, centers, new, counts, np.zeros(len(x), np.int32), shift, 1)
    return new


def brute(x, centers, weight=None):
    """Return labels and weighted inertia by all differences, in long double."""
    squares = ((x.astype(np.longdouble)[:, None] - centers) ** 2).sum(axis=2)
    weight = np.ones(len(x)) if weight is None else weight
    return squares.argmin(axis=1), float(weight @ squares.min(axis=1))


def step(x, params, weight=None, model=None):
    bound = bind(model or KMeansModel(len(params.centers)), x, weight)
    stats = total(bound, params, x, weight)
    return bound, stats, bound.m_step(params, stats).params


@pytest.mark.parametrize("weighted", [False, True])
def test_every_iteration_is_scikit_learns(rng, weighted):
    x = rows(rng)
    weight = rng.integers(0, 4, N).astype(float) if weighted else None
    params = KMeansParams.at(x[:K].copy())
    for _ in range(4):
        expected = lloyd(x, params.centers, weight)
        bound, stats, new = step(x, params, weight)
        np.testing.assert_allclose(new.centers, expected, rtol=1e-12, atol=1e-12)
        found = bound.objective(params, stats) * stats.weight
        assert found == pytest.approx(-brute(x, params.centers, weight)[1], rel=1e-13)
        params = replace(new, settled=False)


@pytest.mark.parametrize(("offset", "spread"), [(0.0, 3.0), (1e8, 3.0), (-1e4, 1e3), (1e8, 1e6), (0.0, 1e9)])
def test_inertia_and_steps_are_exact_far_from_zero_and_for_wide_spreads(rng, offset, spread):
    x = offset + rows(rng, spread=spread)
    near = x[[0, 0, 1, 2]] + [[0.0], [1.0], [0.0], [0.0]]  # two centres in one cluster
    labels, inertia = brute(x, near)
    params = KMeansParams.at(near)
    bound, stats, new = step(x, params)
    assert stats.inertia.sum() == pytest.approx(inertia, rel=1e-12)
    np.testing.assert_array_equal(stats.counts, np.bincount(labels, minlength=4))
    means = np.array([x[labels == k].astype(np.longdouble).mean(axis=0) for k in range(4)])
    np.testing.assert_allclose(new.centers, means.astype(float), rtol=4e-16, atol=1e-14 * spread)
    moved = -bound.expected(params, stats, new) * stats.weight
    squares = (x.astype(np.longdouble) - new.centers[labels]) ** 2
    assert moved == pytest.approx(float(squares.sum()), rel=1e-11)


def test_the_bound_chooses_the_arithmetic(rng):
    x = rows(rng)
    model, apart = bind(KMeansModel(K), x), KMeansParams.at(x[:K])
    single = bind(KMeansModel(K), x.astype("f4"))
    assert model.precision(apart) == Precision.DOUBLE
    assert single.precision(apart) == Precision.SINGLE
    assert single.precision(single.exact(apart)) == Precision.DOUBLE
    exact = single.exact(apart)
    assert single.exact(exact) is exact
    close = KMeansParams.at(np.concatenate([x[:3], x[:1] + 1e-5]))
    assert model.precision(close) == single.precision(close) == Precision.CENTRED
    again = single.for_new_fit(replace(exact, settled=True))
    assert (again.centers is apart.centers, again.floor, again.settled) == (True, apart.floor, False)
    with pytest.raises(ValueError, match="call bind"):
        KMeansModel(K).precision(apart)


@pytest.mark.parametrize("precision", [Precision.SINGLE, Precision.DOUBLE])
def test_no_border_is_displaced_by_more_than_the_tolerance(rng, precision):
    """Rows just off the border of two centres, by what the bound promises, fall on the right side."""
    d, tolerance = 8, {Precision.SINGLE: 1e-3, Precision.DOUBLE: 1e-7}[precision]
    for _ in range(20):
        centers = rng.normal(size=(2, d)) * 10
        across = centers[1] - centers[0]
        along = rng.normal(size=(400, d))
        along -= np.outer(along @ across, across) / (across @ across)
        side = rng.integers(0, 2, 400)
        x = centers.mean(axis=0) + along + np.outer(tolerance * (2 * side - 1), across)
        if precision == Precision.SINGLE:
            x = x.astype("f4")
        model = bind(KMeansModel(2), x)
        params = KMeansParams.at(centers)
        assert model.precision(params) == precision
        nearest = Nearest(centers, model.frame, precision)
        np.testing.assert_array_equal(np.concatenate([nearest.labels(x[:7]), nearest.labels(x[7:])]), side)
        kernel = model.kernel(params)
        counts = [kernel(Block(x[side == one])).counts for one in (0, 1)]
        np.testing.assert_array_equal(counts, np.diag(np.bincount(side)))


def test_ties_go_to_the_lowest_index():
    x = np.array([[0.0], [2.0], [1.0], [5.0]])
    same = KMeansParams.at(np.array([[0.0], [2.0], [2.0]]))
    _, stats, _ = step(x, same)
    np.testing.assert_array_equal(stats.counts, [2, 2, 0])
    labels = rows_of(KMeansModel(3), same, "label")(Block(x))
    np.testing.assert_array_equal(labels, [0, 1, 0, 1])


def empty_problem(rng, n_empty=1):
    """Return rows, and centres of which some are far from all of them."""
    x = rows(rng)
    far = x.mean(axis=0) + 1e3 * (1 + np.arange(n_empty)[:, None]) * np.ones(D)
    return x, np.concatenate([x[: K - n_empty], far])


@pytest.mark.parametrize("weighted", [False, True])
def test_an_empty_cluster_is_relocated_as_in_scikit_learn(rng, weighted):
    x, centers = empty_problem(rng)
    weight = rng.uniform(0.5, 2, N) if weighted else None
    params = KMeansParams.at(centers)
    bound, stats, new = step(x, params, weight)
    np.testing.assert_allclose(new.centers, lloyd(x, centers, weight), rtol=1e-12)
    labels = brute(x, centers)[0]
    moved = labels.copy()
    moved[np.argmax(((x - centers[labels]) ** 2).sum(axis=1))] = K - 1
    w = np.ones(N) if weight is None else weight
    expected = min(float(w @ ((x - new.centers[chosen]) ** 2).sum(axis=1)) for chosen in (labels, moved))
    assert -bound.expected(params, stats, new) * stats.weight == pytest.approx(expected, rel=1e-12)


def test_several_empty_clusters_get_the_farthest_rows(rng):
    x, centers = empty_problem(rng, n_empty=2)
    params = KMeansParams.at(centers)
    bound, stats, new = step(x, params)
    expected = lloyd(x, centers)  # gives the farthest rows in no order
    key = partial(sorted, key=lambda c: tuple(c))
    np.testing.assert_allclose(key(new.centers.tolist()), key(expected.tolist()), rtol=1e-12)
    assert bound.expected(params, stats, params) == bound.objective(params, stats)
    objective_never_falls(bound, params, x)


def test_rows_of_weight_zero_never_count(rng):
    x, centers = empty_problem(rng)
    labels = brute(x, centers)[0]
    weight = np.ones(N)
    weight[np.argmax(((x - centers[labels]) ** 2).sum(axis=1))] = 0
    kept = weight > 0
    *_, new = step(x, KMeansParams.at(centers), weight)
    np.testing.assert_allclose(new.centers, lloyd(x[kept], centers), rtol=1e-12)


def test_the_farthest_rows_are_the_same_over_any_chunking(rng):
    x = np.repeat(rows(rng, n=60), 5, axis=0)  # with ties
    model = bind(KMeansModel(K), x)
    params = KMeansParams.at(x[:1] + rng.normal(size=(K, D)))
    kernel = model.kernel(params)
    whole = kernel(Block(x)).farthest
    labels, squares = brute(x, params.centers)[0], None
    squares = ((x - params.centers[labels]) ** 2).sum(axis=1)
    np.testing.assert_array_equal(whole.key, np.lexsort((np.arange(len(x)), -squares))[:K])
    for size in (1, 7, 64):
        parts = [kernel(Block(x).part(a, a + size)) for a in range(0, len(x), size)]
        stats = parts[-1]
        for part in parts[-2::-1]:
            stats = stats + part
        assert_same_bits(stats.farthest, whole)


def test_candidates_hold_the_farthest(rng):
    squares = rng.integers(0, 20, 300) / 4.0
    weight = rng.integers(0, 2, 300).astype(float)
    for least, k in ((0.0, 10), (4.0, 3), (5.0, 2)):
        able = np.flatnonzero((squares > least) & (weight > 0))
        best = able[np.lexsort((able, -squares[able]))[:k]]
        assert set(best) <= set(farthest_candidates(squares, weight, least, k)) <= set(able)


def test_without_a_row_off_its_centre_none_moves():
    x = np.repeat([[0.0, 0.0], [1.0, 0.0]], 5, axis=0)
    params = KMeansParams.at(np.array([[0.0, 0.0], [1.0, 0.0], [9.0, 9.0]]))
    stats = total(replace(bind(KMeansModel(2), x), n_clusters=3), params, x)
    assert_close(stats.relocated(), stats, 0)
    assert bind(KMeansModel(2), x).m_step(params, stats) == Step(params, converged=True)


def test_a_cluster_whose_rows_all_leave_keeps_its_centre():
    x = np.array([[0.0], [0.1], [50.0], [0.05]])
    weight = np.array([1.0, 1.0, 0.3, 1.0])
    params = KMeansParams.at(np.array([[0.0], [90.0], [-400.0]]))
    _, _, new = step(x, params, weight, KMeansModel(3))
    np.testing.assert_allclose(new.centers, [[0.05], [90.0], [50.0]])


def test_statistics_about_other_centres_do_not_add(rng):
    x = rows(rng)
    model = bind(KMeansModel(K), x)
    one, other = (total(model, KMeansParams.at(x[i : i + K]), x) for i in (0, 1))
    with pytest.raises(ValueError, match="about different centres"):
        one + other


def test_the_start_is_scikit_learns_on_the_sample(rng):
    x = rows(rng)
    weight = rng.integers(0, 3, N).astype(float)
    params = KMeansModel(K).start(Block(x, weight), np.random.default_rng(3))
    seed = int(np.random.default_rng(3).integers(2**31 - 1))
    kept = weight > 0
    expected = KMeans(K, n_init=1, random_state=seed).fit(x[kept], sample_weight=weight[kept]).cluster_centers_
    np.testing.assert_allclose(params.centers, expected[np.argsort(expected[:, 0])], rtol=1e-12)


def test_a_fit_ends_where_no_row_changes_its_cluster(rng):
    x = rows(rng, spread=0.5)
    model = bind(KMeansModel(K, tol=0.0), x)
    state = loop.fit(model, KMeansParams.at(x[:K]), loop.OneBlock(Block(x)), tol=0.0, max_iter=300)
    assert state.stop_reason == "converged"
    labels = brute(x, state.params.centers)[0]
    np.testing.assert_allclose(
        state.params.centers, [x[labels == k].mean(axis=0) for k in range(K)], rtol=0, atol=1e-14
    )
    objectives = [p.objective for p in state.history]
    assert all(a < b for a, b in pairwise(objectives))
    for old, new in pairwise(state.history):
        assert old.objective < old.bound <= new.objective + 1e-12


def test_more_clusters_than_rows_or_distinct_rows_are_refused(rng):
    with pytest.raises(ValueError, match="3 rows are too few for n_clusters=4"):
        bind(KMeansModel(4), rng.normal(size=(3, 2)))
    with pytest.raises(ValueError, match=r"n_clusters=4 is more than the 3 distinct rows among 30 sampled rows"):
        bind(KMeansModel(4), np.repeat(rng.normal(size=(3, 2)), 10, axis=0))


def test_rows_wise_outputs(rng):
    x = rows(rng)
    params = KMeansParams.at(x[:K])
    model = KMeansModel(K)
    labels = brute(x, params.centers)[0]
    distances = np.sqrt(((x[:, None] - params.centers) ** 2).sum(axis=2))
    np.testing.assert_array_equal(rows_of(model, params, "label")(Block(x)), labels)
    np.testing.assert_allclose(rows_of(model, params, "distance")(Block(x)), distances, rtol=1e-14)
    np.testing.assert_allclose(rows_of(model, params, "score")(Block(x)), -(distances.min(axis=1) ** 2), rtol=1e-13)
    assert rows_of(model, params, "distance")(Block(x[:0])).shape == (0, K)
    with pytest.raises(ValueError, match="no output 'proba': choose one of label, distance, score, filled"):
        rows_of(model, params, "proba")(Block(x))
    x[3, 1] = np.inf
    with pytest.raises(ValueError, match="row 3 holds inf in column 1: infinite values are not supported"):
        rows_of(model, params, "label")(Block(x))


@pytest.mark.parametrize("junk", [-1.7976931348623157e308, np.inf, np.nan])
def test_rows_of_weight_zero_may_hold_what_overflows(rng, junk):
    x = rows(rng)
    weight = rng.integers(0, 3, N).astype(float)
    kept = weight > 0
    x[~kept] = junk
    params = KMeansParams.at(np.vstack([x[kept][: K - 1], np.full(D, 1e3)]))  # the last has no rows: one moves there
    (_, stats, new), (_, expected, best) = step(x, params, weight), step(x[kept], params, weight[kept])
    np.testing.assert_allclose(new.centers, best.centers, rtol=1e-12)
    assert stats.inertia.sum() == pytest.approx(expected.inertia.sum(), rel=1e-13)
    assert set(stats.farthest.key) == set(np.flatnonzero(kept)[expected.farthest.key])
