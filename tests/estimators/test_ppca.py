import dask.array as da
import numpy as np
import pytest
import scipy.stats
from sklearn import decomposition
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dem import PPCA, GaussianMixture
from dem.em import loop
from dem.estimators.ppca import SubspaceWarning
from shared import CSV

N, D, Q = 300, 6, 2
ML = (N - 1) / N
"""scikit-learn's variances divide by n - 1."""


@pytest.fixture
def x(rng):
    z = rng.normal(size=(N, Q)) * [4.0, 2.0]
    return 5.0 + z @ rng.normal(size=(Q, D)) + 0.7 * rng.normal(size=(N, D))


@pytest.fixture
def noisy(rng):
    """EM creeps where the noise is small beside the signal: its rate is 1 - (s^2 / variance)^2."""
    return 5.0 + rng.normal(size=(N, Q)) @ np.linalg.qr(rng.normal(size=(D, Q)))[0].T * 1.5 + rng.normal(size=(N, D))


@pytest.mark.parametrize("q", [1, 2, 5, 6, None, 0.5, 0.9, 0.9999])
def test_like_scikit_learns_pca_with_n_for_n_minus_1(q, x):
    ours, theirs = PPCA(q).fit(x), decomposition.PCA(q, svd_solver="full").fit(x)
    assert ours.n_components_ == theirs.n_components_
    np.testing.assert_allclose(ours.components_, theirs.components_, atol=1e-11)
    np.testing.assert_allclose(ours.mean_, theirs.mean_, rtol=1e-14)
    np.testing.assert_allclose(ours.explained_variance_, ML * theirs.explained_variance_, rtol=1e-11)
    np.testing.assert_allclose(ours.explained_variance_ratio_, theirs.explained_variance_ratio_, rtol=1e-11)
    np.testing.assert_allclose(ours.singular_values_, theirs.singular_values_, rtol=1e-11)
    assert ours.noise_variance_ == pytest.approx(ML * theirs.noise_variance_, rel=1e-11, abs=1e-15)
    np.testing.assert_allclose(ours.get_covariance(), ML * theirs.get_covariance(), atol=1e-11)
    np.testing.assert_allclose(ours.get_precision(), theirs.get_precision() / ML, rtol=1e-9, atol=1e-11)
    assert ours.n_samples_ == N
    assert ours.n_features_in_ == D
    assert ours.n_passes_ == 1
    assert ours.stop_reason_ == "closed_form"


@pytest.mark.parametrize("q", [1, 2, 5, 6])
def test_scores_are_those_of_the_gaussian(q, x, rng):
    model = PPCA(q).fit(x)
    y = x[:20] + rng.normal(size=(20, D))
    expected = scipy.stats.multivariate_normal(model.mean_, model.get_covariance()).logpdf(y)
    np.testing.assert_allclose(model.score_samples(y), expected, rtol=1e-10)
    weight = rng.exponential(size=20)
    assert model.score(y) == pytest.approx(expected.mean(), rel=1e-10)
    assert model.score(y, sample_weight=weight) == pytest.approx(np.average(expected, weights=weight), rel=1e-10)
    assert model.lower_bound_ == pytest.approx(model.score(x), rel=1e-10)


def test_precision_inverts_covariance(x):
    model = PPCA(Q).fit(x)
    np.testing.assert_allclose(model.get_precision() @ model.get_covariance(), np.eye(D), atol=1e-12)


def test_transform_is_the_posterior_mean(x):
    model = PPCA(Q).fit(x)
    w = model.components_.T * np.sqrt(model.explained_variance_ - model.noise_variance_)
    precision = np.linalg.inv(model.get_covariance())
    np.testing.assert_allclose(model.transform(x), (x - model.mean_) @ precision @ w, atol=1e-12)
    np.testing.assert_allclose(model.posterior_covariance_, np.eye(Q) - w.T @ precision @ w, atol=1e-13)
    # Over the training data the latents' second moments are those of the prior   (PRML 12.48; E[zz'] = I)
    z = model.transform(x)
    np.testing.assert_allclose(z.T @ z / N + model.posterior_covariance_, np.eye(Q), atol=1e-12)


def test_reconstructions(x):
    model = PPCA(Q).fit(x)
    z = model.transform(x)
    v = model.components_
    w = v.T * np.sqrt(model.explained_variance_ - model.noise_variance_)
    np.testing.assert_allclose(model.inverse_transform(z), z @ w.T + model.mean_, atol=1e-12)
    projected = (x - model.mean_) @ v.T @ v + model.mean_
    np.testing.assert_allclose(model.inverse_transform(z, reconstruct="least_squares"), projected, atol=1e-11)
    errors = [((model.inverse_transform(z, reconstruct=how) - x) ** 2).sum() for how in ("least_squares", "mean")]
    assert errors[0] < errors[1]
    with pytest.raises(ValueError, match="reconstruct must be one of mean, least_squares"):
        model.inverse_transform(z, reconstruct="most")


