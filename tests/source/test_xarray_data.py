"""xarray objects and Zarr groups with named dimensions: all forms give the rows and columns that xarray stacks."""

import itertools
import pickle
import re

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.storage import MemoryStore

import dem
from dem.core.rows import Rows
from dem.source import evaluate, open_source
from dem.source.dask_array import DaskSource
from dem.source.in_memory import MemorySource
from dem.source.variable import Variable
from dem.source.zarr import ZarrSource
from dem.source.zarr_rows import ZarrRows

pd = pytest.importorskip("pandas")
xr = pytest.importorskip("xarray")

SLOW = pytest.mark.slow
RNG = np.random.default_rng(0)
T, Y, X = 13, 6, 5


def dataset():
    """Return two variables with the dimensions in different orders, land, and coordinates."""
    a, b = RNG.normal(size=(T, Y, X, 2)), RNG.normal(size=(3, X, T, Y)).astype("f4")
    a[:, 1:3, 2], b[:, 2, :, 1:3] = np.nan, np.nan
    a[4, 0, 0, 1] = np.nan
    return xr.Dataset(
        {
            "a": (("time", "lat", "lon", "level"), a, {"units": "K", "long_name": "temperature"}),
            "b": (("band", "lon", "time", "lat"), b),
        },
        {
            "time": np.arange(T) * 10,
            "lat": np.linspace(-50, 50, Y),
            "level": [5.0, 10.0],
            "station": ("lat", np.arange(Y)),
        },
        {"title": "made up"},
    )


DATASET = dataset()
DIMS = ("time", "lat", "lon")


def stacked(ds, dims):
    """Return the rows and columns, by xarray's own operations."""
    parts = []
    for name in ds.data_vars:
        others = [dim for dim in ds[name].dims if dim not in dims]
        parts.append(ds[name].transpose(*dims, *others).values.reshape(np.prod([ds.sizes[dim] for dim in dims]), -1))
    return np.concatenate(parts, axis=1)


def rows_of(source):
    """Return all rows, each at the place that its key says, and their weights."""
    out, weights = np.full((source.n_rows, source.n_columns), np.pi), np.full(source.n_rows, -1.0)
    seen = np.zeros(source.n_rows, int)
    for partition in source.partitions:
        for block in pickle.loads(pickle.dumps(evaluate(partition))).blocks():
            keys = block.keys.of(np.arange(len(block.x)))
            out[keys], weights[keys] = block.x, 1 if block.weight is None else block.weight
            seen[keys] += 1
    assert (seen == 1).all()
    return out, weights


