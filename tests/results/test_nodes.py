"""What is written into a Zarr group that others read leaves it readable, by xarray too where that is installed."""

import json
import os
import warnings
from contextlib import contextmanager

import numpy as np
import pytest
import zarr

import dem
from crosses import cross
from dem.storage.hierarchy import dimension_names

X = np.random.default_rng(0).normal(size=(60, 3))
MODEL = dem.GaussianMixture.from_parameters([0.5, 0.5], np.array([[0.0] * 3, [2.0] * 3]), [1.0, 1.0], "spherical")
OUTPUTS = {
    "label": lambda data, path: MODEL.write(data, path, "label"),
    "proba": lambda data, path: MODEL.write(data, path, "proba"),
    "filled": lambda data, path: MODEL.write(data, path, "filled"),
    "sample": lambda data, path: MODEL.write_sample(40, path),
    "model": lambda data, path: MODEL.save(path),
}
EXPECTED = {
    "label": lambda: MODEL.predict(X),
    "proba": lambda: MODEL.predict_proba(X),
    "filled": lambda: X,
    "sample": lambda: MODEL.sample(40)[0],
}
NAMES = {
    "label": ("time",),
    "proba": ("time", "proba_column"),
    "filled": ("time", "band"),
    "sample": ("sample_row", "sample_column"),
}


