from itertools import pairwise

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

import reference
from dem.core.block import Block
from dem.core.rows import RowKeys
from dem.scan.sample import MIN_SAMPLE_ROWS, SAMPLE_BYTES, hashes
from dem.scan.scanner import Scanner
from dem.scan.values import NO_POSITION

N, D = 500, 3


def scan(x, weight=None, first=0, *, scatter=True, k=40, seed=0, n_rows=None):
    return Scanner(x.shape[1], scatter, k, seed, n_rows)()(Block(x, weight, RowKeys.from_first(first)))


def pieces(x, cuts, weight=None, **settings):
    """Return the scans of the pieces of x, in order."""
    edges = [0, *sorted(cuts), len(x)]
    return [scan(x[a:b], None if weight is None else weight[a:b], a, **settings) for a, b in pairwise(edges)]


def merged(parts):
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def exact_moments(x, weight=None):
    x = np.asarray(x).astype(reference.LONG)
    w = np.ones(len(x), reference.LONG) if weight is None else np.asarray(weight, reference.LONG)
    guess = x.mean(axis=0)
    mean = guess + w @ (x - guess) / w.sum()
    return mean, ((x - mean) * w[:, None]).T @ (x - mean)


CUTS = st.lists(st.integers(0, N), max_size=15)


@pytest.mark.parametrize("offset", [0.0, 1e8])
@pytest.mark.parametrize("weighted", [False, True])
@given(cuts=CUTS)
def test_moments_merge_to_long_double(offset, weighted, cuts):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(N, D)) @ rng.normal(size=(D, D)) + offset
    weight = rng.exponential(size=N) if weighted else None
    mean, scatter = exact_moments(x, weight)
    found = merged(pieces(x, cuts, weight)).moments
    assert found.weight == pytest.approx(N if weight is None else weight.sum(), rel=1e-14)
    np.testing.assert_allclose(found.mean, mean.astype(float), rtol=4e-16, atol=1e-13)
    np.testing.assert_allclose(found.scatter, scatter.astype(float), rtol=0, atol=1e-10 * scatter.max())


def test_the_diagonal_equals_that_of_the_full_scatter(rng):
    x = rng.normal(1e8, 1.0, (N, D))
    whole, diagonal = scan(x).moments, scan(x, scatter=False).moments
    assert diagonal.scatter.shape == (D,)
    np.testing.assert_allclose(diagonal.scatter, np.diag(whole.scatter), rtol=1e-12)
    halves = merged(pieces(x, [100], scatter=False)).moments
    np.testing.assert_allclose(halves.scatter, diagonal.scatter, rtol=1e-10)


def test_the_covariance_is_numpys(rng):
    x, weight = rng.normal(size=(10_000, D)), rng.integers(1, 5, 10_000)
    np.testing.assert_allclose(scan(x).moments.covariance, np.cov(x.T, ddof=0), rtol=1e-12, atol=1e-14)
    expected = np.cov(x.T, ddof=0, fweights=weight)
    np.testing.assert_allclose(scan(x, weight.astype(float)).moments.covariance, expected, rtol=1e-12, atol=1e-14)


@given(cuts=CUTS, order=st.randoms(use_true_random=False))
def test_the_sample_does_not_depend_on_chunks_nor_order(cuts, order):
    x = np.arange(N * D, dtype=float).reshape(N, D)
    weight = np.arange(N) / 7.0
    whole = scan(x, weight, k=40, n_rows=N).sample
    parts = pieces(x, cuts, weight, k=40, n_rows=N)
    order.shuffle(parts)
    found = merged(parts).sample
    for name in ("keys", "x", "weight"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))


def test_the_sample_holds_the_smallest_hashes_in_their_order(rng):
    x = rng.normal(size=(N, D))
    keys = hashes(np.arange(N, dtype=np.uint64), 7)
    order = np.argsort(keys)[:40]
    found = scan(x, seed=7).sample
    np.testing.assert_array_equal(found.keys, keys[order])
    np.testing.assert_array_equal(found.x, x[order])
    np.testing.assert_array_equal(found.weight, 1.0)
    assert found.x.dtype == x.dtype


def test_a_sample_larger_than_the_data_holds_all_rows(rng):
    x = rng.normal(size=(N, D))
    found = merged(pieces(x, [10, 200], k=10 * N)).sample
    np.testing.assert_array_equal(np.sort(found.x[:, 0]), np.sort(x[:, 0]))


@pytest.mark.parametrize("first", [0, 10**9, 2**45])
def test_the_sample_is_uniform(first):
    """Over many seeds, each tenth of the rows is sampled equally often."""
    counts = np.zeros(10)
    x = np.repeat(np.arange(10.0), 100)[:, None]
    for seed in range(200):
        counts += np.bincount(scan(x, first=first, k=50, seed=seed).sample.x[:, 0].astype(int), minlength=10)
    assert counts.sum() == 200 * 50
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_samples_of_different_seeds_are_independent():
    x = np.arange(1000.0)[:, None]
    one, two = (set(scan(x, k=200, seed=seed).sample.x[:, 0]) for seed in (0, 1))
    overlap = scipy.stats.hypergeom(1000, 200, 200).cdf(len(one & two))
    assert 1e-3 < overlap < 1 - 1e-3


def test_hashes_are_a_bijection():
    assert len(np.unique(hashes(np.arange(200_000, dtype=np.uint64), 3))) == 200_000


