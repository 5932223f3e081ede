"""Where the kernel of a fit is used; what is refused where it is another one or absent."""

from dataclasses import replace

import numpy as np
import pytest

import dem
from crosses import mostly_slow
from dem.core.block import Block
from dem.em.starts import Start, best_start
from dem.families import COVARIANCE_TYPES
from dem.kernel.kernel_id import KernelId
from dem.models.mixture import native_kernel
from dem.models.mixture.mixture import MixtureModel
from dem.models.mixture.precision import Precision
from dem.storage.checkpoint import check_kernel
from kernel.e_steps import NATIVE, NEEDS_LIBRARY, mixture_e_step
from laws import bind
from shared import ENDS_AT_MAX_ITER

OTHER = KernelId("native", "0123456789abcdef")
OTHER_SCAN = r"^the scan in the checkpoint was made with .*; this run uses .*: the result may differ in the last bits"
CENTRES = np.array([[0.0, 0, 0], [4, 1, -2], [-3, 5, 1]])
TYPES = pytest.mark.parametrize("kind", COVARIANCE_TYPES)


@pytest.fixture
def x(rng):
    return CENTRES[rng.integers(3, size=2000)] + rng.normal(size=(2000, 3))


@pytest.fixture
def none_built(monkeypatch, tmp_path):
    """Have no library, as where dem was installed without a compiler."""
    monkeypatch.setattr("dem.kernel.library.FOLDER", tmp_path)


@NEEDS_LIBRARY
def test_statistics_of_different_kernels_do_not_add(rng):
    step = mixture_e_step("full", 3, 2, Precision.DOUBLE, rng)
    native, by_numpy = step.stats(), step.stats(step.numpy())
    for one, other in [(native, by_numpy), (by_numpy, native), (native, replace(native, kernel=OTHER))]:
        with pytest.raises(ValueError, match=r"^cannot add these statistics: they have different .* kernels$"):
            one + other


def test_a_task_on_a_machine_without_the_library_fails(none_built, rng):
    step = mixture_e_step("full", 3, 2, Precision.DOUBLE, rng)
    said = (
        rf"^This machine cannot use the {NATIVE}\. .* Install the same dem on all machines, or set DEM_KERNEL=numpy "
        r"in the process that asks for the fit or the results\.$"
    )
    with pytest.raises(RuntimeError, match=said):
        step.native()


@NEEDS_LIBRARY
def test_a_task_on_a_machine_with_another_library_fails(rng):
    step = mixture_e_step("full", 3, 2, Precision.DOUBLE, rng)
    said = (
        rf"^This machine cannot use the {OTHER}\. Its native kernel was built from other sources than the client's\. "
    )
    with pytest.raises(RuntimeError, match=said):
        native_kernel.native_kernel(step.family, step.params, step.precision, step.frame, OTHER)


@NEEDS_LIBRARY
@TYPES
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_both_kernels_give_the_same_fit(kind, dtype, x, monkeypatch):
    """Objectives within 1e-9 nats a row, and the same rows in each component."""
    x, weight = x.astype(dtype), np.random.default_rng(0).exponential(size=len(x))
    fits = {}
    for word in ("native", "numpy"):
        monkeypatch.setenv("DEM_KERNEL", word)
        fits[word] = dem.GaussianMixture(3, covariance_type=kind, tol=1e-12, max_iter=500).fit(x, sample_weight=weight)
    native, by_numpy = fits.values()
    assert abs(native.lower_bound_ - by_numpy.lower_bound_) < 1e-9
    np.testing.assert_array_equal(native.predict(x), by_numpy.predict(x))


@NEEDS_LIBRARY
@ENDS_AT_MAX_ITER
def test_a_fit_and_its_starts_use_the_kernel(x, monkeypatch):
    """Each of their passes does."""
    monkeypatch.setenv("DEM_KERNEL", "native")
    seen, real = [], native_kernel.NativeKernel.__call__
    monkeypatch.setattr(
        native_kernel.NativeKernel, "__call__", lambda self, block: (seen.append(len(block.x)), real(self, block))[1]
    )
    model = bind(MixtureModel(3, COVARIANCE_TYPES["full"]()), x)
    best_start(model, Block(x[:700]), Start())
    on_the_sample = len(seen)
    assert on_the_sample > 10
    assert 700 in seen
    dem.GaussianMixture(3, max_iter=4, tol=0).fit(x)
    assert seen.count(2000) >= 4


