"""dem.KMeans beside scikit-learn's, from memory, Zarr and Dask."""

import pickle
from itertools import pairwise

import dask.array as da
import numpy as np
import pytest
import zarr
from sklearn.cluster import KMeans as Sklearn
from sklearn.metrics import nan_euclidean_distances

import dem
from dem import GaussianMixture, KMeans
from shared import ENDS_AT_MAX_ITER

K, D, N = 5, 3, 3000


@pytest.fixture
def x(rng):
    return (2.5 * rng.normal(size=(K, D)))[rng.integers(K, size=N)] + rng.normal(size=(N, D))


def store(path, x, chunk=500):
    array = zarr.create_array(path, shape=x.shape, chunks=(chunk, *x.shape[1:]), dtype=x.dtype)
    array[...] = x
    return path


@pytest.mark.parametrize("tol", [1e-4, 1e-2, 0])
@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("weighted", [False, True])
def test_from_the_same_centres_the_fit_is_scikit_learns(x, rng, tol, offset, weighted):
    x = x + offset
    weight = rng.integers(1, 4, N).astype(float) if weighted else None
    init = x[:K].copy()
    theirs = Sklearn(K, init=init, n_init=1, tol=tol).fit(x, sample_weight=weight)
    ours = KMeans(K, init=init, tol=tol).fit(x, sample_weight=weight)
    np.testing.assert_allclose(ours.cluster_centers_, theirs.cluster_centers_, rtol=1e-12)
    np.testing.assert_array_equal(ours.labels_, theirs.labels_)
    assert ours.inertia_ == pytest.approx(theirs.inertia_, rel=1e-9)
    assert ours.n_iter_ == theirs.n_iter_
    assert ours.n_passes_ <= ours.n_iter_ + 2
    assert ours.converged_
    assert ours.inertia_ == pytest.approx(-ours.score(x, sample_weight=weight), rel=1e-12)
    w = np.ones(N) if weight is None else weight
    np.testing.assert_allclose(ours.cluster_counts_, np.bincount(ours.labels_, w))


@ENDS_AT_MAX_ITER
@pytest.mark.parametrize("max_iter", [1, 2, 5])
def test_max_iter_is_scikit_learns(x, max_iter):
    init = x[:K].copy()
    theirs = Sklearn(K, init=init, n_init=1, max_iter=max_iter).fit(x)
    ours = KMeans(K, init=init, max_iter=max_iter).fit(x)
    np.testing.assert_allclose(ours.cluster_centers_, theirs.cluster_centers_, rtol=1e-12)
    assert (ours.stop_reason_, ours.n_iter_, ours.n_passes_) == ("max_iter", max_iter, max_iter + 2)


def test_float32_data_end_in_exact_arithmetic(x):
    single = x.astype("f4")
    ours = KMeans(K, init=x[:K], tol=0)
    told = []
    ours.fit(single, callback=lambda state: told.append(state.history[-1].exact))
    assert not told[0]
    assert told[-1]
    theirs = Sklearn(K, init=x[:K], n_init=1, tol=0).fit(single.astype("f8"))
    np.testing.assert_allclose(ours.cluster_centers_, theirs.cluster_centers_, rtol=1e-12)
    assert ours.inertia_ == pytest.approx(theirs.inertia_, rel=1e-12)


def test_starts_on_the_sample_reach_scikit_learns_optimum(x):
    theirs = Sklearn(K, n_init=5, tol=0, random_state=0).fit(x)
    for init in ("k-means++", "random"):
        ours = KMeans(K, init=init, tol=0, sample_size=500).fit(x)
        assert ours.inertia_ == pytest.approx(theirs.inertia_, rel=1e-6)


def test_an_empty_cluster_is_relocated_as_in_scikit_learn(x):
    init = np.concatenate([x[: K - 1], [[1e3] * D]])
    theirs = Sklearn(K, init=init, n_init=1).fit(x)
    ours = KMeans(K, init=init).fit(x)
    np.testing.assert_allclose(ours.cluster_centers_, theirs.cluster_centers_, rtol=1e-12)
    assert ours.n_iter_ == theirs.n_iter_


def test_one_cluster_is_the_mean(x):
    model = KMeans(1).fit(x)
    np.testing.assert_allclose(model.cluster_centers_, [x.mean(axis=0)], rtol=0, atol=1e-14)
    assert model.inertia_ == pytest.approx(N * x.var(axis=0).sum(), rel=1e-13)
    assert not model.labels_.any()


