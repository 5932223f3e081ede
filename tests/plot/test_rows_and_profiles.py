"""Samples of any data, profiles along coordinates, maps, missing values and filled ones."""

import numpy as np
import pytest
import zarr

import dem
from dem import plot
from dem.core.column_grid import ColumnGrid
from dem.plot.along import positions
from dem.plot.maps import narrower
from dem.plot.sampled import row_sample
from plot.models import clusters, fitted, ocean


def test_a_sample_has_the_coordinates_of_its_rows():
    model, data = fitted("profiles")
    sample = plot.rows(model, data, size=50)
    assert len(sample) == 50
    assert sample.in_words == "50 of 300 rows"
    points = zip(data.latitude.values, data.longitude.values, data.temperature.values, strict=True)
    places = {(lat, lon): temperature for lat, lon, temperature in points}
    for x, lat, lon in zip(sample.x, sample.coordinates["latitude"], sample.coordinates["longitude"], strict=True):
        np.testing.assert_array_equal(x[:6], places[lat, lon])
    np.testing.assert_array_equal(sample.classes, sample.of_model("predict"))


def test_a_sample_serves_several_models():
    model, x = fitted("2 components")
    sample = plot.rows(model, x)
    other = dem.KMeans(2).fit(x[:, ::-1][:, ::-1] + 100)
    assert len(set(sample.classes)) == 2
    assert len(set(row_sample(other, sample).classes)) == 1  # all rows are far from its centres, on one side
    assert row_sample(model, sample) is sample


def test_a_store_is_read_once_and_has_its_coordinates(tmp_path):
    pytest.importorskip("xarray")
    ocean().to_zarr(tmp_path / "sea.zarr", zarr_format=3, consolidated=False)
    model, _ = fitted("MixturePPCA")
    sample = plot.rows(model, tmp_path / "sea.zarr")
    assert set(sample.coordinates) == {"latitude", "longitude"}
    assert len(plot.class_map(model, sample).artists["points"][0].get_offsets()) == 300


def test_rows_have_the_order_of_the_data_and_their_numbers(tmp_path):
    model, x = fitted("2 components")
    zarr.create_array(tmp_path / "x.zarr", data=x, chunks=(70, 2))
    np.testing.assert_array_equal(plot.rows(model, tmp_path / "x.zarr").x, x)
    some = plot.rows(model, tmp_path / "x.zarr", size=50)
    np.testing.assert_array_equal(some.x, x[some.numbers])
    assert some.place_of(some.take(np.arange(20, 50)).numbers[0]) == 20


def test_arrays_in_memory_are_all_shown_and_stores_are_sampled(tmp_path):
    model, x = fitted("2 components")
    zarr.create_array(tmp_path / "x.zarr", data=x)
    assert "600 rows" in plot.mixture(model, tmp_path / "x.zarr").text
    zarr.create_array(tmp_path / "y.zarr", data=np.ones((9, 3)))
    with pytest.raises(ValueError, match="has 3 columns, but the model was fitted to 2"):
        plot.rows(model, tmp_path / "y.zarr")


def test_profiles_are_means_and_deviations_along_depth():
    model, _ = fitted("profiles")
    picture = plot.profiles(model)
    left, right = picture.axes
    assert (left.get_xlabel(), left.get_ylabel()) == ("temperature (°C)", "depth")
    assert right.get_xlabel() == "salinity"  # a unit of 1 is none
    assert left.yaxis_inverted()
    for line, mean in zip(left.lines, model.means_, strict=True):
        np.testing.assert_allclose(line.get_xdata(), mean[:6])
        np.testing.assert_array_equal(line.get_ydata(), [5, 20, 50, 100, 200, 400])
    band = left.collections[0].get_paths()[0].vertices[:, 0]
    assert band.max() == pytest.approx((model.means_[0] + np.sqrt(model.covariances_[0]))[:6].max())


def test_the_profile_of_a_class_ends_where_none_of_its_rows_has_a_value():
    model, data = fitted("profiles")
    sample = plot.rows(model, data)
    x = sample.x.copy()
    x[sample.classes == 1, 4:6] = np.nan
    short, whole = (plot.profiles(model, rows).axes[0].lines for rows in (x, sample))
    np.testing.assert_array_equal(np.isnan(short[1].get_xdata()), [False] * 4 + [True] * 2)
    np.testing.assert_array_equal(short[0].get_xdata(), whole[0].get_xdata())


