import numpy as np
import pytest

from dem.em.seeding import METHODS, Seeding, whitened

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
