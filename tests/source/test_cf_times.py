"""Times that CF stores as numbers: xarray's own decoding is the reference."""

import numpy as np
import pytest

from dem.source import open_source
from dem.source.cf_times import decoded_times

xr = pytest.importorskip("xarray")

pytestmark = pytest.mark.filterwarnings("ignore:.*[Cc]onsolidated metadata")


@pytest.mark.parametrize(
    ("units", "values"),
    [
        ("days since 2000-01-01", [0, 1, 40]),
        ("hours since 1970-01-01 00:00:00", [0.5, 1e5]),
        ("seconds since 1990-5-3T12:30:00Z", [1, 10**9]),
        ("minutes since 2010-01-01 06:00", [-10, 17]),
        ("days since 1950-01-01 00:00:00.0", [25_567.25, np.nan]),
        ("milliseconds since 2020-01-01 00:00:01", [1, 2]),
    ],
)
def test_times_are_those_of_xarray(units, values):
    values = np.array(values)
    expected = xr.decode_cf(xr.Dataset({"t": ("t", values, {"units": units})})).t.values
    np.testing.assert_array_equal(decoded_times(values, {"units": units}), expected)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"units": "m"},
        {"units": "days since 2000-13-01"},
        {"units": "months since 2000-01-01"},
        {"units": "days since 2000-01-01", "calendar": "noleap"},
        {"units": "days since 0001-01-01"},
        {"units": "days since 2000-01-01 00:00 +2"},
    ],
)
def test_other_numbers_stay_numbers(attributes):
    assert decoded_times(np.array([1, 2]), attributes) is None
    assert decoded_times(np.array([10**12]), {"units": "days since 2000-01-01"}) is None


def test_columns_have_the_same_names_by_path_and_by_xarray(tmp_path):
    times = np.array(["2020-01-01", "2020-01-02T06:30"], "M8[ns]")
    depth = np.array([1.4e9, 1.4e9 + 4e3])
    ds = xr.Dataset({"x": (("n", "time", "depth"), np.ones((3, 2, 2)))}, {"time": times, "depth": depth})
    ds.to_zarr(tmp_path / "x.zarr", consolidated=False)
    by_path = open_source(tmp_path / "x.zarr", sample_dims="n").columns
    by_xarray = open_source(xr.open_zarr(tmp_path / "x.zarr", consolidated=False), sample_dims="n").columns
    assert by_path == by_xarray
    assert by_path.names[0] == "x(time=2020-01-01, depth=1.4e+09)"
    assert by_path.names[3] == "x(time=2020-01-02T06:30:00, depth=1400004000)"
