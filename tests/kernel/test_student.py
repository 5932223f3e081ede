"""Student's t by the native kernel: against NumPy's and against long double."""

import numpy as np
import pytest
from scipy import stats

import dem
from crosses import cross
from dem.core.block import Block
from dem.em.row_output import RowOutput
from dem.families import StudentT
from dem.families.family import with_missing
from dem.families.student_form import student_form
from dem.kernel.runner import Runner
from dem.kernel.tasks import PROBA, Output
from dem.models.mixture.kernel import MixtureParams
from dem.models.mixture.native_kernel import has_native, native_bytes, native_densities
from dem.models.mixture.precision import Precision
from kernel.e_steps import (
    LONG,
    NATIVE,
    NEEDS_LIBRARY,
    about_means,
    assert_centred_kernels_agree,
    assert_like,
)
from kernel.student_e_steps import student_e_step, student_in_long_double
from kernel.test_same_bits import outputs_of, vectors, widths_here

pytestmark = NEEDS_LIBRARY
KINDS = {"full": "full", "diag": "diag"}
ANY = pytest.mark.parametrize("kind", KINDS)
COLUMNS, COMPONENTS, FREEDOMS = (1, 2, 16, 40), (1, 3, 17), (0.5, 3.0, 1e6)


def agree(step):
    expected = student_in_long_double(step)
    assert_centred_kernels_agree(step, expected)


@cross("kind, d, k, nu, weighted", KINDS, COLUMNS, COMPONENTS, FREEDOMS, {"plain": False, "weighted": True}, one_in=6)
def test_kernels_agree_with_each_other_and_with_long_double(kind, d, k, nu, weighted, rng):
    agree(student_e_step(kind, d, k, rng, nu=nu, weighted=weighted, n=200))


@ANY
def test_each_component_has_its_degrees_of_freedom(kind, rng):
    step = student_e_step(kind, 5, 4, rng)
    step.params.theta.degrees_of_freedom[:] = [0.5, 2.0, 30.0, 1e6]
    agree(step)


@ANY
@pytest.mark.parametrize("d", [3, 12])
def test_far_rows_count(kind, d, rng):
    """Their E u is tiny, and their squares are large: only responsibilities decide what is left out."""
    step = student_e_step(kind, d, 3, rng, spread=20.0)
    x = step.x.copy()
    x[::7] *= 10.0 ** rng.uniform(3, 12, size=(len(x[::7]), 1))
    agree(step.on(x))


@pytest.mark.parametrize("nu", FREEDOMS)
def test_logarithms_keep_their_digits(nu, rng):
    """The sums of r log(1 + D / nu), relative to themselves: rows at the mean, near it and far away."""
    step = student_e_step("diag", 3, 1, rng, nu=nu, n=1)
    found = student_form(step.family).student_map(step.params.theta).gaussians
    e_step = step.native().e_step
    for size in [0.0, *10.0 ** rng.uniform(-14, 14, size=200), 1e100, 1e153]:
        x, sums = found.means + size * rng.normal(size=(1, 3)), np.zeros((e_step.step.shape[0], 1))
        e_step(x, None, sums)
        expected = np.log1p(2 * about_means(found, x.astype(LONG))[0] / LONG(nu))
        assert sums[-1, 0] == pytest.approx(float(expected[0, 0]), rel=1.5e-15, abs=0)


@ANY
@pytest.mark.parametrize("nu", FREEDOMS)
def test_densities_are_those_of_scipy(kind, nu, rng):
    step = student_e_step(kind, 4, 1, rng, nu=nu, n=100)
    score, gaussians = np.empty(100), step.params.theta.gaussians
    densities = native_densities(step.family, step.params, step.precision, None)
    densities.output(NATIVE, RowOutput("score", ""))(step.x, score)
    shape = gaussians.covariances[0] if kind == "full" else np.diag(gaussians.covariances[0])
    expected = stats.multivariate_t(gaussians.means[0], shape, nu).logpdf(step.x)
    np.testing.assert_allclose(score, expected, rtol=1e-9 if nu > 1e5 else 1e-12)


