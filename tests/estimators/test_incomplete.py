"""Every estimator on rows with missing values: fits, rows, stores, checkpoints, real data."""

import dask.array as da
import numpy as np
import pytest
import zarr
from sklearn.base import clone

import dem
from crosses import mostly_slow
from dem.families import Gaussian
from dem.models.criteria import CRITERIA
from shared import CSV, ENDS_AT_MAX_ITER

needs = pytest.mark.skipif(not CSV.exists(), reason="the shared data are not here")
N, D = 800, 4


def data(seed=0, missing=0.25):
    """Return two clusters (n, D), correlated within, with values missing at random, some rows wholly."""
    rng = np.random.default_rng(seed)
    label = rng.integers(2, size=N)
    x = (
        4.0 * label[:, None] * [1, -1, 1, 0]
        + rng.normal(size=(N, 2)) @ rng.normal(size=(2, D))
        + 0.3 * rng.normal(size=(N, D))
    )
    holes = rng.random(x.shape) < missing
    holes[5] = True
    return np.where(holes, np.nan, x), x


MODELS = {
    **{f"gmm-{t}": dem.GaussianMixture(2, covariance_type=t, n_init=2) for t in ("full", "tied", "diag", "spherical")},
    **{
        f"bgmm-{t}": dem.BayesianGaussianMixture(3, covariance_type=t, n_init=2)
        for t in ("full", "tied", "diag", "spherical")
    },
    "map": dem.GaussianMixture(2, prior="weak", reg_covar=0, n_init=2),
    "mixture": dem.Mixture(2, family={(0, 1): Gaussian("diag"), (2, 3): Gaussian("full")}, n_init=2),
    "student": dem.Mixture(2, family="studentt", n_init=2),
    "kmeans": dem.KMeans(2),
    "mppca": dem.MixturePPCA(2, n_factors=1, n_init=2),
    "mfa": dem.MixtureFactorAnalysis(2, n_factors=1, n_init=2),
    "ppca": dem.PPCA(2),
    "bpca": dem.BayesianPCA(2),
    "fa": dem.FactorAnalysis(1, solver="em"),
}
NEAR_KIN = ("gmm-tied", "gmm-spherical", "bgmm-tied", "bgmm-diag", "bgmm-spherical", "mfa", "fa")
"""Models that differ from others here by their last step alone."""
FILLS = [name for name in MODELS if name != "kmeans"]


@mostly_slow("name", list(MODELS), quick=set(MODELS) - set(NEAR_KIN))
def test_fits_and_tells_of_rows(name, tmp_path):
    y, x = data()
    model = clone(MODELS[name]).fit(y)
    objectives = [p["objective"] for p in model.history_]
    by_reg_covar = 1e-6 if hasattr(model, "reg_covar") else 0  # of each variance, in nats a row about as much
    assert (np.diff(objectives) >= -1e-9 - by_reg_covar).all()
    assert model.source_["empty_rows"] == np.isnan(y).all(axis=1).sum()
    assert model.source_["missing"] == np.isnan(y).sum(axis=0).tolist()
    filled = model.impute(y)
    seen = ~np.isnan(y)
    assert filled[seen].tobytes() == y[seen].tobytes()
    means = np.where(seen, y, np.nanmean(y, axis=0))
    some = seen.any(axis=1)
    holes = ~seen & some[:, None]
    assert np.mean((filled - x)[holes] ** 2) < 0.75 * np.mean((means - x)[holes] ** 2)
    assert np.isnan(filled[~some]).all()
    if hasattr(model, "score_samples"):
        np.testing.assert_array_equal(np.isfinite(model.score_samples(y)), some)
        if model.objective_name == "log_likelihood" and name != "bpca":
            assert model.score(y) == pytest.approx(model.history_[-1]["log_likelihood"], abs=1e-9)
    for method in ("predict_proba", "transform"):
        if hasattr(model, method):
            found = getattr(model, method)(y)
            assert (np.isfinite(found) == some[:, None]).all()
    if hasattr(model, "predict"):
        np.testing.assert_array_equal(model.predict(y) == -1, ~some)
    model.save(tmp_path / "m.zarr")
    assert dem.load(tmp_path / "m.zarr").impute(y).tobytes() == filled.tobytes()


@mostly_slow("name", FILLS, quick=["gmm-full", "gmm-diag", "map", "mixture", "mppca", "ppca", "bpca"])
def test_deviations_are_those_of_the_errors(name):
    """The errors of what is filled in, in units of what is said of them, have about unit variance."""
    y, x = data()
    model = clone(MODELS[name]).fit(y)
    filled, deviation = model.impute(y, return_std=True)
    empty = np.isnan(y).all(axis=1)
    assert np.isnan(deviation[empty]).all()
    holes = np.isnan(y) & ~empty[:, None]
    assert (deviation[~np.isnan(y)] == 0).all()
    assert (deviation[holes] > 0).all()
    assert np.mean(((filled - x)[holes] / deviation[holes]) ** 2) == pytest.approx(1, abs=0.25)