@pytest.fixture(scope="module", params=[2, 3])
def path(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / f"v{request.param}.zarr"
    chunks = {"a": {"chunks": (4, 3, 5, 1)}, "b": {"chunks": (2, 5, 6, 2)}}
    DATASET.to_zarr(path, zarr_format=request.param, encoding=chunks, consolidated=request.param == 2)
    return path


def opened(path, **more):
    return xr.open_zarr(path, consolidated=path.name == "v2.zarr", **more)[["a", "b"]]


def forms(path):
    """Return the same data in all forms, with the class of source that each should have."""
    return {
        "memory": (DATASET, MemorySource),
        "path": (path, ZarrSource),
        "text": (str(path), ZarrSource),
        "group": (zarr.open_group(path, mode="r"), ZarrSource),
        "lazy": (opened(path, chunks=None), ZarrSource),
        "dask": (opened(path), ZarrSource),
        "dask-auto": (opened(path, chunks="auto"), ZarrSource),
        "dask-other-chunks": (opened(path).chunk(time=5, lat=4, lon=2), DaskSource),
    }


@pytest.mark.parametrize(
    "dims", [DIMS, pytest.param(("lon", "time", "lat"), marks=SLOW), ("time",), pytest.param("lat", marks=SLOW)]
)
def test_all_forms_give_the_same_rows(path, dims):
    listed = (dims,) if isinstance(dims, str) else dims
    expected = stacked(DATASET, listed)
    for name, (data, kind) in forms(path).items():
        source = open_source(data, sample_dims=dims, variables=["a", "b"])
        assert isinstance(source, kind), name
        assert source.rows.dims == listed
        np.testing.assert_array_equal(rows_of(source)[0], expected, err_msg=name)
        assert len(source.columns) == source.n_columns
        keys = [0, source.n_rows // 2, source.n_rows - 1]
        np.testing.assert_array_equal(source.rows_at(keys), expected[keys])
        assert {"station"} <= set(source.coordinates.names) or "lat" not in listed
        assert "level" not in source.coordinates.names


def test_columns_have_the_names_coordinates_and_units_of_the_data(path):
    for data, _ in forms(path).values():
        columns = open_source(data, sample_dims=DIMS, variables=["a", "b"]).columns
        assert columns.names == ("a(level=5)", "a(level=10)", "b(band=0)", "b(band=1)", "b(band=2)")
        assert columns.variables == ("a", "b")
        assert (columns[0].units, columns[0].long_name, columns[0].at) == ("K", "temperature", (("level", 5.0),))


def test_a_part_of_a_lazy_array_is_read_through_xarray(path):
    part = opened(path, chunks=None).isel(time=slice(2, 11))
    source = open_source(part, sample_dims=DIMS)
    assert isinstance(source, DaskSource)
    np.testing.assert_array_equal(rows_of(source)[0], stacked(DATASET.isel(time=slice(2, 11)), DIMS))


def test_netcdf_is_read_lazily(tmp_path):
    DATASET.drop_vars("station").to_netcdf(tmp_path / "x.nc", engine="scipy")
    with xr.open_dataset(tmp_path / "x.nc", engine="scipy") as lazy:
        source = open_source(lazy, sample_dims=DIMS)
        assert isinstance(source, DaskSource)
        assert source.read_bytes > 100 * 2**20  # workers import xarray
        np.testing.assert_array_equal(rows_of(source)[0], stacked(DATASET, DIMS))


def test_one_dimensional_variables_need_no_sample_dims(tmp_path):
    ds = xr.Dataset({"x": ("n", np.arange(5.0)), "y": ("n", np.arange(5) % 2)})
    ds.to_zarr(tmp_path / "x.zarr", zarr_format=3, consolidated=False)
    for data, more in ((ds, {}), (tmp_path / "x.zarr", {"variables": ["x", "y"]}), (ds["x"], {})):
        source = open_source(data, **more)
        assert source.columns.names == ("x", "y")[: source.n_columns]
        np.testing.assert_array_equal(rows_of(source)[0][:, 0], np.arange(5))


def test_a_data_array_needs_its_sample_dims_and_may_have_them_anywhere():
    array = DATASET["a"].isel(lat=0, lon=0)
    with pytest.raises(ValueError, match=r"'a' has the dimensions time \(13\), level \(2\): .*sample_dims='time'"):
        open_source(array)
    for turned in (array, array.T):
        np.testing.assert_array_equal(rows_of(open_source(turned, sample_dims="time"))[0], array.values)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sample_dims": "depth"}, r"no dimension 'depth': it has time \(13\), lat \(6\)"),
        ({"sample_dims": "level"}, r"'b' in .* has no dimension 'level': it has band, lon, time, lat"),
        ({"variables": ["c"], "sample_dims": "time"}, "no variable 'c'"),
        ({}, r"has the dimensions time \(13\).*say which of them make rows"),
    ],
)
def test_wrong_names_are_refused_in_one_sentence(path, given, message):
    for data in (DATASET, path, opened(path)):
        with pytest.raises(ValueError, match=message):
            open_source(data, **{"variables": ["a", "b"], **given})


def test_stacked_dimensions_make_rows_or_columns(tmp_path):
    """Labels of columns are text, because a fit saves them."""
    ds = DATASET[["b"]].fillna(0).isel(band=0).stack(place=("lat", "lon"))
    model = dem.KMeans(2, random_state=0).fit(ds, sample_dims="time")
    assert model.columns_.names[1] == "b(place=(-50, 1))"
    model.save(tmp_path / "m.zarr")
    loaded = dem.load(tmp_path / "m.zarr")
    assert loaded.columns_ == model.columns_
    assert loaded.to_dataset()["b_center"].dims == ("component", "place")
    weights = xr.ones_like(ds["b"].isel(time=0))
    assert open_source(ds, weights, sample_dims="place").n_rows == Y * X
    with pytest.raises(ValueError, match="other coordinates along 'place'"):
        open_source(ds, weights[::-1], sample_dims="place")


