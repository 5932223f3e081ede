"""Fits that start from an earlier model: one pass less, the same optimum, the same order; and what is refused."""

import copy
from contextlib import suppress

import numpy as np
import pytest
import zarr

import dem
from dem.engine.engine import Engine

K, D = 3, 2
CENTRES = np.array([[0.0, 0.0], [7.0, 2.0], [-2.0, 8.0]])


def clouds(n=1200, seed=0, scale=1.0, lacking=0.0):
    """Return rows (n, 2) around the centres; a share of the values is missing."""
    rng = np.random.default_rng(seed)
    x = (CENTRES[rng.integers(K, size=n)] + rng.normal(size=(n, D))) * scale
    x[rng.random(x.shape) < lacking] = np.nan
    return x[~np.isnan(x).all(axis=1)]


def counts(n=900, seed=0):
    return np.random.default_rng(seed).poisson(np.array([1.0, 8.0, 30.0])[np.arange(n) % K][:, None], (n, D)) * 1.0


def factors(n=600, seed=0, lacking=0.15):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2)) @ rng.normal(size=(2, 6)) + 0.3 * rng.normal(size=(n, 6)) + 5.0
    x[rng.random(x.shape) < lacking] = np.nan
    return x


MODELS = {
    "full": (dem.GaussianMixture(K), clouds()),
    "tied": (dem.GaussianMixture(K, covariance_type="tied"), clouds()),
    "spherical": (dem.GaussianMixture(K, covariance_type="spherical"), clouds().astype(np.float32)),
    "scaled": (dem.GaussianMixture(K, scale="standard"), clouds()),
    "missing": (dem.GaussianMixture(K), clouds(lacking=0.1)),
    "bayesian": (dem.BayesianGaussianMixture(K), clouds()),
    "poisson": (dem.PoissonMixture(K), counts()),
    "student": (dem.Mixture(K, family="studentt"), clouds()),
    "product": (dem.Mixture(K, family=[(0, "gaussian"), (1, "gamma")]), np.abs(clouds()) + 0.1),
    "kmeans": (dem.KMeans(K), clouds()),
    "kmeans-missing": (dem.KMeans(K, scale="robust"), clouds(lacking=0.1)),
    "mppca": (dem.MixturePPCA(2, n_factors=1), factors(lacking=0.0)),
    "ppca-missing": (dem.PPCA(2), factors()),
    "fa-missing": (dem.FactorAnalysis(2, scale="standard"), factors()),
    "bpca-missing": (dem.BayesianPCA(3), factors()),
}
ANY = pytest.mark.parametrize(("model", "x"), MODELS.values(), ids=MODELS)


def place(model):
    """Return what tells the components apart."""
    for name in ("means_", "cluster_centers_", "mean_"):
        if hasattr(model, name):
            return getattr(model, name)
    return np.concatenate([np.ravel(a) for a in _arrays(model.component_parameters_)])


def _arrays(named):
    for value in named.values():
        yield from _arrays(value) if isinstance(value, dict) else [value]


@ANY
def test_the_same_rows_again(model, x, tmp_path):
    first = copy.deepcopy(model).fit(x)
    first.save(tmp_path / "m.zarr")
    again = copy.deepcopy(model).fit(x, start=tmp_path / "m.zarr")
    assert again.converged_
    assert again.n_passes_ < first.n_passes_
    assert again.n_passes_ <= 2
    assert len(again.history_) == again.n_passes_  # the scan has no pass of its own
    assert again.lower_bound_ >= first.lower_bound_ - 1e-7
    np.testing.assert_allclose(place(again), place(first), atol=0.05 * np.abs(place(first)).max())
    from_memory = copy.deepcopy(model).fit(x, start=first)
    np.testing.assert_allclose(from_memory.lower_bound_, again.lower_bound_, rtol=1e-12)
    if hasattr(first, "scale_"):
        np.testing.assert_array_equal(again.scale_, first.scale_)
    assert first.fit(x, start=first).n_passes_ <= 2  # the model itself


