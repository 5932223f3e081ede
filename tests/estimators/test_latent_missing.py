"""PPCA, factor analysis, Bayesian PCA and their mixtures fitted to data with missing values."""

import dask.array as da
import numpy as np
import pytest
import zarr
from sklearn.base import clone

import dem
from crosses import mostly_slow
from dem import PPCA, BayesianPCA, FactorAnalysis, MixtureFactorAnalysis, MixturePPCA
from shared import ENDS_AT_MAX_ITER

N, D, Q = 600, 6, 2
MODELS = {
    "ppca": PPCA(Q, tol=1e-9, max_iter=2000),
    "fa": FactorAnalysis(Q, tol=1e-9, max_iter=2000),
    "bpca": BayesianPCA(4, tol=1e-9, max_iter=2000),
}
ANY = pytest.mark.parametrize("name", MODELS)
NOT_BAYESIAN = mostly_slow("name", list(MODELS), quick=["ppca", "fa"])


def complete(rng, n=N, d=D):
    return 2.0 + rng.normal(size=(n, Q)) @ rng.normal(size=(Q, d)) * 2 + 0.5 * rng.normal(size=(n, d))


def holed(x, share, rng):
    return np.where(rng.random(x.shape) < share, np.nan, x)


@NOT_BAYESIAN
def test_fits_by_em_with_a_pass_per_iteration(name, rng):
    x = complete(rng)
    y = holed(x, 0.2, rng)
    model = clone(MODELS[name]).fit(y)
    assert model.stop_reason_ == "converged"
    assert model.n_passes_ == model.n_iter_ + 2  # the scan, and the pass that scores
    objectives = [entry["objective"] for entry in model.history_]
    assert (np.diff(objectives) > -1e-12).all()
    assert model.score(y) == pytest.approx(model.lower_bound_, abs=1e-9)
    whole = clone(MODELS[name]).fit(x)
    np.testing.assert_allclose(model.get_covariance(), whole.get_covariance(), atol=0.6)
    np.testing.assert_allclose(model.mean_, whole.mean_, atol=0.15)
    assert model.n_components_ == whole.n_components_ == Q
    assert model.transform(y).shape == (N, Q)
    assert np.isfinite(model.transform(y)).all()


@pytest.mark.parametrize(
    "model", [PPCA(Q), FactorAnalysis(Q), MixturePPCA(1, n_factors=Q), MixtureFactorAnalysis(1, n_factors=Q)]
)
def test_filled_values_are_nearer_than_the_means(model, rng):
    x = complete(rng)
    y = holed(x, 0.2, rng)
    y[0] = np.nan
    model = clone(model).fit(y)
    missing = np.isnan(y) & ~np.isnan(y).all(axis=1, keepdims=True)
    filled, deviation = model.impute(y, return_std=True)
    assert filled[~np.isnan(y)].tobytes() == y[~np.isnan(y)].tobytes()
    assert np.isnan(filled[0]).all()
    error = (filled - x)[missing]
    assert np.sqrt(np.mean(error**2)) < 0.6 * np.sqrt(np.mean((np.nanmean(y, axis=0) - x)[missing] ** 2))
    assert np.sqrt(np.mean((error / deviation[missing]) ** 2)) == pytest.approx(1.0, abs=0.15)
    lazy = model.impute(da.from_array(y, chunks=(100, D)))
    np.testing.assert_allclose(lazy.compute(), filled, atol=1e-12)


@ANY
def test_a_model_of_complete_rows_takes_rows_with_missing_values(name, rng):
    x = complete(rng)
    model = clone(MODELS[name]).fit(x)
    y = holed(x, 0.3, rng)
    assert np.isfinite(model.score_samples(y)).all()
    o = ~np.isnan(y[5])
    inner, cross = model.get_covariance()[np.ix_(o, o)], model.get_covariance()[:, o]
    expected = model.mean_ + cross @ np.linalg.solve(inner, y[5, o] - model.mean_[o])
    np.testing.assert_allclose(model.impute(y)[5][~o], expected[~o], atol=1e-9)


@ENDS_AT_MAX_ITER
@NOT_BAYESIAN
def test_where_the_covariance_does_not_fit(name, rng, monkeypatch):
    """The same fit, whatever the first scan has gathered."""
    y = holed(complete(rng, n=300, d=40), 0.1, rng)
    model = clone(MODELS[name]).set_params(n_components=Q, max_iter=5, tol=0.0, sample_size=100)
    near = clone(model).fit(y)
    monkeypatch.setattr("dem.estimators.linear_latent.scatter_fits", lambda d, memory: False)
    wide = clone(model).fit(y)
    assert wide.n_passes_ == near.n_passes_
    np.testing.assert_allclose(wide.mean_, near.mean_, atol=1e-10)
    assert wide.lower_bound_ == pytest.approx(near.lower_bound_, abs=1e-10)


