import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from dem.em.seeding import METHODS, ROWS_A_DIRECTION, Seeding, whitened

K = 3


@pytest.fixture
def x(rng):
    centres = np.array([[0.0, 0], [50, 0], [0, 50]])
    return centres[np.arange(300) % K] + rng.normal(size=(300, 2))


@pytest.mark.parametrize("method", METHODS)
def test_responsibilities_sum_to_one(x, rng, method):
    resp = Seeding(method).responsibilities(x, np.ones(len(x)), K, rng)
    assert resp.shape == (K, len(x))
    assert (resp >= 0).all()
    np.testing.assert_allclose(resp.sum(axis=0), 1, rtol=1e-15)
    if method != "random":
        assert set(np.unique(resp)) == {0.0, 1.0}


@pytest.mark.parametrize("method", METHODS)
def test_the_generator_alone_decides(x, method):
    one, same, *others = (
        Seeding(method).responsibilities(x, np.ones(len(x)), K, np.random.default_rng(s)) for s in (1, 1, 2, 3, 4)
    )
    np.testing.assert_array_equal(one, same)
    assert not all(np.array_equal(one, other) for other in others)


@pytest.mark.parametrize("method", ["kmeans", "k-means++"])
@pytest.mark.parametrize("scale", [[1.0, 1.0], [1e-6, 1e6]])
def test_clusters_far_apart_are_found_in_any_units(x, rng, method, scale):
    """In whitened coordinates the columns' units do not matter."""
    resp = Seeding(method).responsibilities(x * scale, np.ones(len(x)), K, rng)
    labels = resp.argmax(axis=0)
    assert len({tuple(labels[i::K]) for i in range(K)}) == K
    assert all(len(set(labels[i::K])) == 1 for i in range(K))


@pytest.mark.parametrize("method", ["kmeans", "k-means++", "random_from_data"])
def test_centres_are_rows_of_positive_weight(rng, method):
    """A cluster of weight 0 gets no centre of its own."""
    x = np.concatenate([rng.normal(0, 1, (50, 1)), rng.normal(10, 1, (50, 1)), rng.normal(1000, 1, (50, 1))])
    weight = np.repeat([1.0, 1.0, 0.0], 50)
    labels = Seeding(method).responsibilities(x, weight, 2, rng).argmax(axis=0)
    assert len(set(labels[:100])) == 2


def test_whitened_rows_have_unit_covariance(rng):
    x = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 3)) * [1e-5, 1.0, 1e5] + 1e3
    np.testing.assert_allclose(np.cov(whitened(x).T, ddof=0), np.eye(3), atol=1e-9)


def test_directions_without_spread_are_left_out(rng):
    a = rng.normal(size=(100, 1))
    assert whitened(np.hstack([a, 2 * a, np.ones((100, 1))])).shape == (100, 1)
    np.testing.assert_array_equal(whitened(np.ones((5, 2))), 0)


@pytest.mark.parametrize("n", [12, 40, 64])
def test_few_rows_of_many_columns_are_parted_without_a_matrix_of_the_columns(rng, n):
    """Of 4,000 columns it would have 128 MB, and whitened in all directions rows are equally far from each other."""
    centres = 2 * rng.normal(size=(K, 4000))
    labels = np.arange(n) % K
    x = centres[labels] + rng.normal(size=(n, 4000))
    tracemalloc.start()
    found = Seeding("kmeans").responsibilities(x, np.ones(n), K, np.random.default_rng(0)).argmax(axis=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * x.nbytes + 2**20
    if n > K * ROWS_A_DIRECTION:
        assert adjusted_rand_score(labels, found) == 1


def test_few_whitened_rows_are_the_leading_left_singular_vectors(rng):
    x = rng.normal(size=(24, 300)) * rng.lognormal(size=300)
    centred = x - x.mean(axis=0)
    left = np.linalg.svd(centred / np.abs(centred).max(axis=0))[0][:, : 24 // ROWS_A_DIRECTION]
    found = whitened(x)
    assert found.shape == left.shape
    np.testing.assert_allclose(np.abs(found.T @ left), np.sqrt(24) * np.eye(3), atol=1e-9)
    np.testing.assert_array_equal(whitened(np.ones((5, 300))), 0)
