"""What is missing, as users say it: the settings, what "error" refuses, what is remembered, what `impute` asks for."""

import dask.array as da
import numpy as np
import pytest
import zarr
from sklearn.base import clone
from sklearn.utils import get_tags

import dem
from crosses import cross, mostly_slow
from dem import (
    PPCA,
    BayesianGaussianMixture,
    BayesianPCA,
    FactorAnalysis,
    GaussianMixture,
    KMeans,
    Mixture,
    MixtureFactorAnalysis,
    MixturePPCA,
)
from dem.em.row_output import deviation, filled, output_table
from dem.engine.sweep.serial import SerialSweep
from dem.estimators.records import source_record
from dem.scan.scanner import Scanner
from dem.source import open_source

MODELS = {
    "gmm": GaussianMixture(2, n_init=2),
    "mixture": Mixture(2, n_init=2),
    "bgmm": BayesianGaussianMixture(2, n_init=2),
    "mfa": MixtureFactorAnalysis(2, n_init=2),
    "mppca": MixturePPCA(2, n_init=2),
    "kmeans": KMeans(2),
    "ppca": PPCA(1),
    "fa": FactorAnalysis(1),
    "bpca": BayesianPCA(1),
}
ANY = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
SENTINEL = -999.0


@pytest.fixture
def x(rng):
    return np.r_[rng.normal(0, 1, (60, 3)), rng.normal(8, 1, (60, 3))]


def holed(x, value):
    y = x.copy()
    y[7, 1] = y[70, 2] = value
    return y


FORMS = {
    "memory": lambda x, folder: x,
    "dask": lambda x, folder: da.from_array(x, chunks=(40, 2)),
    "zarr": lambda x, folder: zarr.create_array(folder / "x.zarr", data=x, chunks=(40, 2)),
}


@ANY
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_error_refuses_a_missing_value(model, form, x, tmp_path):
    model = clone(model).set_params(missing="error", missing_value=SENTINEL)
    with pytest.raises(ValueError, match=r"2 missing values \(NaN\), in columns 1 \(1\), 2 \(1\); .*marginalize"):
        model.fit(form(holed(x, SENTINEL), tmp_path))


@mostly_slow("model", MODELS, quick=["gmm", "mixture", "mppca", "kmeans", "fa"])
def test_error_refuses_rows_with_missing_values(model, x, tmp_path):
    """In all that is told of rows, of any form."""
    model = clone(model).set_params(missing="error", missing_value=SENTINEL).fit(x)
    what = next(iter(model.outputs))
    assert len(model._rows(x, what)) == len(x)
    rows = holed(x, SENTINEL)
    message = "row 70? holds nan in column .: missing values .*missing='error'"
    with pytest.raises(ValueError, match=message):
        model._rows(rows, what)
    with pytest.raises(ValueError, match=message):
        model._rows(da.from_array(rows, chunks=40), what).compute()
    with pytest.raises(ValueError, match=message):
        model.score(rows)
    zarr.create_array(tmp_path / "x.zarr", data=rows, chunks=(40, 3))
    with pytest.raises(ValueError, match=message + r".*chunk c/.* of x.zarr"):
        model.write(tmp_path / "x.zarr", tmp_path / "out.zarr", what)
    assert not (tmp_path / "out.zarr").exists()


@mostly_slow("model", MODELS, quick=["bgmm", "mfa", "ppca", "bpca"])
def test_settings_are_checked_kept_and_saved(model, x, tmp_path):
    for wrong in ("drop", None, True):
        with pytest.raises(ValueError, match="missing must be one of marginalize, error, got"):
            clone(model).set_params(missing=wrong).fit(x)
    with pytest.raises(ValueError, match="missing_value must be a finite number, NaN or None, got 'none'"):
        clone(model).set_params(missing_value="none").fit(x)
    model = clone(model).set_params(missing="error", missing_value=-1).fit(x)
    model.save(tmp_path / "model.zarr")
    found = dem.load(tmp_path / "model.zarr")
    assert (found.missing, found.missing_value) == ("error", -1)
    assert found.source_ == model.source_
    assert get_tags(model).input_tags.allow_nan


def test_a_checkpoint_with_missing_values_is_not_gone_on_from_where_they_are_refused(x, tmp_path):
    """The scan that it keeps is checked again."""
    rows = holed(x, np.nan)
    model = GaussianMixture(1, covariance_type="diag", max_iter=3, tol=0)
    with pytest.raises(dem.Stopped):
        model.fit(rows, checkpoint=dem.Checkpoint(tmp_path / "c.zarr", max_passes=1))
    with pytest.raises(ValueError, match="2 missing values"):
        model.set_params(missing="error").fit(rows, checkpoint=tmp_path / "c.zarr")


