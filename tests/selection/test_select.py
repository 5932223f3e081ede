"""`dem.select`: the table, the best model, the sentences; every estimator; wrong input."""

import numpy as np
import pytest
import zarr
from sklearn.base import clone

import dem
from crosses import mostly_slow
from dem.selection.grid import SHARED
from dem.selection.result import CandidateResult, Selection, sentences_about
from laws import assert_same_bits
from shared import ENDS_AT_MAX_ITER

K = 3


def clusters(n=2000, d=4, k=K, seed=0, apart=5.0):
    """Return rows of k Gaussians of different shapes."""
    rng = np.random.default_rng(seed)
    means, shapes = rng.normal(size=(k, d)) * apart, rng.normal(size=(k, d, d)) / d**0.5 + 0.5 * np.eye(d)
    label = rng.integers(k, size=n)
    return means[label] + np.einsum("nij,nj->ni", shapes[label], rng.normal(size=(n, d)))


def factors(n=2000, d=6, q=2, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, q)) @ rng.normal(size=(q, d)) * 2 + rng.normal(size=(n, d)) * 0.5


def holes(x, share=0.1, seed=1):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(x.shape) < share, np.nan, x)


@pytest.fixture(scope="module")
def x():
    return clusters()


def test_the_number_of_components_is_found(x):
    found = dem.select(x, n_components=[1, 2, 3, 4], covariance_type=["full", "diag"])
    best = found.best_estimator_
    assert found.best.settings == {"n_components": K, "covariance_type": "full"}
    assert [row.settings for row in found.table[:2]] == [
        {"n_components": 1, "covariance_type": "full"},
        {"n_components": 1, "covariance_type": "diag"},
    ]
    assert found.best.value == pytest.approx(best.bic(x), rel=1e-9)
    assert found.best.log_likelihood == pytest.approx(best.score(x), rel=1e-9)
    assert found.best.n_parameters == best.n_parameters_
    np.testing.assert_allclose(found.best.effective_counts, best.effective_counts_)
    assert found.n_passes_ == best.n_passes_ == 1 + max(row.passes for row in found.table)
    alone = dem.GaussianMixture(K).fit(x)
    assert best.means_.tobytes() == alone.means_.tobytes()
    assert best.lower_bounds_ == alone.lower_bounds_
    assert best.predict(x).shape == (2000,)


def test_the_dropped_are_told_and_can_be_used(x):
    found = dem.select(x, dem.GaussianMixture(sample_size=500), n_components=range(1, 6))
    dropped = [row for row in found.table if row.ended == "dropped"]
    assert dropped
    for row in dropped:
        assert row.value > found.best.value
        assert "behind" in row.why
        model = found.models[row.name]
        assert not model.converged_
        assert row.value == pytest.approx(model.bic(x), rel=1e-6)  # their last passes may be in float32


ESTIMATORS = {
    "student": (dem.Mixture(family="studentt"), {"n_components": [1, 2, 3]}, clusters),
    "mixed": (
        dem.Mixture(family=[([0, 1], "gaussian"), ([2, 3], "studentt:diag")]),
        {"n_components": [2, 3]},
        clusters,
    ),
    "kmeans": (dem.KMeans(), {"n_clusters": [1, 2, 3, 4]}, clusters),
    "bayesian": (dem.BayesianGaussianMixture(), {"n_components": [1, 3, 5]}, clusters),
    "mixture-ppca": (dem.MixturePPCA(), {"n_components": [2, 3], "n_factors": [1, 2]}, clusters),
    "mixture-fa": (dem.MixtureFactorAnalysis(), {"n_components": [2, 3]}, clusters),
    "ppca": (dem.PPCA(), {"n_components": [1, 2, 3]}, factors),
    "ppca-em": (dem.PPCA(solver="em"), {"n_components": [1, 2, 3]}, factors),
    "fa": (dem.FactorAnalysis(), {"n_components": [1, 2, 3]}, factors),
    "bpca": (dem.BayesianPCA(), {"n_components": [1, 2, 3]}, factors),
    "ppca-missing": (dem.PPCA(tol=1e-3), {"n_components": [1, 2, 3]}, lambda: holes(factors())),
    "fa-missing": (dem.FactorAnalysis(tol=1e-3), {"n_components": [1, 2]}, lambda: holes(factors())),
    "gmm-missing": (dem.GaussianMixture(), {"n_components": [2, 3]}, lambda: holes(clusters())),
    "scaled": (dem.GaussianMixture(scale="standard"), {"n_components": [2, 3, 4]}, clusters),
    "scaled-kmeans": (dem.KMeans(scale="robust"), {"n_clusters": [2, 3, 4]}, clusters),
    "scaled-fa": (dem.FactorAnalysis(scale="standard"), {"n_components": [1, 2]}, factors),
}


