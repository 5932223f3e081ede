"""Results for rows along named dimensions: xarray opens them with the coordinates of the rows."""

import os
from functools import partial

import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore

import dem
from crosses import cross
from dem.core.columns import Column, Columns
from dem.core.rows import Rows
from dem.em.row_output import RowOutput
from dem.engine.sweep.serial import SerialSweep
from dem.results.axes import Axis
from dem.results.nodes import layout_at
from dem.results.output_plan import ArrayPlan, OutputPlan, is_labelled, output_plan
from dem.results.row_outputs import Destination, write
from dem.source import open_source
from dem.source.in_memory import MemorySource
from dem.source.variable import Variable
from dem.source.zarr import ZarrSource
from dem.source.zarr_rows import ZarrRows
from results.labelled_rows import (
    COLUMNS,
    DEPTHS,
    DIMS,
    EMPTY,
    MIXED_LAYER,
    TEMPERATURE,
    matrix,
    memory_source,
    ocean,
    quiet,
    stored_source,
    write_ocean,
)

xarray = pytest.importorskip("xarray")

pytestmark = pytest.mark.filterwarnings("ignore:X has feature names, but GaussianMixture was fitted without")

K, D = 2, 4
MODEL = dem.GaussianMixture.from_parameters([0.4, 0.6], np.array([[-1.0] * D, [1.0] * D]), [1.0, 1.0], "spherical")
OF_DEPTHS = dem.GaussianMixture.from_parameters([0.4, 0.6], np.array([[-1.0] * 3, [1.0] * 3]), [1.0, 1.0], "spherical")
PLAIN = {
    "label": MODEL.predict,
    "proba": MODEL.predict_proba,
    "score": MODEL.score_samples,
    "entropy": MODEL.entropy,
    "top-index:2": lambda x: MODEL.top_components(x, 2)[0],
    "top-weight:1": lambda x: MODEL.top_components(x, 1)[1],
}
"""Outputs that have no columns of the data, each with the function for a matrix."""
AXES = {"proba": "component", "top-index:2": "rank", "top-weight:1": "rank"}
FORMATS, METADATA = {"v2": 2, "v3": 3}, {"plain": False, "consolidated": True}
COORDINATES = ("time", "lat", "station")


def opened(where, **options):
    with quiet():
        return xarray.open_zarr(where, chunks=None, **options).load()


def assert_has_coordinates_of(found, data, names=COORDINATES):
    for name in names:
        assert name in found.coords
        xarray.testing.assert_equal(found[name].drop_vars(found[name].coords), data[name].drop_vars(data[name].coords))
        assert found[name].attrs == data[name].attrs


def assert_is_output(array, what, data):
    """An array has the values, dimensions and attributes of an output of the data set."""
    name, rows = what.partition(":")[0], matrix(data)
    assert array.dims == (*DIMS, *([AXES[what]] if what in AXES else []))
    expected = PLAIN[what](rows).reshape(array.shape)
    if name in ("label", "top-index"):
        assert array.attrs["flag_values"] == [0, 1]
        assert array.attrs["flag_meanings"] == "component_0 component_1"
        expected = np.where(expected == -1, np.nan, expected)
    np.testing.assert_allclose(array, expected, rtol=1e-6)
    assert np.isnan(array.values[EMPTY]).all()
    assert array.attrs["long_name"] == MODEL.outputs[name].meaning
    assert array.attrs.get("units") == ("nats" if name in ("score", "entropy") else None)


@cross("zarr_format, consolidated, what", FORMATS, METADATA, list(PLAIN), one_in=6)
def test_alone_it_is_a_group_with_the_coordinates(zarr_format, consolidated, what, tmp_path):
    data = write_ocean(xarray, tmp_path / "in.zarr", zarr_format, consolidated=consolidated)
    MODEL.write(stored_source(tmp_path / "in.zarr"), tmp_path / "out.zarr", what)
    found = opened(tmp_path / "out.zarr", consolidated=True)
    assert list(found.data_vars) == [what.partition(":")[0]]
    assert_is_output(found[what.partition(":")[0]], what, data)
    assert_has_coordinates_of(found, data)
    assert ("component" in found.coords) == (what == "proba")
    for node in (found, found[what.partition(":")[0]]):
        assert [node.attrs[name] for name in ("what", "model", "source")] == [what, "GaussianMixture", "ocean.zarr"]
    assert zarr.open_group(tmp_path / "out.zarr").metadata.zarr_format == zarr_format
    assert sorted(os.listdir(tmp_path)) == ["in.zarr", "out.zarr"]


