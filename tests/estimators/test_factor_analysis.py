import warnings

import dask.array as da
import numpy as np
import pytest
import scipy.stats
import zarr
from sklearn import decomposition
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

import dem
from dem import FactorAnalysis
from dem.core.blas import single_threaded_blas
from dem.engine.sweep.process_memory import process_bytes
from shared import CSV, ENDS_AT_MAX_ITER

N, D, Q = 400, 7, 2


@pytest.fixture
def x(rng):
    noise = rng.uniform(0.5, 1.5, D)
    return 5.0 + rng.normal(size=(N, Q)) @ rng.normal(size=(Q, D)) + noise * rng.normal(size=(N, D))


def peer(x, q=Q, **settings):
    return decomposition.FactorAnalysis(q, svd_method="lapack", tol=1e-8, max_iter=50_000, **settings).fit(x)


def shared(name):
    path = CSV / name
    if not path.exists():
        pytest.skip(f"{name} is not there")
    return np.loadtxt(path, delimiter=",", skiprows=1)


@pytest.mark.parametrize("solver", ["auto", "em"])
def test_like_scikit_learns(solver, x):
    ours, theirs = FactorAnalysis(Q, solver=solver, tol=1e-13, max_iter=9999).fit(x), peer(x)
    assert ours.loglike_[-1] == pytest.approx(theirs.loglike_[-1], abs=1e-5)
    assert ours.lower_bound_ == pytest.approx(theirs.score(x), abs=1e-8)
    np.testing.assert_allclose(ours.get_covariance(), theirs.get_covariance(), atol=1e-4)
    np.testing.assert_allclose(ours.get_precision(), theirs.get_precision(), atol=1e-4)
    np.testing.assert_allclose(ours.noise_variance_, theirs.noise_variance_, atol=1e-4)
    signs = np.sign((ours.components_ * theirs.components_).sum(axis=1))
    np.testing.assert_allclose(ours.components_ * signs[:, None], theirs.components_, atol=1e-4)
    np.testing.assert_allclose(ours.transform(x) * signs, theirs.transform(x), atol=1e-3)
    np.testing.assert_allclose(ours.mean_, theirs.mean_, rtol=1e-13)
    assert ours.n_passes_ == 1
    assert ours.stop_reason_ == "converged"
    assert len(ours.heywood_) == 0
    assert (ours.history_[0]["kl"] is None) == (solver == "auto")


@pytest.mark.parametrize("rotation", ["varimax", "quartimax"])
def test_rotations_are_scikit_learns(rotation, rng):
    """Up to the order and the signs of the factors; scikit-learn's iteration ends at 1e-6."""
    x = rng.normal(size=(2000, 3)) @ rng.normal(size=(3, 9)) + rng.normal(size=(2000, 9))
    plain = FactorAnalysis(3, tol=1e-13).fit(x)
    ours = FactorAnalysis(3, rotation=rotation, tol=1e-13).fit(x)
    theirs = peer(x, 3, rotation=rotation)
    overlap = ours.components_ @ theirs.components_.T
    order = np.abs(overlap).argmax(axis=0)
    assert sorted(order) == [0, 1, 2]
    signs = np.sign(overlap[order, range(3)])
    np.testing.assert_allclose(ours.components_[order] * signs[:, None], theirs.components_, atol=5e-3)
    np.testing.assert_allclose(ours.get_covariance(), plain.get_covariance(), atol=1e-12)
    assert np.abs(ours.components_ - plain.components_).max() > 0.05


@pytest.mark.parametrize(("name", "q"), [("tobamovirus.csv", 2), ("oilflow.csv", 3)])
def test_published_data_like_scikit_learns(name, q):
    """One column of the tobamovirus data is a Heywood case, at which scikit-learn's fixed point creeps."""
    x = shared(name)
    ours = FactorAnalysis(q, tol=1e-9).fit(x)
    theirs = decomposition.FactorAnalysis(q, svd_method="lapack", tol=1e-7, max_iter=800)
    with warnings.catch_warnings(), single_threaded_blas():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs.fit(x)
    best = theirs.loglike_[-1] / len(x)
    assert ours.lower_bound_ > best - 1e-7
    assert ours.lower_bound_ == pytest.approx(best, abs=1e-6 if name.startswith("oil") else 1e-3)
    assert list(ours.heywood_) == ([] if name.startswith("oil") else [1])


def test_heywood_cases_are_told(rng):
    z = rng.normal(size=(100, 1))
    x = np.hstack([z, z + rng.normal(size=(100, 3))])
    model = FactorAnalysis(1).fit(x)
    assert list(model.heywood_) == [0]
    assert "factor analysis, 1 factor, 4 columns; no noise is left in column 0 (a Heywood case" in model.describe()
    assert np.isfinite(model.score(x))


def test_constant_columns_have_no_part(x):
    with_constant = np.insert(x, 3, 2.5, axis=1)
    one, two = (FactorAnalysis(Q, tol=1e-14).fit(rows) for rows in (x, with_constant))
    assert two.lower_bound_ == pytest.approx(one.lower_bound_, abs=1e-12)
    np.testing.assert_allclose(np.delete(two.components_, 3, axis=1), one.components_, atol=1e-6)
    assert two.noise_variance_[3] == 0
    assert (two.components_[:, 3] == 0).all()
    np.testing.assert_allclose(two.score_samples(with_constant), one.score_samples(x), rtol=1e-6)
    with pytest.raises(ValueError, match="all 2 columns are constant"):
        FactorAnalysis(1).fit(np.ones((9, 2)))