def test_messages_name_the_place_of_a_row(path):
    for name, (data, _) in forms(path).items():
        where = open_source(data, sample_dims=DIMS, variables=["a", "b"]).locate(67, 1)
        expected = "chunk c.0.*time 0 to 3, lat 0 to 2, lon 0 to 4|the row at time 2, lat 1, lon 2.* of the Dataset$"
        assert re.search(expected.replace("c.0", "(c/)?0"), where), (name, where)


def test_results_in_the_group_of_the_data_are_no_data(tmp_path):
    ds = DATASET.fillna(0)
    path = tmp_path / "x.zarr"
    ds.to_zarr(path, zarr_format=3, consolidated=False)
    model = dem.KMeans(2, random_state=0).fit(path, sample_dims=DIMS, variables=["a", "b"])
    model.write(path, path / "label", "label")
    data = xr.open_zarr(path, consolidated=False)
    assert set(data.data_vars) == {"a", "b", "label"}
    for form in (path, data):
        assert set(open_source(form, sample_dims=DIMS).columns.variables) == {"a", "b"}
    assert open_source(data, sample_dims=DIMS, variables="label").columns.names == ("label",)


def test_results_need_even_chunks(tmp_path):
    ds = DATASET.fillna(0).chunk(time=(4, 6, 3), lat=6)
    model = dem.KMeans(2, random_state=0).fit(ds, sample_dims=DIMS)
    with pytest.raises(ValueError, match=r"unequal sizes: give all .* as in ds\.chunk\(time=13, lat=6, lon=5\)"):
        model.write(ds, tmp_path / "labels.zarr", "label")
    model.write(ds.chunk(time=13, lat=6, lon=5), tmp_path / "labels.zarr", "label")


def test_names_for_data_without_names_are_refused():
    for call in (open_source, lambda x, **more: dem.KMeans(1).fit(x, **more)):
        with pytest.raises(TypeError, match="data of the type ndarray have no names"):
            call(np.zeros((4, 2)), sample_dims="time")
    with pytest.raises(TypeError, match="sample_dims must be the name of a dimension, or several different"):
        open_source(DATASET, sample_dims=("time", "time"))
    with pytest.raises(ValueError, match="has no dimension names"):
        open_source(zarr.create_array(MemoryStore(), data=np.zeros((4, 2))), sample_dims="time")
    with pytest.raises(TypeError, match=r"sample_dims must be the name of a dimension.*, got 3"):
        open_source(DATASET, sample_dims=3)
    for values in (["a", "b"], [1j, 2], np.array(["2000-01-01"], "M8[ns]"), np.array([1], "m8[ns]")):
        for more in ({}, {"sample_dims": "n"}):
            with pytest.raises(ValueError, match=r"Expected real numbers|Complex data"):
                open_source(xr.Dataset({"x": ("n", np.ones(len(values))), "t": ("n", np.array(values))}), **more)
    with pytest.raises(ValueError, match="the DataArray 'value' has no dimensions: a model needs rows"):
        open_source(xr.DataArray(3.0))
    with pytest.raises(ValueError, match=r"'y' in the Dataset has no dimension 'n': it has none\."):
        open_source(xr.Dataset({"x": ("n", np.ones(2)), "y": 3.0}))
    with pytest.raises(ValueError, match="the name 0, which is not text"):
        open_source(xr.Dataset({0: ("n", np.ones(2))}))
    with pytest.raises(ValueError, match="'x' has dtype Int64: convert it"):
        open_source(xr.Dataset({"x": ("n", pd.array([1, None], "Int64"))}))
    with pytest.warns(UserWarning, match="Duplicate"):
        square = xr.DataArray(np.eye(2), dims=("x", "x"))
    with pytest.raises(ValueError, match=r"the same dimension twice \(x, x\)"):
        open_source(square, sample_dims="x")
    with pytest.raises(TypeError, match=r"the text 'w': for xarray objects pass a DataArray, as in ds\['w'\]"):
        open_source(DATASET, "w", sample_dims=DIMS)
    with pytest.raises(TypeError, match="a DataTree has several Datasets"):
        open_source(xr.DataTree.from_dict({"/": DATASET}), sample_dims=DIMS)


