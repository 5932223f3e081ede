"""dem.Mixture: any family, mixed columns, on data of all kinds."""

import pickle

import dask.array as da
import numpy as np
import pytest
import zarr
from scipy import stats
from scipy.special import logsumexp
from sklearn.base import clone
from sklearn.utils import Bunch

import dem
from dem.families import Exponential, Gaussian, StudentT
from own_family import Rayleigh
from shared import ENDS_AT_MAX_ITER

N = 3000
MIXED = {0: Exponential(), (1, 2): Gaussian(reg_covar=0.0)}


@pytest.fixture(scope="module")
def x():
    rng = np.random.default_rng(0)
    z = rng.random(N) < 0.3
    wait = rng.exponential(np.where(z, 1.0, 10.0))
    return np.c_[wait, rng.normal(np.where(z, 0, 5), np.where(z, 1, 2)), rng.normal(size=N)]


@pytest.fixture(scope="module")
def fitted(x):
    return dem.Mixture(2, family=MIXED, tol=1e-7).fit(x)


def joint(model, x):
    """Return log w_k p(x | k), (K, n), by scipy alone."""
    parts = model.component_parameters_
    rate = parts["column 0"]["rate"]
    means, covariances = parts["column 1, column 2"].values()
    return np.array(
        [
            np.log(w) + stats.expon(scale=1 / rate[k, 0]).logpdf(x[:, 0])
            + stats.multivariate_normal(means[k], covariances[k]).logpdf(x[:, 1:])
            for k, w in enumerate(model.weights_)
        ]
    )  # fmt: skip


def test_what_is_said_of_rows_is_scipys(fitted, x):
    expected = joint(fitted, x)
    score = logsumexp(expected, axis=0)
    resp = np.exp(expected - score)
    np.testing.assert_allclose(fitted.score_samples(x), score, rtol=1e-10)
    np.testing.assert_allclose(fitted.predict_proba(x), resp.T, atol=1e-10)
    np.testing.assert_array_equal(fitted.responsibilities(x), fitted.predict_proba(x))
    np.testing.assert_array_equal(fitted.predict(x), expected.argmax(axis=0))
    entropy = stats.entropy(resp)
    np.testing.assert_allclose(fitted.entropy(x), entropy, atol=1e-10)
    index, weight = fitted.top_components(x, 2)
    np.testing.assert_array_equal(index, np.argsort(-expected, axis=0).T)
    assert index.dtype == np.int8
    np.testing.assert_allclose(weight, -np.sort(-resp, axis=0).T, atol=1e-10)
    n_parameters = 1 + 2 + 2 * (2 + 3)
    assert fitted.n_parameters_ == n_parameters
    assert fitted.bic(x) == pytest.approx(-2 * score.sum() + n_parameters * np.log(N))
    assert fitted.aic(x) == pytest.approx(-2 * score.sum() + 2 * n_parameters)
    assert fitted.icl(x) == pytest.approx(fitted.bic(x) + 2 * entropy.sum())
    np.testing.assert_allclose(fitted.effective_counts_, resp.sum(axis=1), rtol=1e-9)
    assert fitted.lower_bound_ == pytest.approx(score.mean(), rel=1e-12)


def test_recovers_what_was_drawn(fitted):
    order = np.argsort(fitted.weights_)
    assert fitted.weights_[order][0] == pytest.approx(0.3, abs=0.04)
    assert fitted.component_parameters_["column 0"]["rate"][order, 0] == pytest.approx([1.0, 0.1], rel=0.15)


def test_the_gradient_of_the_likelihood_is_zero_at_the_fit(x):
    """In every rate, and in the weights along the simplex, by differences."""
    model = dem.Mixture(2, family=MIXED, tol=1e-13, max_iter=3000).fit(x[:500])
    rows, rate = x[:500], model.component_parameters_["column 0"]["rate"]

    def mean_score():
        return logsumexp(joint(model, rows), axis=0).mean()

    for k in range(2):
        kept, sides = rate[k, 0], []
        for step in (1e-5, -1e-5):
            rate[k, 0] = kept * (1 + step)
            sides.append(mean_score())
        rate[k, 0] = kept
        assert abs(sides[0] - sides[1]) / 2e-5 < 1e-5


