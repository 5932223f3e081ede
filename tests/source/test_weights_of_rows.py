"""Weights of rows with names: which labels are the same, and which values are refused."""

import numpy as np
import pytest
import zarr

from dem.source import open_source
from dem.source.checks import check_weight_values
from dem.source.weights_of_rows import check_labels

xr = pytest.importorskip("xarray")

pytestmark = pytest.mark.filterwarnings("ignore:.*[Cc]onsolidated metadata")
IDS = np.array([6901236, 6901235, 6901234])
TIMES = np.array(["2020-01-01", "NaT", "2020-01-03"], "M8[ns]")


def weights(labels):
    return xr.DataArray(np.ones(len(labels)), dims="n", coords={"n": labels})


@pytest.mark.parametrize(
    ("own", "rows"),
    [
        (IDS, IDS),
        (TIMES, TIMES),
        (np.linspace(-50, 50, 7, dtype="f4"), np.linspace(-50, 50, 7)),
        (np.array([0.1, np.nan]), np.array([0.1, np.nan])),
        (np.array([1.5]), np.array([1.5 + 1e-9])),
        (TIMES, np.array([0, 1, 2])),  # one of them is not decoded
    ],
)
def test_the_same_labels(own, rows):
    check_labels(weights(own), {"n": rows})


@pytest.mark.parametrize(
    ("own", "rows"),
    [(IDS[::-1], IDS), (TIMES[::-1], TIMES), (np.array([1e6, 1e6 + 1]), np.array([1e6 + 1, 1e6])), (["a"], ["b"])],
)
def test_other_labels_are_refused(own, rows):
    with pytest.raises(ValueError, match=r"at index \d it has .*, but the rows have .*\. Put it in the order"):
        check_labels(weights(own), {"n": np.asarray(rows)})


@pytest.mark.parametrize("bad", [np.nan, -1.0])
def test_broadcast_weights_are_checked(bad):
    ds = xr.Dataset({"x": (("t", "y", "d"), np.ones((3, 4, 2)))})
    broadcast = np.broadcast_to(np.array([[1.0, 1.0, 1.0, bad]]), (3, 4))
    with pytest.raises(ValueError, match=rf"sample_weight has {bad}: give such rows the weight 0"):
        open_source(ds, broadcast, sample_dims=("t", "y"))


def test_the_message_counts_the_bad_weights():
    with pytest.raises(ValueError, match=r"w has nan for row 12 \(2 of these 4 weights are wrong\): .*fillna\(0\)"):
        check_weight_values(np.array([1, 1, np.nan, -1]), "w", 10)


def test_packed_weights_are_unpacked(tmp_path):
    w = np.array([0.5, 1.5, 2.0, 0.0])
    ds = xr.Dataset({"w": ("n", w), "x": (("n", "d"), np.ones((4, 2)))})
    packed = {"w": {"dtype": "i2", "scale_factor": 0.5, "_FillValue": -9}}
    ds.to_zarr(tmp_path / "x.zarr", encoding=packed, consolidated=False)
    lazy = xr.open_zarr(tmp_path / "x.zarr", consolidated=False)
    for data, own in ((tmp_path / "x.zarr", tmp_path / "x.zarr/w"), (lazy[["x"]], lazy["w"])):
        source = open_source(data, own, sample_dims="n", variables="x")
        np.testing.assert_array_equal(source.weights_at(range(4)), w)


def test_a_group_is_no_array_of_weights(tmp_path):
    group = zarr.create_group(tmp_path / "w.zarr")
    group.create_array("area", data=np.ones(4))
    x = zarr.create_array(tmp_path / "x.zarr", data=np.ones((4, 2)))
    with pytest.raises(
        ValueError, match=r"The weights are one array, and .*w.zarr is a Zarr group.* as in .*w.zarr/area"
    ):
        open_source(x, tmp_path / "w.zarr")