def test_all_directions_reconstruct_the_rows(x):
    model = PPCA().fit(x)
    assert model.n_components_ == D
    assert model.noise_variance_ == 0
    for how in ("mean", "least_squares"):
        np.testing.assert_allclose(model.inverse_transform(model.transform(x), reconstruct=how), x, atol=1e-11)
    np.testing.assert_allclose(model.posterior_covariance_, 0, atol=1e-15)


def test_isotropic_data_have_loadings_of_zero():
    """x with unit covariance exactly: all eigenvalues equal the noise, so W = 0."""
    x = np.concatenate([np.eye(4), -np.eye(4)]) * 2.0
    model = PPCA(1).fit(x)
    assert model.noise_variance_ == pytest.approx(1.0, rel=1e-14)
    np.testing.assert_allclose(model.get_covariance(), np.eye(4), atol=1e-14)
    np.testing.assert_allclose(model.transform(x), 0, atol=1e-6)


@pytest.mark.parametrize("wide", [False, True], ids=["moments", "wide"])
def test_em_reaches_the_closed_form(wide, noisy, monkeypatch):
    exact = PPCA(Q).fit(noisy)
    if wide:
        monkeypatch.setattr("dem.estimators.linear_latent.scatter_fits", lambda *_: False)
    states = []
    model = PPCA(Q, solver="em", tol=1e-12, max_iter=3000).fit(noisy, callback=states.append)
    assert model.lower_bound_ == pytest.approx(exact.lower_bound_, abs=1e-9)
    np.testing.assert_allclose(model.components_, exact.components_, atol=1e-5)
    np.testing.assert_allclose(model.explained_variance_, exact.explained_variance_, rtol=1e-5)
    assert model.noise_variance_ == pytest.approx(exact.noise_variance_, rel=1e-5)
    objectives = [h["log_likelihood"] for h in model.history_]
    assert objectives == [state.objective for state in states]
    assert all(isinstance(state, loop.State) for state in states)
    assert (np.diff(objectives) >= -1e-12 * np.abs(objectives[1:])).all()
    assert model.stop_reason_ == "converged"
    assert model.n_passes_ == (len(objectives) + 1 if wide else 1)
    assert model.n_iter_ == len(objectives) - 1


def test_wide_em_has_the_mean_of_all_rows(noisy, monkeypatch):
    """Not of the sample on which it starts."""
    exact = PPCA(Q).fit(noisy)
    monkeypatch.setattr("dem.estimators.linear_latent.scatter_fits", lambda *_: False)
    model = PPCA(Q, solver="em", sample_size=40, tol=1e-12, max_iter=3000).fit(noisy)
    np.testing.assert_allclose(model.mean_, noisy.mean(axis=0), rtol=1e-12)
    assert model.lower_bound_ == pytest.approx(exact.lower_bound_, abs=1e-9)


def test_wide_em_with_as_many_components_as_columns_is_refused(noisy, monkeypatch):
    """There is no noise then, at which EM cannot arrive."""
    monkeypatch.setattr("dem.estimators.linear_latent.scatter_fits", lambda *_: False)
    with pytest.raises(ValueError, match="n_components"):
        PPCA(D, solver="em").fit(noisy)


@pytest.mark.parametrize("solver", ["closed_form", "em"])
def test_weights_are_repeated_rows(solver, noisy, rng):
    weight = rng.integers(0, 4, N)
    one = PPCA(Q, solver=solver, tol=1e-13, max_iter=3000).fit(noisy, sample_weight=weight)
    two = PPCA(Q, solver=solver, tol=1e-13, max_iter=3000).fit(np.repeat(noisy, weight, axis=0))
    np.testing.assert_allclose(one.mean_, two.mean_, rtol=1e-12)
    tolerance = 1e-11 if solver == "closed_form" else 1e-4
    np.testing.assert_allclose(one.get_covariance(), two.get_covariance(), atol=tolerance)
    assert one.lower_bound_ == pytest.approx(two.lower_bound_, abs=1e-10)


def test_data_in_a_subspace(rng):
    """Rank 2 in 4 dimensions: fitted and transformed, but without a density; told in one sentence."""
    x = rng.normal(size=(50, 2)) @ rng.normal(size=(2, 4))
    with pytest.warns(SubspaceWarning, match="the data have 4 columns but lie in a subspace of 2 dimensions"):
        model = PPCA().fit(x)
    assert model.n_components_ == 2
    assert model.noise_variance_ == 0
    np.testing.assert_allclose(model.inverse_transform(model.transform(x)), x, atol=1e-10)
    for call in (model.score, model.score_samples):
        with pytest.raises(ValueError, match="no density"):
            call(x)
    with pytest.raises(ValueError, match="singular"):
        model.get_precision()


def test_constant_data_have_one_component_of_no_length():
    for q in (None, 1, 0.5):
        with pytest.warns(SubspaceWarning, match="0 dimensions"):
            model = PPCA(q).fit(np.ones((5, 3)))
        np.testing.assert_array_equal(model.explained_variance_, 0)
        np.testing.assert_array_equal(model.mean_, 1)


