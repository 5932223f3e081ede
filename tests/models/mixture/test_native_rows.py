"""Row outputs by the native kernel: as NumPy computes them, for all families, in both arithmetics."""

from dataclasses import replace

import dask.array as da
import numpy as np
import pytest

import dem
from clustered_rows import data
from crosses import cross
from dem.core.block import Block
from dem.em.row_output import RowOutput, find_output
from dem.families import COVARIANCE_TYPES
from dem.families.family import with_missing
from dem.kernel.kernel_id import NUMPY, KernelId
from dem.models.mixture import rows
from dem.models.mixture.mixture import MixtureModel
from dem.models.mixture.native_kernel import native_densities
from dem.models.mixture.precision import Precision
from kernel.e_steps import LONG, NATIVE, NEEDS_LIBRARY, in_long_double, mixture_e_step
from kernel.linear_families import LINEAR, MISSING, e_step
from kernel.student_e_steps import student_e_step

NAMES = ("label", "proba", "score", "entropy", "complete", "top-index", "top-weight")
KINDS = {kind: kind for kind in COVARIANCE_TYPES}


def outputs(step, kernel):
    """Return all outputs of the rows of an E-step, by name."""
    model = MixtureModel(len(step.params.weights), step.family).with_kernel(kernel)
    table = rows.mixture_outputs(model.n_components, step.x.shape[1])
    return {
        name: rows.compute_mixture_output(model, step.params, find_output(table, name), Block(step.x)) for name in NAMES
    }


def assert_same(step):
    native, by_numpy = outputs(step, NATIVE), outputs(step, NUMPY)
    for name in NAMES:
        assert native[name].dtype == by_numpy[name].dtype
        assert native[name].shape == by_numpy[name].shape
        np.testing.assert_allclose(native[name], by_numpy[name], rtol=1e-11, atol=1e-11, err_msg=name)


@NEEDS_LIBRARY
@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("precision", [Precision.SINGLE, Precision.DOUBLE])
def test_every_family(name, precision):
    """Of rows in float32 and float64; the arithmetic is float64 for both."""
    assert_same(e_step(name, precision, n=250))


@NEEDS_LIBRARY
@pytest.mark.parametrize("kind", ["full", "diag"])
@pytest.mark.parametrize(("d", "k"), [(1, 1), (3, 5), (12, 17)])
def test_student_t(kind, d, k, rng):
    assert_same(student_e_step(kind, d, k, rng))


@NEEDS_LIBRARY
@pytest.mark.parametrize("name", MISSING)
def test_missing_values(name):
    assert_same(e_step(name, Precision.DOUBLE, missing=True, n=250))


SHAPES = {"few": (3, 5), "narrow": (8, 9), "wide": (12, 17), "one": (1, 1)}


@NEEDS_LIBRARY
@cross("kind, shape, far", KINDS, SHAPES, {"near": False, "far": True})
def test_gaussians_in_both_arithmetics(kind, shape, far, rng):
    """Far from one another they are computed about their own means."""
    d, k = shape
    step = mixture_e_step(kind, d, k, Precision.DOUBLE, rng, n=300, spread=1e6 if far and k > 1 else 0.5)
    native, by_numpy = outputs(step, NATIVE), outputs(step, NUMPY)
    for name in NAMES:
        np.testing.assert_allclose(native[name], by_numpy[name], rtol=1e-11, atol=1e-9 if far else 1e-11, err_msg=name)


@NEEDS_LIBRARY
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("precision", [Precision.DOUBLE, Precision.CENTRED])
def test_scores_against_long_double(kind, precision, rng):
    step = mixture_e_step(kind, 5, 6, precision, rng, n=200)
    found = native_densities(step.family, step.params, precision, step.frame)
    score, total = np.empty(200), LONG(0)
    found.output(NATIVE, RowOutput("score", ""))(step.x, score)
    expected = [in_long_double(step.on(step.x[i : i + 1])) for i in range(0, 200, 20)]
    for one, e in zip(score[::20], expected, strict=True):
        assert abs(one - e.log_likelihood) <= 1e-13 * e.log_likelihood_size
        total += e.log_likelihood
    assert abs(score[::20].sum() - total) <= 1e-13 * sum(e.log_likelihood_size for e in expected)


def same_twice(k):
    """Return an E-step of k components, each twice: every label and order is decided by the index."""
    step = mixture_e_step("diag", 3, k, Precision.DOUBLE, np.random.default_rng(4), n=200, spread=0.5)
    theta = step.params.theta
    twice = {
        name: np.repeat(getattr(theta, name), 2, axis=0) for name in ("means", "covariances", "precisions_cholesky")
    }
    weights = np.repeat(np.full(k, 0.5 / k), 2)
    return replace(step, params=replace(step.params, weights=weights, theta=replace(theta, **twice)))