@ENDS_AT_MAX_ITER
@mostly_slow("name", list(MODELS), quick=["gmm-diag", "mixture", "kmeans", "mppca", "ppca"])
def test_stores_and_lazy_arrays_give_the_same(name, tmp_path):
    y = data()[0][:400].astype(np.float32)
    zarr.create_array(tmp_path / "y.zarr", data=y, chunks=(200, 3))
    model = clone(MODELS[name]).set_params(max_iter=5)
    stored = clone(model).fit(tmp_path / "y.zarr")
    lazy = clone(model).fit(da.from_array(y, chunks=(300, D)))
    near = clone(model).fit(y)
    for other in (lazy, near):
        assert (
            other.lower_bound_ == pytest.approx(stored.lower_bound_, rel=1e-9)
            if hasattr(other, "lower_bound_")
            else True
        )
    filled = stored.impute(tmp_path / "y.zarr")
    assert isinstance(filled, da.Array)
    assert filled.dtype == np.float32
    np.testing.assert_allclose(filled.compute(), stored.impute(y), rtol=1e-5, atol=1e-5)
    stored.write(tmp_path / "y.zarr", tmp_path / "filled.zarr", "filled")
    written = zarr.open_array(tmp_path / "filled.zarr", mode="r")[:]
    assert written.tobytes() == filled.compute().tobytes()
    np.testing.assert_array_equal(np.isnan(written), np.repeat(np.isnan(y).all(axis=1), D).reshape(-1, D))


@ENDS_AT_MAX_ITER
@pytest.mark.parametrize(
    ("name", "workers"),
    [
        pytest.param(name, workers, marks=() if (name, workers) in {("gmm-diag", 2), ("ppca", 1)} else pytest.mark.slow)
        for name in ("gmm-full", "gmm-diag", "mppca", "ppca")
        for workers in (1, 2)
    ],
)
def test_checkpoints_go_on_with_the_same_bits(name, workers, tmp_path):
    y, _ = data()
    zarr.create_array(tmp_path / "y.zarr", data=y, chunks=(200, D))
    engine = dem.Engine(workers=workers)
    model = clone(MODELS[name]).set_params(engine=engine, max_iter=6, tol=0)
    whole = clone(model).fit(tmp_path / "y.zarr")
    kept = tmp_path / "kept"
    with pytest.raises(dem.Stopped):
        clone(model).fit(tmp_path / "y.zarr", checkpoint=dem.Checkpoint(kept, max_passes=2))
    there = clone(model).fit(tmp_path / "y.zarr", checkpoint=kept)
    for attribute in ("means_", "mean_", "cluster_centers_"):
        if hasattr(whole, attribute):
            assert getattr(there, attribute).tobytes() == getattr(whole, attribute).tobytes()
    assert [p["objective"] for p in there.history_] == [p["objective"] for p in whole.history_]


@pytest.mark.parametrize("name", ["gmm-full", "gmm-diag", "mppca", "ppca", "kmeans"])
def test_a_model_of_complete_rows_takes_rows_with_holes(name):
    y, x = data()
    model = clone(MODELS[name]).fit(x)
    filled = model.impute(y)
    holes = np.isnan(y) & ~np.isnan(y).all(axis=1, keepdims=True)
    means = np.where(holes, x.mean(axis=0), x)
    assert np.mean((filled - x)[holes] ** 2) < 0.75 * np.mean((means - x)[holes] ** 2)
    assert model.impute(x).tobytes() == x.tobytes()


@mostly_slow("name", list(MODELS), quick=["gmm-full", "gmm-diag", "mixture", "kmeans", "mppca", "ppca", "bpca"])
def test_rows_without_any_value_are_not_there(name):
    """With three times as many beside them, the fit, its criteria and the rows' outputs are those of the rows alone."""
    x = data()[0][:300]
    x = x[~np.isnan(x).all(axis=1)]
    y = np.concatenate([x, np.full((3 * len(x), D), np.nan)])
    model = clone(MODELS[name]).set_params(max_iter=5, tol=1e-2)
    if hasattr(model, "n_init") and name != "kmeans":
        model.set_params(n_init=1)
    alone, model = clone(model).fit(x), model.fit(y)
    assert model.source_["empty_rows"] == 3 * len(x)
    for attribute in ("n_passes_", "n_iter_", "stop_reason_", "n_samples_"):
        assert getattr(model, attribute, None) == getattr(alone, attribute, None)
    for attribute in ("lower_bound_", "inertia_", "effective_counts_", "cluster_counts_"):
        expected = np.asarray(getattr(alone, attribute, np.nan))
        np.testing.assert_allclose(getattr(model, attribute, np.nan), expected, rtol=1e-9)
    for criterion in ("score", *CRITERIA):
        if hasattr(model, criterion):
            assert getattr(model, criterion)(y) == pytest.approx(getattr(model, criterion)(x), rel=1e-12)
    for method in ("predict", "predict_proba", "transform", "score_samples", "entropy", "impute"):
        if hasattr(model, method):
            found, expected = (getattr(model, method)(rows) for rows in (y, x))
            np.testing.assert_allclose(found[: len(x)], expected, rtol=1e-9, atol=1e-12)
            rest = found[len(x) :]
            assert (rest == -1 if method == "predict" else np.isnan(rest)).all()


