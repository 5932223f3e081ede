"""Rows along several named dimensions, with coordinates: a small data set of the ocean, in Zarr and in memory."""

import warnings
from contextlib import contextmanager

import numpy as np
import zarr

from dem.core.columns import Column, Columns
from dem.core.rows import Rows
from dem.source.coordinates import StoredCoordinates, XarrayCoordinates
from dem.source.decode import decoding_of_array
from dem.source.in_memory import MemorySource
from dem.source.variable import Variable
from dem.source.zarr import ZarrSource
from dem.source.zarr_rows import ZarrRows

T, Y, X, Z = 7, 4, 3, 3
DIMS = ("time", "y", "x")
DEPTHS = (5.0, 10.0, 20.0)
TEMPERATURE = tuple(
    Column(f"temperature(depth={z:g})", "temperature", (("depth", z),), "degC", "sea temperature") for z in DEPTHS
)
MIXED_LAYER = Column("mld", "mld", (), "m")
COLUMNS = Columns((*TEMPERATURE, MIXED_LAYER))
EMPTY = (2, 1, 1)
"""The row without any value."""


@contextmanager
def quiet():
    """Hide what xarray and zarr say of consolidated metadata, texts and codecs in the formats of Zarr."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def ocean(xarray):
    """Return the data set: a variable with the sample dimensions between others, and one in another order."""
    rng = np.random.default_rng(3)
    temperature, mld = rng.normal(size=(T, Z, Y, X)).astype("f4"), rng.normal(size=(Y, X, T))
    t, y, x = EMPTY
    temperature[t, :, y, x], mld[y, x, t] = np.nan, np.nan
    temperature[3, 1, y, x] = np.nan
    return xarray.Dataset(
        {
            "temperature": (
                ("time", "depth", "y", "x"),
                temperature,
                {"units": "degC", "long_name": "sea temperature"},
            ),
            "mld": (("y", "x", "time"), mld, {"units": "m"}),
        },
        coords={
            "time": np.datetime64("2020-01-01", "ns") + np.arange(T) * np.timedelta64(6, "h"),
            "depth": ("depth", list(DEPTHS), {"units": "m", "positive": "down"}),
            "lat": (("y", "x"), rng.normal(size=(Y, X)), {"units": "degrees_north"}),
            "station": ("x", np.array(["a", "bb", "c"])),
        },
        attrs={"title": "ocean"},
    )


def write_ocean(xarray, where, zarr_format=3, *, consolidated=True):
    """Write the data set to a Zarr group, in chunks; return the data set."""
    found = ocean(xarray)
    encoding = {"temperature": {"chunks": (2, 2, 2, 3)}, "mld": {"chunks": (2, 3, 4)}, "lat": {"chunks": (2, 2)}}
    with quiet():
        found.to_zarr(where, zarr_format=zarr_format, consolidated=consolidated, encoding=encoding)
    return found


def stored_source(where, names=("temperature", "mld"), **options):
    """Return the source of some variables of the group that `write_ocean` wrote."""
    with quiet():
        group = zarr.open_group(where, mode="r", use_consolidated=False)
        arrays = {name: group[name] for name in ("temperature", "mld", "time", "lat", "station")}
    axes = {"temperature": (0, 2, 3), "mld": (2, 0, 1)}
    variables = tuple(Variable(arrays[name], name, decoding_of_array(arrays[name]), axes[name]) for name in names)
    columns = Columns(tuple(column for column in COLUMNS if column.variable in names))
    coordinates = StoredCoordinates({name: arrays[name] for name in ("time", "lat", "station")})
    rows = ZarrRows(variables, Rows((T, Y, X), DIMS), "ocean.zarr")
    return ZarrSource(rows, None, given_columns=columns, coordinates=coordinates, **options)


def matrix(data, names=("temperature", "mld")):
    """Return the rows (n, d) of some variables of the data set."""
    parts = [data[name].transpose(*DIMS, ...).values.reshape(T * Y * X, -1) for name in names]
    return np.concatenate(parts, axis=1)


def memory_source(data, names=("temperature", "mld")):
    """Return the source of the data set in memory."""
    kept = (
        data[["time", "lat", "station"]]
        .reset_coords(drop=True)[[]]
        .assign_coords({name: data.coords[name] for name in ("time", "lat", "station")})
    )
    columns = Columns(tuple(column for column in COLUMNS if column.variable in names))
    return MemorySource(
        matrix(data, names),
        given_rows=Rows((T, Y, X), DIMS),
        given_columns=columns,
        coordinates=XarrayCoordinates(kept),
    )