def test_another_missing_value_is_another_fit(x, tmp_path):
    model = GaussianMixture(1, missing_value=-1)
    with pytest.raises(dem.Stopped):
        model.fit(x, checkpoint=dem.Checkpoint(tmp_path / "c.zarr", max_passes=1))
    with pytest.raises(ValueError, match="other data"):
        model.set_params(missing_value=-2).fit(x, checkpoint=tmp_path / "c.zarr")


def test_clusters_pass_on_what_is_missing(x):
    km = KMeans(2, missing="error", missing_value=-1).fit(x)
    assert GaussianMixture.from_kmeans(km).missing_value == -1
    assert GaussianMixture.from_kmeans(km).missing == "error"
    assert GaussianMixture.from_kmeans(km, missing_value=None).missing_value is None


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_what_is_remembered_of_the_training_data(form, x, tmp_path):
    rows = holed(x, SENTINEL)
    rows[9] = SENTINEL
    source = open_source(form(rows, tmp_path), missing_value=SENTINEL)
    found = source_record(source, SerialSweep(source)(Scanner(3, False, 10, 0, len(rows))))
    assert found["missing"] == [1, 2, 2]
    assert (found["incomplete_rows"], found["empty_rows"]) == (3, 1)
    assert found["decoding"]["missing"] == [["missing_value", SENTINEL]]
    assert PPCA(1).fit(x).source_["missing"] == []


@ANY
def test_a_column_without_values_is_refused_by_name(model, x, monkeypatch):
    x[:, 1] = np.nan
    with pytest.raises(
        ValueError, match=r"array has no value at all in column 1 \(NaN in every row of positive weight\)"
    ):
        clone(model).fit(x)
    names = np.array(["salt", "heat", "oxygen"], dtype=object)  # as of a data frame, whose packages are not needed here
    monkeypatch.setattr("sklearn.utils.validation._get_feature_names", lambda _: names)
    with pytest.raises(ValueError, match="no value at all in column 'heat'"):
        clone(model).fit(x)


class Filling:
    """Stands for a model that fills in: 7 for what is missing, with a deviation of 2."""

    has_native_kernel = False

    def with_kernel(self, kernel_id):
        return self

    def row_outputs(self, params, dtype):
        return output_table(filled(3, dtype), deviation(3, dtype))

    def rows_bytes(self, d):
        return 0

    def rows(self, params, output):
        def rows(block):
            gone = np.isnan(block.x)
            values = np.where(gone, 7, block.x) if output.name == "filled" else np.where(gone, 2, 0)
            return values.astype(output.dtype)

        return rows


@pytest.fixture
def filler(x, monkeypatch):
    model = GaussianMixture(2, n_init=2, missing_value=SENTINEL).fit(x)
    monkeypatch.setattr(GaussianMixture, "_fitted", lambda self: (Filling(), None))
    return model


@cross("form, dtypes", FORMS, ["f4 f4", "f8 f8", "f2 f4", "i2 f4", "i8 f8", "g f8"])
def test_impute_asks_for_the_rows_own_dtype(form, dtypes, filler, x, tmp_path):
    dtype, filled = dtypes.split()
    if (dtype, form) == ("g", FORMS["zarr"]):
        pytest.skip("Zarr has no long double")
    rows = holed(np.round(x), SENTINEL).astype(dtype)
    values, deviations = filler.impute(form(rows, tmp_path), return_std=True)
    lazy = form is not FORMS["memory"]
    assert isinstance(values, da.Array if lazy else np.ndarray)
    assert values.dtype == deviations.dtype == filled
    missing = rows == SENTINEL
    np.testing.assert_array_equal(np.asarray(values), np.where(missing, 7, rows))
    np.testing.assert_array_equal(np.asarray(deviations), np.where(missing, 2, 0))
    assert np.array_equal(np.asarray(filler.impute(form(rows, tmp_path / "again"))), np.asarray(values))


def test_filled_rows_are_written(filler, x, tmp_path):
    zarr.create_array(tmp_path / "x.zarr", data=holed(x, SENTINEL).astype("f4"), chunks=(40, 2))
    for what in ("filled", "deviation"):
        filler.write(tmp_path / "x.zarr", tmp_path / f"{what}.zarr", what)
    filled = zarr.open_array(tmp_path / "filled.zarr", mode="r")
    assert (filled.dtype, filled.chunks) == ("f4", (40, 3))
    np.testing.assert_array_equal(filled[...], holed(x, 7).astype("f4"))
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "deviation.zarr", mode="r")[...], holed(x * 0, 2))
