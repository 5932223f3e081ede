import logging
from itertools import pairwise

import numpy as np
import pytest
import scipy.stats
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from crosses import cross
from dem import GaussianMixture
from dem.em import loop
from shared import ENDS_AT_MAX_ITER

TYPES = pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
K, D = 3, 2
CENTRES = np.array([[0.0, 0], [4, 1], [-2, 4]])


@pytest.fixture
def x(rng):
    return CENTRES[rng.integers(K, size=500)] + rng.normal(size=(500, D))


def start(kind="full"):
    shapes = {
        "full": np.array([np.eye(D)] * K),
        "tied": np.eye(D),
        "diag": np.ones((K, D)),
        "spherical": np.ones(K),
    }
    return {"weights_init": np.full(K, 1 / K), "means_init": CENTRES + 0.5, "precisions_init": shapes[kind]}


@ENDS_AT_MAX_ITER
@TYPES
def test_all_first_parameters_given_leaves_out_the_start(kind, x, monkeypatch):
    monkeypatch.setattr("dem.run.start.best_start", None)
    model = GaussianMixture(K, covariance_type=kind, **start(kind), max_iter=1, tol=0).fit(x)
    assert model.n_passes_ == 3  # scan, one step, its score


@cross(
    "kind, given",
    ["full", "tied", "diag", "spherical"],
    {" ".join(given): given for given in [[name] for name in start()] + [["weights_init", "means_init"]]},
)
def test_first_parameters_given_in_part(kind, given, x):
    model = GaussianMixture(K, covariance_type=kind, **{name: start(kind)[name] for name in given}, tol=1e-8).fit(x)
    whole = GaussianMixture(K, covariance_type=kind, **start(kind), tol=1e-8).fit(x)
    assert model.converged_
    assert model.lower_bound_ == pytest.approx(whole.lower_bound_, abs=1e-4)


def test_given_means_keep_the_order_of_the_components(x):
    model = GaussianMixture(K, means_init=CENTRES[::-1]).fit(x)
    np.testing.assert_allclose(model.means_, CENTRES[::-1], atol=0.5)


@ENDS_AT_MAX_ITER
def test_warm_start_goes_on_where_the_last_fit_stopped(x):
    model = GaussianMixture(K, **start(), tol=0, max_iter=3, warm_start=True).fit(x)
    first = model.lower_bound_
    model.fit(x)
    whole = GaussianMixture(K, **start(), tol=0, max_iter=6).fit(x)
    assert model.lower_bounds_[0] == pytest.approx(first, rel=1e-13)
    np.testing.assert_allclose(model.means_, whole.means_, rtol=1e-9)
    cold = GaussianMixture(K, **start(), tol=0, max_iter=3).fit(x).fit(x)
    assert cold.lower_bound_ == pytest.approx(first, rel=1e-13)


def test_warm_start_with_other_columns_begins_anew(x):
    model = GaussianMixture(K, warm_start=True).fit(x)
    model.fit(np.hstack([x, x[:, :1] ** 2]))
    assert model.means_.shape == (K, 3)


def test_warm_start_after_another_covariance_type_begins_anew(x):
    model = GaussianMixture(K, warm_start=True).fit(x)
    model.set_params(covariance_type="diag").fit(x)
    assert model.covariances_.shape == (K, D)


@ENDS_AT_MAX_ITER
def test_more_starts_are_no_worse(x):
    one = GaussianMixture(6, n_init=1, init_params="random", random_state=2, tol=1e-6).fit(x)
    many = GaussianMixture(6, n_init=12, init_params="random", random_state=2, tol=1e-6).fit(x)
    assert many.lower_bound_ >= one.lower_bound_ - 1e-4
    assert one.n_passes_ - one.n_iter_ == many.n_passes_ - many.n_iter_ == 2


@cross(
    "method, seed",
    ["kmeans", "k-means++", "random", "random_from_data"],
    {make.__name__: make for make in (int, np.int64, np.random.RandomState, np.random.default_rng)},
)
def test_every_seed_and_way_to_start(seed, method, x):
    model = GaussianMixture(K, init_params=method, random_state=seed(3), max_iter=200).fit(x)
    assert model.converged_
    assert model.score(x) > -4.2


def test_the_fit_does_not_depend_on_luck(x):
    one, two = GaussianMixture(K).fit(x), GaussianMixture(K, random_state=0).fit(x)
    np.testing.assert_array_equal(one.means_, two.means_)
    np.random.seed(5)  # noqa: NPY002
    np.testing.assert_array_equal(GaussianMixture(K).fit(x).means_, one.means_)


@ENDS_AT_MAX_ITER
def test_callback_sees_every_pass(x):
    states = []
    model = GaussianMixture(K, **start(), tol=0, max_iter=4).fit(x, callback=states.append)
    assert all(isinstance(state, loop.State) for state in states)
    assert [state.objective for state in states] == model.lower_bounds_
    assert [state.n_iter for state in states] == [1, 2, 3, 4, 4]
    assert states[-1].stop_reason == "max_iter"


