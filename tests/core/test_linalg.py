import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference
from dem.core import linalg

D = 5


def covariance(rng, condition, scales=None):
    """Return a covariance of this condition number, its columns scaled."""
    q, _ = np.linalg.qr(rng.normal(size=(D, D)))
    c = (q * np.geomspace(1, 1 / condition, D)) @ q.T
    s = np.ones(D) if scales is None else scales
    c = c * s[:, None] * s
    return (c + c.T) / 2


@given(d=st.integers(1, 9), k=st.integers(0, 3))
def test_triangles_unpack(d, k):
    full = np.random.default_rng(d).normal(size=(k, d, d))
    full = full + np.swapaxes(full, -1, -2)
    packed = full[:, *np.triu_indices(d)]
    assert packed.shape == (k, linalg.triangle_size(d))
    np.testing.assert_array_equal(linalg.unpack(packed, d), full)


def test_triangles_run_row_by_row():
    np.testing.assert_array_equal(linalg.unpack(np.arange(1.0, 7), 3), [[1, 2, 3], [2, 4, 5], [3, 5, 6]])


@pytest.mark.parametrize("condition", [1, 1e3, 1e5, 1e8, 1e10])
@pytest.mark.parametrize("scales", [None, 2.0 ** np.array([-27, -13, 0, 13, 27]), np.geomspace(1e-8, 1e8, D)])
def test_precision_factor_keeps_its_digits(rng, condition, scales):
    """|U' x|^2 of the distribution's own rows, and log|U|, within 1e-9 of long double."""
    c = covariance(rng, condition, scales)
    lower = reference.cholesky(c)
    z = rng.normal(size=(200, D))
    x = (lower @ z.T).T.astype(float)
    expected = (reference.solve_lower(lower, x.T.astype(reference.LONG)) ** 2).sum(axis=0)
    upper = linalg.precisions_cholesky(c)
    np.testing.assert_array_equal(upper, np.triu(upper))
    np.testing.assert_allclose(((x @ upper) ** 2).sum(axis=1), expected.astype(float), rtol=1e-9)
    log_det = -np.log(np.diag(lower)).sum()
    assert abs(float(np.log(np.diag(upper)).sum() - log_det)) < 1e-9


def test_factors_of_a_stack_are_the_factors_of_each(rng):
    stack = np.array([covariance(rng, c) for c in (1e1, 1e9, 1e2)])
    together = linalg.precisions_cholesky(stack)
    for one, c in zip(together, stack, strict=True):
        np.testing.assert_allclose(one, linalg.precisions_cholesky(c), rtol=1e-10, atol=1e-10 * np.abs(one).max())


@pytest.mark.parametrize(
    "bad",
    [
        [[1.0, 2.0], [2.0, 1.0]],
        [[1.0, 1.0], [1.0, 1.0]],
        [[0.0, 0.0], [0.0, 1.0]],
        [[1.0, 0.0], [0.0, -1.0]],
        [[np.nan, 0.0], [0.0, 1.0]],
        [[np.inf, 0.0], [0.0, 1.0]],
    ],
)
@pytest.mark.filterwarnings("error")
def test_not_positive_definite_is_refused(bad):
    with pytest.raises(np.linalg.LinAlgError):
        linalg.precisions_cholesky(np.array(bad))


def test_a_nearly_singular_matrix_among_good_ones_is_refused():
    singular = np.array([[1.0, 1 - 2e-16], [1 - 2e-16, 1 - 4e-16]])
    with pytest.raises(np.linalg.LinAlgError):
        linalg.precisions_cholesky(np.array([np.eye(2), singular]))


def test_covariances_from_is_the_inverse_of_the_factor(rng):
    stack = np.array([covariance(rng, c) for c in (1, 1e2, 1e4)])
    np.testing.assert_allclose(linalg.covariances_from(linalg.precisions_cholesky(stack)), stack, rtol=0, atol=1e-12)


def test_factor_precision_is_upper_triangular(rng):
    precision = covariance(rng, 1e3)
    upper = linalg.factor_precision(precision)
    np.testing.assert_array_equal(upper, np.triu(upper))
    assert (np.diag(upper) > 0).all()
    np.testing.assert_allclose(upper @ upper.T, precision, rtol=0, atol=1e-15)
    with pytest.raises(np.linalg.LinAlgError):
        linalg.factor_precision(-precision)


@given(exponent=st.floats(-300, 300))
def test_powers_of_two_are_exact_and_near(exponent):
    scale = np.array([10.0**exponent])
    power = linalg.power_of_two(scale)
    mantissa, _ = np.frexp(power)
    assert mantissa[0] == 0.5
    assert 2**-0.5 * 0.999 <= power[0] / scale[0] <= 2**0.5 * 1.001


@pytest.mark.parametrize("q", [1, 2, 7])
def test_stacks_of_small_matrices_are_factorised_at_once(q, rng):
    """(q, q, n): factors, inverses and triangles are those of each matrix, by LAPACK."""
    roots = rng.normal(size=(40, q, q + 1))
    matrices = roots @ roots.swapaxes(1, 2) * rng.uniform(1e-3, 1e3, size=(40, 1, 1))
    lower = linalg.cholesky_stack(np.ascontiguousarray(matrices.transpose(1, 2, 0)))
    np.testing.assert_allclose(lower.transpose(2, 0, 1), np.linalg.cholesky(matrices), rtol=1e-9, atol=1e-12)
    inverse = linalg.inverse_stack(lower)
    np.testing.assert_allclose(np.einsum("ijn,jkn->nik", inverse, lower), np.tile(np.eye(q), (40, 1, 1)), atol=1e-9)
    packed = np.empty((linalg.triangle_size(q), 40))
    linalg.gram_stack(inverse, packed)
    whole = packed[linalg.triangle_places(q)].transpose(2, 0, 1)
    np.testing.assert_allclose(whole @ matrices, np.tile(np.eye(q), (40, 1, 1)), atol=1e-7)


def test_a_stack_with_a_matrix_that_is_not_positive_definite_is_refused():
    stack = np.stack([np.eye(2), [[1.0, 2.0], [2.0, 1.0]]], axis=2)
    with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
        linalg.cholesky_stack(stack)


@pytest.mark.parametrize("m", [0, 1, 2, 5, 16, 17, 24])
def test_inverses_of_blocks_are_those_of_each(m, rng):
    g, d, p = 2, 24, 7
    root = rng.normal(size=(g, d, d)) + 4 * np.eye(d)
    matrices = root @ np.swapaxes(root, 1, 2)
    index = np.array([rng.permutation(d)[:m] for _ in range(p)], dtype=np.intp).reshape(p, m).T
    for inverses, log_det in (linalg.block_inverses(matrices, index), linalg.gram_inverses(root, index)):
        assert inverses.shape == (m, m, g, p)
        for i, j in np.ndindex(g, p):
            block = matrices[i][np.ix_(index[:, j], index[:, j])]
            expected = np.linalg.inv(block)
            largest = np.abs(expected).max(initial=0)
            np.testing.assert_allclose(inverses[:, :, i, j], expected, rtol=0, atol=1e-12 * largest)
            assert log_det[i, j] == pytest.approx(np.linalg.slogdet(block)[1], abs=1e-10)