@ENDS_AT_MAX_ITER
@mostly_slow("name", list(MODELS), quick=["ppca"])
def test_a_checkpoint_is_gone_on_from(name, rng, tmp_path):
    """With the same bits; the scan is not made twice."""
    y = holed(complete(rng), 0.2, rng)
    zarr.create_array(tmp_path / "x.zarr", data=y, chunks=(100, D))
    model = clone(MODELS[name]).set_params(max_iter=6, tol=0.0, sample_size=100)
    whole = clone(model).fit(tmp_path / "x.zarr")
    kept = tmp_path / "c.zarr"
    for _ in range(2):
        with pytest.raises(dem.Stopped):
            clone(model).fit(tmp_path / "x.zarr", checkpoint=dem.Checkpoint(kept, max_passes=3))
    there = clone(model).fit(tmp_path / "x.zarr", checkpoint=kept)
    assert there.components_.tobytes() == whole.components_.tobytes()
    assert there.mean_.tobytes() == whole.mean_.tobytes()
    assert there.n_passes_ == whole.n_passes_ == 8
    with pytest.raises(ValueError, match="other settings: tol"):
        clone(model).set_params(tol=1.0).fit(tmp_path / "x.zarr", checkpoint=kept)


NEED_COVARIANCE = (
    PPCA(),
    PPCA(0.9),
    PPCA("mle"),
    PPCA("bic"),
    PPCA(Q, solver="closed_form"),
    FactorAnalysis(),
    FactorAnalysis(Q, solver="ecm"),
)


@pytest.mark.parametrize("model", NEED_COVARIANCE, ids=repr)
def test_what_needs_the_covariance_of_complete_rows_is_refused(model, rng):
    with pytest.raises(
        ValueError,
        match=r"missing \(NaN\), so that the covariance is not sufficient: give an integer n_components",
    ):
        model.fit(holed(complete(rng), 0.1, rng))


def test_shares_are_of_the_variance_of_the_model(rng):
    y = holed(complete(rng), 0.2, rng)
    model = PPCA(Q).fit(y)
    total = np.trace(model.get_covariance())
    np.testing.assert_allclose(model.explained_variance_ratio_, model.explained_variance_ / total, rtol=1e-12)
    assert 0.8 < model.explained_variance_ratio_.sum() < 1
    assert model.source_["missing"] == np.isnan(y).sum(axis=0).tolist()


def test_missing_values_of_a_heywood_case(rng):
    x = complete(rng)
    x[:, 5] = x[:, 0] - x[:, 1]
    model = FactorAnalysis(3, max_iter=300).fit(holed(x, 0.1, rng))
    assert {0, 1, 5} >= set(model.heywood_.tolist()) != set()
    assert (model.noise_variance_ > 0).all()


def test_as_many_components_as_columns_are_refused(rng):
    with pytest.raises(ValueError, match=f"must be less than the {D} columns"):
        PPCA(D).fit(holed(complete(rng), 0.1, rng))
    with pytest.raises(ValueError, match="the noise variance is 0, so rows with missing values"):
        PPCA(D).fit(complete(rng)).score(holed(complete(rng), 0.1, rng))


def test_rows_missing_with_weights_are_rows_repeated(rng):
    y, weight = holed(complete(rng, n=200), 0.2, rng), rng.integers(0, 3, 200)
    one = PPCA(Q, tol=1e-11, max_iter=3000).fit(y, sample_weight=weight.astype(float))
    two = PPCA(Q, tol=1e-11, max_iter=3000).fit(np.repeat(y, weight, axis=0))
    np.testing.assert_allclose(one.get_covariance(), two.get_covariance(), atol=2e-3)
    assert one.lower_bound_ == pytest.approx(two.lower_bound_, abs=1e-7)


@pytest.mark.parametrize(
    "make", [lambda: dem.PPCA("mle"), lambda: dem.PPCA(1, solver="em"), lambda: dem.FactorAnalysis(1)]
)
def test_what_rows_of_weight_zero_lack_is_no_matter(make):
    """The moments tell all, in one pass."""
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=(300, 1)) * [3.0, 2, 1, 1] + 0.3 * rng.normal(size=(300, 4)), np.ones(300)
    alone = make().fit(x[100:])
    x[:100, 0], weight[:100] = np.nan, 0
    found = make().fit(x, sample_weight=weight)
    assert found.n_passes_ == 1
    assert found.lower_bound_ == pytest.approx(alone.lower_bound_, rel=1e-5)
    assert found.n_components_ == alone.n_components_