@mostly_slow("case", ESTIMATORS, quick=["kmeans", "ppca", "fa-missing", "scaled-kmeans"])
def test_every_estimator(case, tmp_path):
    """The survivors are the fits alone; the criterion is the model's own; the best is saved and loaded."""
    estimator, settings, data = case
    x = data()
    found = dem.select(x, estimator, **settings)
    (several,) = [name for name, values in settings.items() if len(values) > 1][:1]
    for row in found.table:
        model = found.models[row.name]
        if row.ended != "dropped":
            alone = clone(estimator).set_params(**row.settings).fit(x)
            for name in alone._saved:
                assert_same_bits(getattr(model, name), getattr(alone, name))
            assert model.lower_bounds_ == alone.lower_bounds_
        if found.criterion == "bic" and hasattr(model, "bic"):
            assert row.value == pytest.approx(model.bic(x), rel=1e-6)
            assert row.n_parameters == model.n_parameters_
    assert several in found.best.settings
    found.save(tmp_path / "best.zarr")
    loaded = dem.load(tmp_path / "best.zarr")
    assert loaded.selection_ == found.as_json()
    assert loaded.selection_["best"] == found.best.name


def test_weights_count_as_rows(x):
    weight = np.arange(len(x)) % 3
    weighted = dem.select(x, sample_weight=weight, n_components=[2, 3])
    repeated = dem.select(np.repeat(x, weight, axis=0), n_components=[2, 3])
    assert weighted.best.name == repeated.best.name
    assert weighted.best.value == pytest.approx(repeated.best.value, rel=1e-3)
    assert sum(weighted.best.effective_counts) == pytest.approx(weight.sum())


def test_icl_is_that_of_the_model(x):
    found = dem.select(x, n_components=[2, 3, 4], criterion="icl")
    assert found.best.value == pytest.approx(found.best_estimator_.icl(x), rel=1e-9)
    assert found.n_passes_ == 2 + max(row.passes for row in found.table)


def test_held_out_rows_are_not_fitted(x):
    found = dem.select(x, n_components=[2, 3, 4], criterion="held_out")
    n = sum(found.best.effective_counts)
    assert 0.87 * len(x) < n < 0.93 * len(x)
    assert found.best.settings["n_components"] >= K
    held = found.best.value / (-2 * (len(x) - n))
    assert held == pytest.approx(found.best.log_likelihood, abs=0.3)
    assert found.best.noise == 0
    assert all(row.attainable is None for row in found.table)
    assert all(row.noise > 0 for row in found.table if row is not found.best and row.noise is not None)


def test_whole_groups_are_held_out(x, tmp_path):
    groups = np.arange(len(x)) // 20
    counts = {}
    for name, given in (("numbers", groups), ("words", [f"station {g}" for g in groups])):
        found = dem.select(x, n_components=[2, 3], criterion="held_out", groups=given)
        counts[name] = sum(found.best.effective_counts)
        assert counts[name] % 20 == pytest.approx(0, abs=1e-6)
        assert 0.88 * len(x) < counts[name] <= 0.9 * len(x)
    stored = zarr.create_array(tmp_path / "groups.zarr", data=groups, chunks=(300,))
    store = zarr.create_array(tmp_path / "x.zarr", data=x, chunks=(300, 4))
    found = dem.select(store, n_components=[2, 3], criterion="held_out", groups=tmp_path / "groups.zarr")
    assert stored.shape == (2000,)
    assert sum(found.best.effective_counts) == pytest.approx(counts["numbers"])