def test_a_start_gives_the_fit_that_its_parameters_give():
    x, more = clouds(), clouds(1500, seed=1)
    first = dem.GaussianMixture(K).fit(x)
    given = {"means_init": first.means_, "weights_init": first.weights_, "precisions_init": first.precisions_}
    plain = dem.GaussianMixture(K, tol=1e-9, **given).fit(more)
    found = dem.GaussianMixture(K, tol=1e-9).fit(more, start=first)
    assert found.n_passes_ == plain.n_passes_ - 1
    np.testing.assert_allclose(found.means_, plain.means_, rtol=1e-9)
    np.testing.assert_allclose(
        [entry["objective"] for entry in found.history_], [entry["objective"] for entry in plain.history_], rtol=1e-11
    )


class Notes:
    """A progress that keeps the names of the passes, and the notes."""

    def __init__(self):
        self.passes, self.notes = [], []

    def begin(self, what, rows, nbytes):
        self.passes.append(what)

    def note(self, text):
        self.notes.append(text)

    def __getattr__(self, name):
        return lambda *args: None


WORSE = {
    "far": lambda: clouds(1300, seed=1) * 1.0 + 1e7,
    "wide": lambda: np.concatenate([clouds(1300, seed=1), 1e5 * CENTRES]),
    "holes": lambda: clouds(1300, seed=1, lacking=0.1),
}


@pytest.mark.parametrize("kind", ["full", "kmeans"])
@pytest.mark.parametrize("worse", WORSE.values(), ids=WORSE)
def test_rows_that_are_not_as_expected_cost_the_pass(kind, worse):
    model, x = MODELS[kind]
    first, y, notes = copy.deepcopy(model).fit(x), worse(), Notes()
    found = copy.deepcopy(model).set_params(engine=Engine(progress=notes)).fit(y, start=first)
    again = any("made again" in note for note in notes.notes)
    assert again or worse is not WORSE["holes"]
    assert found.n_passes_ == len(found.history_) + again
    given = (
        {"init": first.cluster_centers_}
        if kind == "kmeans"
        else {"means_init": first.means_, "weights_init": first.weights_, "precisions_init": first.precisions_}
    )
    plain = copy.deepcopy(model).set_params(**given).fit(y)
    np.testing.assert_allclose(place(found), place(plain), rtol=1e-6)
    np.testing.assert_allclose(found.lower_bound_, plain.lower_bound_, rtol=1e-9)


def test_ranges_that_break_the_error_bound_cost_the_pass():
    """Products suffice for the ranges that are expected, and not for a hundred times larger ones."""
    x = clouds(scale=10.0) * np.array([1.0, 3.0])
    first, notes = dem.GaussianMixture(K, covariance_type="diag").fit(x), Notes()
    y = np.concatenate([x, [[3e5, 0.0], [0.0, -3e5]]])
    found = dem.GaussianMixture(K, covariance_type="diag", engine=Engine(progress=notes)).fit(y, start=first)
    assert any("made again" in note for note in notes.notes)
    assert found.n_passes_ == len(found.history_) + 1
    given = {"means_init": first.means_, "weights_init": first.weights_, "precisions_init": first.precisions_}
    plain = dem.GaussianMixture(K, covariance_type="diag", **given).fit(y)
    np.testing.assert_allclose(found.means_, plain.means_, rtol=1e-7)


def test_passes_are_named():
    notes = Notes()
    model = dem.GaussianMixture(K).fit(clouds())
    model.set_params(engine=Engine(progress=notes), tol=1e-9).fit(clouds(seed=1), start=model)
    assert notes.passes[:4] == ["first scan and pass 1", "pass 1", "pass 2", "pass 3"]


