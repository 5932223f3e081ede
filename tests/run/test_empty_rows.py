"""Rows without any value: left out of fits, missing in outputs, counted and told of."""

import logging

import dask.array as da
import numpy as np
import pytest
import zarr

import dem
from dem.core.block import Block
from dem.em.starts import Start, best_start
from dem.engine.engine import Engine
from dem.families import Poisson
from dem.models.kmeans.kmeans import KMeansModel, KMeansParams
from dem.models.mixture.mixture import MixtureModel
from dem.models.mixture.rows import mixture_outputs
from dem.run import empty_rows, start
from dem.run.fit import fit_model, scan
from dem.run.fit_settings import FitSettings
from dem.scan import sample
from dem.source import open_source

N, D, K = 400, 3, 2


def rows(seed=0, n=N):
    """Return two clusters (n, D)."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, D)) + 5.0 * rng.integers(2, size=n)[:, None]


def beside(x, n_empty):
    return np.concatenate([x, np.full((n_empty, x.shape[1]), np.nan)])


def places(path, x):
    """Return the rows in every kind of place; of the store, chunks of several kinds."""
    zarr.create_array(path, data=x, chunks=(150, 2))
    masked = np.ma.masked_invalid(np.nan_to_num(x, nan=-9.0) * np.where(np.isnan(x), np.nan, 1))
    return [x, masked, path, da.from_array(x, chunks=(170, D)), da.ma.masked_invalid(da.from_array(x, chunks=(170, D)))]


def test_all_places_give_the_fit_of_the_other_rows(tmp_path):
    """Of 400 rows and 1,200 empty ones, start and all."""
    x = rows()
    y = beside(x, 3 * N)
    alone = dem.GaussianMixture(K, n_init=1).fit(x)
    for place in places(tmp_path / "y.zarr", y):
        model = dem.GaussianMixture(K, n_init=1).fit(place)
        assert model.n_passes_ == alone.n_passes_
        np.testing.assert_allclose(model.means_, alone.means_, rtol=1e-9)
        assert model.bic(place) == pytest.approx(alone.bic(x), rel=1e-12)
        np.testing.assert_array_equal(np.asarray(model.predict(place)), np.r_[alone.predict(x), np.full(3 * N, -1)])
        assert np.isnan(np.asarray(model.score_samples(place))[N:]).all()


def test_the_start_may_cost_what_it_may_without_them(monkeypatch):
    asked = []

    def asks(*args, rows, **more):
        asked.append(rows)
        return best_start(*args, **more)

    monkeypatch.setattr(start, "best_start", asks)
    dem.GaussianMixture(K, n_init=1).fit(beside(rows(), N))
    assert asked == [N]


def test_a_single_column(tmp_path):
    """Of one column, every missing value is an empty row: closed forms and families of complete data serve."""
    x = np.random.default_rng(0).poisson(3.0, (300, 1)).astype(float)
    y = np.full((600, 1), np.nan)
    y[::2] = x
    model = dem.Mixture(1, family="poisson").fit(y)
    assert model.component_parameters_["rate"] == pytest.approx(x.mean())
    assert model.score(y) == pytest.approx(dem.Mixture(1, family="poisson").fit(x).lower_bound_, rel=1e-12)
    bound = fit_model(MixtureModel(1, Poisson()), open_source(y), FitSettings(0, 2, Start(1))).model
    assert not bound.family_of_rows.linear.has_shared_term


def test_latents_of_empty_rows_are_left_out_of_what_is_made_of_them():
    x = rows()
    y = np.full((2 * N, D), np.nan)
    y[1::2] = x
    latents = dem.PPCA(1).fit(y).transform(y)
    np.testing.assert_array_equal(np.isnan(latents[:, 0]), np.arange(2 * N) % 2 == 0)
    model = dem.GaussianMixture(K).fit(latents)
    assert model.effective_counts_.sum() == pytest.approx(N)
    assert np.abs(model.means_).min() > 0.5


@pytest.mark.parametrize("kind", [dem.GaussianMixture, dem.KMeans, dem.PPCA])
def test_written_results_are_missing_and_told_of(kind, tmp_path, caplog):
    x = rows(n=N)
    y = np.full((2 * N, D), np.nan)
    y[::2] = x
    zarr.create_array(tmp_path / "y.zarr", data=y, chunks=(100, D))
    model = kind(2).fit(x)
    for what in [f"{output}:2" if output.startswith("top") else output for output in model.outputs]:
        caplog.clear()
        with caplog.at_level(logging.INFO, "dem"):
            model.write(tmp_path / "y.zarr", tmp_path / what, what)
        assert f"{N} rows of y.zarr without any value: marked as missing" in caplog.text
        assert f") in {tmp_path / what}" in caplog.text
        found = zarr.open_array(tmp_path / what, mode="r")
        labels = what in ("label", "top-index:2")
        assert found.dtype == (np.int8 if labels else np.float64)
        missing = found[...] == -1 if labels else np.isnan(found[...])
        assert missing[1::2].all()
        assert not missing[::2].any()
        assert found.fill_value == -1 if labels else np.isnan(found.fill_value)


@pytest.mark.parametrize(("k", "dtype"), [(1, "i1"), (2, "i1"), (128, "i1"), (129, "i2"), (32768, "i2"), (32769, "i4")])
def test_labels_are_signed(k, dtype):
    """So that -1 and all k labels fit."""
    params = KMeansParams.at(np.zeros((1, 2)))
    assert KMeansModel(k).row_outputs(params)["label"].dtype == np.dtype(dtype)
    outputs = mixture_outputs(k, 2)
    assert outputs["label"].dtype == outputs["top-index"].dtype == np.dtype(dtype)


def test_scores_are_over_the_other_rows_and_say_so(caplog):
    x, weight = rows(), np.random.default_rng(1).integers(0, 4, N).astype(float)
    model = dem.GaussianMixture(K, n_init=1).fit(x)
    with caplog.at_level(logging.INFO, "dem"):
        found = model.mean_score(beside(x, 7), np.r_[weight, np.full(7, 2.0)])
    assert "7 (1.7 %) of the 407 rows of the array have no value at all and are left out" in caplog.text
    assert (found.rows, found.empty_rows, found.weight) == (N + 7, 7, weight.sum())
    assert found.mean == pytest.approx(model.score(x, sample_weight=weight), rel=1e-13)
    with pytest.raises(ValueError, match="no row has any value"):
        model.score(np.full((3, D), np.nan))
    with pytest.raises(ValueError, match="no row has any value"):
        model.bic(np.full((3, D), np.nan))


def test_missing_error_refuses_them():
    y = beside(rows(), 2)
    with pytest.raises(ValueError, match="6 missing values"):
        dem.GaussianMixture(K, missing="error").fit(y)
    with pytest.raises(ValueError, match="row 400 holds nan in column 0"):
        dem.GaussianMixture(K, missing="error").fit(rows()).predict(y)


def test_a_bad_row_is_named_by_its_own_number():
    y = np.full((100, D), np.nan)
    y[50:] = 1.0
    y[70, 1] = np.inf
    with pytest.raises(ValueError, match="row 70 holds inf in column 1"):
        dem.GaussianMixture(1).fit(rows()).predict(y)


def test_directions_may_be_wholly_missing():
    """Von Mises-Fisher takes no row with holes; a row without any value is none."""
    x = rows() / np.linalg.norm(rows(), axis=1, keepdims=True)
    model = dem.Mixture(1, family="vonmisesfisher").fit(beside(x, 50))
    assert model.lower_bound_ == pytest.approx(dem.Mixture(1, family="vonmisesfisher").fit(x).lower_bound_, rel=1e-12)


def test_weights_of_which_none_counts():
    y = beside(rows(), 4)
    with pytest.raises(ValueError, match="the weights of the rows that have a value of the array are all zero"):
        dem.GaussianMixture(K).fit(y, sample_weight=np.r_[np.zeros(N), np.ones(4)])


@pytest.mark.parametrize("part_bytes", [1, 1000, 10**9])
def test_parts_of_blocks_sum_to_the_same(part_bytes, monkeypatch):
    monkeypatch.setattr(empty_rows, "COPY_BYTES", part_bytes)
    x = rows()
    y = np.full((2 * N, D), np.nan)
    y[::2] = x
    model = dem.GaussianMixture(K, n_init=1).fit(x)
    np.testing.assert_array_equal(model.predict(y)[::2], model.predict(x))
    fitted, params = model._fitted()
    bound = fitted.bind(scan(x))
    found = empty_rows.WithoutEmptyRows(lambda make: make()(Block(y)))(lambda: bound.kernel(params))
    expected = bound.kernel(params)(Block(x))
    assert found.rows == 2 * N
    assert found.weight == N
    np.testing.assert_allclose(found.sums, expected.sums, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize(("n_empty", "least", "reads"), [(1000, 200, 1), (40_000, 500, 2)])
def test_the_sample_has_rows_with_value_alone(n_empty, least, reads, monkeypatch):
    """Where too many are empty the data are read once more for it."""
    x = rows(n=1000)
    y = beside(x, n_empty)
    passes = []
    monkeypatch.setattr(sample.Candidates, "bottom", lambda self: passes.append(1) or self.sample)
    found = scan(y, sample_size=500, engine=Engine(workers=1))
    assert len(passes) == reads
    keys = found.sample.keys
    assert least <= len(keys) <= 500
    assert (sample.unhash(keys, 0) < 1000).all()
    np.testing.assert_array_equal(keys, scan(x, sample_size=500).sample.keys[: len(keys)])


def test_checkpoints_go_on(tmp_path):
    y = np.full((2 * N, D), np.nan)
    y[::2] = rows()
    model = dem.GaussianMixture(K, tol=0, max_iter=5, n_init=1)
    whole = model.fit(y).means_.tobytes()
    with pytest.raises(dem.Stopped):
        model.fit(y, checkpoint=dem.Checkpoint(tmp_path / "kept", max_passes=2))
    assert model.fit(y, checkpoint=tmp_path / "kept").means_.tobytes() == whole


@pytest.mark.parametrize("junk", [-1.7976931348623157e308, np.inf, np.nan])
def test_rows_of_weight_zero_have_no_part_in_a_mean_score(junk):
    x, weight = beside(rows(), 50), np.ones(N + 50)
    x[::3], weight[::3] = junk, 0
    kept = weight > 0
    for model in (dem.GaussianMixture(K, n_init=1), dem.PPCA(1)):
        model.fit(x, sample_weight=weight)
        found, alone = model.mean_score(x, weight), model.mean_score(x[kept])
        assert found.mean == pytest.approx(alone.mean, rel=1e-13)
        assert found.weight == alone.weight
    x[1] = np.inf
    with pytest.raises(ValueError, match="row 1 holds inf"):
        model.score(x, sample_weight=weight)