@contextmanager
def quiet():
    """Hide that the specification of Zarr v3 does not speak of consolidated metadata."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        yield


def make_group(where, zarr_format, *, consolidated, names=("time", "band")):
    """Write a group as xarray does: an array of rows, and a coordinate along them."""
    group = zarr.create_group(where, zarr_format=zarr_format)
    for name, values, axes in (("x", X, names), ("time", np.arange(60), names[:1])):
        named = {"dimension_names": axes} if zarr_format == 3 else {"attributes": {"_ARRAY_DIMENSIONS": list(axes)}}
        empty = {"fill_value": np.nan} if zarr_format == 3 else {"fill_value": None}
        chunks = (25, *values.shape[1:])
        group.create_array(name, shape=values.shape, dtype="f8", chunks=chunks, **named, **empty)[...] = values
    if consolidated:
        with quiet():
            zarr.consolidate_metadata(where, zarr_format=zarr_format)


FORMATS, METADATA = {"v2": 2, "v3": 3}, {"plain": False, "consolidated": True}


@pytest.fixture(params=FORMATS.values(), ids=FORMATS)
def zarr_format(request):
    return request.param


@pytest.fixture(params=METADATA.values(), ids=METADATA)
def consolidated(request):
    return request.param


@pytest.fixture(params=["disk", "url"])
def place(request, tmp_path):
    return f"{tmp_path}/g.zarr" if request.param == "disk" else f"memory://{tmp_path.name}/g.zarr"


def opened(place, consolidated):
    with quiet():
        return zarr.open_group(place, mode="r", use_consolidated=consolidated)


@cross(
    "zarr_format, consolidated, place, what",
    FORMATS,
    METADATA,
    ["disk", "url"],
    list(EXPECTED),
    indirect=["zarr_format", "consolidated", "place"],
)
def test_an_array_is_one_of_the_group(what, zarr_format, consolidated, place):
    make_group(place, zarr_format, consolidated=consolidated)
    OUTPUTS[what](f"{place}/x", f"{place}/{what}")
    group = opened(place, consolidated)
    assert sorted(group.keys()) == sorted(["x", "time", what])
    array = group[what]
    assert array.metadata.zarr_format == zarr_format
    np.testing.assert_allclose(array[...], EXPECTED[what](), rtol=1e-12)
    of_rows = (
        ("sample_row", "sample_column")
        if what == "sample"
        else ("time", "band" if what == "filled" else "proba_column")
    )
    assert dimension_names(array) == of_rows[: array.ndim]


@cross(
    "zarr_format, consolidated, what",
    FORMATS,
    METADATA,
    list(OUTPUTS),
    indirect=["zarr_format", "consolidated"],
)
def test_xarray_reads_the_group(what, zarr_format, consolidated, tmp_path):
    xarray = pytest.importorskip("xarray")
    place = f"{tmp_path}/g.zarr"
    make_group(place, zarr_format, consolidated=consolidated)
    if what == "model" and zarr_format == 2:
        with pytest.raises(FileExistsError, match=r"inside the Zarr v2 group .*g\.zarr, but a model has Zarr format 3"):
            OUTPUTS[what](f"{place}/x", f"{place}/{what}")
    else:
        OUTPUTS[what](f"{place}/x", f"{place}/{what}")
    with warnings.catch_warnings(), quiet():
        warnings.filterwarnings("ignore", message="The default value for|Numcodecs codecs are not", append=True)
        found = xarray.open_zarr(place, consolidated=consolidated, chunks=None)
        tree = xarray.open_datatree(place, engine="zarr", consolidated=consolidated)
    np.testing.assert_array_equal(found["x"], X)
    if what in EXPECTED:
        np.testing.assert_allclose(found[what], EXPECTED[what](), rtol=1e-12)
        assert not np.isnan(found[what]).any()  # labels of 0 are no missing values
    elif zarr_format == 3:
        assert "model" in tree.children


def test_a_model_in_a_group_is_replaced_there(consolidated, place):
    make_group(place, 3, consolidated=consolidated)
    for _ in range(2):
        MODEL.save(f"{place}/deep/model", overwrite=True)
    np.testing.assert_array_equal(dem.load(f"{place}/deep/model").means_, MODEL.means_)
    told = [opened(place, use).members(max_depth=None) for use in {False, consolidated}]
    arrays = [{path for path, node in members if isinstance(node, zarr.Array)} for members in told]
    assert all(found == arrays[0] and len([p for p in found if p.endswith("/means_")]) == 1 for found in arrays)


def test_names_that_do_not_fit_are_not_taken(tmp_path):
    """An axis has one length in a group: rows of another group may have the same name for another length."""
    make_group(tmp_path / "data.zarr", 3, consolidated=False, names=("time", "time2"))
    other = zarr.create_group(tmp_path / "g.zarr")
    other.create_array("t", shape=(7,), dtype="f8", dimension_names=["time"])
    other.create_array("u", shape=(9,), dtype="f8", dimension_names=["label_row"])
    for _ in range(2):  # its own name is no obstacle to a second writing
        MODEL.write(tmp_path / "data.zarr" / "x", tmp_path / "g.zarr" / "label", "label", overwrite=True)
        assert dimension_names(other["label"]) == ("label_row1",)
    MODEL.write(tmp_path / "data.zarr" / "x", tmp_path / "g.zarr" / "time2", "filled")
    assert dimension_names(other["time2"]) == ("time2_row", "time2_column")


def test_a_neighbour_that_cannot_be_read_is_told_of(tmp_path):
    zarr.create_array(tmp_path / "g.zarr" / "x", data=X)
    group = zarr.open_group(tmp_path / "g.zarr", mode="a")
    (tmp_path / "g.zarr" / "bad").mkdir()
    (tmp_path / "g.zarr" / "bad" / "zarr.json").write_text("{broken")
    with pytest.raises(ValueError, match=r"^Cannot read the metadata of an array or group in .*g.zarr "):
        MODEL.write(tmp_path / "g.zarr" / "x", tmp_path / "g.zarr" / "label", "label")
    assert "label" not in group


def test_rows_without_names(tmp_path):
    zarr.create_array(tmp_path / "x.zarr", data=X)
    zarr.create_group(tmp_path / "g.zarr")
    MODEL.write(tmp_path / "x.zarr", tmp_path / "g.zarr" / "proba", "proba")
    assert dimension_names(zarr.open_array(tmp_path / "g.zarr" / "proba")) == ("proba_row", "proba_column")


def test_groups_between_are_made(zarr_format, consolidated, place):
    make_group(place, zarr_format, consolidated=consolidated)
    MODEL.write(f"{place}/x", f"{place}/a/b/label", "label")
    np.testing.assert_array_equal(opened(place, consolidated)["a/b/label"][...], MODEL.predict(X))


def test_the_group_is_left_alone_while_work_goes_on(tmp_path, monkeypatch):
    """Locks and what is unfinished stand beside the group, where its readers do not stumble over them."""
    make_group(tmp_path / "g.zarr", 3, consolidated=True)
    before, seen = sorted(os.listdir(tmp_path / "g.zarr")), []
    rows = type(MODEL._fitted()[0]).rows

    def watched(self, params, what):
        seen.append(sorted(os.listdir(tmp_path / "g.zarr")))
        seen.append(sorted(os.listdir(tmp_path)))
        return rows(self, params, what)

    monkeypatch.setattr(type(MODEL._fitted()[0]), "rows", watched)
    MODEL.write(tmp_path / "g.zarr" / "x", tmp_path / "g.zarr" / "label", "label")
    inside, outside = seen[:2]
    assert inside == before
    assert [name[:14] for name in outside] == [".g.zarr.label.", ".g.zarr.label.", "g.zarr"]
    assert os.listdir(tmp_path) == ["g.zarr"]


def test_a_write_that_fails_at_a_url_is_not_told_of(tmp_path):
    place = f"memory://{tmp_path.name}/g.zarr"
    make_group(place, 3, consolidated=True)
    MODEL.write(f"{place}/x", f"{place}/label", "label")
    bad = X.copy()
    bad[3, 0] = np.inf
    zarr.create_array(tmp_path / "bad.zarr", data=bad)
    with pytest.raises(ValueError, match="inf"):
        MODEL.write(tmp_path / "bad.zarr", f"{place}/label", "label", overwrite=True)
    assert sorted(opened(place, True).keys()) == ["time", "x"]


def test_the_attributes_of_a_group_stay(tmp_path):
    make_group(tmp_path / "g.zarr", 3, consolidated=False)
    zarr.open_group(tmp_path / "g.zarr", mode="r+").update_attributes({"title": "rows"})
    with quiet():
        zarr.consolidate_metadata(tmp_path / "g.zarr")
    MODEL.write(tmp_path / "g.zarr" / "x", tmp_path / "g.zarr" / "label", "label")
    document = json.loads((tmp_path / "g.zarr" / "zarr.json").read_text())
    assert document["attributes"] == {"title": "rows"}
    assert "label" in document["consolidated_metadata"]["metadata"]
