"""Every linear family by the native kernel: against NumPy's and long double, with missing values and weights."""

import numpy as np
import pytest

from crosses import cross
from dem.core.block import Block
from dem.families import Categorical
from dem.kernel.pieces import piece_bytes
from dem.kernel.runner import Runner
from dem.kernel.tasks import PROBA, Output
from dem.models.mixture.native_kernel import has_native, native_bytes, native_densities
from dem.models.mixture.precision import Precision
from families.kinds import KINDS
from kernel.e_steps import NATIVE, NEEDS_LIBRARY, TOLERANCES, assert_like, assert_sums, in_long_double, mixture_e_step
from kernel.linear_families import LINEAR, MISSING, e_step, family_e_step, weighted

pytestmark = NEEDS_LIBRARY
ARITHMETICS = {p.name.lower(): p for p in (Precision.SINGLE, Precision.DOUBLE)}


def test_all_families_are_native():
    assert all(has_native(kind.fitted) for kind in KINDS.values())


def agree(step):
    expected, tolerance = in_long_double(step), TOLERANCES[step.precision]
    native, by_numpy = step.stats(), step.stats(step.numpy())
    assert_sums(native, expected, tolerance)
    assert_like(native, by_numpy, expected, tolerance)
    assert native.kernel == NATIVE


@cross("name, precision, plain", {n: n for n in LINEAR}, ARITHMETICS, {"plain": True, "weighted": False})
def test_complete_rows(name, precision, plain):
    step = e_step(name, precision)
    agree(step if plain else weighted(step))


@cross("name, precision, plain", {n: n for n in MISSING}, ARITHMETICS, {"plain": True, "weighted": False})
def test_missing_values(name, precision, plain):
    step = e_step(name, precision, missing=True)
    if step.family.linear is not None:  # the others are in test_patterns.py
        agree(step if plain else weighted(step))


@pytest.mark.parametrize("name", LINEAR)
def test_rows_of_weight_0_are_never_seen(name):
    """Whatever they hold: not by Python's functions either."""
    step = e_step(name, Precision.DOUBLE, n=120)
    weight = np.ones(120)
    weight[::3] = 0
    x = step.x.copy()
    x[::3] = np.nan
    plain, stats = step.on(step.x, weight).stats(), step.on(x, weight).stats()
    np.testing.assert_array_equal(stats.sums, plain.sums)
    assert stats.log_likelihood == plain.log_likelihood


@pytest.mark.parametrize("name", LINEAR)
def test_not_a_number_is_never_lost(name):
    step = e_step(name, Precision.DOUBLE, n=101)
    if name == "categorical":
        return  # NaN is none of the codes
    for row in (0, 95, 100):
        x = step.x.copy()
        x[row, 1] = np.nan
        assert np.isnan(step.on(x).stats().log_likelihood)


@pytest.mark.parametrize("name", LINEAR)
def test_any_chunking(name):
    step = e_step(name, Precision.DOUBLE, n=300)
    kernel, block = step.native(), Block(step.x)
    whole = step.stats(kernel)
    parts = kernel(block.part(0, 100)) + kernel(block.part(100, 101)) + kernel(block.part(101, 300))
    assert_like(whole, parts, in_long_double(step), 1e-12)


@pytest.mark.parametrize("name", MISSING)
def test_a_column_without_any_value(name):
    step = e_step(name, Precision.DOUBLE, missing=True)
    if step.family.linear is not None:
        x = step.x.copy()
        x[:, 0] = np.nan
        agree(step.on(x[~np.isnan(x).all(axis=1)]))


def test_many_categories():
    """More features than are kept between both products."""
    x = np.random.default_rng(0).integers(0, 300, size=(400, 2)).astype(np.float64)
    agree(family_e_step(Categorical(300), x, Precision.DOUBLE))


def memory(step):
    """Return the workspace of sums or outputs, whichever is larger, and its estimate with the arrays of parameters."""
    k, d = len(step.params.weights), step.x.shape[1]
    found = native_densities(step.family, step.params, step.precision, step.frame)
    taken = [Runner(found.step, NATIVE, found.pieces, o).workspace_bytes for o in (None, Output(PROBA, k, 8))]
    return max(taken), native_bytes(step.family, k, d, NATIVE) - 4 * piece_bytes(d)


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("name", MISSING)
def test_memory_is_estimated(name, missing):
    """The estimate is at least what the sums and the outputs take."""
    step = e_step(name, Precision.DOUBLE, missing=missing)
    if native_densities(step.family, step.params, step.precision, step.frame) is not None:
        taken, estimate = memory(step)
        assert taken <= estimate


@pytest.mark.parametrize("k", [5, 10, 200])
@pytest.mark.parametrize("kind", ["full", "diag"])
@pytest.mark.parametrize("precision", Precision)
def test_memory_of_many_columns_is_estimated(kind, k, precision):
    """Of few components and many; with features that are kept for both products, and too many for that."""
    d = 64
    step = mixture_e_step(kind, d, k, precision, np.random.default_rng(0), n=10)
    taken, estimate = memory(step)
    estimate -= 4 * 8 * (step.family.parameter_size(k, d) + step.family.n_exact_sums(d) * k)
    assert taken <= estimate <= 4 * taken