@cross("zarr_format, consolidated, what", FORMATS, METADATA, list(PLAIN), one_in=6)
def test_in_the_group_of_the_data_it_is_one_more_array(zarr_format, consolidated, what, tmp_path):
    place = tmp_path / "in.zarr"
    data = write_ocean(xarray, place, zarr_format, consolidated=consolidated)
    before = opened(place, consolidated=consolidated)
    for _ in range(2):
        MODEL.write(stored_source(place), place / "result", what, overwrite=True)
    found = opened(place, consolidated=consolidated)
    assert_is_output(found["result"], what, data)
    xarray.testing.assert_identical(found.drop_vars("result"), before)
    assert set(found["result"].coords) == set(COORDINATES)


def test_labels_on_disk_are_integers_with_a_fill_value(tmp_path):
    for zarr_format in (2, 3):
        data = write_ocean(xarray, tmp_path / f"{zarr_format}.zarr", zarr_format)
        MODEL.write(stored_source(tmp_path / f"{zarr_format}.zarr"), tmp_path / f"l{zarr_format}.zarr", "label")
        found = opened(tmp_path / f"l{zarr_format}.zarr", mask_and_scale=False)["label"]
        assert found.dtype == np.int8
        assert found.attrs["_FillValue"] == -1
        np.testing.assert_array_equal(found.values.ravel(), MODEL.predict(matrix(data)))


@cross("zarr_format, what", FORMATS, ["filled", "deviation"])
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "inside"])
def test_several_variables_are_a_group_of_their_own(zarr_format, what, inside, tmp_path):
    place = tmp_path / "in.zarr"
    data = write_ocean(xarray, place, zarr_format)
    out = place / "deep" / what if inside else tmp_path / "out.zarr"
    MODEL.write(stored_source(place), out, what)
    found = opened(out, consolidated=True)
    assert {name: found[name].dims for name in found.data_vars} == {"temperature": (*DIMS, "depth"), "mld": DIMS}
    assert_has_coordinates_of(found, data)
    np.testing.assert_array_equal(found["depth"], DEPTHS)
    filled, deviations = MODEL.impute(matrix(data), return_std=True)
    np.testing.assert_allclose(matrix(found), filled if what == "filled" else deviations, rtol=1e-6)
    assert found["mld"].attrs["units"] == "m"
    assert found["temperature"].attrs["units"] == "degC"
    if what == "filled":
        assert found["temperature"].attrs["long_name"] == "sea temperature"
    if inside:
        with quiet():
            tree = xarray.open_datatree(place, engine="zarr")
        assert set(tree[f"deep/{what}"].data_vars) == {"temperature", "mld"}


def test_one_variable_is_an_array_of_the_group(tmp_path):
    place = tmp_path / "in.zarr"
    data = write_ocean(xarray, place)
    source = stored_source(place, ("temperature",))
    OF_DEPTHS.write(source, place / "filled", "filled")
    OF_DEPTHS.write(source, tmp_path / "out.zarr", "filled")
    inside, alone = opened(place)["filled"], opened(tmp_path / "out.zarr")["filled"]
    for found in (inside, alone):
        assert found.dims == (*DIMS, "depth")
        assert found.attrs["units"] == "degC"
        np.testing.assert_array_equal(found["depth"], DEPTHS)
        np.testing.assert_allclose(
            found.values.reshape(-1, 3), OF_DEPTHS.impute(matrix(data, ("temperature",))), rtol=1e-6
        )
    assert inside["depth"].attrs == data["depth"].attrs


def test_coordinates_of_xarray_are_written_by_xarray(tmp_path):
    data = ocean(xarray)
    MODEL.write(memory_source(data), tmp_path / "out.zarr", "proba")
    found = opened(tmp_path / "out.zarr", consolidated=True)
    assert_has_coordinates_of(found, data)
    assert_is_output(found["proba"], "proba", data)


def test_stacked_dimensions_keep_their_levels(tmp_path):
    data = ocean(xarray)
    stacked = data.stack(place=("y", "x"))["mld"].transpose("time", "place")
    coordinates = type(memory_source(data).coordinates)(stacked.coords.to_dataset())
    source = MemorySource(
        np.nan_to_num(stacked.values).reshape(-1, 1),
        given_rows=Rows(stacked.shape, stacked.dims),
        given_columns=Columns((MIXED_LAYER,)),
        coordinates=coordinates,
    )
    model = dem.GaussianMixture.from_parameters([0.5, 0.5], [[-1.0], [1.0]], [1.0, 1.0], "spherical")
    model.write(source, tmp_path / "out.zarr", "label")
    found = opened(tmp_path / "out.zarr")
    assert found["label"].dims == ("time", "place")
    np.testing.assert_array_equal(found["y"], stacked["y"])
    np.testing.assert_array_equal(found["x"], stacked["x"])