@pytest.mark.slow
@needs
def test_houses_without_bedrooms():
    """207 of 20,640 districts do not say how many bedrooms they have: their neighbours' columns tell."""
    columns = range(8)
    x = np.genfromtxt(CSV / "california_housing.csv", delimiter=",", skip_header=1, usecols=columns)
    assert np.isnan(x).sum() == np.isnan(x[:, 4]).sum() == 207
    rng = np.random.default_rng(0)
    gone = ~np.isnan(x[:, 4]) & (rng.random(len(x)) < 0.02)
    y = x.copy()
    y[gone, 4] = np.nan
    filled = dem.GaussianMixture(4, n_init=2, random_state=0).fit(y).impute(y)
    error = np.sqrt(np.mean((filled[gone, 4] - x[gone, 4]) ** 2))
    assert error < 0.25 * np.nanstd(x[:, 4])


@needs
def test_answers_that_were_not_given():
    """The latent classes of voters of whom some did not answer: the likelihood is that of the answers given."""
    x = np.genfromtxt(CSV / "lca_election_missing.csv", delimiter=",", skip_header=1)
    assert np.isnan(x).any()
    model = dem.Mixture(3, family="categorical", random_state=0, tol=1e-8, max_iter=500).fit(x)
    joint = np.tile(np.log(model.weights_), (len(x), 1))
    for j, share in enumerate(model.component_parameters_["probabilities"]):
        seen = ~np.isnan(x[:, j])
        with np.errstate(divide="ignore"):
            joint[seen] += np.log(share[:, x[seen, j].astype(int)].T)
    assert model.lower_bound_ == pytest.approx(np.logaddexp.reduce(joint, axis=1).mean(), abs=1e-9)
    complete = x[~np.isnan(x).any(axis=1)]
    dropped = dem.Mixture(3, family="categorical", random_state=0, tol=1e-8, max_iter=500).fit(complete)
    assert model.score(x) > dropped.score(x)
    assert len(complete) < len(x)


@pytest.mark.slow
def test_directions_may_stand_beside_columns_with_holes_but_have_none():
    rng = np.random.default_rng(0)
    v = rng.normal(size=(400, 2))
    x = np.column_stack([rng.normal(size=400), v / np.linalg.norm(v, axis=1)[:, None]])
    x[:50, 0] = np.nan
    model = dem.Mixture(2, family={0: "gaussian", (1, 2): "vonmisesfisher"}).fit(x)
    assert model.score(x) == pytest.approx(model.lower_bound_, abs=1e-9)
    assert not np.isnan(model.impute(x)).any()
    x[3, 1] = np.nan
    with pytest.raises(ValueError, match="von Mises-Fisher does not support missing values"):
        clone(model).fit(x)
    with pytest.raises(ValueError, match="von Mises-Fisher does not support missing values"):
        model.predict(x)


def test_columns_that_too_few_rows_have_are_told_in_a_sentence():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 20))
    x[rng.random(x.shape) < 0.95] = np.nan
    x[0, np.isnan(x).all(axis=0)] = 1.0
    with pytest.raises(ValueError, match=r"a column has too few observed values|lie in a subspace"):
        dem.PPCA(3).fit(x)


def test_an_open_source_must_have_been_told_what_is_missing():
    y = np.where(np.isnan(data()[0]), -999, data()[0])
    model = dem.GaussianMixture(1, missing_value=-999)
    with pytest.raises(ValueError, match=r"was opened without missing_value=-999: pass missing_value to"):
        model.fit(dem.open_source(y))
    told = model.fit(dem.open_source(y, missing_value=-999)).means_
    assert told.tobytes() == clone(model).fit(y).means_.tobytes()


def test_log_normals_that_spread_beyond_all_numbers_are_filled_in_by_numbers():
    rng = np.random.default_rng(0)
    x = np.exp(np.clip(rng.normal(size=(500, 2)) * 45, -300, 300))
    x[rng.random(x.shape) < 0.3] = np.nan
    filled, deviation = dem.Mixture(2, family="lognormal").fit(x).impute(x, return_std=True)
    some = ~np.isnan(x).all(axis=1)
    assert np.isfinite(filled[some]).all()
    assert np.isfinite(deviation[some]).all()
