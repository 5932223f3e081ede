"""K-means of rows with missing values against scikit-learn's distances, brute force, and K-means of whole rows."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.cluster._k_means_lloyd import lloyd_iter_chunked_dense
from sklearn.metrics import adjusted_rand_score, nan_euclidean_distances

from dem.core.block import Block
from dem.em import loop
from dem.models.kmeans.kmeans import KMeansModel, KMeansParams
from dem.models.kmeans.missing import NearestObserved
from dem.models.mixture.precision import Precision
from dem.scan.fill_sample import completed_scan
from dem.scan.scanner import Scanner
from laws import assert_same_bits, objective_never_falls, rows_of, total

K, D, N = 4, 5, 400


def bind(model, x, weight=None):
    return model.bind(completed_scan(Scanner(x.shape[1], False, len(x), 0, None)()(Block(x, weight))))


def clusters(rng, n=N, k=K, d=D, spread=3.0):
    """Return rows, and the cluster of each."""
    labels = rng.integers(k, size=n)
    return (spread * rng.normal(size=(k, d)))[labels] + rng.normal(size=(n, d)), labels


def holed(rng, x, share=0.3):
    """Return the rows with a share of their values missing at random; two rows have but one, each column has some."""
    x = np.where(rng.random(x.shape) < share, np.nan, x)
    x[[5, 17], 1:] = np.nan
    x[-x.shape[1] :] = np.where(np.eye(x.shape[1]) > 0, 1.0, x[-x.shape[1] :])
    return x


def brute(x, centers):
    """Return labels and squared distances, in long double, straight from the definition."""
    squares = np.zeros((len(x), len(centers)), np.longdouble)
    for n, row in enumerate(x.astype(np.longdouble)):
        has = ~np.isnan(row)
        if has.any():
            squares[n] = ((row - centers)[:, has] ** 2).sum(axis=1) * len(row) / has.sum()
    return squares.argmin(axis=1), squares


def brute_means(x, centers, weight):
    """Return the weighted means of each cluster and column, in long double; the old ones where there is no row."""
    labels, _ = brute(x, centers)
    new = centers.astype(np.longdouble)
    for k in range(len(centers)):
        for j in range(x.shape[1]):
            mine = (labels == k) & ~np.isnan(x[:, j]) & (weight > 0)
            if mine.any():
                s = weight[mine] * x.shape[1] / (~np.isnan(x[mine])).sum(axis=1).astype(np.longdouble)
                new[k, j] = (s @ x[mine, j].astype(np.longdouble)) / s.sum()
    return new.astype(float)


def step(x, params, weight=None, model=None):
    bound = bind(model or KMeansModel(len(params.centers)), x, weight)
    stats = total(bound, params, x, weight)
    return bound, stats, bound.m_step(params, stats).params


def one_of_each(x, k=K):
    """Return k rows, their missing values filled in, as centres."""
    return KMeansParams.at(np.where(np.isnan(x[:k]), np.nanmean(x, axis=0), x[:k]))


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.7, 0.95])
@pytest.mark.parametrize("weighted", [False, True])
def test_every_iteration_is_that_of_the_definition(rng, share, weighted):
    whole = clusters(rng)[0]
    x = holed(rng, whole, share)
    weight = rng.integers(1, 4, N) - (np.arange(N) % 3 == 0.0) if weighted else np.ones(N)
    params = KMeansParams.at(whole[:K])
    for _ in range(3):
        expected = brute_means(x, params.centers, weight)
        bound, stats, new = step(x, params, weight if weighted else None)
        labels, squares = brute(x, params.centers)
        some = ~np.isnan(x).all(axis=1)
        np.testing.assert_allclose(new.centers, expected, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(stats.counts, np.bincount(labels, weight * some, K))
        assert stats.counts.all()
        assert stats.weight == weight.sum()
        assert -bound.objective(params, stats) * weight.sum() == pytest.approx(
            float(weight @ squares.min(axis=1)), rel=1e-13
        )
        params = replace(new, settled=False)


@pytest.mark.parametrize(("offset", "spread"), [(0.0, 3.0), (1e8, 3.0), (-1e4, 1e3), (1e8, 1e6), (0.0, 1e9)])
def test_sums_are_exact_far_from_zero_and_for_wide_spreads(rng, offset, spread):
    x = holed(rng, clusters(rng, spread=spread)[0])
    x += offset
    centers = one_of_each(x).centers
    params = KMeansParams.at(np.concatenate([centers[:3], centers[:1] + 1.0]))  # two centres near to each other
    bound, stats, new = step(x, params)
    labels, squares = brute(x, params.centers)
    assert stats.inertia.sum() == pytest.approx(float(squares.min(axis=1).sum()), rel=1e-12)
    expected = brute_means(x, params.centers, np.ones(N))
    np.testing.assert_allclose(new.centers, expected, rtol=4e-16, atol=1e-14 * spread)
    moved = -bound.expected(params, stats, new) * stats.weight
    assert moved == pytest.approx(float(brute(x, new.centers)[1][np.arange(N), labels].sum()), rel=1e-11)


def test_the_bound_chooses_the_arithmetic(rng):
    x = holed(rng, clusters(rng)[0])
    model, apart = bind(KMeansModel(K), x), one_of_each(x)
    single = bind(KMeansModel(K), x.astype("f4"))
    assert model.precision(apart) == Precision.DOUBLE
    assert single.precision(apart) == Precision.SINGLE
    assert single.precision(single.exact(apart)) == Precision.DOUBLE
    close = KMeansParams.at(np.concatenate([apart.centers[:3], apart.centers[:1] + 2e-3]))
    assert model.precision(close) == single.precision(close) == Precision.CENTRED
    assert bind(KMeansModel(K), clusters(rng)[0]).precision(close) == Precision.DOUBLE


@pytest.mark.parametrize("precision", Precision)
def test_all_arithmetics_find_the_same_centres(rng, precision):
    x = holed(rng, clusters(rng)[0])
    model, params = bind(KMeansModel(K), x), one_of_each(x)
    nearest = NearestObserved(params.centers, model.frame, precision)
    np.testing.assert_array_equal(nearest.labels(x), brute(x, params.centers)[0])


def test_a_wrong_choice_costs_little(rng):
    """Where centres agree in the columns that a row has, but for a rounding, products may choose either."""
    x = rng.normal(size=(N, D))
    x[:, 2:] = np.nan
    x[0] = 1.0
    base = rng.normal(size=(1, D))
    params = KMeansParams.at(base + np.concatenate([rng.normal(size=(K, 2)) * 1e-14, rng.normal(size=(K, 3))], axis=1))
    model, stats, _ = step(x, params)
    assert model.precision(params) == Precision.DOUBLE
    squares = brute(x, params.centers)[1]
    assert float(stats.inertia.sum() - squares.min(axis=1).sum()) <= 1e-10 * params.separation * N


def test_without_holes_the_objects_are_those_of_whole_rows(rng):
    x = clusters(rng)[0]
    assert not bind(KMeansModel(K), x).missing
    hole = x.copy()
    hole[3, 1] = np.nan
    model = bind(KMeansModel(K), hole)
    assert model.missing
    assert not bind(model, x).missing


@pytest.mark.parametrize("weighted", [False, True])
def test_on_whole_rows_each_iteration_is_scikit_learns(rng, weighted):
    """The limit: the kernel of rows with holes, given rows without."""
    x = clusters(rng)[0]
    weight = rng.uniform(0.5, 2, N) if weighted else None
    model = replace(bind(KMeansModel(K, tol=0.0), x, weight), missing=True)
    params = KMeansParams.at(x[:K].copy())
    for _ in range(4):
        new, counts, shift = np.zeros((K, D)), np.zeros(K), np.zeros(K)
        w = np.ones(N) if weight is None else weight
        lloyd_iter_chunked_dense(x, w, params.centers, new, counts, np.zeros(N, np.int32), shift, 1)
        params = model.m_step(params, total(model, params, x, weight)).params
        np.testing.assert_allclose(params.centers, new, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("seed", range(3))
def test_the_objective_never_falls(seed, share):
    rng = np.random.default_rng(seed)
    x = holed(rng, clusters(rng, spread=1.0)[0], share)
    weight = rng.integers(0, 3, N) / 2.0
    for w in (None, weight):
        model = bind(KMeansModel(K, tol=0.0), x, w)
        state = objective_never_falls(model, one_of_each(x), x, w)
        for old, new in zip(state.history, state.history[1:], strict=False):
            assert old.objective - 1e-12 <= old.bound <= new.objective + 1e-12 * abs(new.objective)


def test_a_fit_ends_at_a_minimum_of_the_inertia(rng):
    x = holed(rng, clusters(rng)[0])
    model = bind(KMeansModel(K, tol=0.0), x)
    state = loop.fit(model, one_of_each(x), loop.OneBlock(Block(x)), tol=0.0, max_iter=300)
    assert state.stop_reason == "converged"

    x = x[~np.isnan(x).all(axis=1)]

    def inertia(centers):
        return (nan_euclidean_distances(x, centers.reshape(K, D)).min(axis=1) ** 2).sum()

    centers = state.params.centers
    assert inertia(centers) == pytest.approx(-state.objective * N, rel=1e-12)
    found = minimize(inertia, centers.ravel(), method="L-BFGS-B")
    np.testing.assert_allclose(found.x.reshape(K, D), centers, atol=1e-4)
    assert found.fun == pytest.approx(inertia(centers), rel=1e-8)


@pytest.mark.parametrize("share", [0.1, 0.4])
def test_separated_clusters_are_recovered(rng, share):
    """As well as can be: rows are told apart as by the true centres, which are found to within their error."""
    x, labels = clusters(rng, n=3000, spread=8.0)
    hidden = holed(rng, x, share)
    model = bind(KMeansModel(K), hidden)
    sample = completed_scan(Scanner(D, False, 3000, 0, None)()(Block(hidden))).sample
    starts = (model.start(Block(sample.x), np.random.default_rng(seed)) for seed in range(5))
    states = (loop.fit(model, params, loop.OneBlock(Block(hidden)), tol=0.0, max_iter=100) for params in starts)
    params = max(states, key=lambda state: state.objective).params
    truth = np.array([x[labels == k].mean(axis=0) for k in range(K)])
    found, best = rows_of(model, params, "label")(Block(hidden)), brute(hidden, truth)[0]
    assert adjusted_rand_score(labels, found) > adjusted_rand_score(labels, best) - 0.01
    off = np.abs(truth[:, None] - params.centers).max(axis=2).min(axis=1)
    assert off.max() < {0.1: 0.3, 0.4: 1.0}[share]


def test_a_column_that_no_row_of_a_cluster_has_keeps_its_place():
    x = np.array([[0.0, np.nan], [0.2, np.nan], [9.0, 1.0], [9.2, 2.0], [np.nan, np.nan]])
    params = KMeansParams.at(np.array([[0.0, 7.0], [9.0, 3.0]]))
    _, stats, new = step(x, params)
    np.testing.assert_allclose(new.centers, [[0.1, 7.0], [9.1, 1.5]], rtol=1e-15)
    np.testing.assert_array_equal(stats.counts, [2, 2])
    assert stats.weight == stats.rows == 5
    np.testing.assert_array_equal(stats.observed, [[4, 0], [2, 2]])


def test_an_empty_cluster_gets_the_farthest_row_and_what_that_lacks_from_its_old_centre():
    x = np.array([[0.0, 0.0, 0.0], [0.1, 0.1, 0.1], [np.nan, 4.0, np.nan], [0.0, np.nan, 5.0], [np.nan] * 3])
    params = KMeansParams.at(np.array([[0.0, 0.5, 0.25], [90.0, 90.0, 90.0]]))
    bound, stats, new = step(x, params)
    assert stats.farthest.key[0] == 2  # 3 * 3.5^2 = 36.75 is more than 1.5 * 4.75^2 = 33.8
    expected = [[0.1 / 3.5, 0.05, (0.1 + 7.5) / 3.5], [0.0, 4.0, 0.25]]
    np.testing.assert_allclose(new.centers, expected, rtol=1e-14)
    assert -bound.expected(params, stats, new) * 5 == pytest.approx(float(brute(x, new.centers)[1].min(axis=1).sum()))


def test_several_empty_clusters(rng):
    x = holed(rng, clusters(rng)[0])
    centers = one_of_each(x).centers
    centers[2:] += 1e3
    params = KMeansParams.at(centers)
    bound, stats, new = step(x, params)
    labels, squares = brute(x, centers)
    least = squares.min(axis=1).astype(float)
    np.testing.assert_array_equal(stats.farthest.key, np.argsort(-least)[:K])
    one, two = stats.farthest.key[:2]
    moved = labels.copy()
    moved[[one, two]] = [2, 3]
    for row, k in ((one, 2), (two, 3)):
        np.testing.assert_allclose(new.centers[k], np.where(np.isnan(x[row]), centers[labels[row]], x[row]), rtol=1e-12)
    after = brute(x, new.centers)[1]
    expected = min(float(after[np.arange(N), chosen].sum()) for chosen in (labels, moved))
    assert -bound.expected(params, stats, new) * stats.weight == pytest.approx(expected, rel=1e-12)
    assert bound.expected(params, stats, params) == pytest.approx(bound.objective(params, stats), rel=1e-14)
    objective_never_falls(bound, params, x)


def test_the_farthest_rows_are_the_same_over_any_chunking(rng):
    x = np.repeat(holed(rng, clusters(rng, n=60)[0]), 5, axis=0)  # with ties
    model = bind(KMeansModel(K), x)
    kernel = model.kernel(one_of_each(x))
    whole = kernel(Block(x)).farthest
    for size in (1, 7, 64):
        parts = [kernel(Block(x).part(a, a + size)) for a in range(0, len(x), size)]
        stats = parts[-1]
        for part in parts[-2::-1]:
            stats = stats + part
        assert_same_bits(stats.farthest, whole)


def test_row_wise_outputs(rng):
    x = holed(rng, clusters(rng)[0])
    params, model = one_of_each(x), KMeansModel(K)
    distances = np.nan_to_num(nan_euclidean_distances(x, params.centers))
    labels = distances.argmin(axis=1)
    np.testing.assert_array_equal(rows_of(model, params, "label")(Block(x)), labels)
    np.testing.assert_allclose(
        rows_of(model, params, "distance")(Block(x)), distances, atol=1e-6
    )  # theirs: by products
    np.testing.assert_allclose(
        rows_of(model, params, "distance")(Block(x)) ** 2, brute(x, params.centers)[1].astype(float)
    )
    np.testing.assert_allclose(rows_of(model, params, "score")(Block(x)), -(distances.min(axis=1) ** 2), atol=1e-12)
    with pytest.raises(ValueError, match=r"no output .deviation:float64.: choose one of label,"):
        rows_of(model, params, "deviation:float64")(Block(x))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_what_is_missing_comes_from_the_centre(rng, dtype, kind):
    x = holed(rng, clusters(rng)[0]).astype(kind)
    params, model = one_of_each(x), KMeansModel(K)
    filled = rows_of(model, params, f"filled:{dtype}")(Block(x))
    missing = np.isnan(x)
    assert filled.dtype == dtype
    np.testing.assert_array_equal(filled[~missing], x.astype(dtype)[~missing])
    labels = rows_of(model, params, "label")(Block(x))
    np.testing.assert_array_equal(filled[missing], params.centers[labels].astype(dtype)[missing])
    whole = np.where(missing, 0, x)
    np.testing.assert_array_equal(rows_of(model, params, f"filled:{dtype}")(Block(whole)), whole.astype(dtype))
    assert model.row_outputs(params, np.dtype(dtype))["filled"].shape(7) == (7, D)