def test_quantiles_are_those_of_the_rows_of_a_class():
    model, data = fitted("K-means of profiles")
    sample = plot.rows(model, data)
    left, _ = plot.profiles(model, sample, quantiles=(0.1, 0.5, 0.9)).axes
    own = sample.x[sample.classes == 1, :6]
    np.testing.assert_allclose(left.lines[1].get_xdata(), np.nanmedian(own, axis=0))
    with pytest.raises(ValueError, match="three rising numbers"):
        plot.profiles(model, sample, quantiles=(0.9, 0.5, 0.1))
    with pytest.raises(ValueError, match="has no classes whose profiles"):
        plot.profiles(fitted("PPCA")[0])


def test_columns_without_a_coordinate_can_be_drawn_by_number():
    model, _ = fitted("10 components")
    (ax,) = plot.profiles(model).axes
    np.testing.assert_allclose(ax.lines[4].get_ydata(), model.means_[4])
    assert not ax.yaxis_inverted()


def test_a_map_needs_places():
    model, x = fitted("2 components")
    with pytest.raises(ValueError, match="needs the latitude and the longitude of each row"):
        plot.class_map(model, x)
    with pytest.raises(ValueError, match=r"must have the shape \(600,\), got \(3,\) and \(3,\)"):
        plot.class_map(model, x, [1, 2, 3], [1, 2, 3])
    picture = plot.class_map(model, x, latitude=x[:, 0], longitude=x[:, 1])
    shown = np.concatenate([points.get_offsets().data for points in picture.artists["points"]])
    np.testing.assert_allclose(np.sort(shown, axis=0), np.sort(x[:, [1, 0]], axis=0))


def test_columns_may_be_the_places():
    pd = pytest.importorskip("pandas")
    x = pd.DataFrame(np.random.default_rng(0).normal(size=(50, 3)), columns=["lon", "Lat", "price"])
    model = dem.KMeans(2).fit(x)
    assert "map" in plot.suitable(model, x)


def test_missing_shares_are_those_of_the_training_data():
    model, x = fitted("gaps")
    (ax,) = plot.missing(model).axes
    widths = [patch.get_width() for patch in ax.patches]
    np.testing.assert_allclose(widths, 100 * np.isnan(x).mean(axis=0))
    with pytest.raises(ValueError, match="no value was missing"):
        plot.missing(fitted("2 components")[0])
    along = plot.missing(fitted("profiles")[0]).axes
    assert [ax.get_xlabel() for ax in along] == ["temperature: missing (%)", "salinity: missing (%)"]


def test_filled_values_and_their_spread():
    model, data = fitted("PPCA of profiles")
    sample = plot.rows(model, data)
    row = int(np.flatnonzero(np.isnan(sample.x).any(axis=1))[0])
    left, _ = plot.filled(model, sample, row=row).axes
    mean, _ = sample.of_model("impute"), None
    filled = next(line for line in left.lines if line.get_marker() == "s")
    np.testing.assert_allclose(filled.get_xdata(), mean[row, :6][np.isnan(sample.x[row, :6])])
    whole = int(np.flatnonzero(~np.isnan(sample.x).any(axis=1))[0])
    with pytest.raises(ValueError, match="has no missing value"):
        plot.filled(model, sample, row=whole)
    with pytest.raises(ValueError, match=r"row 300 is not among the 300 rows of .*: it does not exist"):
        plot.filled(model, sample, row=300)


def test_filled_columns_of_a_table(rng):
    model, x = fitted("gaps")
    row = int(np.isnan(x).any(axis=1).argmax())
    (ax,) = plot.filled(model, x, row=row).axes
    _, sd = model.impute(x, return_std=True)
    unit = np.nanstd(x, axis=0)
    j = int(np.flatnonzero(np.isnan(x[row]))[0])
    bar = ax.patches[0]
    assert bar.get_width() == pytest.approx(4 * sd[row, j] / unit[j])
    with pytest.raises(ValueError, match="no value is missing in the rows"):
        plot.filled(model, rng.normal(size=(5, 4)))


def table(model, data, **dims):
    """Return a model fitted to an xarray Dataset, and the Dataset."""
    xr = pytest.importorskip("xarray")
    data = xr.Dataset(data, dims)
    return model.fit(data, sample_dims="row"), data