@pytest.mark.parametrize(
    "of", [("lat",), pytest.param(("lon", "lat"), marks=SLOW), pytest.param(DIMS, marks=SLOW), ("lon", "time", "lat")]
)
def test_weights_are_broadcast_by_the_names_of_their_dimensions(path, of, tmp_path):
    weights = xr.DataArray(RNG.uniform(size=[DATASET.sizes[dim] for dim in of]), dims=of, name="w")
    expected = (weights * xr.ones_like(DATASET["a"].isel(level=0, drop=True))).fillna(0).transpose(*DIMS)
    expected = np.broadcast_to(weights.transpose(*[d for d in DIMS if d in of]).values.reshape(
        [DATASET.sizes[d] if d in of else 1 for d in DIMS]), [DATASET.sizes[d] for d in DIMS])  # fmt: skip
    weights.to_dataset().to_zarr(tmp_path / "w.zarr", zarr_format=3, consolidated=False)
    stored = xr.open_zarr(tmp_path / "w.zarr", chunks=None, consolidated=False)["w"]
    for name, (data, _) in forms(path).items():
        for w in (weights, stored):
            source = open_source(data, w, sample_dims=DIMS)
            np.testing.assert_array_equal(rows_of(source)[1], expected.reshape(-1), err_msg=name)
            assert source.weights_at([7])[0] == expected.reshape(-1)[7]
    if set(of) == set(DIMS):
        source = open_source(path, tmp_path / "w.zarr" / "w", sample_dims=DIMS)
        np.testing.assert_array_equal(rows_of(source)[1], expected.reshape(-1))


def test_weights_with_other_coordinates_are_refused(path):
    """They would be of other rows: xarray would bring them in the order of the rows."""
    weights = np.cos(np.deg2rad(DATASET["lat"]))
    for data, _ in forms(path).values():
        assert open_source(data, weights, sample_dims=DIMS, variables=["a", "b"]).n_rows == T * Y * X
        for turned in (weights[::-1].assign_coords(lat=DATASET["lat"].values + 1), weights[::-1] + 0):
            with pytest.raises(ValueError, match=r"other coordinates along 'lat'.*sel\(lat=ds\.lat\)"):
                open_source(data, turned, sample_dims=DIMS, variables=["a", "b"])


def test_wrong_weights_are_refused(path):
    for data in (DATASET, path):
        for w, message in (
            (xr.DataArray(np.ones(4), dims="lat"), r"dimension 'lat' \(4\), but the rows have time \(13\)"),
            (xr.DataArray(np.ones(2), dims="level"), "dimension 'level'"),
            (np.ones(7), r"shape \(7,\), but the rows have shape \(13, 6, 5\) along time, lat, lon"),
            (-xr.DataArray(np.ones(Y), dims="lat"), "negative"),
        ):
            with pytest.raises(ValueError, match=message):
                open_source(data, w, sample_dims=DIMS)


@settings(deadline=None, max_examples=12)
@given(st.data())
def test_any_chunks_of_any_variables_give_each_row_once(data):
    shape = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 5), st.integers(1, 4)))
    full, variables = [], []
    for i in range(data.draw(st.integers(1, 3))):
        order = data.draw(st.permutations(range(4)))
        sizes = (*shape, data.draw(st.integers(1, 3)))
        values = np.random.default_rng(i).normal(size=[sizes[axis] for axis in order])
        chunks = tuple(data.draw(st.integers(1, n)) for n in values.shape)
        array = zarr.create_array(MemoryStore(), data=values, chunks=chunks)
        axes = tuple(order.index(axis) for axis in range(3))
        variables.append(Variable(array, f"v{i}", None, axes))
        full.append(values.transpose(*axes, order.index(3)).reshape(-1, sizes[3]))
    source = ZarrSource(
        ZarrRows(tuple(variables), Rows(shape, ("t", "y", "x")), "v"), None, data.draw(st.sampled_from([1, 500, 10**9]))
    )
    expected = np.concatenate(full, axis=1)
    np.testing.assert_array_equal(rows_of(source)[0], expected)
    single = source.for_results(8, 400)
    assert all(len(boxes) == 1 for boxes in single.boxes)
    np.testing.assert_array_equal(rows_of(single)[0], expected)
    for boxes in (source.boxes, single.boxes):
        assert sum(box.size for of in boxes for box in of) == np.prod(shape)