@NEEDS_LIBRARY
@pytest.mark.parametrize("k", [1, 4, 9])
def test_of_equal_components_the_first_comes_first(k):
    step = same_twice(k)
    found = outputs(step, NATIVE)
    assert not (found["label"] % 2).any()
    top = found["top-index"]
    np.testing.assert_array_equal(top[:, 0], found["label"])
    np.testing.assert_array_equal(top[:, 1], top[:, 0] + 1)


@NEEDS_LIBRARY
@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
def test_integers_of_any_size(dtype, rng):
    step = mixture_e_step("diag", 3, 20, Precision.DOUBLE, rng, n=200)
    found = native_densities(step.family, step.params, step.precision, step.frame)
    for name, columns in (("label", None), ("top-index", 4)):
        output = RowOutput(name, "", np.dtype(dtype), columns)
        out, plain = np.empty(output.shape(200), dtype), np.empty(output.shape(200), np.int64)
        found.output(NATIVE, output)(step.x, out)
        found.output(NATIVE, replace(output, dtype=np.dtype(np.int64)))(step.x, plain)
        np.testing.assert_array_equal(out, plain)


@NEEDS_LIBRARY
@pytest.mark.parametrize("name", ["proba", "score", "entropy", "complete", "top-weight"])
def test_float32_outputs(name, rng):
    step = mixture_e_step("full", 3, 7, Precision.DOUBLE, rng, n=200)
    found = native_densities(step.family, step.params, step.precision, step.frame)
    columns = {"proba": 7, "top-weight": 2}.get(name)
    output = RowOutput(name, "", columns=columns)
    out, single = np.empty(output.shape(200)), np.empty(output.shape(200), np.float32)
    found.output(NATIVE, output)(step.x, out)
    found.output(NATIVE, replace(output, dtype=np.dtype(np.float32)))(step.x, single)
    np.testing.assert_array_equal(single, out.astype(np.float32))


@NEEDS_LIBRARY
@pytest.mark.parametrize("case", ["own", "gaussian-full", "gaussian-diag"])
def test_rows_in_pieces(case):
    """Converted rows, and features that Python writes, are several pieces."""
    step = e_step(case, Precision.DOUBLE, n=9000)
    whole, parts = outputs(step, NATIVE), outputs(step.on(np.asfortranarray(step.x)), NATIVE)
    for name in NAMES:
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-13, atol=1e-13)


@NEEDS_LIBRARY
@pytest.mark.parametrize("word", ["native", "numpy", ""])
def test_the_client_chooses_the_kernel(word, monkeypatch):
    """A model of either kernel computes outputs by the kernel that the environment names at that time."""
    x = data()
    model = dem.GaussianMixture(3, max_iter=2, tol=0).fit(x)
    monkeypatch.setenv("DEM_KERNEL", word)
    used = []
    monkeypatch.setattr(rows, "native_densities", lambda *args: used.append(args))
    model.predict(x)
    assert bool(used) == (word != "numpy")


@NEEDS_LIBRARY
def test_lazy_outputs_keep_the_kernel_of_the_call(monkeypatch):
    """Tasks do not read the environment."""
    x = data()
    model = dem.GaussianMixture(3, max_iter=2, tol=0).fit(x)
    monkeypatch.setenv("DEM_KERNEL", "numpy")
    lazy = model.predict(da.from_array(x, chunks=(100, 3)))
    monkeypatch.setenv("DEM_KERNEL", "native")
    used, native = [], rows.native_densities
    monkeypatch.setattr(rows, "native_densities", lambda *args: used.append(args) or native(*args))
    np.testing.assert_array_equal(lazy.compute(scheduler="sync"), model.predict(x))
    assert len(used) == 1


def test_another_kernel_is_refused():
    step = mixture_e_step("full", 3, 3, Precision.DOUBLE, np.random.default_rng(0), n=20)
    with pytest.raises(RuntimeError, match=r"^This machine cannot use the native kernel 0123456789abcdef\. "):
        outputs(step, KernelId("native", "0123456789abcdef"))


@NEEDS_LIBRARY
def test_student_t_with_missing_values_uses_numpy(rng):
    step = student_e_step("full", 3, 5, rng)
    step = replace(step, family=with_missing(step.family), x=np.where(rng.random(step.x.shape) < 0.3, np.nan, step.x))
    native, by_numpy = outputs(step, NATIVE), outputs(step, NUMPY)
    for name in NAMES:
        np.testing.assert_array_equal(native[name], by_numpy[name])
