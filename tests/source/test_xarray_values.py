"""The same values however they are opened: by path, lazily, loaded; from the store wherever that is possible."""

import numpy as np
import pytest

import dem
from dem.source import open_source
from dem.source.dask_array import DaskSource
from dem.source.xarray_values import only_valid, stored_array
from dem.source.zarr import ZarrSource
from shared import ENDS_AT_MAX_ITER
from source.test_xarray_data import rows_of

xr = pytest.importorskip("xarray")

pytestmark = [ENDS_AT_MAX_ITER, pytest.mark.filterwarnings("ignore:.*[Cc]onsolidated metadata")]
N = 40
RNG = np.random.default_rng(1)


def write(path, attributes=None, encoding=None, version=3):
    """Write a variable (n, f) of 5 rows a chunk, beside one without attributes; return the path."""
    encoding, values = encoding or {}, RNG.integers(0, 100, size=(N, 3)).astype("f8")
    own = values.astype("i2") if "dtype" in encoding and "_FillValue" not in encoding else values
    ds = xr.Dataset({"x": (("n", "f"), own, attributes or {}), "y": (("n", "f"), values + 1)})
    chunks = {"chunks": (5, 3)}
    ds.to_zarr(path, zarr_format=version, consolidated=False, encoding={"x": {**chunks, **encoding}, "y": chunks})
    return path


def opened(path, **more):
    return xr.open_zarr(path, consolidated=False, **more)


@pytest.mark.parametrize("chunks", [{}, "auto", {"n": 15}, None], ids=str)
@pytest.mark.parametrize(
    "encoding", [{}, {"dtype": "i2", "_FillValue": -9}, {"dtype": "i2", "scale_factor": 0.5, "_FillValue": -9}], ids=str
)
def test_variables_of_open_zarr_are_read_from_the_store(chunks, encoding, tmp_path):
    path = write(tmp_path / "x.zarr", {}, encoding)
    ds = opened(path, chunks=chunks)[["x", "y"]]
    source = open_source(ds, sample_dims="n")
    assert isinstance(source, ZarrSource)
    np.testing.assert_array_equal(rows_of(source)[0], np.hstack([ds.x.values, ds.y.values]))


@pytest.mark.parametrize(
    "change",
    [
        lambda ds: ds.isel(n=slice(5, 20)),
        lambda ds: ds.isel(n=[0, 7, 2]),
        lambda ds: ds.transpose(),
        lambda ds: ds + 1,
        lambda ds: ds.chunk(n=4),
        lambda ds: ds.isel(n=slice(None, None, -1)),
    ],
    ids=["slice", "rows", "transposed", "computed", "chunks", "reversed"],
)
@pytest.mark.parametrize("chunks", [{}, None], ids=str)
def test_changed_variables_stay_right(change, chunks, tmp_path):
    ds = change(opened(write(tmp_path / "x.zarr"), chunks=chunks))[["x"]]
    source = open_source(ds, sample_dims="n")
    np.testing.assert_array_equal(rows_of(source)[0], ds.x.transpose("n", "f").values)


def test_raw_entries_stay_raw(tmp_path):
    """Opened without decoding, the packed entries are the data."""
    path = write(tmp_path / "x.zarr", {}, PACKED)
    ds = opened(path, mask_and_scale=False)[["x"]]
    np.testing.assert_array_equal(rows_of(open_source(ds, sample_dims="n"))[0], ds.x.values)


def test_lost_and_damaged_chunks_are_named(tmp_path):
    path = write(tmp_path / "x.zarr")
    ds = opened(path)[["x"]]
    (path / "x/c/2/0").unlink()
    model = dem.KMeans(2, random_state=0, max_iter=1)
    with pytest.warns(UserWarning, match=r"1 chunk of x.zarr/x is not in the store.*c/2/0 \(rows 10 to 14\)"):
        model.fit(ds, sample_dims="n")
    (path / "x/c/3/0").write_bytes(b"damaged")
    with pytest.raises(OSError, match=r"Cannot read chunk c/3/0 \(rows 15 to 19\) of x.zarr/x"):
        model.fit(ds, sample_dims="n")


