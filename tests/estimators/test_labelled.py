"""Outputs of xarray objects are xarray objects: with the dimensions, coordinates and attributes of the data."""

import dask.array as da
import numpy as np
import pytest

import dem
from dem.core.columns import Columns
from dem.core.rows import Rows
from dem.em.row_output import RowOutput
from dem.estimators.base import RowwiseEstimator
from dem.estimators.labelled import label_rows
from dem.source.dask_array import DaskSource
from results.labelled_rows import (
    COLUMNS,
    DIMS,
    EMPTY,
    TEMPERATURE,
    T,
    X,
    Y,
    matrix,
    memory_source,
    ocean,
    quiet,
    stored_source,
    write_ocean,
)
from shared import ENDS_AT_MAX_ITER

xarray = pytest.importorskip("xarray")
pytestmark = ENDS_AT_MAX_ITER

K, D = 2, 4
MEANS = np.array([[-1.0] * D, [1.0] * D])
MODELS = {
    "mixture": dem.GaussianMixture.from_parameters([0.4, 0.6], MEANS, [1.0, 1.0], "spherical"),
    "kmeans": dem.KMeans(K, init=MEANS, max_iter=1),
    "ppca": dem.PPCA(2),
}
METHODS = {
    "predict": ("mixture", "label", ()),
    "predict_proba": ("mixture", "proba", ("component",)),
    "score_samples": ("mixture", "score", ()),
    "entropy": ("mixture", "entropy", ()),
    "top_components": ("mixture", "top-index", ("rank",)),
    "distances": ("kmeans", "distance", ("component",)),
    "latents": ("ppca", "latent_output", ("latent",)),
}
"""Methods, each with its model, the name of its result, and the dimensions after those of the rows."""
CALLS = {"distances": "transform", "latents": "transform"}


def fitted(kind, data):
    model = MODELS[kind]
    return model if kind == "mixture" else model.fit(np.nan_to_num(matrix(data)))


def lazy_source(data):
    """Return a lazy source of the data set, with one block for each time."""
    source = memory_source(data)
    x = da.from_array(source.x, chunks=(Y * X, -1))
    rows = Rows((T, Y, X), DIMS)
    boxes = tuple(rows.whole.along_first(t, t + 1) for t in range(T))
    return DaskSource(x, None, None, rows, boxes, source.columns, source.coordinates)


@pytest.fixture(params=["memory", "lazy"])
def lazy(request, monkeypatch):
    """Whether the data are lazy; estimators take the data set as a source that is made here."""
    make = lazy_source if request.param == "lazy" else memory_source
    own = RowwiseEstimator._open

    def opened(self, data, *rest, **named):
        return make(data) if isinstance(data, xarray.Dataset) else own(self, data, *rest, **named)

    monkeypatch.setattr(RowwiseEstimator, "_open", opened)
    return request.param == "lazy"


def is_lazy(found):
    return isinstance(found.data, da.Array)


@pytest.mark.parametrize("method", METHODS)
def test_outputs_have_the_dimensions_and_coordinates(method, lazy):
    data = ocean(xarray)
    kind, name, more = METHODS[method]
    model = fitted(kind, data)
    found, plain = (getattr(model, CALLS.get(method, method))(x) for x in (data, matrix(data)))
    if method == "top_components":
        (found, weights), (plain, _) = found, plain
        assert (weights.name, weights.dims) == ("top-weight", found.dims)
    assert (found.name, found.dims) == (name, (*DIMS, *more))
    assert is_lazy(found) == lazy
    np.testing.assert_allclose(found.values.reshape(plain.shape), plain, rtol=1e-12)
    assert set(found.coords) == {"time", "lat", "station", *({"component"} & set(more))}
    xarray.testing.assert_equal(found["lat"], data["lat"])
    assert found["lat"].attrs == data["lat"].attrs
    word = name.removesuffix("_output")
    assert found.attrs["long_name"] == model.outputs[word].meaning
    assert found.attrs.get("units") == ("nats" if word in ("score", "entropy") else None)


def test_labels_say_what_they_are(lazy):
    data = ocean(xarray)
    for kind in ("mixture", "kmeans"):
        found = fitted(kind, data).predict(data)
        assert found.dtype == np.int8
        assert found.values[EMPTY] == -1
        assert found.attrs["flag_values"] == [0, 1]
        assert found.attrs["flag_meanings"] == "component_0 component_1"
        assert found.encoding["_FillValue"] == -1