@ANY
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 1e200])
def test_rows_of_weight_0_have_no_influence(kind, value, rng):
    step = student_e_step(kind, 3, 4, rng)
    keep = rng.random(len(step.x)) < 0.3
    x = np.where(keep[:, None], step.x, value)
    alone = step.on(step.x[keep], np.ones(keep.sum())).stats()
    found = step.on(x, keep.astype(np.float64)).stats()
    np.testing.assert_array_equal(found.sums, alone.sums)
    assert found.log_likelihood == alone.log_likelihood
    assert not step.on(x, np.zeros(len(x))).stats().sums.any()


@ANY
@pytest.mark.parametrize("d", [3, 12])
def test_not_a_number_is_never_lost(kind, d, rng):
    step = student_e_step(kind, d, 4, rng, n=101)
    kernel = step.native()
    for row, column in [(0, 0), (95, d - 1), (96, d // 2), (100, 0)]:
        for value in (np.nan, np.inf):
            x = step.x.copy()
            x[row, column] = value
            assert np.isnan(kernel(Block(x)).log_likelihood)


@ANY
def test_any_chunking_and_layout(kind, rng):
    step = student_e_step(kind, 12, 3, rng, weighted=True)
    kernel, block = step.native(), Block(step.x, step.weight)
    whole, parts = kernel(block), kernel(block.part(0, 97)) + kernel(block.part(97, len(step.x)))
    assert_like(whole, parts, student_in_long_double(step), 1e-12)
    assert_like(whole, kernel(Block(np.asfortranarray(step.x), step.weight)), student_in_long_double(step), 1e-12)


@ANY
def test_vectors_of_every_width_give_the_same_bits(kind):
    found = []
    for name in widths_here():
        with vectors(name):
            for d, k, nu in [(1, 2, 0.5), (3, 5, 3.0), (8, 1, 1e6), (9, 17, 3.0), (26, 9, 40.0)]:
                step = student_e_step(kind, d, k, np.random.default_rng(d * k), nu=nu, n=211, weighted=k % 2)
                statistics = step.stats()
                densities = native_densities(step.family, step.params, step.precision, None)
                bits = [statistics.sums.tobytes(), np.float64(statistics.log_likelihood).tobytes()]
                found.append(bits + outputs_of(densities, step.x, k))
    size = len(found) // len(widths_here())
    assert all(found[i] == found[i % size] for i in range(len(found)))


@ANY
def test_both_kernels_give_the_same_fit(kind, rng, monkeypatch):
    x = np.array([[0.0, 0], [9, -5]])[rng.integers(2, size=600)] + rng.standard_t(4, size=(600, 2))
    fits = {}
    for word in ("native", "numpy"):
        monkeypatch.setenv("DEM_KERNEL", word)
        fits[word] = dem.Mixture(2, family=f"studentt:{kind}", tol=1e-12, max_iter=500).fit(x)
        fits[word, "label"] = fits[word].predict(x)
    assert abs(fits["native"].lower_bound_ - fits["numpy"].lower_bound_) < 1e-9
    np.testing.assert_array_equal(fits["native", "label"], fits["numpy", "label"])


@ANY
@pytest.mark.parametrize("k", [1, 3, 17])
@pytest.mark.parametrize("d", [1, 12])
def test_memory_is_estimated(kind, k, d, rng):
    """The estimate is at least what the sums and the outputs take."""
    step = student_e_step(kind, d, k, rng, n=3)
    found = native_densities(step.family, step.params, step.precision, None)
    for output in (None, Output(PROBA, k, 8)):
        assert Runner(found.step, NATIVE, found.pieces, output).workspace_bytes < native_bytes(
            step.family, k, d, NATIVE
        )


class Other(StudentT):
    """A family of its own, which may compute other densities."""


@ANY
def test_missing_values_and_derived_families_are_left_to_numpy(kind, rng):
    step = student_e_step(kind, 3, 2, rng)
    params = MixtureParams(step.params.weights, step.params.theta)
    for family in (with_missing(step.family), Other(kind)):
        assert not has_native(family)
        assert native_densities(family, params, Precision.CENTRED, None) is None
        assert native_bytes(family, 2, 3, NATIVE) == 0
