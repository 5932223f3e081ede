"""The setting `scale`: a fit of scaled columns, with results in the data's units, for every estimator that has it."""

import inspect
import pickle
from functools import cache

import dask.array as da
import numpy as np
import pytest
import zarr
from sklearn.base import clone

import dem
from crosses import cross, mostly_slow
from dem.estimators.summary import covariances_among
from dem.families import COVARIANCE_TYPES
from dem.scan.scaling import SCALINGS, Scaling
from run.counting import Counting
from shared import ENDS_AT_MAX_ITER

pytestmark = ENDS_AT_MAX_ITER

N, D, K = 150, 4, 2
UNITS, OFFSETS = np.array([3.0, 10.0, 0.2, 1.0]), np.array([-5.0, 1000.0, 35.0, 0.0])
START = {"n_init": 1, "max_iter": 6, "tol": 1e-9}


def gaussian(kind):
    return lambda **more: dem.GaussianMixture(K, covariance_type=kind, **START, **more)


def bayesian(kind):
    return lambda **more: dem.BayesianGaussianMixture(K, covariance_type=kind, **START, **more)


ESTIMATORS = {
    **{kind: gaussian(kind) for kind in COVARIANCE_TYPES},
    **{f"bayesian-{kind}": bayesian(kind) for kind in COVARIANCE_TYPES},
    "map": lambda **more: dem.GaussianMixture(K, prior="weak", **START, **more),
    "kmeans": lambda **more: dem.KMeans(K, n_init=2, **more),
    "ppca": lambda **more: dem.PPCA(2, **more),
    "ppca-em": lambda **more: dem.PPCA(2, solver="em", max_iter=20, **more),
    "bpca": lambda **more: dem.BayesianPCA(2, max_iter=20, **more),
    "fa": lambda **more: dem.FactorAnalysis(1, max_iter=8, **more),
    "mppca": lambda **more: dem.MixturePPCA(K, **START, **more),
    "mfa": lambda **more: dem.MixtureFactorAnalysis(K, **START, **more),
}
SEVERAL = mostly_slow("name", [*ESTIMATORS], quick=["full", "spherical", "kmeans", "ppca"])
EVERY = pytest.mark.parametrize("name", ESTIMATORS)
FREE = ("full", "tied", "diag", "bayesian-full", "bayesian-tied", "bayesian-diag", "map", "fa", "mfa")
"""Models that do not depend on the units of the columns."""


@cache
def rows(*, holes=False):
    rng = np.random.default_rng(2)
    centres = 3 * rng.normal(size=(K, D))
    x = (centres[rng.integers(K, size=N)] + rng.normal(size=(N, D)) @ rng.normal(size=(D, D)) / 2) * UNITS + OFFSETS
    if holes:
        x[rng.random(x.shape) < 0.1] = np.nan
        x[3] = np.nan
    return x


@cache
def weights():
    return np.random.default_rng(3).integers(0, 3, N).astype(float)


def by_hand(x, weight=None):
    """Return the mean and the standard deviation of each column."""
    w = np.where(np.isnan(x), 0.0, 1.0 if weight is None else weight[:, None])
    mean = np.nansum(x * w, axis=0) / w.sum(axis=0)
    return mean, np.sqrt(np.nansum(w * (x - mean) ** 2, axis=0) / w.sum(axis=0))


@cache
def scaled_fit(name, kind="standard", *, holes=False):
    """Return a fitted estimator; tests that share it do not change it."""
    return ESTIMATORS[name](scale=kind).fit(rows(holes=holes))


@cache
def fit_by_hand(name, *, holes=False):
    """Return the estimator fitted to standardised columns."""
    mean, deviation = by_hand(rows(holes=holes))
    return ESTIMATORS[name]().fit((rows(holes=holes) - mean) / deviation)


def outputs(model, x):
    """Return row outputs that have no unit."""
    return {
        name: np.asarray(model._rows(x, name))
        for name in ("label", "proba", "latent", "distance")
        if name in model.outputs
    }


def close(one, other, rtol=1e-10):
    np.testing.assert_allclose(one, other, rtol=rtol, atol=rtol * np.nanmax(np.abs(other), initial=1e-300))