def test_nothing_is_gained_where_one_pass_is_enough():
    x, notes = factors(lacking=0.0), Notes()
    first = dem.PPCA(2).fit(x)
    found = dem.PPCA(2, engine=Engine(progress=notes)).fit(x, start=first)
    assert found.n_passes_ == 1
    assert any("nothing is gained" in note for note in notes.notes)
    with_holes = dem.PPCA(2).fit(factors())
    assert dem.PPCA(2).fit(x, start=with_holes).n_passes_ == 1


def test_a_start_of_complete_rows_is_used_where_values_are_missing():
    notes = Notes()
    first, plain = dem.PPCA(2).fit(factors(lacking=0.0)), dem.PPCA(2).fit(factors())
    found = dem.PPCA(2, engine=Engine(progress=notes)).fit(factors(), start=first)
    assert not any(name.startswith("start on") for name in notes.passes)
    assert found.n_passes_ == len(found.history_) + 1
    np.testing.assert_allclose(found.lower_bound_, plain.lower_bound_, rtol=1e-3)


def test_models_without_a_record_of_their_rows():
    """A mixture made of parameters, and one saved by an earlier version, tell only what can be drawn from them."""
    x = clouds()
    first = dem.GaussianMixture(K).fit(x)
    made = dem.GaussianMixture.from_parameters(first.weights_, first.means_, first.covariances_)
    assert dem.GaussianMixture(K).fit(x, start=made).n_passes_ == 2


def test_infinite_values_are_still_refused():
    x = clouds()
    first = dem.GaussianMixture(K).fit(x)
    x[7, 1] = np.inf
    with pytest.raises(ValueError, match="infinite"):
        dem.GaussianMixture(K).fit(x, start=first)
    poisson = dem.PoissonMixture(K).fit(counts())
    with pytest.raises(ValueError, match="accepts only"):
        dem.PoissonMixture(K).fit(counts() - 1.0, start=poisson)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_checkpoint_goes_on(tmp_path):
    x = zarr.create_array(tmp_path / "x.zarr", data=clouds(6000, seed=2), chunks=(1000, D))
    first, other = (dem.GaussianMixture(K, random_state=i).fit(clouds(seed=i)) for i in (0, 1))

    def fit(start, **limits):
        kept = dem.Checkpoint(tmp_path / "c.zarr", **limits)
        return dem.GaussianMixture(K, tol=0, max_iter=5).fit(x, checkpoint=kept, start=start)

    straight = dem.GaussianMixture(K, tol=0, max_iter=5).fit(x, start=first)
    for _ in range(3):
        with suppress(dem.Stopped):
            fit(first, max_passes=1)
    with pytest.raises(ValueError, match="other settings"):
        fit(other)
    found = fit(first)
    assert found.n_passes_ == straight.n_passes_ == 6
    np.testing.assert_array_equal(found.means_, straight.means_)


def refused(match, start, model=None, x=None, kind=ValueError):
    with pytest.raises(kind, match=match):
        (model or dem.GaussianMixture(K)).fit(clouds() if x is None else x, start=start)


def test_starts_that_do_not_suit_are_refused(tmp_path):
    x = clouds()
    first = dem.GaussianMixture(K).fit(x)
    first.save(tmp_path / "m.zarr")
    refused("m.zarr is a GaussianMixture, but this is the fit of a KMeans", tmp_path / "m.zarr", dem.KMeans(K))
    refused("start is a GaussianMixture, but", first, dem.BayesianGaussianMixture(K))
    refused("start has n_components=3, but this fit has n_components=4", first, dem.GaussianMixture(4))
    refused("covariance_type='full', but", first, dem.GaussianMixture(K, covariance_type="diag"))
    refused("scale=None, but", first, dem.GaussianMixture(K, scale="standard"))
    refused("both give first parameters", first, dem.GaussianMixture(K, means_init=CENTRES))
    refused("has 3 columns, but start was fitted on 2", first, x=np.ones((9, 3)))
    refused("not fitted", dem.GaussianMixture(K))
    refused("must be a fitted GaussianMixture or the path", 7, kind=TypeError)
    refused("nothing.zarr", tmp_path / "nothing.zarr", kind=FileNotFoundError)
    zarr.create_array(tmp_path / "x.zarr", data=x)
    refused("x.zarr", tmp_path / "x.zarr")
    poisson = dem.PoissonMixture(K).fit(counts())
    refused("the family of start is", poisson, dem.ExponentialMixture(K))
    ppca = dem.PPCA(2).fit(factors())
    refused("n_components_=2, but this fit has n_components=1", ppca, dem.PPCA(1), factors())