def test_ome_zarr_names_its_axes(tmp_path):
    image = RNG.normal(size=(3, 8, 10)).astype("f4")
    for version, where in (("0.4", lambda axes: axes), ("0.5", lambda axes: {"ome": axes})):
        group = zarr.open_group(tmp_path / f"{version}.zarr", mode="w", zarr_format=2 if version == "0.4" else 3)
        group.create_array("0", data=image, chunks=(1, 4, 5))
        axes = [{"name": "c", "type": "channel"}, {"name": "y"}, {"name": "x"}]
        group.attrs.update(where({"multiscales": [{"version": version, "axes": axes, "datasets": [{"path": "0"}]}]}))
        source = open_source(tmp_path / f"{version}.zarr" / "0", sample_dims=("y", "x"))
        np.testing.assert_array_equal(rows_of(source)[0], image.reshape(3, -1).T)
        assert source.columns.names == ("0(c=0)", "0(c=1)", "0(c=2)")


def test_chunks_are_read_once_a_pass(path, tmp_path):
    """Also if the variables have different chunks that divide one another, cut along several dimensions."""
    values = RNG.normal(size=(16, 12, 8))
    ds = xr.Dataset({"p": (DIMS, values), "q": (DIMS, values + 1)})
    ds.to_zarr(
        tmp_path / "x.zarr",
        zarr_format=3,
        consolidated=False,
        encoding={"p": {"chunks": (4, 6, 4)}, "q": {"chunks": (8, 3, 8)}},
    )
    source = open_source(tmp_path / "x.zarr", sample_dims=DIMS, partition_bytes=3000)
    asked = []
    for variable in source.handle.variables:
        reader = variable.reader()
        for boxes in source.boxes:
            for of in boxes:
                asked += [(variable.name, key) for _, key in reader._keys(variable.index(of))]
    assert len(asked) == len(set(asked))
    assert len(source.partitions) > 3


def test_estimators_remember_the_sample_dims(path, tmp_path):
    model = dem.KMeans(2, random_state=0).fit(DATASET, sample_dims=DIMS)
    matrix = stacked(DATASET, DIMS)
    expected = dem.KMeans(2, random_state=0).fit(matrix)
    np.testing.assert_array_equal(model.cluster_centers_, expected.cluster_centers_)
    model.save(tmp_path / "m.zarr")
    loaded = dem.load(tmp_path / "m.zarr")
    assert (loaded.sample_dims_, loaded.variables_) == (DIMS, ("a", "b"))
    labels = expected.predict(matrix).reshape(T, Y, X)
    more = DATASET.assign(other=("lat", np.zeros(Y)))
    for data in (DATASET, more, path, opened(path)):
        found = loaded.predict(data)
        np.testing.assert_array_equal(np.asarray(found), labels)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        np.testing.assert_array_equal(loaded.predict(matrix), labels.reshape(-1))


@pytest.mark.parametrize("fields", list(itertools.product([None, -999], [None, (0.5, 10.0)])))
def test_stores_are_decoded_as_xarray_does(fields, tmp_path):
    fill, packing = fields
    stored = np.array([[1, 2, -999], [4, -999, 6], [7, 8, 9]], "i2")
    attributes = {} if packing is None else {"scale_factor": packing[0], "add_offset": packing[1]}
    if fill is not None:
        attributes["_FillValue"] = np.int16(fill)
    raw = xr.Dataset({"x": (("n", "f"), stored, attributes)})
    for version in (2, 3):
        raw.to_zarr(tmp_path / f"{version}.zarr", zarr_format=version, consolidated=False)
        expected = xr.open_zarr(tmp_path / f"{version}.zarr", consolidated=False)["x"].values
        for data in (
            tmp_path / f"{version}.zarr",
            xr.open_zarr(tmp_path / f"{version}.zarr", chunks=None, consolidated=False),
        ):
            np.testing.assert_allclose(rows_of(open_source(data, sample_dims="n"))[0], expected, rtol=1e-6)