@cross("name, holes, weighted", [*ESTIMATORS], [False, True], [False, True], one_in=7)
def test_it_is_the_fit_of_columns_that_were_scaled_by_hand(name, holes, weighted):
    x, weight = rows(holes=holes), weights() if weighted else None
    mean, deviation = by_hand(x, weight)
    z = (x - mean) / deviation
    to_the_end = {"tol": 0, "max_iter": 500} if name == "fa" else {}
    model = ESTIMATORS[name](scale="standard").set_params(**to_the_end).fit(x, sample_weight=weight)
    other = ESTIMATORS[name]().set_params(**to_the_end).fit(z, sample_weight=weight)
    close(model.scale_, deviation)
    close(model.shift_, mean)
    # Extrapolation enlarges differences in the last bits: in factor analysis, and in the starts of latent models with
    # holes. Then the fits end in the same optimum, perhaps after another number of iterations.
    extrapolated = name == "fa" or (holes and hasattr(model, "components_"))
    rtol = 1e-6 if extrapolated else 1e-8
    if not (extrapolated and holes):
        assert model.n_passes_ == other.n_passes_
    if not extrapolated:
        assert model.n_iter_ == other.n_iter_
    for word, values in outputs(model, x).items():
        np.testing.assert_allclose(values, outputs(other, z)[word], rtol=rtol, atol=rtol, err_msg=word)
    units = model._column_units()
    found = [key for key in (*model._saved, *model._saved_numbers) if hasattr(other, key) and key != "_fitted_type"]
    for key in found:
        here, there = (np.asarray(getattr(m, key), dtype=np.float64) for m in (model, other))
        if key in units and there.ndim:
            here = units[key].in_scaled_units(here, scaling_of(model))
        if key != "loglike_":
            np.testing.assert_allclose(here, there, rtol=rtol, atol=rtol / 100, err_msg=key)
    if name == "kmeans":
        assert model.inertia_ == pytest.approx(other.inertia_, rel=1e-10)
        return
    volume = ~np.isnan(x) @ np.log(deviation)
    counted = (~np.isnan(x).all(axis=1)) * (1.0 if weight is None else weight)
    mean_volume = volume @ counted / counted.sum()
    np.testing.assert_allclose(model.score_samples(x), other.score_samples(z) - volume, rtol=rtol, atol=rtol)
    assert model.lower_bound_ == pytest.approx(other.lower_bound_ - mean_volume, abs=1e-9)
    assert model.score(x, sample_weight=weight) == pytest.approx(
        other.score(z, sample_weight=weight) - mean_volume, abs=1e-9
    )
    full = np.nan_to_num(x, nan=35.0)
    shift = 2 * N * np.log(deviation).sum()
    assert model.bic(full) == pytest.approx(other.bic((full - mean) / deviation) + shift, rel=rtol / 10)


def scaling_of(model):
    return Scaling(model.shift_, model.scale_)


@cross("name, kind", [*ESTIMATORS], [*SCALINGS], one_in=13)
def test_other_units_give_the_same_fit(name, kind):
    """Of each column its own; with one scale for all columns, one factor."""
    x = rows(holes=True)
    factor = np.array([1e-6, 1e4, 1e8, 3.0]) if kind != "variable" else 1e5
    moved = x * factor + np.array([0.0, 1e3, -7.0, 1.0])
    one, other = ESTIMATORS[name](scale=kind).fit(x), ESTIMATORS[name](scale=kind).fit(moved)
    for word, values in outputs(one, x).items():
        np.testing.assert_allclose(outputs(other, moved)[word], values, rtol=1e-6, atol=1e-6, err_msg=word)
    if name != "kmeans":
        volume = ~np.isnan(x) @ np.log(factor * np.ones(D))
        np.testing.assert_allclose(other.score_samples(moved), one.score_samples(x) - volume, rtol=0, atol=1e-6)


@mostly_slow("name", FREE, quick=["full", "bayesian-diag", "fa"])
def test_models_that_do_not_depend_on_units_find_the_same_density(name):
    x = rows()
    plain, model = ESTIMATORS[name](random_state=1).fit(x), ESTIMATORS[name](random_state=1, scale="standard").fit(x)
    np.testing.assert_allclose(model.score_samples(x), plain.score_samples(x), rtol=0, atol=1e-5)
    assert model.lower_bound_ == pytest.approx(plain.lower_bound_, abs=1e-6)


