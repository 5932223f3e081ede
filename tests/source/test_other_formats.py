"""Files of other formats: the message says how to convert them, and its line works."""

import re

import numpy as np
import pytest

import dem
from dem.source import open_source
from dem.source.other_formats import how_to_convert

X = np.random.default_rng(0).normal(size=(30, 2))


def converted(path):
    """Run the line of the message; return the path of what it wrote."""
    with pytest.raises(ValueError, match=r"convert (it|one of its arrays)") as caught:
        open_source(path)
    line = str(caught.value).partition(": import ")[2]
    exec(f"import {line}", {})
    return re.findall(r"'([^']*)'", line)[-1]


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # of pandas, in Dask
@pytest.mark.filterwarnings("ignore:Dask DataFrame")
def test_csv(tmp_path):
    pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    np.savetxt(tmp_path / "x.csv", X, "%.17g", ",", header="a,b", comments="")
    model = dem.PPCA(1).fit(converted(tmp_path / "x.csv"))
    np.testing.assert_allclose(model.mean_, X.mean(axis=0), rtol=1e-12)
    assert model.feature_names_in_.tolist() == ["a", "b"]


def test_numpy(tmp_path):
    np.save(tmp_path / "x.npy", X)
    np.testing.assert_allclose(dem.PPCA(1).fit(converted(tmp_path / "x.npy")).mean_, X.mean(axis=0), rtol=1e-12)


@pytest.mark.filterwarnings("ignore:Consolidated metadata")  # of Zarr, in xarray
def test_netcdf(tmp_path):
    xr = pytest.importorskip("xarray")
    xr.Dataset({"x": (("row", "column"), X)}).to_netcdf(tmp_path / "x.nc", engine="scipy")
    path = converted(tmp_path / "x.nc")
    np.testing.assert_allclose(dem.PPCA(1).fit(f"{path}/x").mean_, X.mean(axis=0), rtol=1e-12)


def test_hdf5(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["X"] = X
    np.testing.assert_allclose(dem.PPCA(1).fit(converted(tmp_path / "x.h5")).mean_, X.mean(axis=0), rtol=1e-12)


@pytest.mark.parametrize("name", ["x.csv", "x.CSV", "x.csv.gz", "x.nc", "x.h5", "x.hdf5", "x.h5ad", "x.npy"])
def test_each_ending_has_a_way(name):
    said = how_to_convert(f"/data/{name}")
    assert said.startswith(f"{name} is a")
    assert re.search(r"'/data/x\.(zarr|parquet)'\)$", said)


def test_other_endings_and_files_that_are_not_there(tmp_path):
    assert how_to_convert("/data/x.zarr") is None
    with pytest.raises(FileNotFoundError, match="No Zarr store at"):
        open_source(tmp_path / "x.csv")
