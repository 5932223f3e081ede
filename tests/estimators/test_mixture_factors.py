"""MixturePPCA and MixtureFactorAnalysis: the scikit-learn face."""

import numpy as np
import pytest
import zarr
from sklearn.metrics import adjusted_rand_score

import dem

KINDS = pytest.mark.parametrize("kind", [dem.MixturePPCA, dem.MixtureFactorAnalysis])
D, K, Q = 10, 2, 2


@pytest.fixture(scope="module")
def planted():
    """Rows of two components, their labels, latents and loadings."""
    rng = np.random.default_rng(0)
    labels = rng.integers(K, size=2000)
    loadings, means = rng.normal(0, 2, (K, D, Q)), rng.normal(0, 3, (K, D))
    z = rng.standard_normal((2000, Q))
    x = means[labels] + np.einsum("ndq,nq->nd", loadings[labels], z) + 0.3 * rng.standard_normal((2000, D))
    return x, labels, z, loadings


@pytest.fixture(scope="module")
def models(planted):
    return {kind: kind(K, n_factors=Q, tol=1e-8, max_iter=200).fit(planted[0]) for kind in KINDS.args[1]}


@KINDS
def test_a_planted_mixture_is_found(kind, models, planted):
    x, labels, z, _ = planted
    model = models[kind]
    assert adjusted_rand_score(labels, model.predict(x)) > 0.99
    assert model.loadings_.shape == (K, D, Q)
    assert model.noise_variance_.shape == ((K,) if kind is dem.MixturePPCA else (K, D))
    np.testing.assert_allclose(model.noise_variance_, 0.09, rtol=0.25)
    for k in range(K):  # the latents, up to a rotation: regress the true ones on them
        rows = labels == k
        found = np.column_stack([model.transform(x)[rows], np.ones(rows.sum())])
        left = z[rows] - found @ np.linalg.lstsq(found, z[rows], rcond=None)[0]
        assert left.var() < 0.05
    assert (np.diff(model.explained_variance_, axis=1) < 0).all()
    assert model.n_parameters_ == K * (D + D * Q - 1 + model._family(Q).n_noise(D)) + K - 1


@KINDS
def test_it_goes_to_disk_and_back(kind, models, planted, tmp_path):
    x, model = planted[0], models[kind]
    model.save(tmp_path / "m.zarr")
    again = dem.load(tmp_path / "m.zarr")
    assert type(again) is kind
    np.testing.assert_array_equal(again.score_samples(x), model.score_samples(x))
    np.testing.assert_array_equal(again.sample(5)[0], model.sample(5)[0])
    assert again.bic(x) == model.bic(x)


@KINDS
def test_the_reported_objective_is_the_score(kind, models, planted):
    assert models[kind].score(planted[0]) == pytest.approx(models[kind].lower_bound_, abs=1e-10)


def test_a_store_and_its_latents(planted, tmp_path):
    x = planted[0]
    zarr.create_array(tmp_path / "x.zarr", data=x, chunks=(300, D))
    model = dem.MixturePPCA(K, n_factors=Q).fit(tmp_path / "x.zarr")
    model.write(tmp_path / "x.zarr", tmp_path / "z.zarr", "latents")
    written = zarr.open_array(tmp_path / "z.zarr")[:].reshape(-1, K, Q)
    label = model.predict(x)
    np.testing.assert_allclose(written[np.arange(len(x)), label], model.transform(x), atol=1e-12)


def test_a_second_fit_goes_on_from_the_first(planted):
    model = dem.MixturePPCA(K, n_factors=Q, warm_start=True, tol=1e-9, max_iter=300).fit(planted[0])
    before = model.lower_bound_
    assert model.fit(planted[0]).n_iter_ <= 3
    assert model.lower_bound_ >= before - 1e-9


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"n_factors": 0}, "n_factors must be an integer >= 1"),
        ({"n_factors": D}, "n_factors=10 must be less than the number of columns, 10"),
        ({"reg_covar": -1.0}, "reg_covar must be a number >= 0"),
    ],
)
def test_wrong_settings_get_a_sentence(settings, sentence, planted):
    with pytest.raises(ValueError, match=sentence):
        dem.MixturePPCA(K, **settings).fit(planted[0])
