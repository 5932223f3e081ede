"""Where the kernel of K-means is used; what is refused where it is another one or absent."""

from dataclasses import replace

import numpy as np
import pytest

import dem
from dem.core.block import Block
from dem.kernel.kernel_id import NUMPY, KernelId
from dem.models.kmeans import kmeans, native_kernel
from dem.models.mixture.precision import Precision
from kernel.clusters import clusters
from kernel.e_steps import NATIVE, NEEDS_LIBRARY
from kernel.test_kernel_id import OTHER_SCAN
from shared import ENDS_AT_MAX_ITER

OTHER = KernelId("native", "0123456789abcdef")
CENTRES = np.array([[0.0, 0, 0], [4, 1, -2], [-3, 5, 1]])


@pytest.fixture
def x(rng):
    return CENTRES[rng.integers(3, size=2000)] + rng.normal(size=(2000, 3))


@NEEDS_LIBRARY
def test_statistics_of_different_kernels_do_not_add(rng):
    of = clusters(3, 2, Precision.DOUBLE, rng)
    native, by_numpy = of.stats(), of.stats(of.numpy())
    assert (native.kernel, by_numpy.kernel) == (NATIVE, NUMPY)
    for one, other in [(native, by_numpy), (by_numpy, native), (native, replace(native, kernel=OTHER))]:
        with pytest.raises(ValueError, match=r"^cannot add statistics of different kernels: "):
            one + other
    assert (native + native).kernel == NATIVE


def test_a_task_on_a_machine_without_the_library_fails(monkeypatch, tmp_path, rng):
    monkeypatch.setattr("dem.kernel.library.FOLDER", tmp_path)
    of = clusters(3, 2, Precision.DOUBLE, rng)
    model, params = kmeans.KMeansModel(2).with_kernel(NATIVE), kmeans.KMeansParams.at(of.centers)
    label = model.row_outputs(params)["label"]
    for work in (of.native, lambda: model.rows(params, label)(Block(of.x)), lambda: model.workspace_bytes(3)):
        with pytest.raises(RuntimeError, match=rf"^This machine cannot use the {NATIVE}\. .* set DEM_KERNEL=numpy "):
            work()


@NEEDS_LIBRARY
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_both_kernels_give_the_same_fit(dtype, x, monkeypatch):
    x, weight = x.astype(dtype), np.random.default_rng(0).exponential(size=len(x))
    fits = {}
    for word in ("native", "numpy"):
        monkeypatch.setenv("DEM_KERNEL", word)
        model = dem.KMeans(3, random_state=0).fit(x, sample_weight=weight)
        fits[word] = model, model.labels_, model.transform(x), model.score(x, sample_weight=weight)
    (native, labels, distances, score), (by_numpy, *others) = fits.values()
    np.testing.assert_allclose(native.cluster_centers_, by_numpy.cluster_centers_, rtol=1e-12, atol=1e-12)
    assert native.inertia_ == pytest.approx(by_numpy.inertia_, rel=1e-12)
    np.testing.assert_array_equal(labels, others[0])
    np.testing.assert_allclose(distances, others[1], rtol=1e-12)
    assert -score == pytest.approx(native.inertia_, rel=1e-12)
    assert score == pytest.approx(others[2], rel=1e-12)


@NEEDS_LIBRARY
@ENDS_AT_MAX_ITER
@pytest.mark.parametrize("word", ["native", "numpy"])
def test_a_fit_its_starts_and_its_outputs_use_the_kernel(word, x, monkeypatch):
    monkeypatch.setenv("DEM_KERNEL", word)
    blocks, outputs = [], []
    fits, rows = native_kernel.NativeKMeansKernel.__call__, native_kernel.native_rows

    def seen(self, block):
        blocks.append(len(block.x))
        return fits(self, block)

    def written(*arguments):
        outputs.append(arguments[3].name)
        return rows(*arguments)

    monkeypatch.setattr(native_kernel.NativeKMeansKernel, "__call__", seen)
    monkeypatch.setattr(kmeans, "native_rows", written)
    model = dem.KMeans(3, max_iter=2, tol=0, sample_size=700, random_state=0).fit(x)
    model.predict(x)
    model.transform(x)
    model.score(x)
    if word == "native":
        assert 700 in blocks
        assert blocks.count(2000) >= 2
        assert outputs == ["label", "distance", "score"]
    else:
        assert not blocks
        assert not outputs


@NEEDS_LIBRARY
@ENDS_AT_MAX_ITER
@pytest.mark.parametrize(("made", "continued"), [("numpy", "native"), ("native", "numpy")])
def test_a_checkpoint_of_the_other_kernel_is_refused(made, continued, x, tmp_path, monkeypatch):
    monkeypatch.setenv("DEM_KERNEL", made)
    start = np.array([[0.0, 0, 0], [0.5, 0, 0], [0, 0.5, 0]])
    model, checkpoint = dem.KMeans(3, init=start, max_iter=2, tol=0), tmp_path / "fit.zarr"
    expected = model.fit(x, checkpoint=checkpoint).cluster_centers_
    monkeypatch.setenv("DEM_KERNEL", continued)
    with pytest.raises(ValueError, match=rf"set DEM_KERNEL={made} to continue it"):
        model.fit(x, checkpoint=checkpoint)
    monkeypatch.setenv("DEM_KERNEL", made)
    np.testing.assert_array_equal(model.fit(x, checkpoint=checkpoint).cluster_centers_, expected)


@NEEDS_LIBRARY
def test_rows_with_missing_values_use_numpy(x, monkeypatch):
    monkeypatch.setenv("DEM_KERNEL", "native")
    x[::10, 1] = np.nan
    fits = [dem.KMeans(3, random_state=0).fit(x)]
    monkeypatch.setenv("DEM_KERNEL", "numpy")
    fits.append(dem.KMeans(3, random_state=0).fit(x))
    native, by_numpy = (fit.cluster_centers_ for fit in fits)
    np.testing.assert_array_equal(native, by_numpy)


@NEEDS_LIBRARY
@ENDS_AT_MAX_ITER
def test_a_checkpoint_of_rows_with_missing_values_belongs_to_numpy(x, tmp_path, monkeypatch):
    """Whatever is chosen, NumPy computes it: so it is continued whatever is chosen, with the same bits."""
    x[::10, 1] = np.nan
    start = np.array([[0.0, 0, 0], [0.5, 0, 0], [0, 0.5, 0]])
    model = dem.KMeans(3, init=start, max_iter=3, tol=0)
    expected = model.fit(x).cluster_centers_
    for made, continued in [("numpy", "native"), ("native", "numpy")]:
        checkpoint = dem.Checkpoint(tmp_path / f"{made}.zarr", max_passes=3)
        monkeypatch.setenv("DEM_KERNEL", made)
        with pytest.raises(dem.Stopped):
            model.fit(x, checkpoint=checkpoint)
        monkeypatch.setenv("DEM_KERNEL", continued)
        with pytest.warns(UserWarning, match=OTHER_SCAN):
            found = model.fit(x, checkpoint=checkpoint.path).cluster_centers_
        np.testing.assert_array_equal(found, expected)
