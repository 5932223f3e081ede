"""The spectrum keeps its digits, and the rank, whatever the columns' units."""

import numpy as np
import pytest

import long_double
from dem.models.latent.spectrum import jacobi_svd, spectrum, square_root


def drawn(seed):
    rng = np.random.default_rng(seed)
    d = int(rng.integers(2, 8))
    x = rng.normal(size=(100, d)) @ (np.eye(d) + 0.5 * rng.normal(size=(d, d)))
    return x * 10.0 ** rng.uniform(-8, 8, d)


@pytest.mark.parametrize("seed", range(12))
def test_eigenvalues_are_those_of_long_double(seed):
    x = drawn(seed)
    covariance = x.T @ x / len(x)
    values, vectors = spectrum(covariance)
    deviation = np.sqrt(np.diag(covariance))
    digits = 1e-14 * np.linalg.cond(covariance / deviation[:, None] / deviation)
    np.testing.assert_allclose(values, long_double.eigenvalues(covariance).astype(float), rtol=digits)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(len(values)), atol=1e-13)
    back = (vectors * values) @ vectors.T / deviation[:, None] / deviation
    np.testing.assert_allclose(back, covariance / deviation[:, None] / deviation, atol=1e-13)


@pytest.mark.parametrize("seed", range(20))
def test_the_rank_does_not_depend_on_the_units(seed):
    rng = np.random.default_rng(seed)
    d = int(rng.integers(3, 20))
    rank = int(rng.integers(1, d))
    x = rng.normal(size=(200, rank)) @ rng.normal(size=(rank, d))
    scale = 10.0 ** rng.uniform(-8, 8, d)
    for y in (x, x * scale):
        y = y - y.mean(axis=0)
        covariance = y.T @ y
        assert np.count_nonzero(spectrum(covariance).values) == rank
        assert square_root(covariance).shape == (d, rank)


def test_a_column_that_varies_little_counts_and_a_constant_one_does_not():
    assert np.count_nonzero(spectrum(np.diag([1e16, 1.0, 1e-16])).values) == 3
    assert np.count_nonzero(spectrum(np.diag([1e16, 0.0, 1e-16])).values) == 2
    values, vectors = spectrum(np.zeros((3, 3)))
    assert not values.any()
    np.testing.assert_array_equal(vectors, np.eye(3))


def test_singular_values_of_rows_and_columns_of_any_length(rng):
    inner = np.linalg.qr(rng.normal(size=(6, 3)))[0]
    matrix = inner * np.array([1e8, 1.0, 1e-8])  # its columns are orthogonal: these are the singular values
    left, values, right = jacobi_svd(matrix)
    np.testing.assert_allclose(values, [1e8, 1.0, 1e-8], rtol=1e-14)
    np.testing.assert_allclose((left * values) @ right.T, matrix, atol=1e-6)
    np.testing.assert_allclose(np.abs(left), np.abs(inner), atol=1e-14)
    with pytest.raises(np.linalg.LinAlgError, match=r"shape \(2, 1\)"):
        jacobi_svd(np.array([[np.nan], [1.0]]))