PACKED = {"dtype": "i2", "scale_factor": 0.5, "add_offset": 3.0, "_FillValue": -99}
VALID = {
    "range": ({"valid_range": [10.0, 60.0]}, {}),
    "min": ({"valid_min": 20.0}, {}),
    "max": ({"valid_max": 70.0}, {}),
    "integers": ({"valid_max": 70}, {"dtype": "i2"}),
    "packed": ({"valid_range": [14, 120]}, PACKED),
    "unpacked bounds": ({"valid_range": [10.0, 60.0]}, PACKED),
    "negative scale": ({"valid_range": [-120, -14]}, {**PACKED, "scale_factor": -0.5}),
}


@pytest.mark.parametrize("version", [pytest.param(2, marks=pytest.mark.slow), 3])
@pytest.mark.parametrize("name", VALID)
def test_a_valid_range_holds_however_the_data_are_opened(name, version, tmp_path):
    attributes, encoding = VALID[name]
    path = write(tmp_path / "x.zarr", attributes, encoding, version)
    expected = rows_of(open_source(path, sample_dims="n", variables="x"))[0]
    assert 0 < np.isnan(expected).sum() < expected.size
    lazy = opened(path)
    forms = {
        "open_zarr": lazy,
        "no dask": opened(path, chunks=None),
        "loaded": opened(path).load(),
        "loaded, no dask": opened(path, chunks=None).load(),
        "chunks": lazy.chunk(n=7),
        "transposed": lazy.transpose(),
        "part": lazy.isel(n=slice(0, N)),
    }
    for form, ds in forms.items():
        found = rows_of(open_source(ds[["x"]], sample_dims="n"))[0]
        np.testing.assert_allclose(found, expected, rtol=1e-6, err_msg=form)


def test_netcdf_has_valid_ranges_too(tmp_path):
    values = RNG.integers(0, 100, size=(N, 2)).astype("f8")
    ds = xr.Dataset({"x": (("n", "f"), values, {"valid_range": np.array([14, 120], "i2")})})
    ds.to_netcdf(tmp_path / "x.nc", engine="scipy", encoding={"x": PACKED})
    with xr.open_dataset(tmp_path / "x.nc", engine="scipy") as lazy:
        found = rows_of(open_source(lazy, sample_dims="n"))[0]
        np.testing.assert_allclose(found, np.where((values >= 10) & (values <= 63), values, np.nan))


def test_valid_ranges_of_computed_values_are_not_used(tmp_path):
    """Nobody knows whether the attribute still holds; nor if the user has removed it."""
    ds = opened(write(tmp_path / "x.zarr", {"valid_range": [10.0, 60.0]}))[["x"]]
    with xr.set_options(keep_attrs=True):
        changed = ds - 50
    assert changed.x.attrs["valid_range"] == [10.0, 60.0]
    np.testing.assert_array_equal(rows_of(open_source(changed, sample_dims="n"))[0], changed.x.values)
    del ds.x.attrs["valid_range"]
    assert stored_array(ds.x) is None
    np.testing.assert_array_equal(rows_of(open_source(ds, sample_dims="n"))[0], ds.x.values)


def test_missing_value_replaces_the_valid_range(tmp_path):
    path = write(tmp_path / "x.zarr", {"valid_range": [10.0, 60.0]})
    by_path = open_source(path, sample_dims="n", variables="x", missing_value=7.0)
    for ds in (opened(path), opened(path).load()):
        source = open_source(ds[["x"]], sample_dims="n", missing_value=7.0)
        np.testing.assert_array_equal(rows_of(source)[0], rows_of(by_path)[0])


def test_other_graphs_of_dask_are_left_to_dask():
    array = xr.DataArray(np.arange(6.0).reshape(3, 2), dims=("n", "f"))
    for lazy in (array.chunk(n=1), array.chunk(n=1) * 2, array.chunk(n=1).persist(scheduler="synchronous")):
        assert stored_array(lazy) is None
        assert isinstance(open_source(lazy, sample_dims="n"), DaskSource)
    assert only_valid(array) is array