def test_rows_without_values_are_left_out(x):
    y = np.full((3 * len(x), 4), np.nan)
    y[::3] = x
    found, alone = (dem.select(rows, n_components=[2, 3]) for rows in (y, x))
    assert found.best.name == alone.best.name
    assert found.best.value == pytest.approx(alone.best.value, rel=1e-3)


def test_datasets(x):
    xarray = pytest.importorskip("xarray")
    ds = xarray.Dataset({"a": (("time", "station", "level"), x.reshape(40, 50, 4))})
    groups = xarray.DataArray(np.arange(50) % 25, dims="station")
    found = dem.select(ds, sample_dims=["time", "station"], n_components=[2, 3], criterion="held_out", groups=groups)
    assert found.best_estimator_.predict(ds).dims == ("time", "station")


def test_sentences(x):
    found = dem.select(x, n_components=[1, 2, 3])
    assert any("The best n_components, 3, is the largest that was tried" in words for words in found.sentences)
    assert not any("tried" in words for words in dem.select(x, n_components=[2, 3, 4]).sentences)
    with pytest.warns(match="has not converged"):
        found = dem.select(clusters(apart=1.0), dem.GaussianMixture(tol=0.0, max_iter=2), n_components=[2, 3])
    assert any("has not converged" in words for words in found.sentences)
    rng = np.random.default_rng(0)
    found = dem.select(rng.normal(size=(60, 2)), n_components=[1, 2], covariance_type=["diag", "spherical"])
    assert any(words.startswith("Within noise of the best") for words in found.sentences)


def test_a_frame(x):
    pytest.importorskip("pandas")
    frame = dem.select(x, n_components=[2, 3]).to_frame()
    assert frame.loc["n_components=3", "bic"] < frame.loc["n_components=2", "bic"]


def test_a_new_fit_forgets_the_selection(x):
    best = dem.select(x, n_components=[2, 3]).best_estimator_
    assert not hasattr(best.fit(x), "selection_")


def test_a_trial_that_is_lost_is_not_judged():
    """Nor is a candidate dropped while its trial is pending."""
    outliers = 40.0 * np.array([[1, 1, 1, 1], [-1, 1, -1, 1], [1, -1, -1, -1], [-1, -1, 1, 1]])
    x = np.concatenate([clusters(600), outliers])
    template = dem.BayesianGaussianMixture(sample_size=200, n_init=1)
    found = dem.select(x, template, n_components=[2, 6, 10])
    for row in found.table:
        assert row.value == pytest.approx(-2 * row.log_likelihood * len(x), rel=1e-12)


def test_as_many_clusters_as_distinct_rows_are_no_choice():
    x = np.repeat(clusters(6), 50, axis=0)
    found = dem.select(x, dem.KMeans(), n_clusters=[2, 3, 6])
    assert found.best.name != "n_clusters=6"
    assert "distinct rows" in found.table[2].why


def test_more_components_than_distinct_rows_fail_alone():
    x = np.repeat(clusters(6), 50, axis=0)
    with pytest.warns(match="n_components=9 cannot be fitted"):
        found = dem.select(x, n_components=[1, 2, 9], covariance_type=["spherical"])
    assert found.table[2].ended == "failed"
    assert found.best.name in ("n_components=1", "n_components=2")


def test_a_selection_in_another_order(x):
    found = dem.select(x, n_components=[2, 3])
    assert found.reordered([2, 0, 1]).best.effective_counts == [found.best.effective_counts[k] for k in (2, 0, 1)]
    with pytest.raises(ValueError, match="each number from 0 to 2 once"):
        found.reordered([5, 6, 7])
    with pytest.raises(TypeError, match="a PPCA has no components"):
        dem.select(factors(), dem.PPCA(), n_components=[1, 2]).reordered([0])