def test_same_bits_from_every_kind_of_data(x, tmp_path):
    array = zarr.create_array(tmp_path / "x.zarr", data=x, chunks=(N, 3))
    settings = {"family": MIXED, "random_state": 1}
    first = dem.Mixture(2, **settings).fit(x)
    for data in (array, str(tmp_path / "x.zarr"), da.from_array(x, chunks=(N, 3))):
        other = dem.Mixture(2, **settings).fit(data)
        np.testing.assert_array_equal(other.weights_, first.weights_)
        np.testing.assert_array_equal(other.predict(data).compute(), first.predict(x))
        index, weight = other.top_components(data, 1)
        assert index.shape == weight.shape == (N, 1)
        assert index.compute().dtype == np.int8


def test_names_of_columns(x):
    model = dem.Mixture(2, family={"wait": "exponential", ("u", "v"): Gaussian()})
    model.feature_names_in_ = np.array(["wait", "u", "v"], dtype=object)
    family = model._model(3).family
    assert [part.columns for part in family.parts] == [(0,), (1, 2)]
    assert [part.name for part in family.parts] == ["wait", "u, v"]
    with pytest.raises(ValueError, match="names the column 'rain', but the columns are wait, u, v"):
        model.set_params(family={"rain": "exponential"})._model(3)


def test_a_list_of_pairs_is_the_same(x, fitted):
    pairs = [([1, 2], Gaussian(reg_covar=0.0)), (0, "exponential")]
    other = dem.Mixture(2, family=pairs, tol=1e-7).fit(x)
    assert other.lower_bound_ == pytest.approx(fitted.lower_bound_, abs=1e-5)


@pytest.mark.parametrize(
    ("family", "words"),
    [
        ("poison", "there is no family 'poison': choose one of"),
        (3, "family must be a name"),
        (Exponential, "family must be a name"),
        ({"a": Exponential()}, "no column names: give column numbers"),
        ({0: Exponential()}, "column 1 has no family"),
        ([(0, Exponential(), 1)], "must be a pair"),
        ([((), Exponential())], "has no columns"),
        ({(0, 1, 2, 3): Exponential()}, "family has column 3, but the data have only columns 0 to 2"),
    ],
)
def test_wrong_families(x, family, words):
    with pytest.raises(ValueError, match=words):
        dem.Mixture(2, family=family).fit(x)


@pytest.mark.parametrize("prior", ["strong", 3, True])
def test_wrong_priors(x, prior):
    with pytest.raises(ValueError, match=r"prior must be None, 'weak' or a dem\.Prior"):
        dem.Mixture(2, prior=prior).fit(x)


def test_values_outside_the_support_are_named(x, tmp_path):
    bad = np.abs(x) + 0.1
    bad[1234, 2], bad[2000, 0] = -7.5, -1.0
    store = zarr.create_array(tmp_path / "bad.zarr", data=bad, chunks=(500, 3))
    for data in (bad, store, da.from_array(bad, chunks=(700, 3))):
        with pytest.raises(
            ValueError, match=r"holds -7\.5 in column 2, but the model accepts only numbers >= 0"
        ) as error:
            dem.ExponentialMixture(2).fit(data)
        assert "row 1234" in str(error.value)
    weight = np.ones(N)
    weight[[1234, 2000]] = 0  # rows that do not count may hold anything
    model = dem.ExponentialMixture(2).fit(bad, sample_weight=weight)
    with pytest.raises(ValueError, match=r"row 1234 holds -7\.5 in column 2"):
        model.predict(bad)
    with pytest.raises(ValueError, match=r"row 1234 holds -7\.5 in column 2.*chunk"):
        model.score(store)


def test_goes_to_disk_and_back(fitted, x, tmp_path):
    fitted.save(tmp_path / "m.zarr")
    back = dem.load(tmp_path / "m.zarr")
    assert type(back) is dem.Mixture
    np.testing.assert_array_equal(back.score_samples(x), fitted.score_samples(x))
    assert back.history_ == fitted.history_
    again = back.fit(x)  # the family goes with it
    assert again.lower_bound_ == pytest.approx(fitted.lower_bound_, abs=1e-3)
    assert repr(clone(back)) == repr(clone(again))
    same = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(same.predict(x), fitted.predict(x))