def test_far_from_zero(x):
    near, far = PPCA(Q).fit(np.round(x * 2**20) / 2**20), PPCA(Q).fit(np.round(x * 2**20) / 2**20 + 2.0**26)
    np.testing.assert_allclose(far.get_covariance(), near.get_covariance(), rtol=0, atol=1e-8)
    assert far.lower_bound_ == pytest.approx(near.lower_bound_, rel=1e-9)


def test_single_precision_rows(x):
    y = (1e4 + x).astype(np.float32)
    np.testing.assert_allclose(
        PPCA(Q).fit(y).get_covariance(), PPCA(Q).fit(y.astype(float)).get_covariance(), rtol=0, atol=1e-11
    )
    np.testing.assert_allclose(PPCA(Q).fit(y).score(y), PPCA(Q).fit(y).score(y.astype(float)), rtol=1e-12)


def test_sample_follows_the_model(x):
    model = PPCA(Q, random_state=2).fit(x)
    drawn = model.sample(40_000)
    covariance = model.get_covariance()
    error = np.sqrt((np.outer(np.diag(covariance), np.diag(covariance)) + covariance**2) / 40_000)
    assert (np.abs(np.cov(drawn.T) - covariance) < 4 * error).all()
    np.testing.assert_array_equal(drawn, model.sample(40_000))


def test_to_sklearn(x):
    ours = PPCA(Q).fit(x)
    theirs = ours.to_sklearn()
    assert type(theirs) is decomposition.PCA
    np.testing.assert_allclose(theirs.score_samples(x), ours.score_samples(x), rtol=1e-10)
    np.testing.assert_allclose(theirs.get_covariance(), ours.get_covariance(), atol=1e-12)
    back = theirs.inverse_transform(theirs.transform(x))
    np.testing.assert_allclose(back, ours.inverse_transform(ours.transform(x), "least_squares"), atol=1e-11)


def test_clone_pipeline_and_names(x):
    model = make_pipeline(StandardScaler(), PPCA(Q), GaussianMixture(2, n_init=1)).fit(x)
    assert model.predict(x).shape == (N,)
    assert clone(PPCA(0.5, solver="em", tol=1e-3)).get_params() == PPCA(0.5, solver="em", tol=1e-3).get_params()
    assert list(PPCA(Q).fit(x).get_feature_names_out()) == ["ppca0", "ppca1"]


def test_lazy_rows_have_lazy_outputs(x):
    model = PPCA(Q).fit(x)
    rows = da.from_array(x, chunks=(100, D))
    z = model.transform(rows)
    assert isinstance(z, da.Array)
    np.testing.assert_array_equal(z.compute(), model.transform(x))
    back = model.inverse_transform(z, reconstruct="least_squares")
    assert isinstance(back, da.Array)
    np.testing.assert_allclose(back.compute(), model.inverse_transform(model.transform(x), reconstruct="least_squares"))


@pytest.mark.parametrize("q", ["mle", "bic"])
def test_the_number_of_directions_can_be_chosen(q, noisy):
    model = PPCA(q).fit(noisy)
    assert model.n_components_ == Q
    np.testing.assert_array_equal(model.components_, PPCA(Q).fit(noisy).components_)
    if q == "mle":
        assert decomposition.PCA("mle", svd_solver="full").fit(noisy).n_components_ == Q
    weight = np.full(N, 2.0)
    assert PPCA(q).fit(noisy, sample_weight=weight).n_components_ == PPCA(q).fit(np.repeat(noisy, 2, 0)).n_components_


def test_bic_is_lowest_at_the_chosen_number(noisy):
    criteria = [PPCA(q).fit(noisy).bic(noisy) for q in range(1, D)]
    assert PPCA("bic").fit(noisy).n_components_ == 1 + np.argmin(criteria)


def test_minkas_evidence_needs_as_many_rows_as_columns(x):
    with pytest.raises(ValueError, match="at least as many rows as columns"):
        PPCA("mle").fit(x[: D - 1])
    with pytest.raises(ValueError, match="'mle', 'bic' or None, got 'most'"):
        PPCA("most").fit(x)


def test_the_example_of_tipping_and_bishop_1999():
    """Tobamovirus: 38 rows of 18 columns; two directions stand out, and scikit-learn has the same spectrum."""
    path = CSV / "tobamovirus.csv"
    if not path.exists():
        pytest.skip("tobamovirus.csv is not there")
    y = np.loadtxt(path, delimiter=",", skiprows=1)
    ours, theirs = PPCA(2).fit(y), decomposition.PCA("mle", svd_solver="full").fit(y)
    assert y.shape == (38, 18)
    assert PPCA("mle").fit(y).n_components_ == theirs.n_components_
    np.testing.assert_allclose(ours.explained_variance_, 37 / 38 * theirs.explained_variance_[:2], rtol=1e-11)
    expected = scipy.stats.multivariate_normal(y.mean(axis=0), ours.get_covariance()).logpdf(y).mean()
    assert ours.lower_bound_ == pytest.approx(expected, rel=1e-11)
    em = PPCA(2, solver="em", tol=1e-12, max_iter=5000).fit(y)
    assert em.lower_bound_ == pytest.approx(ours.lower_bound_, abs=1e-9)