def test_far_from_zero_and_in_any_units(x):
    x = np.round(x * 2**20) / 2**20
    plain = FactorAnalysis(Q, tol=1e-12).fit(x)
    far = FactorAnalysis(Q, tol=1e-12).fit(x + 2.0**26)
    np.testing.assert_allclose(far.components_, plain.components_, atol=1e-6)
    scale = np.geomspace(1e-8, 1e8, D)
    scaled = FactorAnalysis(Q, tol=1e-12).fit(x * scale)
    turn = np.sign((scaled.components_ / scale * plain.components_).sum(axis=1))[:, None]
    np.testing.assert_allclose(scaled.components_ / scale * turn, plain.components_, atol=1e-6)
    np.testing.assert_allclose(scaled.noise_variance_ / scale**2, plain.noise_variance_, rtol=1e-6)
    assert scaled.lower_bound_ + np.log(scale).sum() == pytest.approx(plain.lower_bound_, abs=1e-9)


def test_scores_criteria_and_samples(x):
    model = FactorAnalysis(Q, random_state=1).fit(x)
    normal = scipy.stats.multivariate_normal(model.mean_, model.get_covariance())
    np.testing.assert_allclose(model.score_samples(x), normal.logpdf(x), rtol=1e-11)
    parameters = D * Q + 2 * D - 1
    assert model.n_parameters_ == parameters
    assert model.bic(x) == pytest.approx(-2 * normal.logpdf(x).sum() + parameters * np.log(N), rel=1e-12)
    assert model.aic(x) == pytest.approx(-2 * normal.logpdf(x).sum() + 2 * parameters, rel=1e-12)
    covariance, drawn = model.get_covariance(), model.sample(40_000)
    error = np.sqrt((np.outer(np.diag(covariance), np.diag(covariance)) + covariance**2) / 40_000)
    assert (np.abs(np.cov(drawn.T) - covariance) < 4.5 * error).all()
    z = model.transform(x)
    np.testing.assert_allclose(model.inverse_transform(z), z @ model.components_ + model.mean_, atol=1e-13)


def test_kept_on_disk_written_and_given_to_scikit_learn(x, tmp_path):
    model = FactorAnalysis(Q, rotation="varimax").fit(x)
    model.save(tmp_path / "m.zarr")
    again = dem.load(tmp_path / "m.zarr")
    assert isinstance(again, FactorAnalysis)
    np.testing.assert_array_equal(again.transform(x), model.transform(x))
    assert again.loglike_ == model.loglike_
    assert again.rotation == "varimax"
    zarr.save_array(tmp_path / "x.zarr", x)
    model.write(tmp_path / "x.zarr", tmp_path / "z.zarr", "latent")
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "z.zarr")[:], model.transform(x))
    theirs = model.to_sklearn()
    assert type(theirs) is decomposition.FactorAnalysis
    np.testing.assert_allclose(theirs.transform(x), model.transform(x), atol=1e-12)
    np.testing.assert_allclose(theirs.score_samples(x), model.score_samples(x), rtol=1e-10)
    rows = da.from_array(x, chunks=(100, D))
    np.testing.assert_allclose(model.transform(rows).compute(), model.transform(x), atol=1e-14)
    assert clone(model).get_params() == model.get_params()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n_components": 0}, "n_components must be an integer >= 1"),
        ({"n_components": 0.5}, "n_components must be an integer >= 1"),
        ({"rotation": "promax"}, "rotation must be one of varimax, quartimax"),
        ({"solver": "closed_form"}, "solver must be one of auto, ecm, em"),
        ({"n_components": D + 1}, "use fewer"),
    ],
)
def test_wrong_settings_are_refused(settings, words, x):
    with pytest.raises(ValueError, match=words):
        FactorAnalysis(**settings).fit(x)


@pytest.fixture
def wide(tmp_path, rng):
    """A store of 3,000 columns, chunked along both axes; its covariance would take 72 MB, and 16 of them are held."""
    noise = rng.uniform(0.5, 1.5, 3000)
    x = rng.normal(size=(300, 3)) @ rng.normal(size=(3, 3000)) + noise * rng.normal(size=(300, 3000))
    z = zarr.create_array(tmp_path / "wide.zarr", shape=x.shape, chunks=(100, 1000), dtype="f8")
    z[:] = x
    return tmp_path / "wide.zarr", x


ROOM = 350 * 10**6
"""Less than the square of the columns of `wide`, in bytes."""


@ENDS_AT_MAX_ITER
@pytest.mark.parametrize(
    "model", [FactorAnalysis, *(pytest.param(m, marks=pytest.mark.slow) for m in (dem.PPCA, dem.BayesianPCA))]
)
def test_wide_stores_need_no_square_of_the_columns(model, wide):
    path, x = wide
    engine = dem.Engine(memory=process_bytes() + ROOM, workers=1)  # earlier tests leave memory to this process
    fitted = model(3, tol=1e-4, max_iter=20, sample_size=50, engine=engine).fit(path)
    assert fitted.n_passes_ == len(fitted.history_) + 1 > 2
    assert all(entry["elbo_m"] is not None for entry in fitted.history_[:-1])
    if model is FactorAnalysis:
        theirs = decomposition.FactorAnalysis(3, tol=1e-4, random_state=0).fit(x)
        assert fitted.lower_bound_ == pytest.approx(theirs.score(x), rel=1e-6)
    else:
        theirs = decomposition.PCA(3, svd_solver="full").fit(x)
        overlap = np.linalg.svd(fitted.components_ @ theirs.components_.T)[1]
        np.testing.assert_allclose(overlap, 1, atol=1e-4)
    with pytest.raises(ValueError, match="integer n_components"):
        model(None, engine=engine).fit(path)