@ENDS_AT_MAX_ITER
def test_the_logger_tells_each_pass(x, caplog):
    with caplog.at_level(logging.INFO, "dem"):
        model = GaussianMixture(K, tol=0, max_iter=3).fit(x)
    told = [record.getMessage() for record in caplog.records if record.name == "dem"]
    messages = [text for text in told if not text.startswith("start on the sample: ")]
    assert len(told) == len(messages) + 10 + 4  # runs on the sample, short and long
    assert messages == [f"first scan: {len(x)} rows of the array"] + [
        f"pass {i}: {value:.9g} nats a row" for i, value in enumerate(model.lower_bounds_, start=1)
    ]


@ENDS_AT_MAX_ITER
def test_the_history_tells_the_bound(x):
    history = GaussianMixture(K, **start(), tol=0, max_iter=4, reg_covar=0).fit(x).history_
    assert [h["pass"] for h in history] == [1, 2, 3, 4, 5]
    for old, new in pairwise(history):
        assert old["log_likelihood"] <= old["elbo_m"] <= new["log_likelihood"]
    assert history[-1]["elbo_m"] is None


def test_a_fall_by_reg_covar_is_never_convergence(rng):
    """The floor on nearly singular rows lowers the likelihood of a good start."""
    x = rng.normal(size=(300, 1)) * [1.0, 1.0] + 1e-3 * rng.normal(size=(300, 2))
    precision = np.linalg.inv(np.cov(x.T, ddof=0))
    begin = {"weights_init": [1.0], "means_init": [x.mean(axis=0)], "precisions_init": [precision]}
    small = GaussianMixture(1, **begin, reg_covar=1e-8, tol=1e-3, max_iter=20).fit(x)
    assert small.lower_bounds_[1] < small.lower_bounds_[0] - 1e-6
    assert small.stop_reason_ == "fell"
    assert not small.converged_
    large = GaussianMixture(1, **begin, reg_covar=1e-3, tol=1e-3, max_iter=20).fit(x)
    assert large.lower_bounds_[1] < large.lower_bounds_[0] - 1e-3
    assert large.n_iter_ > 1  # a fall of more than tol is not a stop


@TYPES
def test_from_parameters_scores_as_scipy_does(kind, x):
    covariances = {
        "full": np.array([[[2.0, 0.5], [0.5, 1]], np.eye(2), 3 * np.eye(2)]),
        "tied": np.array([[2.0, 0.5], [0.5, 1]]),
        "diag": np.array([[1.0, 2], [3, 4], [5, 6]]),
        "spherical": np.array([1.0, 2, 3]),
    }[kind]
    weights = [0.2, 0.3, 0.5]
    model = GaussianMixture.from_parameters(weights, CENTRES, covariances, kind)
    full = {
        "full": lambda k: covariances[k],
        "tied": lambda k: covariances,
        "diag": lambda k: np.diag(covariances[k]),
        "spherical": lambda k: covariances[k] * np.eye(2),
    }[kind]
    density = sum(weights[k] * scipy.stats.multivariate_normal(CENTRES[k], full(k)).pdf(x) for k in range(K))
    np.testing.assert_allclose(model.score_samples(x), np.log(density), rtol=1e-12)
    np.testing.assert_allclose(model.covariances_, covariances)
    assert model.score(x) == pytest.approx(np.log(density).mean(), rel=1e-12)
    assert model.n_features_in_ == D
    assert model.to_sklearn().score(x) == pytest.approx(model.score(x), rel=1e-12)


def test_score_weighs_the_rows(x, rng):
    model = GaussianMixture(K).fit(x)
    weight = rng.exponential(size=len(x))
    assert model.score(x, sample_weight=weight) == pytest.approx(np.average(model.score_samples(x), weights=weight))


@TYPES
def test_sample_follows_the_model(kind, x):
    model = GaussianMixture(K, covariance_type=kind, random_state=1).fit(x)
    drawn, labels = model.sample(20_000)
    assert drawn.shape == (20_000, D)
    share = np.bincount(labels, minlength=K) / 20_000
    assert (np.abs(share - model.weights_) < 4 * np.sqrt(model.weights_ / 20_000)).all()
    # The mean log-density of rows of the model is its negative entropy, and the fit's own is about that.
    assert model.score(drawn) == pytest.approx(model.score(x), abs=0.1)
    np.testing.assert_array_equal(drawn, model.sample(20_000)[0])


def test_clone_and_pipeline(x):
    model = GaussianMixture(K, covariance_type="diag", random_state=2)
    assert clone(model).get_params() == model.get_params()
    piped = make_pipeline(StandardScaler(), model).fit(x)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    assert piped.score(x) == pytest.approx(clone(model).fit(z).score(z), rel=1e-6)


def test_feature_names_go_to_scikit_learn(x):
    model = GaussianMixture(K).fit(x)
    model.feature_names_in_ = np.array(["length", "width"], object)
    np.testing.assert_array_equal(model.to_sklearn().feature_names_in_, ["length", "width"])
    model.fit(x)
    assert not hasattr(model, "feature_names_in_")