@SEVERAL
def test_filled_values_and_deviations_are_in_the_units_of_the_data(name):
    x = rows(holes=True)
    mean, deviation = by_hand(x)
    z, missing = (x - mean) / deviation, np.isnan(x)
    model, other = scaled_fit(name, holes=True), fit_by_hand(name, holes=True)
    filled = model.impute(x)
    np.testing.assert_array_equal(filled[~missing], x[~missing])  # to the last bit
    np.testing.assert_allclose((filled - mean) / deviation, other.impute(z), rtol=1e-7, atol=1e-7)
    assert np.isnan(filled[3]).all()
    if name != "kmeans":
        spread = model.impute(x, return_std=True)[1]
        np.testing.assert_allclose(spread / deviation, other.impute(z, return_std=True)[1], rtol=1e-7, atol=1e-7)
    assert model.impute(x.astype(np.float32)).dtype == np.float32


@mostly_slow("name", [name for name in ESTIMATORS if name != "kmeans"], quick=["spherical", "ppca"])
def test_drawn_rows_are_in_the_units_of_the_data(name, tmp_path):
    mean, deviation = by_hand(rows())
    model, other = scaled_fit(name), fit_by_hand(name)
    one, two = model.sample(50), other.sample(50)
    one, two = (one[0], two[0]) if isinstance(one, tuple) else (one, two)
    np.testing.assert_allclose((one - mean) / deviation, two, rtol=1e-6, atol=1e-6)
    model.write_sample(50, tmp_path / "drawn.zarr")
    np.testing.assert_array_equal(zarr.open(tmp_path / "drawn.zarr")[:], one)


@mostly_slow("name", [*ESTIMATORS], quick=["bayesian-spherical", "kmeans", "fa"])
def test_saved_and_pickled_models_give_the_same_bits(name, tmp_path):
    x = rows(holes=True)
    model = scaled_fit(name, holes=True)
    model.save(tmp_path / "m.zarr")
    for again in (dem.load(tmp_path / "m.zarr"), pickle.loads(pickle.dumps(model))):
        assert again.scale == "standard"
        for key in (*model._saved, "scale_", "shift_"):
            np.testing.assert_array_equal(getattr(again, key), getattr(model, key), err_msg=key)
        for word, values in outputs(model, x).items():
            np.testing.assert_array_equal(outputs(again, x)[word], values)
        np.testing.assert_array_equal(again.impute(x), model.impute(x))
        assert again.score(x) == model.score(x)


@cross("name, kind", [*ESTIMATORS], ["zarr", "dask", "int16"], one_in=7)
def test_stores_and_dask_arrays(name, kind, tmp_path):
    x = rows()
    if kind == "int16":
        x = (x - OFFSETS) / UNITS * 100
    x = x.round(0).astype(np.int16) if kind == "int16" else x
    array = zarr.create_array(tmp_path / "x.zarr", shape=x.shape, chunks=(50, D), dtype=x.dtype)
    array[:] = x
    data = da.from_array(x, chunks=(70, D)) if kind == "dask" else tmp_path / "x.zarr"
    here, there = ESTIMATORS[name](scale="standard").fit(x), ESTIMATORS[name](scale="standard").fit(data)
    assert there.n_passes_ == here.n_passes_
    assert there.source_["dtype"] == str(x.dtype)
    for word, values in outputs(here, x).items():
        lazy = there._rows(data, word)
        assert isinstance(lazy, da.Array)
        np.testing.assert_allclose(lazy.compute(), values, rtol=1e-6, atol=1e-6)
    if kind == "zarr" and name != "kmeans":
        there.write(data, tmp_path / "score.zarr", "score")
        np.testing.assert_allclose(zarr.open(tmp_path / "score.zarr")[:], here.score_samples(x), rtol=1e-6, atol=1e-6)


@SEVERAL
def test_each_chunk_is_read_once_a_pass(name):
    x = rows()
    inner = zarr.storage.MemoryStore()
    zarr.create_array(inner, shape=x.shape, chunks=(60, D), dtype=x.dtype)[:] = x
    Counting.reads.clear()
    model = ESTIMATORS[name](scale="standard").fit(zarr.open_array(Counting(inner.with_read_only(True)), mode="r"))
    assert len(Counting.reads) == 3 * model.n_passes_