@NEEDS_LIBRARY
@ENDS_AT_MAX_ITER
@pytest.mark.parametrize(
    ("made", "continued", "said"),
    [
        ("numpy", "native", r"was made with NumPy, and this fit uses native kernel \w{16}: set DEM_KERNEL=numpy to"),
        ("native", "numpy", r"was made with native kernel \w{16}, and this fit uses NumPy: set DEM_KERNEL=native to"),
    ],
)
def test_a_checkpoint_of_the_other_kernel_is_refused(made, continued, said, x, tmp_path, monkeypatch):
    monkeypatch.setenv("DEM_KERNEL", made)
    model, checkpoint = dem.GaussianMixture(3, max_iter=3, tol=0), tmp_path / "fit.zarr"
    expected = model.fit(x, checkpoint=checkpoint).means_
    monkeypatch.setenv("DEM_KERNEL", continued)
    with pytest.raises(ValueError, match=said):
        model.fit(x, checkpoint=checkpoint)
    monkeypatch.setenv("DEM_KERNEL", made)
    np.testing.assert_array_equal(model.fit(x, checkpoint=checkpoint).means_, expected)


def test_a_checkpoint_of_a_kernel_that_is_not_here_is_refused():
    with pytest.raises(ValueError, match=f"install the dem that has the {OTHER} to continue it, or "):
        check_kernel("fit.zarr", str(OTHER), str(NATIVE))


@NEEDS_LIBRARY
@ENDS_AT_MAX_ITER
@mostly_slow("family", ["studentt", "full", "diag"], quick=["full", "diag"])
def test_a_checkpoint_belongs_to_the_kernel_that_computes(family, x, tmp_path, monkeypatch):
    """With missing values NumPy computes Student's t, whatever is chosen, and the native kernel Gaussians."""
    x[::10, 1] = np.nan
    if family == "studentt":
        model = dem.Mixture(3, family=family, max_iter=4, tol=0, n_init=2)
    else:
        model = dem.GaussianMixture(3, covariance_type=family, max_iter=4, tol=0, n_init=2)
    checkpoint = tmp_path / "fit.zarr"
    monkeypatch.setenv("DEM_KERNEL", "native")
    expected = model.fit(x).weights_
    monkeypatch.setenv("DEM_KERNEL", "numpy")
    with pytest.raises(dem.Stopped):
        model.fit(x, checkpoint=dem.Checkpoint(checkpoint, max_passes=3))
    monkeypatch.setenv("DEM_KERNEL", "native")
    if family == "studentt":
        with pytest.warns(UserWarning, match=OTHER_SCAN):
            found = model.fit(x, checkpoint=checkpoint).weights_
        np.testing.assert_array_equal(found, expected)
    else:
        refused = pytest.raises(ValueError, match="set DEM_KERNEL=numpy to continue it")
        with pytest.warns(UserWarning, match=OTHER_SCAN), refused:
            model.fit(x, checkpoint=checkpoint)


@NEEDS_LIBRARY
@ENDS_AT_MAX_ITER
def test_a_scan_belongs_to_every_kernel(x, tmp_path, monkeypatch):
    """A checkpoint without a state is continued by any kernel. The last bits of the scan are those of its own."""
    model = dem.GaussianMixture(3, max_iter=4, tol=0, n_init=2)
    monkeypatch.setenv("DEM_KERNEL", "numpy")
    expected = model.fit(x).means_
    monkeypatch.setenv("DEM_KERNEL", "native")
    with pytest.raises(dem.Stopped, match="during the start"):
        model.fit(x, checkpoint=dem.Checkpoint(tmp_path / "fit.zarr", max_seconds=0))
    monkeypatch.setenv("DEM_KERNEL", "numpy")
    with pytest.warns(UserWarning, match=OTHER_SCAN):
        found = model.fit(x, checkpoint=tmp_path / "fit.zarr").means_
    np.testing.assert_allclose(found, expected, rtol=1e-9)
