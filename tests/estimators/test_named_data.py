"""Models and data with names, fitted and applied one after the other: what is used, and what is refused."""

import numpy as np
import pytest
import zarr

import dem
from shared import ENDS_AT_MAX_ITER, UNLIKE_SPREADS

xr = pytest.importorskip("xarray")

pytestmark = [
    ENDS_AT_MAX_ITER,
    UNLIKE_SPREADS,
    pytest.mark.filterwarnings("ignore:.*[Cc]onsolidated metadata"),
    pytest.mark.filterwarnings("ignore:Numcodecs codecs"),
]
N, D = 30, 3
RNG = np.random.default_rng(0)
DATA = xr.Dataset(
    {"t": (("n", "depth"), RNG.normal(size=(N, D))), "s": (("n", "depth"), RNG.normal(size=(N, D)) + 5)},
    {"n": np.arange(N), "depth": [5.0, 10.0, 20.0]},
)


def stored(data, path):
    data.to_zarr(path, consolidated=False)
    return path


def opened(path, **more):
    return xr.open_zarr(path, consolidated=False, **more)


def test_results_are_no_data_of_the_next_fit(tmp_path):
    ds = DATA.copy()
    model = dem.GaussianMixture(2, max_iter=2, random_state=0).fit(ds, sample_dims="n")
    ds["label"], ds["posterior"] = model.predict(ds), model.predict_proba(ds)
    assert ds["label"].attrs["dem_output"] == "label"
    path = stored(ds, tmp_path / "x.zarr")
    for data in (ds, opened(path), opened(path, chunks=None), path):
        again = dem.GaussianMixture(2, max_iter=2, random_state=0).fit(data, sample_dims="n")
        assert set(again.variables_) == {"t", "s"}
        assert again.lower_bound_ == pytest.approx(model.lower_bound_, rel=1e-9)
    chosen = dem.KMeans(2, random_state=0).fit(ds, sample_dims="n", variables=["posterior"])
    assert chosen.variables_ == ("posterior",)
    alone = dem.KMeans(2, random_state=0).fit(ds[["posterior"]], sample_dims="n")  # there is nothing else
    assert alone.variables_ == ("posterior",)


def test_lazy_results_go_into_the_dataset_and_to_a_store(tmp_path):
    ds = opened(stored(DATA, tmp_path / "x.zarr"))
    model = dem.PPCA(2).fit(ds, sample_dims="n")
    ds["latents"] = model.transform(ds)
    ds.to_zarr(tmp_path / "y.zarr", consolidated=False)
    np.testing.assert_allclose(opened(tmp_path / "y.zarr").latents, model.transform(DATA), rtol=1e-6)


def test_a_refit_forgets_the_names_of_the_fit_before():
    model = dem.KMeans(2, random_state=0).fit(DATA, sample_dims="n")
    model.fit(np.zeros((4, 2)) + np.arange(4)[:, None])
    assert model.sample_dims_ is None
    assert model.variables_ is None
    assert not model.by_name_


def test_a_model_of_a_matrix_takes_a_matrix_with_names():
    model = dem.KMeans(2, random_state=0).fit(DATA.t.values)
    with pytest.warns(UserWarning, match="X has feature names"):
        found = model.predict(DATA.t)
    np.testing.assert_array_equal(found, model.predict(DATA.t.values))
    assert found.dims == ("n",)
    for data in (DATA, DATA.t.expand_dims("more")):
        with pytest.raises(ValueError, match=r"rows without named dimensions.* a DataArray with two dimensions"):
            model.predict(data)


@pytest.mark.parametrize("form", ["memory", "path", "lazy"])
def test_columns_are_taken_by_name_in_any_order(form, tmp_path):
    path = stored(DATA, tmp_path / "x.zarr")
    data = {"memory": DATA, "path": path, "lazy": opened(path)}[form]
    every = [f"{name}(depth={z:g})" for name in ("s", "t") for z in (20, 10, 5)]
    model = dem.PPCA(1).fit(data, sample_dims="n", columns=every)
    matrix = np.hstack([DATA[name].values[:, ::-1] for name in ("s", "t")])
    np.testing.assert_allclose(np.abs(model.transform(data)), np.abs(dem.PPCA(1).fit_transform(matrix)), rtol=1e-6)