@mostly_slow("name", [*ESTIMATORS], quick=["full", "kmeans", "ppca"])
def test_a_checkpoint_continues_with_the_same_bits(name, tmp_path):
    x = rows(holes=True)
    model = ESTIMATORS[name](scale="standard").set_params(max_iter=2)
    straight = clone(model).fit(x)
    passes, path = 0, tmp_path / "fit.zarr"
    while True:
        try:
            model.fit(x, checkpoint=dem.Checkpoint(path, max_passes=1))
        except dem.Stopped:
            passes += 1
            continue
        break
    assert passes > 0
    assert model.n_passes_ == straight.n_passes_
    for key in (*model._saved, "scale_"):
        np.testing.assert_array_equal(getattr(model, key), getattr(straight, key), err_msg=key)
    with pytest.raises(ValueError, match="scale=standard in the checkpoint, scale=robust in this fit"):
        ESTIMATORS[name](scale="robust").fit(x, checkpoint=path)
    with pytest.raises(ValueError, match=r"scale=standard in the checkpoint, .*no scale in this fit"):
        ESTIMATORS[name]().fit(x, checkpoint=path)


def test_absent_chunks_are_reported_for_the_data(tmp_path):
    array = zarr.create_array(tmp_path / "x.zarr", shape=(N, D), chunks=(30, D), dtype="f8", fill_value=0.5)
    array[:90] = rows()[:90]
    model = gaussian("diag")(scale="standard").set_params(tol=1e-3)
    with pytest.warns(UserWarning, match="2 chunks of .*x.zarr are not in the store"), pytest.raises(dem.Stopped):
        model.fit(tmp_path / "x.zarr", checkpoint=dem.Checkpoint(tmp_path / "c.zarr", max_passes=1))
    with pytest.warns(UserWarning, match="the first is chunk c/3/0"):
        model.fit(tmp_path / "x.zarr", checkpoint=tmp_path / "c.zarr")


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_first_parameters_are_in_the_units_of_the_data(kind):
    x = rows()
    first = dem.GaussianMixture(K, covariance_type="diag", n_init=1).fit(x)
    variances = {
        "full": np.array([np.diag(1 / c) for c in first.covariances_]),
        "tied": np.diag(1 / first.covariances_.mean(axis=0)),
        "diag": 1 / first.covariances_,
        "spherical": np.array([1.0, 2.0]),  # of scaled columns: they share it
    }[kind]
    given = {"weights_init": first.weights_, "means_init": first.means_, "precisions_init": variances}
    model = dem.GaussianMixture(K, covariance_type=kind, scale="standard", max_iter=0, **given).fit(x)
    close(model.means_, first.means_, rtol=1e-13)
    close(model.precisions_, variances, rtol=1e-12)
    assert model.n_passes_ == 2
    if kind != "spherical":
        plain = dem.GaussianMixture(K, covariance_type=kind, max_iter=0, **given).fit(x)
        np.testing.assert_allclose(model.score_samples(x), plain.score_samples(x), rtol=1e-11, atol=1e-11)


def test_first_centres_are_in_the_units_of_the_data():
    centres = rows()[:K]
    model = dem.KMeans(K, init=centres, max_iter=0, scale="robust").fit(rows())
    close(model.cluster_centers_, centres, rtol=1e-13)


@mostly_slow("kind", ["full", "tied", "diag"], quick=["diag"])
def test_priors_are_in_the_units_of_the_data(kind):
    x = rows()
    mean, covariance = x.mean(axis=0), np.cov(x.T)
    prior = np.diag(covariance) if kind == "diag" else covariance
    given = {"mean_prior": mean, "covariance_prior": prior}
    model, plain = bayesian(kind)(scale="standard", **given).fit(x), bayesian(kind)(**given).fit(x)
    close(model.mean_prior_, mean, rtol=1e-13)
    close(model.covariance_prior_, prior, rtol=1e-13)
    assert model.lower_bound_ == pytest.approx(plain.lower_bound_, abs=1e-6)


@mostly_slow("name", ["full", "spherical", "bayesian-tied", "mppca", "mfa"], quick=["full"])
def test_warm_starts(name):
    x = rows()
    model = ESTIMATORS[name](scale="standard", warm_start=True).set_params(max_iter=1).fit(x)
    reached, n = model.lower_bound_, len(model.fit(x).history_)
    assert model.history_[0]["objective"] == pytest.approx(reached, rel=1e-12)
    assert n > 1
    assert np.isfinite(model.fit(x + 10 * UNITS).lower_bound_)  # another scaling