def test_few_groups_are_told(x):
    found = dem.select(x, n_components=[2, 3], criterion="held_out", groups=np.arange(len(x)) % 2)
    assert "rows are held out" in found.sentences[0]


def test_a_fit_that_fell_needs_no_larger_max_iter():
    row = CandidateResult("k=1", {}, 1.0, -1.0, 2, {}, None, 3, "fell", 3)
    (sentence,) = sentences_about([row], "bic", row)
    assert "reg_covar" in sentence
    assert "max_iter" not in sentence


def test_of_equal_candidates_the_smaller_wins():
    rows = [
        CandidateResult(f"k={k}", {}, value, -1.0, k, {}, None, 3, "converged", 3) for k, value in ((2, 1.0), (1, 1.0))
    ]
    models = {row.name: dem.GaussianMixture() for row in rows}
    assert Selection(rows, "bic", models, 3).best.name == "k=1"


def test_values_that_only_held_out_rows_have(x):
    codes = np.random.default_rng(0).integers(3, size=(200, 2)) * 1.0
    codes[:20] = 5.0
    groups = np.r_[np.zeros(20, int), np.full(180, 1)]
    with pytest.raises(ValueError, match=r"rows held out .*n_categories"):
        dem.select(codes, dem.Mixture(family="categorical"), n_components=[1, 2], criterion="held_out", groups=groups)


WRONG = {
    "no candidates": ({}, "no candidates"),
    "unknown": ({"n_component": [1, 2]}, "has no setting 'n_component'"),
    "shared": ({"scale": ["standard", None]}, "scale must be the same for all candidates"),
    "empty": ({"n_components": range(3, 3)}, "n_components has no values"),
    "zero": ({"n_components": range(3)}, "n_components must be an integer >= 1, got 0"),
    "too many": ({"n_components": [2, 3000]}, "3000"),
    "criterion": ({"n_components": [2], "criterion": "dic"}, "criterion must be one of bic, "),
    "criterion of others": ({"n_components": [2], "criterion": "bound"}, "no criterion 'bound'"),
    "groups": ({"n_components": [2], "groups": np.zeros(2000)}, "groups are used by"),
    "few groups": (
        {"n_components": [2], "criterion": "held_out", "groups": np.zeros(3, int)},
        r"groups have the shape \(3,\), but",
    ),
    "one group": ({"n_components": [2], "criterion": "held_out", "groups": np.zeros(2000, int)}, "all rows are in one"),
    "float groups": ({"n_components": [2], "criterion": "held_out", "groups": np.zeros(2000)}, "integers or strings"),
    "no estimator": ({"estimator": 3, "n_components": [2]}, "estimator must be an estimator of dem"),
}


@pytest.mark.parametrize("word", WRONG)
def test_wrong_input(x, word):
    arguments, message = WRONG[word]
    with pytest.raises(ValueError, match=message):
        dem.select(x, **arguments)


def test_kmeans_has_no_held_out(x):
    with pytest.raises(ValueError, match="KMeans has no criterion 'held_out'"):
        dem.select(x, dem.KMeans(), n_clusters=[2, 3], criterion="held_out")


def test_shared_settings_exist():
    known = dem.GaussianMixture().get_params()
    assert set(SHARED) <= set(known)


@ENDS_AT_MAX_ITER
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(16))
def test_the_winner_is_never_dropped(seed):
    """It is that of the full loop, on overlapping clusters too, and at a tolerance at which EM takes many passes."""
    rng = np.random.default_rng([seed, 9])
    n, d, k = (int(rng.integers(*ends)) for ends in ((300, 3000), (2, 6), (1, 6)))
    x = clusters(n, d, k, seed, rng.uniform(0.5, 4))
    settings = {"tol": float(rng.choice([1e-3, 1e-5])), "n_init": 2, "sample_size": 400}
    found = dem.select(x, dem.GaussianMixture(**settings, max_iter=300), n_components=range(1, 8))
    loop = [dem.GaussianMixture(k, **settings, max_iter=300).fit(x).bic(x) for k in range(1, 8)]
    assert found.best.settings["n_components"] == 1 + int(np.argmin(loop))