def test_duplicates(rng):
    x = np.repeat(rng.normal(size=(4, 2)), 25, axis=0)
    model = KMeans(4).fit(x)
    assert model.inertia_ == 0
    np.testing.assert_array_equal(model.cluster_counts_, [25] * 4)
    with pytest.raises(ValueError, match="n_clusters=5 is more than the 4 distinct rows"):
        KMeans(5).fit(x)


def test_memory_zarr_and_dask_give_the_same_bits(x, rng, tmp_path):
    weight = rng.uniform(0.5, 2, N)
    found = [
        KMeans(K).fit(data, sample_weight=w)
        for data, w in (
            (x, weight),
            (store(tmp_path / "x.zarr", x), store(tmp_path / "w.zarr", weight)),
            (da.from_array(x, chunks=(N, D)), weight),
        )
    ]
    for other in found[1:]:
        assert other.cluster_centers_.tobytes() == found[0].cluster_centers_.tobytes()
        assert isinstance(other.labels_, da.Array)
        assert other.labels_.dtype == np.int8
        np.testing.assert_array_equal(other.labels_.compute(), found[0].labels_)


def test_labels_cost_nothing_until_asked_for(x):
    model = KMeans(K).fit(x)
    copy = pickle.loads(pickle.dumps(model))
    with pytest.raises(AttributeError, match="labels_ exists only after fit"):
        copy.labels_  # noqa: B018
    labels = model.labels_
    assert labels.dtype == np.int32
    assert labels is model.labels_
    np.testing.assert_array_equal(copy.predict(x), labels)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).labels_, labels)
    np.testing.assert_array_equal(model.fit_predict(x), labels)


def test_rows_are_written_and_models_kept(x, tmp_path):
    path = store(tmp_path / "x.zarr", x)
    model = KMeans(K).fit(path)
    model.save(tmp_path / "m.zarr")
    again = dem.load(tmp_path / "m.zarr")
    assert isinstance(again, KMeans)
    assert again.inertia_ == model.inertia_
    assert again.history_ == model.history_
    for what, expected in (("label", model.predict(x)), ("distance", model.transform(x))):
        again.write(path, tmp_path / f"{what}.zarr", what)
        np.testing.assert_array_equal(zarr.open_array(tmp_path / f"{what}.zarr", mode="r")[...], expected)


def test_a_fit_goes_on_from_its_checkpoint(x, tmp_path):
    path = store(tmp_path / "x.zarr", x)
    whole = KMeans(K, init=x[:K]).fit(path)
    with pytest.raises(dem.Stopped):
        KMeans(K, init=x[:K]).fit(path, checkpoint=dem.Checkpoint(tmp_path / "c.zarr", max_passes=4))
    rest = KMeans(K, init=x[:K]).fit(path, checkpoint=tmp_path / "c.zarr")
    assert rest.cluster_centers_.tobytes() == whole.cluster_centers_.tobytes()
    assert (rest.n_iter_, rest.n_passes_, rest.history_) == (whole.n_iter_, whole.n_passes_, whole.history_)


def test_transform_score_and_to_sklearn(x):
    model = KMeans(K).fit(x)
    theirs = model.to_sklearn()
    np.testing.assert_array_equal(theirs.predict(x), model.predict(x))
    np.testing.assert_allclose(model.transform(x), theirs.transform(x), rtol=1e-9)
    assert model.score(x) == pytest.approx(theirs.score(x), rel=1e-12)
    np.testing.assert_array_equal(theirs.labels_, model.labels_)
    np.testing.assert_array_equal(KMeans(K).fit_transform(x), model.transform(x))
    assert list(model.get_feature_names_out()) == [f"kmeans{k}" for k in range(K)]