def test_what_a_task_returns_is_bounded():
    n, k = 100_000, 100
    x = np.zeros((n // 2, 1))
    assert len(scan(x, k=k, n_rows=n).sample.x) <= (k + 6 * k**0.5) / 2 * 1.5
    assert Scanner(2**16, False, 30_000, 0, None).k == SAMPLE_BYTES // (8 * 2**16)
    assert Scanner(2**30, False, 30_000, 0, None).k == MIN_SAMPLE_ROWS
    assert Scanner(2**30, False, 10, 0, None).k == 10
    assert Scanner(2, False, 30_000, 0, None).k == 30_000


@pytest.mark.parametrize("cuts", [[], [3, 4, 5], [250]])
def test_bad_values_are_counted_and_located(rng, cuts):
    x = rng.normal(size=(N, D))
    x[[4, 9, 300], [1, 1, 2]] = np.nan
    x[[77, 78], [0, 2]] = np.inf, -np.inf
    x[200, 2] = np.inf
    found = merged(pieces(x, cuts))
    np.testing.assert_array_equal(found.missing, [0, 2, 1])
    np.testing.assert_array_equal(found.infinite, [1, 0, 2])
    assert (found.first_missing, found.first_infinite) == ((4, 1), (77, 0))
    assert found.rows == N
    np.testing.assert_array_equal(found.low[:2], [np.nanmin(x[:, 0]), np.nanmin(x[:, 1])])


def test_infinities_of_both_signs_in_one_column_raise_no_warning():
    found = scan(np.array([[np.inf], [-np.inf], [np.nan], [1.0]]))
    assert (found.infinite[0], found.missing[0], found.first_missing) == (2, 1, (2, 0))


def test_large_finite_values_do_not_count_as_infinite():
    found = scan(np.full((5000, 1), 1e150), scatter=False)
    assert found.infinite[0] == found.missing[0] == 0
    assert found.first_infinite == found.first_missing == NO_POSITION


def test_ranges(rng):
    x = rng.normal(size=(N, D))
    found = merged(pieces(x, [7, 7, 300]))
    np.testing.assert_array_equal(found.low, x.min(axis=0))
    np.testing.assert_array_equal(found.high, x.max(axis=0))


def test_an_empty_block_is_a_zero(rng):
    x = rng.normal(size=(N, D))
    whole, zero = scan(x), scan(x[:0], np.empty(0))
    for both in (whole + zero, zero + whole):
        assert both.rows == N
        np.testing.assert_array_equal(both.moments.mean, whole.moments.mean)
        np.testing.assert_array_equal(both.moments.scatter, whole.moments.scatter)
        np.testing.assert_array_equal(both.sample.x, whole.sample.x)
        np.testing.assert_array_equal(both.low, whole.low)
    assert zero.moments.weight == (zero + zero).moments.weight == 0


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int8, np.uint16, np.int64, bool, np.longdouble])
def test_any_dtype_has_the_moments_of_its_float64_values(rng, dtype):
    x = (rng.normal(size=(N, D)) * 20).astype(dtype)
    found, expected = scan(x), scan(x.astype(np.float64))
    np.testing.assert_array_equal(found.moments.mean, expected.moments.mean)
    np.testing.assert_array_equal(found.moments.scatter, expected.moments.scatter)
    assert found.sample.x.dtype == x.dtype


@given(
    absent=st.lists(st.lists(st.integers(0, 30), max_size=4, unique=True), min_size=1, max_size=8),
    order=st.randoms(use_true_random=False),
)
def test_absent_chunks_merge_as_sets(absent, order):
    scanner = Scanner(D, False, 40, 0, None)
    parts = [
        scanner()(Block(np.zeros((2, D)), None, RowKeys.from_first(2 * i), tuple(found)))
        for i, found in enumerate(absent)
    ]
    expected = sorted({number for found in absent for number in found})
    assert merged(parts).absent.tolist() == expected
    order.shuffle(parts)
    total = merged(parts)
    assert total.absent.tolist() == expected
    assert total.absent.dtype == np.int64
    assert (total + scan(np.zeros((0, D)), scatter=False)).absent.tolist() == expected


def test_rows_of_weight_zero_may_hold_anything():
    """For example netCDF's fill value: ranges and moments ignore these rows."""
    x = np.random.default_rng(1).normal(size=(500, 3))
    y, weight = (
        np.vstack([np.full((5, 3), 9.96921e36), x, np.full((2, 3), -1e120)]),
        np.r_[np.zeros(5), np.ones(500), 0, 0],
    )
    found, expected = (Scanner(3, True, 10, 0, None)()(Block(*block)) for block in ((y, weight), (x, None)))
    np.testing.assert_allclose(found.moments.covariance, expected.moments.covariance, rtol=1e-12)
    np.testing.assert_array_equal(found.low, expected.low)
    np.testing.assert_array_equal(found.high, expected.high)
    assert found.rows == 507


def test_infinite_values_in_rows_of_weight_zero_are_not_counted(rng):
    x, weight = rng.normal(size=(N, D)), np.ones(N)
    x[7, 1], weight[7], x[9, 2] = np.inf, 0, -np.inf
    found = scan(x, weight)
    assert found.infinite.tolist() == [0, 0, 1]
    assert found.first_infinite == (9, 2)