def test_columns_without_a_profile_are_told_and_their_gaps_are_shown(rng):
    x, single = rng.normal(size=(60, 4)), rng.normal(size=60)
    single[:9] = np.nan
    model, data = table(dem.PPCA(1), {"t": (("row", "band"), x), "wind": ("row", single)}, band=[1, 2, 3, 4])
    assert plot.loadings(model).axes[0].get_title().replace("\n", " ").endswith("; 1 column not shown")
    (ax,) = plot.missing(model).axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["wind"]
    (ax,) = plot.filled(model, data).axes
    assert "wind" in [label.get_text() for label in ax.get_yticklabels()]
    classes, _ = table(dem.KMeans(2), {"t": (("row", "band"), x), "wind": ("row", single)}, band=[1, 2, 3, 4])
    assert "1 column not shown" in plot.profiles(classes).text


def test_names_are_no_years_and_text_has_marks(rng):
    x = rng.normal(size=(60, 3))
    x[:5, 1] = np.nan
    years = ColumnGrid("", slice(0, 3), ("column",), (("0", "1", "2-a"),))
    assert positions(years)[1] == ["0", "1", "2-a"]
    days = ColumnGrid("t", slice(0, 2), ("time",), (("2020-01-01", "2020-02-01"),))
    assert positions(days)[0].dtype.kind == "M"
    model, data = table(dem.PPCA(1), {"t": (("row", "site"), x)}, site=["north", "south", "west"])
    for picture in (plot.filled(model, data), plot.missing(model)):
        assert [label.get_text() for label in picture.axes[0].get_xticklabels()] == ["north", "south", "west"]


def test_rows_without_any_value_are_no_gaps(rng):
    x = rng.normal(size=(50, 2))
    x[3] = np.nan
    model = dem.GaussianMixture(2, n_init=1).fit(x)
    assert "filled" not in plot.suitable(model, x)
    with pytest.raises(ValueError, match="no value is missing in the rows that have any"):
        plot.filled(model, x)


def test_a_map_across_the_date_line_is_narrow():
    lon = np.array([175.0, -178.0, 179.0, np.nan])
    assert np.ptp(narrower(lon)[:3]) == 7
    whole = np.arange(-180.0, 180.0, 5)
    np.testing.assert_array_equal(narrower(whole), whole)


def test_codes_along_a_coordinate_have_no_profile(rng):
    model, data = table(dem.CategoricalMixture(2, n_init=1), {"kind": (("row", "depth"), rng.integers(0, 3, (90, 4)))})
    assert "profiles" not in plot.suitable(model, data)
    with pytest.raises(ValueError, match="columns of codes have no mean"):
        plot.profiles(model)


def test_a_dollar_in_a_name_is_no_mathematics():
    x = clusters(2, 2)
    names = ["price ($\\$ per $)", "$cost$"]
    model = dem.GaussianMixture(2, n_init=1).fit(x)
    (ax,) = plot.mixture(model, x, labels=names).axes
    assert ax.yaxis.label.get_text() == names[1]
    assert not ax.yaxis.label.get_parse_math()
    x[::9, 0] = np.nan
    (ax,) = plot.missing(model.fit(x), labels=names).axes
    ax.figure.draw_without_rendering()
    assert not ax.get_yticklabels()[0].get_parse_math()


def test_a_profile_is_dotted_where_few_rows_of_a_class_have_a_value(rng):
    x = rng.normal(size=(90, 4)) + 9 * (np.arange(90) % 2)[:, None]
    x[1::2, 3] = np.where(np.arange(45) < 40, np.nan, x[1::2, 3])
    model, data = table(dem.KMeans(2), {"t": (("row", "depth"), x)}, depth=[1.0, 2.0, 3.0, 4.0])
    picture = plot.profiles(model, data)
    dotted = [line for line in picture.axes[0].lines if line.get_linestyle() == ":"]
    assert len(dotted) == 1
    assert "dotted where few rows of a class have a value" in picture.text
    whole = [line for line in picture.axes[0].lines if line.get_linestyle() != ":"]
    assert sorted(np.isnan(line.get_xdata()).sum() for line in whole) == [0, 1]
    assert ":" not in [line.get_linestyle() for line in plot.profiles(model).axes[0].lines]


def test_many_classes_have_means_and_medians_alone(rng):
    data = {"t": (("row", "depth"), rng.normal(size=(200, 4)))}
    model, data = table(dem.KMeans(8), data, depth=[1.0, 2.0, 3.0, 4.0])
    assert plot.profiles(model).text.startswith("Mean of 8 classes")
    assert plot.profiles(model, data, (0.1, 0.5, 0.9)).text.startswith("Median of 8 classes")
    assert "quantiles" not in plot.suitable(model, data)
