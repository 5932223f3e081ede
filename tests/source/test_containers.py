"""Containers of lazy arrays are refused before anything is computed: test classes, and real ones if installed."""

import dask
import dask.array as da
import numpy as np
import pytest

import dem
from dem.run.check_load import check_load
from dem.run.fit import scan
from dem.source import open_source
from dem.source.containers import bytes_to_load

X = np.random.default_rng(0).normal(size=(60, 3))
HUGE = da.zeros((10**12, 8), chunks=(10**11, 8))


class Held:
    """A lazy array with names, like xarray's."""

    def __init__(self, array):
        self.data = array

    def __dask_graph__(self):
        return self.data.__dask_graph__()

    def __array__(self, *_, **__):
        raise AssertionError("computed")


class Frame(Held):
    """A lazy data frame, like Dask's."""

    def to_dask_array(self, lengths=None):
        return self.data


class OnDisk:
    """An array on a disk, like h5py's."""

    chunks = None

    def __init__(self, shape, dtype="f8"):
        self.shape, self.dtype = shape, np.dtype(dtype)

    @property
    def nbytes(self):
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __array__(self, *_, **__):
        if self.nbytes > 1e6:
            raise AssertionError("read")
        return np.ones(self.shape, self.dtype)


def containers():
    yield Held(HUGE), r"Held, which would be loaded as a whole: pass a Dask array, NAME\.data, to read it in chunks"
    yield Frame(HUGE), r"Frame, .* whole: pass a Dask array, NAME\.to_dask_array\(lengths=True\), to read it in"
    yield dask.delayed(X), "dask.Delayed.*, which would be loaded as a whole: pass a Dask array, made from it"


@pytest.mark.parametrize(("data", "message"), list(containers()), ids=["held", "frame", "delayed"])
def test_lazy_containers_are_refused_before_they_are_computed(data, message):
    fitted = dem.KMeans(1).fit(X)
    named = message.replace
    for call in (dem.KMeans(1).fit, dem.PPCA(1).fit, fitted.predict, fitted.score, scan):
        with pytest.raises(TypeError, match=named("NAME", "X")):
            call(data)
    with pytest.raises(TypeError, match=named("NAME", "data")):
        open_source(data)
    with pytest.raises(TypeError, match=named("NAME", "sample_weight")):
        dem.KMeans(1).fit(X, sample_weight=data)
    with pytest.raises(TypeError, match=named("NAME", "sample_weight")):
        open_source(X, data)


def test_arrays_on_disk_are_read_only_within_the_memory_limit():
    data, engine = OnDisk((10**9, 8)), dem.Engine(memory="2GB")
    with pytest.raises(
        MemoryError,
        match=r"X would be read into memory as a whole: 64 GB, and this process already uses .* but the limit is 2 GB",
    ):
        dem.KMeans(1, engine=engine).fit(data)
    with pytest.raises(MemoryError, match=r"sample_weight would be read into memory as a whole: 8 GB, and"):
        dem.KMeans(1, engine=engine).fit(X, sample_weight=OnDisk((10**9,)))
    with pytest.raises(MemoryError, match=r"X and sample_weight would be read into memory as a whole: 72 GB, and"):
        scan(data, OnDisk((10**9,)), engine=engine)
    with pytest.raises(MemoryError, match="X would be read"):
        dem.KMeans(1).fit(X[:, :1].repeat(8, 1)).set_params(engine=engine).predict(data)
    np.testing.assert_allclose(dem.KMeans(1, engine=engine).fit(OnDisk((50, 2))).cluster_centers_, [[1, 1]])


@pytest.mark.parametrize(
    ("shape", "dtype"), [((10**9, 8, 2), "f8"), ((10**9,), "f8"), ((10**9, 0), "f8"), ((10**9, 2), "c16")]
)
def test_arrays_on_disk_of_wrong_shape_are_refused_unread(shape, dtype):
    with pytest.raises(ValueError, match=r"Expected 2D array|0 feature|Complex data"):
        dem.KMeans(1).fit(OnDisk(shape, dtype))


def test_arrays_in_memory_need_no_bytes_to_load():
    engine = dem.Engine(memory=1)
    for data in (X, X.tolist(), np.ma.array(X), da.from_array(X), "path"):
        check_load(data, None, engine)
        assert bytes_to_load(data) == 0 or isinstance(data, da.Array)


def test_a_memory_map_is_not_read_into_memory(tmp_path):
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert np.shares_memory(open_source(mapped).x, mapped)
    found, expected = (
        dem.KMeans(2).fit(mapped, sample_weight=mapped[:, 0] ** 2),
        dem.KMeans(2).fit(X, sample_weight=X[:, 0] ** 2),
    )
    np.testing.assert_array_equal(found.cluster_centers_, expected.cluster_centers_)


def test_xarray(tmp_path):
    xr = pytest.importorskip("xarray")
    with pytest.raises(TypeError, match=r"xarray\..*, which would be loaded as a whole: pass a Dask array, X\.data"):
        dem.KMeans(1).fit(xr.Variable(("n", "f"), HUGE))
    array = xr.DataArray(X, dims=("n", "f"))
    assert bytes_to_load(array) == 0
    xr.Dataset({"a": array}).to_zarr(tmp_path / "x.zarr", consolidated=False, zarr_format=3)
    read = xr.open_zarr(tmp_path / "x.zarr", chunks=None, consolidated=False)["a"]
    assert bytes_to_load(read) == X.nbytes
    dem.KMeans(2, max_iter=1, tol=1e9).fit(read, sample_dims="n")
    assert bytes_to_load(read) == X.nbytes


def test_dask_frames():
    pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pytest.importorskip("dask.dataframe").from_dask_array(HUGE)
    assert open_source(frame).n_rows is None
    with pytest.raises(TypeError, match=r"dask\.\w+, .*pass a Dask array, X\.to_dask_array\(lengths=True\)"):
        dem.KMeans(1).fit(frame[0])
    with pytest.raises(TypeError, match=r"sample_weight is of the type dask\.\w+, .*loaded as a whole"):
        dem.KMeans(1).fit(X, sample_weight=frame)


def test_h5py(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = X
        assert bytes_to_load(file["x"]) == X.nbytes
        np.testing.assert_array_equal(
            dem.KMeans(2).fit(file["x"]).cluster_centers_, dem.KMeans(2).fit(X).cluster_centers_
        )
