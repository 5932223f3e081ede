"""Names of columns through estimators: kept by fits, checked by outputs, saved, and in results."""

import numpy as np
import pytest
import zarr
from sklearn.base import clone
from sklearn.decomposition import PCA

import dem
from dem.core.columns import Columns
from dem.estimators.base import RowwiseEstimator
from dem.source import open_source
from dem.storage.atomic import SAVED_MODELS

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
dd = pytest.importorskip("dask.dataframe")
pytest.importorskip("pyarrow")

X = np.random.default_rng(0).normal(size=(40, 3))
NAMES = ["age", "income", "height"]
FRAME = pd.DataFrame(X, columns=NAMES)
ESTIMATORS = [
    dem.GaussianMixture(2, max_iter=5, tol=1),
    dem.BayesianGaussianMixture(2, max_iter=5, tol=1),
    dem.Mixture(2, family="gaussian", max_iter=5, tol=1),
    dem.MixturePPCA(2, n_factors=1, max_iter=5, tol=1),
    dem.MixtureFactorAnalysis(2, n_factors=1, max_iter=5, tol=1),
    dem.KMeans(2, random_state=0),
    dem.PPCA(1),
    dem.BayesianPCA(2),
    dem.FactorAnalysis(1),
]
EVERY = pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)


def parquet(folder, frame=FRAME):
    frame.assign(who="someone").to_parquet(folder / "x.parquet", row_group_size=15)
    return folder / "x.parquet"


def frames(folder):
    """Return the same data in each form that has names."""
    return {
        "pandas": FRAME,
        "polars": pl.DataFrame(X, schema=NAMES),
        "dask": dd.from_pandas(FRAME, npartitions=2),
        "parquet": parquet(folder),
        "source": open_source(FRAME),
    }


@EVERY
def test_each_estimator_takes_a_table_and_chooses_columns(estimator, tmp_path):
    model = clone(estimator).fit(parquet(tmp_path), columns=["height", "age"])
    assert model.feature_names_in_.tolist() == ["height", "age"]
    assert model.n_features_in_ == 2
    score = model.score(tmp_path / "x.parquet")
    assert score == pytest.approx(model.score(FRAME[["height", "age"]]), rel=1e-9)
    model.save(tmp_path / "model.zarr")
    again = dem.load(tmp_path / "model.zarr")
    assert again.columns_ == model.columns_
    assert again.feature_names_in_.tolist() == ["height", "age"]


@pytest.mark.parametrize("form", ["pandas", "polars", "dask", "parquet", "source"])
def test_names_of_each_form(form, tmp_path):
    data = frames(tmp_path)[form]
    model = dem.KMeans(2, random_state=0).fit(data, columns=NAMES)
    assert model.feature_names_in_.dtype == object
    assert model.feature_names_in_.tolist() == NAMES
    assert model.columns_ == Columns.of_names(NAMES)
    labels = np.asarray(model.predict(data))
    np.testing.assert_array_equal(labels, model.predict(FRAME))


def said_by_scikit_learn(frame):
    with pytest.raises(ValueError, match="feature names") as caught:
        PCA(1).fit(FRAME).transform(frame)
    return str(caught.value)


OTHER = [FRAME[["income", "age", "height"]], FRAME.rename(columns={"age": "years"}), FRAME[["age", "income"]]]


@pytest.mark.parametrize("frame", OTHER, ids=["order", "name", "fewer"])
def test_other_names_are_refused_in_the_words_of_scikit_learn(frame):
    model = dem.PPCA(1).fit(FRAME)
    for data in (frame, pl.from_pandas(frame)):
        for method in (model.transform, model.score, model.impute):
            with pytest.raises(ValueError, match="feature names") as caught:
                method(data)
            assert str(caught.value) == said_by_scikit_learn(frame)


def test_columns_that_were_chosen_are_taken_by_name(tmp_path):
    """From frames too; a model of a whole frame is as strict as scikit-learn."""
    model = dem.PPCA(1).fit(FRAME, columns=["income", "age"])
    expected = model.transform(FRAME[["income", "age"]])
    model.save(tmp_path / "m.zarr")
    more = FRAME.assign(who="x")
    assert dem.load(tmp_path / "m.zarr").transform(more) == pytest.approx(expected, rel=1e-12)
    assert model.impute(more).columns.tolist() == ["income", "age"]
    with pytest.raises(ValueError, match="Feature names unseen at fit time:\n- who"):
        dem.PPCA(1).fit(FRAME).transform(more)
    others = [more, more[["who", "age", "income"]], pl.from_pandas(more), open_source(FRAME)]
    for data in (*others, parquet(tmp_path), dd.from_pandas(more, npartitions=2)):
        np.testing.assert_allclose(np.asarray(model.transform(data)), expected, rtol=1e-12)
    with pytest.raises(ValueError, match=r"no column 'income' \(did you mean 'incom'\?\)"):
        model.transform(parquet(tmp_path, FRAME.rename(columns={"income": "incom"})))