@ENDS_AT_MAX_ITER
def test_checkpoints_and_warm_starts(x, tmp_path):
    straight = dem.Mixture(2, n_init=2, family=MIXED, tol=0, max_iter=4).fit(x)
    stopped = dem.Mixture(2, n_init=2, family=MIXED, tol=0, max_iter=4)
    for _ in range(10):
        try:
            stopped.fit(x, checkpoint=dem.Checkpoint(tmp_path / "c.zarr", max_passes=1))
            break
        except dem.Stopped:
            continue
    np.testing.assert_array_equal(stopped.weights_, straight.weights_)
    before = straight.lower_bound_
    straight.set_params(warm_start=True, max_iter=1).fit(x)
    assert straight.history_[0]["objective"] == pytest.approx(before, abs=1e-12)


def test_short_names():
    made = Bunch(
        exponential=dem.ExponentialMixture(3, tol=1e-5),
        bernoulli=dem.BernoulliMixture(3, tol=1e-5),
        poisson=dem.PoissonMixture(3, tol=1e-5),
    )
    for name, model in made.items():
        assert (model.family, model.n_components, model.tol) == (name, 3, 1e-5)
    assert dem.CategoricalMixture(2, [3, 4]).family.n_categories == (3, 4)


def test_a_family_of_ones_own_is_named_to_be_loaded(tmp_path, rng):
    dem.Mixture(2, n_init=2, family=Rayleigh()).fit(rng.rayleigh(size=(300, 1))).save(tmp_path / "m.zarr")
    with pytest.raises(ValueError, match=r"refers to Rayleigh of the module own_family.*modules=\["):
        dem.load(tmp_path / "m.zarr")
    back = dem.load(tmp_path / "m.zarr", modules=["own_family"])
    assert back.describe() == "mixture of Rayleigh, 2 components, 1 column"


def test_codes_in_rows_that_do_not_count_are_no_categories(rng):
    codes = rng.integers(0, 4, (600, 3)).astype(float)
    codes[3] = 5000
    weight = np.ones(600)
    weight[3] = 0
    model = dem.CategoricalMixture(2).fit(codes, sample_weight=weight)
    assert model.n_parameters_ == 1 + 2 * 3 * 3


def test_warm_starts_keep_the_categories_and_notice_another_family(rng):
    few, more = rng.integers(0, 3, (300, 2)), rng.integers(0, 5, (300, 2))
    model = dem.CategoricalMixture(2, warm_start=True, max_iter=3).fit(more)
    assert model.fit(few).family_.n_categories == (5, 5)
    model = dem.CategoricalMixture(2, warm_start=True, max_iter=3).fit(few)
    with pytest.raises(ValueError, match="but the model accepts only the codes 0 to 2"):
        model.fit(more)
    x = rng.normal(size=(300, 2))
    model = dem.Mixture(2, n_init=2, family=StudentT("full"), warm_start=True).fit(x)
    assert model.set_params(family=StudentT("diag")).fit(x).component_parameters_["covariances"].shape == (2, 2)


def test_top_components_of_few(x, fitted):
    assert fitted.top_components(x)[0].shape == (N, 2)
    with pytest.raises(ValueError, match="k=3 is more than the 2 components"):
        fitted.top_components(x, 3)


def test_a_prior_of_ones_own_goes_to_disk(x, tmp_path):
    dem.Mixture(2, n_init=2, prior=dem.Prior(5, 3)).fit(x).save(tmp_path / "m.zarr")
    assert dem.load(tmp_path / "m.zarr").prior == dem.Prior(5, 3)


def test_values_too_large_to_square_are_refused(x, fitted):
    y = x[:3].copy()
    y[1, 2] = 1e160
    with pytest.raises(ValueError, match=r"row 1 holds 1e\+160 in column 2, too large to square: rescale the data"):
        fitted.predict_proba(y)