@pytest.mark.parametrize("lazy", [False, True])
def test_columns_that_are_chosen_are_filled_in_at_their_places(lazy):
    ds = DATA.copy(deep=True)
    ds.t[3, 1] = ds.s[4, 0] = np.nan
    ds = ds.chunk(n=10) if lazy else ds
    names = ["s(depth=20)", "t(depth=10)"]
    model = dem.GaussianMixture(1).fit(ds, sample_dims="n", columns=names)
    filled, deviation = model.impute(ds, return_std=True)
    for name in ("t", "s"):
        assert filled[name].dims == ds[name].dims
        assert (filled[name].chunks is not None) == lazy
    assert not np.isnan(filled.t.values[3, 1])
    assert np.isnan(filled.s.values[4, 0])  # a column that is not in the model
    expected = ds.t.fillna(filled.t.values[3, 1])
    np.testing.assert_array_equal(filled.t, expected)
    np.testing.assert_array_equal(np.isnan(deviation.t), [[True, False, True]] * N)
    assert deviation.t.values[3, 1] > 0
    one = dem.GaussianMixture(1).fit(ds.t, sample_dims="n", columns=["t(depth=10)", "t(depth=5)"])
    np.testing.assert_array_equal(np.isnan(one.impute(ds.t)), False)


def test_other_depths_are_refused_in_one_sentence():
    model = dem.PPCA(1).fit(DATA, sample_dims="n")
    fewer = r"'depth' of 't' has 2 values in the Dataset, and the model has 3: 5 is missing"
    with pytest.raises(ValueError, match=fewer):
        model.transform(DATA.isel(depth=[1, 2]))
    with pytest.raises(ValueError, match="has 3 values in the Dataset, and the model has 3: 5, 10, 20 are missing"):
        model.transform(DATA.assign_coords(depth=[1.0, 2.0, 3.0]))


def test_times_of_columns_are_times_after_loading(tmp_path):
    times = np.array(["2020-01-01", "2020-01-02T06:30", "2021-03-01"], "M8[ns]")
    ds = DATA[["t"]].rename(depth="time").assign_coords(time=times)
    model = dem.KMeans(2, random_state=0).fit(ds, sample_dims="n")
    model.save(tmp_path / "m.zarr")
    loaded = dem.load(tmp_path / "m.zarr")
    assert loaded.columns_ == model.columns_
    xr.testing.assert_identical(loaded.to_dataset(), model.to_dataset())
    assert loaded.to_dataset()["time"].dtype.kind == "M"
    assert repr(loaded.columns_).startswith("Columns('t(time=2020-01-01)', 't(time=2020-01-02T06:30:00)'")


def test_coordinates_in_uneven_chunks_are_written(tmp_path):
    place = xr.DataArray(np.arange(N) * 2.0, dims="n").chunk(n=(7, 20, 3))
    ds = DATA.assign_coords(place=place).chunk(n=10)
    model = dem.KMeans(2, random_state=0).fit(ds, sample_dims="n")
    model.write(ds, tmp_path / "labels.zarr", "labels")  # the word of the command line
    np.testing.assert_array_equal(opened(tmp_path / "labels.zarr").place, np.arange(N) * 2.0)


def test_names_have_near_ones():
    model = dem.KMeans(2)
    with pytest.raises(ValueError, match=r"no variable 'tt': it has .*Did you mean 't'\?"):
        model.fit(DATA, sample_dims="n", variables=["tt"])
    with pytest.raises(ValueError, match=r"no dimension 'dept': it has .*Did you mean 'depth'\?"):
        model.fit(DATA, sample_dims="dept")


def test_a_group_without_a_choice_lists_its_dimensions(tmp_path):
    path = stored(DATA, tmp_path / "x.zarr")
    listed = r"s \(n 30, depth 3\), t \(n 30, depth 3\): pass one array, .* sample_dims='n' \(--sample-dims n\)"
    with pytest.raises(ValueError, match=listed):
        dem.KMeans(2).fit(path)
    zarr.create_group(tmp_path / "y.zarr").create_array("a", data=np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"a \(3, 2\): pass one array, as in .*/NAME\.$"):
        dem.KMeans(2).fit(tmp_path / "y.zarr")


def test_tables_have_no_dimensions(tmp_path):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"x": RNG.normal(size=9), "y": RNG.normal(size=9)})
    frame.to_parquet(tmp_path / "x.parquet")
    for data in (frame, tmp_path / "x.parquet"):
        with pytest.raises(TypeError, match=r"A table has rows and columns: .* columns=\[\.\.\.\]"):
            dem.KMeans(2).fit(data, sample_dims="n")
    model = dem.KMeans(2, random_state=0).fit(xr.Dataset({name: ("n", frame[name]) for name in "xy"}))
    np.testing.assert_array_equal(model.predict(tmp_path / "x.parquet"), model.predict(frame))