def test_columns_with_other_names_are_refused():
    pandas = pytest.importorskip("pandas")
    first = dem.GaussianMixture(K).fit(pandas.DataFrame(clouds(), columns=["a", "b"]))
    again = dem.GaussianMixture(K).fit(pandas.DataFrame(clouds(), columns=["a", "b"]), start=first)
    assert again.n_passes_ == 2
    refused("the column 'b' where start has 'a'", first, x=pandas.DataFrame(clouds(), columns=["b", "a"]))


@pytest.mark.slow
def test_a_saved_family_suits_the_setting_that_made_it(tmp_path):
    for family in ("gaussian:diag", "studentt", "gamma", [(0, "poisson"), (1, "gaussian")]):
        x = counts() + (0.5 if family == "gamma" else 0.0)
        dem.Mixture(K, family=family).fit(x).save(tmp_path / "m.zarr", overwrite=True)
        assert dem.Mixture(K, family=family).fit(x, start=tmp_path / "m.zarr").n_passes_ <= 4
        refused("the family of", tmp_path / "m.zarr", dem.Mixture(K, family="exponential"), x + 0.5)


def test_a_start_leaves_the_settings_of_the_family():
    x = clouds()
    first = dem.Mixture(K, family=dem.families.Gaussian()).fit(x)
    again = dem.Mixture(K, family=dem.families.Gaussian(reg_covar=1.0)).fit(x, start=first)
    assert again.family_.reg_covar == 1.0
    mixed = dem.Mixture(2, family=[(0, "gamma"), (1, "categorical")])
    y = counts() + np.array([0.5, 0.0])
    first = copy.deepcopy(mixed).fit(y)
    assert str(mixed.fit(y[::6], start=first).family_) == str(first.family_)


def test_a_new_category_is_told_as_the_fault_of_the_start():
    x = counts() % 3
    first = dem.CategoricalMixture(2).fit(x)
    x[5, 1] = 3.0
    refused(
        "holds 3 in column 1, but start has only the codes 0 to 2: leave out the start",
        first,
        dem.CategoricalMixture(2),
        x,
    )
    refused("use another family", first, dem.CategoricalMixture(2, n_categories=3), x)


@pytest.mark.parametrize(
    "model", [dem.PPCA(2), dem.FactorAnalysis(2), dem.BayesianPCA(3, tol=1e-4)], ids=lambda m: type(m).__name__
)
def test_complete_rows_of_many_columns(model, monkeypatch):
    """Their mean is that of the rows, which is not known before the pass: the statistics are moved to it."""
    monkeypatch.setattr("dem.estimators.linear_latent.scatter_fits", lambda d, memory: False)
    x, more = (factors(n, seed=0, lacking=0.0) for n in (600, 900))
    first = copy.deepcopy(model).fit(x)
    found = copy.deepcopy(model).fit(more, start=first)
    plain = copy.deepcopy(model).fit(more)
    assert found.n_passes_ == len(found.history_)
    np.testing.assert_array_equal(found.mean_, plain.mean_)
    np.testing.assert_allclose(found.score(more), found.lower_bound_, rtol=1e-10)
    np.testing.assert_allclose(found.lower_bound_, plain.lower_bound_, rtol=1e-4)
    far = copy.deepcopy(model).fit(more + 1e5, start=first)
    assert far.n_passes_ == len(far.history_) + 1
    np.testing.assert_allclose(far.lower_bound_, plain.lower_bound_, rtol=1e-3)