def test_labels_that_are_stored_read_as_missing(lazy, tmp_path):
    labels = fitted("mixture", data := ocean(xarray)).predict(data)
    with quiet():
        labels.to_zarr(tmp_path / "labels.zarr")
        found = xarray.open_zarr(tmp_path / "labels.zarr")["label"]
    np.testing.assert_array_equal(np.isnan(found), labels == -1)


def test_filled_in_data_have_the_form_of_the_data(lazy):
    data = ocean(xarray)
    model = fitted("mixture", data)
    data["note"] = ("x", [1, 2, 3])
    filled, deviations = model.impute(data, return_std=True)
    expected, expected_deviations = model.impute(matrix(data), return_std=True)
    np.testing.assert_allclose(matrix(filled), expected, rtol=1e-12)
    np.testing.assert_allclose(matrix(deviations), expected_deviations, rtol=1e-12)
    for name in ("temperature", "mld"):
        assert is_lazy(filled[name]) == is_lazy(deviations[name]) == lazy
        assert filled[name].dims == deviations[name].dims == data[name].dims
        assert filled[name].attrs == data[name].attrs
        assert deviations[name].attrs["units"] == data[name].attrs["units"]
        assert deviations[name].attrs["long_name"].startswith("the standard deviation")
    assert list(filled.data_vars) == [*deviations.data_vars, "note"] == ["temperature", "mld", "note"]
    xarray.testing.assert_identical(filled["note"], data["note"])
    assert set(filled.coords) == set(data.coords)
    assert filled.attrs == {"title": "ocean"}


def test_a_data_array_stays_one():
    """Packed data are filled in with numbers that are not packed again."""
    data = ocean(xarray)["temperature"]
    data.encoding = {"dtype": "int16", "scale_factor": 0.1, "chunksizes": (1, 1, 1, 1)}
    values = np.arange(T * Y * X * 3.0).reshape(T, Y, X, 3)
    output = RowOutput("filled", "", columns=3)
    found = label_rows(values, output, data, DIMS, Columns(TEMPERATURE))
    assert isinstance(found, xarray.DataArray)
    np.testing.assert_array_equal(found.transpose(*DIMS, "depth"), values)
    assert (found.dims, found.name, found.attrs) == (data.dims, "temperature", data.attrs)
    assert set(found.coords) == set(data.coords)
    assert found.encoding == {}
    assert data.encoding != {}


def test_stacked_rows_keep_their_index():
    data = ocean(xarray)["mld"].stack(place=("y", "x"))
    found = label_rows(np.zeros((T, Y * X)), RowOutput("score", ""), data, ("time", "place"), COLUMNS)
    xarray.testing.assert_identical(found["place"], data["place"])
    assert found.sel(y=1, x=2).dims == ("time",)


def test_names_of_the_data_are_not_used_again():
    data = xarray.DataArray(np.zeros((3, 2)), dims=("component", "depth"), coords={"proba": ("component", [1, 2, 3])})
    output = RowOutput("proba", "", columns=2, axis="component")
    found = label_rows(np.ones((3, 2)), output, data, ("component",), COLUMNS)
    assert (found.name, found.dims) == ("proba_output", ("component", "proba_component"))
    np.testing.assert_array_equal(found["proba_component"], [0, 1])


def test_data_in_a_store_are_labelled_like_those_in_memory(tmp_path, monkeypatch):
    """A Zarr store that xarray has opened: the source reads the store, the labels come from the Dataset."""
    write_ocean(xarray, tmp_path / "in.zarr")
    with quiet():
        data = xarray.open_zarr(tmp_path / "in.zarr")
    expected = MODELS["mixture"].predict_proba(matrix(data))
    monkeypatch.setattr(RowwiseEstimator, "_open", lambda self, X: stored_source(tmp_path / "in.zarr"))
    found = MODELS["mixture"].predict_proba(data)
    assert is_lazy(found)
    assert found.dims == (*DIMS, "component")
    np.testing.assert_allclose(found.values.reshape(-1, K), expected, rtol=1e-6)