def test_at_a_url(tmp_path):
    url = f"memory://{tmp_path.name}/out.zarr"
    data = write_ocean(xarray, tmp_path / "in.zarr")
    for _ in range(2):
        MODEL.write(stored_source(tmp_path / "in.zarr"), url, "label", overwrite=True)
    found = opened(url, consolidated=True)
    assert_is_output(found["label"], "label", data)
    assert_has_coordinates_of(found, data)
    assert found.attrs["complete"] is True
    with pytest.raises(FileExistsError, match="exists already"):
        MODEL.write(stored_source(tmp_path / "in.zarr"), url, "label")


OUTPUT = RowOutput("label", "the sign", np.dtype("i1"), n_labels=2)


def first_column(stop_at, seen, block):
    """Return a label for each row; stop at a block, as if the process were killed."""
    if stop_at is not None and len(seen) == stop_at:
        raise KeyboardInterrupt
    seen.append(block.keys.first)
    return (block.x[:, 0] > 0).astype(np.int8)


def written(source, where, stop_at=None):
    """Write labels for a source; return the first keys of the blocks that were computed, and what was noted."""
    seen, notes = [], []
    make_rows = partial(partial, first_column, stop_at, seen)
    write(SerialSweep(source), source, make_rows, Destination(where, OUTPUT, job={"a": 1}), note=notes.append)
    return seen, notes


@pytest.mark.parametrize("place", ["disk", "url"])
def test_an_interrupted_job_goes_on(place, tmp_path):
    write_ocean(xarray, tmp_path / "in.zarr")
    source = stored_source(tmp_path / "in.zarr", partition_bytes=1)
    out = f"{tmp_path}/out.zarr" if place == "disk" else f"memory://{tmp_path.name}/resumed.zarr"
    whole, _ = written(source, f"{tmp_path}/whole.zarr")
    assert len(whole) > 3
    with pytest.raises(KeyboardInterrupt, match="run the same command again to continue"):
        written(source, out, stop_at=2)
    if place == "disk":
        assert not os.path.exists(out)
    else:
        assert zarr.open_group(out, mode="r").attrs["complete"] is False
        with pytest.raises(ValueError, match=r"label is not complete"):
            open_source(f"{out}/label")
    rest, notes = written(source, out)
    assert rest == whole[2:]
    assert notes[0].startswith(f"continuing: 2 of {len(whole)} regions are written already")
    one, other = opened(out, consolidated=True), opened(tmp_path / "whole.zarr", consolidated=True)
    xarray.testing.assert_equal(one, other)
    assert sorted(name for name in os.listdir(tmp_path) if name.startswith(".")) == []


def test_only_groups_that_dem_wrote_are_overwritten(tmp_path):
    write_ocean(xarray, tmp_path / "in.zarr")
    source = stored_source(tmp_path / "in.zarr")
    MODEL.write(source, tmp_path / "out.zarr", "label")
    with pytest.raises(FileExistsError, match=r"out\.zarr exists already"):
        MODEL.write(source, tmp_path / "out.zarr", "proba")
    MODEL.write(source, tmp_path / "out.zarr", "proba", overwrite=True)
    assert list(opened(tmp_path / "out.zarr").data_vars) == ["proba"]
    zarr.open_group(tmp_path / "out.zarr", use_consolidated=False).create_array("mine", data=np.ones(3))
    write_ocean(xarray, tmp_path / "foreign.zarr")
    for name in ("out.zarr", "foreign.zarr"):
        with pytest.raises(FileExistsError, match=f"{name} exists, but only results that dem wrote are overwritten"):
            MODEL.write(source, tmp_path / name, "label", overwrite=True)
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "out.zarr" / "mine")[...], 1)
    with pytest.raises(FileExistsError, match=r"in\.zarr is the input or contains it"):
        MODEL.write(source, tmp_path / "in.zarr", "label", overwrite=True)