def test_a_warm_start_on_other_data_begins_at_the_last_means():
    x = rows()
    model = gaussian("full")(scale="standard", warm_start=True).fit(x)
    means, covariances = model.means_, model.covariances_
    model.set_params(max_iter=0).fit(np.concatenate([x[: N // 2], 2 * x[: N // 2]]))
    close(model.means_, means, rtol=1e-12)
    close(model.covariances_, covariances, rtol=1e-12)


def test_covariances_of_latent_models_are_in_the_units_of_the_data():
    x = rows()
    deviation = by_hand(x)[1]
    unit = np.outer(deviation, deviation)
    for name in ("ppca", "fa"):
        model, other = scaled_fit(name), fit_by_hand(name)
        close(model.get_covariance(), other.get_covariance() * unit)
        close(model.get_precision() @ model.get_covariance(), np.eye(D), rtol=1e-8)
        for how in ("mean", "least_squares"):
            back = model.inverse_transform(model.transform(x), how)
            other_back = other.inverse_transform(other.transform((x - x.mean(0)) / deviation), how)
            np.testing.assert_allclose((back - x.mean(0)) / deviation, other_back, rtol=1e-7, atol=1e-7)
    sigma = dem.PPCA(2, scale="standard").fit(x)
    variances = sigma.explained_variance_ - sigma.noise_variance_
    loadings = sigma.components_.T * np.sqrt(variances)
    close(loadings @ loadings.T + sigma.noise_variance_ * np.diag(sigma.scale_**2), sigma.get_covariance())


@pytest.mark.parametrize("name", ["full", "tied", "diag", "spherical", "mppca", "mfa"])
def test_covariances_among_columns(name):
    """As pictures and tables show them: in the data's units, whatever the shape of the stored ones."""
    deviation = by_hand(rows())[1]
    model, other = scaled_fit(name), fit_by_hand(name)
    pair = [2, 0]
    expected = covariances_among(other, pair) * np.outer(deviation[pair], deviation[pair])
    close(covariances_among(model, pair), expected, rtol=1e-8)


def test_mixtures_that_begin_at_scaled_clusters():
    x = rows()
    km = dem.KMeans(K, n_init=2, scale="standard").fit(x)
    z = (x - km.shift_) / km.scale_
    other = dem.KMeans(K, n_init=2).fit(z)
    for kind in COVARIANCE_TYPES:
        start = dem.GaussianMixture.from_kmeans(km, covariance_type=kind, max_iter=0)
        assert start.scale == "standard"
        found = start.fit(x).score(x) + np.log(km.scale_).sum()
        plain = dem.GaussianMixture.from_kmeans(other, covariance_type=kind, max_iter=0).fit(z)
        assert found == pytest.approx(plain.score(z), rel=1e-8)
    with pytest.raises(ValueError, match="spherical covariances need the scale of the K-means, 'standard'"):
        dem.GaussianMixture.from_kmeans(km, covariance_type="spherical", scale=None)


@EVERY
def test_conversion_to_sklearn_is_exact_or_refused(name):
    x, model = rows(), scaled_fit(name)
    if not hasattr(model, "to_sklearn"):
        return
    if name in ("spherical", "bayesian-spherical", "kmeans", "ppca", "ppca-em", "bpca"):
        with pytest.raises(ValueError, match="that was fitted with scale cannot be converted"):
            model.to_sklearn()
        return
    np.testing.assert_allclose(model.to_sklearn().score_samples(x), model.score_samples(x), rtol=1e-7, atol=1e-7)


def test_a_fit_without_scale_forgets_the_last_one():
    x = rows()
    for name in ("kmeans", "ppca"):
        model = ESTIMATORS[name](scale="standard").fit(x)
        before = model.score(x)
        model.set_params(scale=None)
        assert model.score(x) == before  # the fit, not the setting
        model.fit(x)
        assert not hasattr(model, "scale_")
        assert model.score(x) == ESTIMATORS[name]().fit(x).score(x)


def test_labels_of_the_training_rows():
    x = rows(holes=True)
    model = dem.KMeans(K, scale="standard").fit(x)
    np.testing.assert_array_equal(model.labels_, model.predict(x))
    assert model.labels_[3] == -1
    lazy = dem.KMeans(K, scale="standard").fit(da.from_array(x, chunks=(40, D))).labels_
    np.testing.assert_array_equal(lazy.compute(), model.labels_)


def test_variables_share_a_scale():
    """Columns without names are one variable: the shape of the data stays."""
    x = rows()
    model = dem.PPCA(2, scale="variable").fit(x)
    np.testing.assert_allclose(model.scale_, np.sqrt(x.var(axis=0).mean()))
    plain = dem.PPCA(2).fit(x)
    np.testing.assert_allclose(model.score_samples(x), plain.score_samples(x), rtol=1e-8)
    np.testing.assert_allclose(model.explained_variance_ratio_, plain.explained_variance_ratio_)


@cross("name, holes", ["ppca-em", "fa"], [False, True])
def test_columns_too_many_for_a_scatter(monkeypatch, name, holes):
    """Then EM makes passes over the scaled rows, from a scan without scatter."""
    monkeypatch.setattr("dem.estimators.linear_latent.scatter_fits", lambda *_: False)
    x = rows(holes=holes)
    mean, deviation = by_hand(x)
    model, other = ESTIMATORS[name](scale="standard").fit(x), ESTIMATORS[name]().fit((x - mean) / deviation)
    assert model.n_passes_ == other.n_passes_ > 2
    np.testing.assert_allclose(model.transform(x), other.transform((x - mean) / deviation), rtol=1e-6, atol=1e-6)


@mostly_slow("kind", [*SCALINGS], quick=["robust"])
def test_columns_without_spread(kind):
    """Constant ones, and ones that are constant but for the rounding of their values."""
    x = rows()[:, [0, 1, 0, 1]]
    x[:, 2], x[:, 3] = 0.3, np.where(np.arange(N) % 3, 0.3, 0.1 + 0.2)
    for name in ("full", "diag", "kmeans", "mfa"):
        model, plain = ESTIMATORS[name](scale=kind).fit(x), ESTIMATORS[name]().fit(x)
        centres = getattr(model, "means_", getattr(model, "cluster_centers_", None))
        np.testing.assert_allclose(centres[:, 2:], 0.3, rtol=1e-12)
        if name != "kmeans":
            assert np.isfinite(plain.score(x)) == np.isfinite(model.score(x))


def test_too_few_rows_with_a_value():
    x = np.full((20, D), np.nan)
    x[4] = 1.0
    for data in (x, da.from_array(x, chunks=(5, D))):
        with pytest.raises(ValueError, match=r"one row has no variance|1 row is too few|too few for"):
            dem.PPCA(1, scale="standard").fit(data)


def test_wrong_settings():
    for make in ESTIMATORS.values():
        with pytest.raises(ValueError, match="scale must be one of standard, robust, variable or None, got 'None'"):
            make(scale="None").fit(rows())
    with pytest.raises(ValueError, match=r"means_init should have the shape \(2, 4\)"):
        gaussian("full")(scale="standard", means_init=np.zeros((3, D))).fit(rows())
    with pytest.raises(ValueError, match=r"init should have the shape \(2, 4\)"):
        dem.KMeans(K, init=np.zeros((3, D)), scale="standard").fit(rows())
    assert "scale" not in inspect.signature(dem.Mixture).parameters


@SEVERAL
def test_very_different_spreads_are_reported_where_they_matter(name, recwarn):
    x = rows() * [1, 1, 1e-3, 1e6]
    said = r"array has columns that differ in spread by a factor of .*\(from .* in column 2 to .* in column 3\)"
    ESTIMATORS[name](scale="standard").fit(x)
    if name in FREE:
        ESTIMATORS[name]().fit(x)
    assert not [w for w in recwarn if "differ in spread" in str(w.message)]
    if name not in FREE:
        with pytest.warns(UserWarning, match=said) as found:
            ESTIMATORS[name]().fit(x)
        assert len([w for w in found if "differ in spread" in str(w.message)]) == 1
        with pytest.warns(UserWarning, match="scale='standard' gives each column the same spread"):
            ESTIMATORS[name]().fit(np.where(np.arange(N)[:, None] % 7, x, np.nan))