def test_both_steps_descend(x):
    history = KMeans(K, init=x[:K]).fit(x).history_
    for old, new in pairwise(history):
        assert old["inertia"] >= -N * old["elbo_m"] >= new["inertia"] * (1 - 1e-12)
    assert history[0]["log_likelihood"] is None


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"n_clusters": 0}, "n_clusters must be an integer >= 1"),
        ({"n_clusters": N + 1}, "3000 rows are too few for n_clusters=3001"),
        ({"tol": -1}, "tol must be a number >= 0"),
        ({"n_init": 0}, "n_init must be an integer >= 1"),
        ({"init": "best"}, r"init must be one of k-means\+\+, random"),
        ({"init": np.zeros((2, D))}, r"init should have the shape \(5, 3\)"),
        ({"init": np.ones}, "call your function first"),
    ],
)
def test_wrong_settings_are_refused(x, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        KMeans(**{"n_clusters": K, **settings}).fit(x)


def test_infinite_values_are_told(x):
    x[7, 1] = np.inf
    with pytest.raises(ValueError, match="has 1 infinite value"):
        KMeans(K).fit(x)
    model = KMeans(K).fit(x[8:])
    with pytest.raises(ValueError, match="row 7 holds inf in column 1: infinite values"):
        model.predict(x)


@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_missing_values_are_left_out_of_the_distances(x, rng, tmp_path, kind):
    """The means are those of what is observed, and every method takes rows with holes."""
    x = np.where(rng.random(x.shape) < 0.2, np.nan, x).astype(kind)
    x[11] = np.nan
    model = KMeans(K, tol=0).fit(x)
    labels, distances = model.predict(x), model.transform(x)
    np.testing.assert_allclose(distances, nan_euclidean_distances(x, model.cluster_centers_), atol=1e-6)
    some = ~np.isnan(x).all(axis=1)
    np.testing.assert_array_equal(labels != -1, some)
    np.testing.assert_array_equal(labels[some], distances[some].argmin(axis=1))
    np.testing.assert_array_equal(labels, model.labels_)
    scale = D / np.maximum((~np.isnan(x)).sum(axis=1), 1)
    for k in range(K):
        mine = labels == k
        weight = np.where(np.isnan(x[mine]), 0, scale[mine, None])
        means = (weight * np.nan_to_num(x[mine].astype(float))).sum(axis=0) / weight.sum(axis=0)
        np.testing.assert_allclose(model.cluster_centers_[k], means, rtol=1e-12)
    assert model.inertia_ == pytest.approx((distances[some].min(axis=1) ** 2).sum(), rel=1e-12)
    assert model.score(x) == pytest.approx(-model.inertia_, rel=1e-12)
    assert model.cluster_counts_.sum() == (~np.isnan(x).all(axis=1)).sum()
    assert model.converged_
    assert model.to_sklearn().cluster_centers_ is model.cluster_centers_
    lazy = KMeans(K, tol=0).fit(store(tmp_path / "x.zarr", x))
    np.testing.assert_array_equal(lazy.labels_.compute(), labels)
    filled = model.impute(x)
    assert filled.dtype == kind
    expected = np.where(np.isnan(x), model.cluster_centers_[labels].astype(kind), x)
    np.testing.assert_array_equal(filled[some], expected[some])
    assert np.isnan(filled[~some]).all()
    with pytest.raises(ValueError, match="K-means has no spread within its clusters"):
        model.impute(x, return_std=True)
    again = GaussianMixture.from_kmeans(model, covariance_type="diag").means_init
    np.testing.assert_array_equal(again, model.cluster_centers_)


@ENDS_AT_MAX_ITER
@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_a_mixture_begins_at_the_clusters(x, rng, kind):
    km = KMeans(K).fit(x)
    gm = GaussianMixture.from_kmeans(km, covariance_type=kind, max_iter=1, tol=0, reg_covar=0)
    first = []
    gm.fit(x, callback=lambda state: first.append(state))
    np.testing.assert_array_equal(gm.means_init, km.cluster_centers_)
    np.testing.assert_allclose(gm.weights_init, np.bincount(km.labels_) / N)
    residuals = x - km.cluster_centers_[km.labels_]
    variances = np.array([(residuals[km.labels_ == k] ** 2).mean() for k in range(K)])
    precisions = {
        "full": np.eye(D) / variances[:, None, None],
        "tied": np.eye(D) / (residuals**2).mean(),
        "diag": np.ones(D) / variances[:, None],
        "spherical": 1 / variances,
    }[kind]
    np.testing.assert_allclose(gm.precisions_init, precisions, rtol=1e-12)
    assert gm.n_iter_ == 1
    assert gm.lower_bounds_[1] > gm.lower_bounds_[0]


def test_a_mixture_of_clusters_without_variance(rng):
    x = np.concatenate([np.zeros((20, 2)), rng.normal(size=(80, 2)) + 9])
    km = KMeans(2).fit(x)
    assert (GaussianMixture.from_kmeans(km, covariance_type="spherical").precisions_init < 10).all()
    with pytest.raises(ValueError, match="have no variance: use fewer clusters"):
        GaussianMixture.from_kmeans(KMeans(2).fit(np.repeat([[0.0], [1.0]], 9, axis=0)))