def test_text_and_names_of_weights_are_refused_in_one_sentence():
    for frame in (FRAME.assign(who="x"), pl.from_pandas(FRAME.assign(who="x"))):
        with pytest.raises(ValueError, match=r"column 'who' of the data frame does not hold numbers: choose other"):
            dem.PPCA(1).fit(frame)
        with pytest.raises(TypeError, match=r"sample_weight='age' is read as a path: pass .* X\['age'\]"):
            dem.PPCA(1).fit(frame, sample_weight="age", columns=["height", "income"])


def test_data_with_and_without_names(tmp_path):
    zarr.create_array(tmp_path / "x.zarr", shape=X.shape, dtype=X.dtype)[:] = X
    named, bare = dem.KMeans(2, random_state=0).fit(FRAME), dem.KMeans(2, random_state=0).fit(tmp_path / "x.zarr")
    assert not hasattr(bare, "feature_names_in_")
    for data in (X, tmp_path / "x.zarr"):
        with pytest.warns(UserWarning, match="X does not have valid feature names, but KMeans was fitted with feature"):
            named.predict(data)
    for data in (FRAME, open_source(FRAME)):
        with pytest.warns(UserWarning, match="X has feature names, but KMeans was fitted without feature names"):
            bare.predict(data)
    assert not hasattr(dem.KMeans(2, random_state=0).fit(FRAME).fit(X), "feature_names_in_")


@pytest.mark.parametrize("columns", [[2, 0], ["2", 0]])
def test_columns_of_arrays_are_chosen_by_number(columns):
    masked = np.ma.masked_array(X, X < -1)
    model = dem.PPCA(1).fit(masked, columns=columns)
    np.testing.assert_allclose(model.mean_, dem.PPCA(1).fit(masked[:, [2, 0]]).mean_, rtol=1e-12)
    with pytest.raises(ValueError, match="no column 'age': these data have no names of columns"):
        dem.PPCA(1).fit(X, columns=["age"])


def test_units_are_saved_and_shown(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    fields = [pa.field(name, pa.float64(), metadata={"units": unit}) for name, unit in (("t", "degC"), ("s", "psu"))]
    pq.write_table(pa.table([X[:, 0], X[:, 1]], schema=pa.schema(fields)), tmp_path / "sea.parquet")
    dem.KMeans(2).fit(tmp_path / "sea.parquet").save(tmp_path / "model.zarr")
    model = dem.load(tmp_path / "model.zarr")
    assert model.columns_.labels == ("t (°C)", "s (psu)")
    for columns in ((1, 0), ("s", "t")):
        axes = dem.plot.kmeans(model, columns=columns).axes[0]
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("s (psu)", "t (°C)")
    with pytest.raises(ValueError, match="two of the 2 columns"):
        dem.plot.kmeans(model, columns=(1, 1))


@pytest.mark.parametrize("data", [FRAME, X], ids=["named", "numbered"])
def test_models_of_earlier_versions_get_their_columns(data, tmp_path):
    model = dem.PPCA(1).fit(data)
    model.save(tmp_path / "model.zarr")
    saved = SAVED_MODELS.load(tmp_path / "model.zarr")
    saved.attributes["fitted"].pop("columns_", None)
    assert type(model)._restore(saved).columns_ == model.columns_


def test_imputed_rows_are_a_frame_of_the_same_kind():
    holes = X.copy()
    holes[3, 1] = np.nan
    indexed = pd.DataFrame(holes, columns=NAMES, index=pd.Index(range(5, 45), name="id"))
    model = dem.PPCA(1).fit(indexed)
    plain = model.impute(open_source(indexed))
    filled, deviation = model.impute(indexed, return_std=True)
    pd.testing.assert_frame_equal(filled, pd.DataFrame(plain, columns=NAMES, index=indexed.index))
    assert deviation.columns.tolist() == NAMES
    assert (deviation.to_numpy() > 0).sum() == 1
    filled = model.impute(pl.DataFrame(holes, schema=NAMES))
    assert filled.equals(pl.DataFrame(plain, schema=NAMES))
    assert isinstance(model.predict(indexed) if hasattr(model, "predict") else model.transform(indexed), np.ndarray)


@EVERY
def test_set_output(estimator):
    model = clone(estimator)
    if not hasattr(model, "transform"):
        assert not hasattr(model, "set_output")
        return
    plain, prefix = model.fit(FRAME).transform(FRAME), type(model).__name__.lower()
    for kind in ("pandas", "polars"):
        out = model.set_output(transform=kind).transform(FRAME)
        assert list(out.columns) == model.get_feature_names_out().tolist()
        assert list(out.columns) == [f"{prefix}{i}" for i in range(plain.shape[1])]
        assert type(out).__module__.startswith(kind)
        np.testing.assert_array_equal(out.to_numpy(), plain)


def test_families_by_name(tmp_path):
    path = tmp_path / "x.parquet"
    FRAME.assign(n=np.arange(40) % 5).to_parquet(path)
    model = dem.Mixture(2, family={("age", "income"): "gaussian", "n": "poisson"}).fit(
        path, columns=["n", "age", "income"]
    )
    assert list(model.component_parameters_) == ["age, income", "n"]


def test_every_estimator_is_here():
    assert {type(e) for e in ESTIMATORS} >= set(dem.estimators.loading.ESTIMATORS)
    assert all(isinstance(e, RowwiseEstimator) for e in ESTIMATORS)
