import numpy as np
import pytest
from sklearn.decomposition import PCA

import dem
from dem import PPCA, BayesianPCA


@pytest.fixture
def x():
    """PRML figure 12.14: 300 rows of 10 dimensions, three of them with the larger standard deviation."""
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(10, 10)))[0]
    return 4.0 + rng.normal(size=(300, 10)) * np.repeat([1.0, 0.5], [3, 7]) @ turn


def test_finds_the_directions(x):
    model = BayesianPCA().fit(x)
    assert model.n_components_ == 3
    assert model.alpha_.shape == (9,)
    assert np.isfinite(model.alpha_[:3]).all()
    assert np.isinf(model.alpha_[3:]).all()
    theirs = PCA(3, svd_solver="full").fit(x)
    overlap = np.linalg.svd(model.components_ @ theirs.components_.T)[1]
    np.testing.assert_allclose(overlap, 1, atol=1e-6)
    assert (np.diff(model.alpha_[:3]) > 0).all()
    lengths = model.explained_variance_ - model.noise_variance_
    np.testing.assert_allclose(model.alpha_[:3], 10 / lengths, rtol=1e-12)
    assert "Bayesian PCA, 3 components kept of 9, 10 columns" in model.describe()


def test_shrinks_beside_maximum_likelihood(x):
    """Short of the likelihood's maximum, which it tells without the prior."""
    bayes, best = BayesianPCA().fit(x), PPCA(3).fit(x)
    assert (bayes.explained_variance_ < best.explained_variance_).all()
    assert best.lower_bound_ - 0.1 < bayes.lower_bound_ < best.lower_bound_
    assert bayes.score(x) == pytest.approx(bayes.lower_bound_, abs=1e-7)
    assert bayes.n_parameters_ == best.n_parameters_
    last = bayes.history_[-1]
    assert last["objective"] != last["log_likelihood"] == bayes.lower_bound_
    steps = np.array([(h["elbo_e"], h["elbo_m"]) for h in bayes.history_[:-1]]).ravel()
    assert (np.diff(steps) >= -1e-11).all()


def test_kept_on_disk_and_given_to_scikit_learn(x, tmp_path):
    model = BayesianPCA().fit(x)
    model.save(tmp_path / "m.zarr")
    again = dem.load(tmp_path / "m.zarr")
    assert isinstance(again, BayesianPCA)
    np.testing.assert_array_equal(again.alpha_, model.alpha_)
    np.testing.assert_array_equal(again.transform(x), model.transform(x))
    theirs = model.to_sklearn()
    assert type(theirs) is PCA
    np.testing.assert_allclose(theirs.score_samples(x), model.score_samples(x), rtol=1e-10)


def test_wrong_settings_are_refused(x):
    with pytest.raises(ValueError, match="n_components must be an integer >= 1 or None"):
        BayesianPCA(0.5).fit(x)
    with pytest.raises(ValueError, match="Bayesian PCA needs one direction for the noise"):
        BayesianPCA().fit(x[:, :1])