def test_the_group_of_an_array_may_replace_it_and_be_replaced(tmp_path):
    write_ocean(xarray, tmp_path / "in.zarr")
    labelled, rows = stored_source(tmp_path / "in.zarr"), np.ones((5, D))
    for data, kind in ((rows, zarr.Array), (labelled, zarr.Group), (rows, zarr.Array)):
        MODEL.write(data, tmp_path / "out.zarr", "label", overwrite=True)
        assert isinstance(zarr.open(tmp_path / "out.zarr", mode="r"), kind)


def test_a_matrix_is_not_labelled_by_the_names_of_its_axes(tmp_path):
    array = zarr.create_array(MemoryStore(), data=np.ones((4, D)), dimension_names=["time", "band"])
    assert not is_labelled(open_source(array))
    assert not is_labelled(open_source(np.ones((4, D))))
    variable = Variable(array, "x")
    assert is_labelled(ZarrSource(ZarrRows((variable,), Rows((4,), ("time",)), "x"), given_columns=COLUMNS))
    unnamed = Variable(zarr.create_array(MemoryStore(), data=np.ones((4, 3, D))), "x", None, (0, 1))
    source = ZarrSource(ZarrRows((unnamed,), Rows((4, 3), ("time", "y")), "x"))
    assert is_labelled(source)
    MODEL.write(source, tmp_path / "out.zarr", "filled")
    assert opened(tmp_path / "out.zarr")["filled"].dims == ("time", "y", "column")


def plan_of(source, output):
    return output_plan(source, output, source.rows.shape)


def names_of(layout):
    return {array.name: array.settings["dimension_names"] for array in layout.arrays}


def test_names_that_are_taken_are_not_used_again(tmp_path):
    """The results have another name than axes and coordinates, and axes with other labels have other names."""
    of_data = RowOutput("filled", "", columns=D)
    x = np.ones((6, D))
    rows = {"given_rows": Rows((6,), ("component",))}
    selected = Columns((*TEMPERATURE[:2], *(Column(c.name, "salinity", c.at) for c in TEMPERATURE[1:])))
    where = str(tmp_path / "out.zarr")
    proba = RowOutput("component", "", columns=2, axis="component")
    found = layout_at(where, plan_of(MemorySource(x, given_columns=COLUMNS, **rows), proba))
    assert names_of(found) == {"component_output": ["component", "component_output_component"]}
    found = layout_at(where, plan_of(MemorySource(x, given_columns=selected, **rows), of_data))
    assert names_of(found) == {
        "temperature": ["component", "depth"],
        "salinity": ["component", "salinity_depth"],
    }
    assert found.labels == {"depth": (5.0, 10.0), "salinity_depth": (10.0, 20.0)}


def test_axes_of_another_length_get_names_of_their_own(tmp_path):
    """Responsibilities of two models with different numbers of components in one group."""
    place = tmp_path / "in.zarr"
    data = write_ocean(xarray, place)
    three = dem.GaussianMixture.from_parameters([0.2, 0.3, 0.5], np.eye(3, D), [1.0] * 3, "spherical")
    MODEL.write(stored_source(place), place / "two", "proba")
    three.write(stored_source(place), place / "three", "proba")
    found = opened(place)
    assert (found["two"].dims[-1], found["three"].dims[-1]) == ("component", "three_component")
    np.testing.assert_allclose(found["three"].values.reshape(-1, 3), three.predict_proba(matrix(data)), rtol=1e-6)


@pytest.mark.parametrize(("dtype", "fill"), [("|u1", None), ("|b1", None), ("|i1", -1)])
def test_in_a_v2_group_zeros_are_not_missing(dtype, fill, tmp_path):
    zarr.create_group(tmp_path / "g.zarr", zarr_format=2)
    plan = OutputPlan((ArrayPlan("sample", (Axis(4, "row"),), (4,), dtype),))
    assert layout_at(str(tmp_path / "g.zarr" / "sample"), plan).settings["fill_value"] == fill


def test_rows_of_another_group_bring_no_coordinates(tmp_path):
    """In a group where time has another length, the rows of all variables get one new axis."""
    write_ocean(xarray, tmp_path / "in.zarr")
    zarr.create_group(tmp_path / "g.zarr").create_array("t", shape=(99,), dtype="f8", dimension_names=["time"])
    MODEL.write(stored_source(tmp_path / "in.zarr"), tmp_path / "g.zarr" / "filled", "filled")
    found = opened(tmp_path / "g.zarr" / "filled")
    assert found["temperature"].dims == ("filled_row", "y", "x", "depth")
    assert found["mld"].dims == ("filled_row", "y", "x")
    assert list(found.coords) == ["depth"]
