"""Data frames of pandas, polars and Dask as data: values, names, missing values, and the choice of columns."""

import dask
import numpy as np
import pytest

import dem
from dem.source import open_source
from dem.source.frames import frame_columns, is_frame, is_lazy_frame, like_frame

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
dd = pytest.importorskip("dask.dataframe")

X = np.random.default_rng(0).normal(size=(20, 3))
X[4, 1] = np.nan
NAMES = ["age", "income", "height"]
MAKE = {
    "pandas": lambda: pd.DataFrame(X, columns=NAMES),
    "polars": lambda: pl.DataFrame(X, schema=NAMES),
    "dask": lambda: dd.from_pandas(pd.DataFrame(X, columns=NAMES), npartitions=3),
}
ANY = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)


def rows_of(source):
    parts = dask.compute(*source.partitions, scheduler="synchronous")
    return np.concatenate([block.x for part in parts for block in part.blocks()])


@ANY
def test_values_and_names(make):
    source = open_source(make())
    np.testing.assert_array_equal(rows_of(source), X)
    assert source.columns.names == tuple(NAMES)
    assert source.columns.named


@ANY
@pytest.mark.parametrize("columns", [["height", "age"], [2, 0]])
def test_columns_are_chosen(make, columns):
    source = open_source(make(), columns=columns)
    np.testing.assert_array_equal(rows_of(source), X[:, [2, 0]])
    assert source.columns.names == ("height", "age")
    with pytest.raises(ValueError, match=r"no column 'agee' \(did you mean 'age'\?\)"):
        open_source(make(), columns=["agee"])


def test_nulls_are_missing_values():
    whole = pd.DataFrame({"a": pd.array([1, None, 3], dtype="Int64"), "b": pd.array([True, None, False], "boolean")})
    for frame in (whole, pl.DataFrame({"a": [1, None, 3], "b": [True, None, False]}), dd.from_pandas(whole)):
        np.testing.assert_array_equal(rows_of(open_source(frame)), [[1, 1], [np.nan, np.nan], [3, 0]])


def test_a_dask_frame_is_not_computed():
    def never(part):
        if len(part):
            raise AssertionError("computed")
        return part

    frame = MAKE["dask"]().map_partitions(never, meta=MAKE["pandas"]().iloc[:0])
    source = open_source(frame, columns=["age"])
    assert source.n_rows is None
    assert source.n_columns == 1


def test_only_the_chosen_columns_of_a_dask_frame_are_checked():
    frame = dd.from_pandas(pd.DataFrame({"who": ["a", "b"], "n": [1, 2], "x": [0.5, 1.5], "y": [True, False]}))
    with pytest.raises(ValueError, match=r"column 'who' of the Dask DataFrame has the dtype \w+, which does not hold"):
        open_source(frame)
    np.testing.assert_array_equal(rows_of(open_source(frame, columns=["y", "n", "x"])), [[1, 1, 0.5], [0, 2, 1.5]])


def test_names_that_are_numbers_are_no_names():
    source = open_source(pd.DataFrame(X))
    assert not source.columns.named
    np.testing.assert_array_equal(rows_of(open_source(pd.DataFrame(X), columns=[1])), X[:, [1]])


def test_text_in_a_frame_is_refused():
    with pytest.raises(ValueError, match="values that are not numbers"):
        open_source(pd.DataFrame({"a": ["x", "y"]}))


def test_two_columns_of_one_name_are_refused():
    with pytest.raises(ValueError, match="the data frame has several columns with the name 'a'"):
        open_source(pd.DataFrame(X[:, :2], columns=["a", "a"]), columns=["a"])


def test_lazy_frames_of_polars_are_refused():
    lazy = pl.DataFrame(X, schema=NAMES).lazy()
    for refused in (open_source, dem.KMeans(1).fit):
        with pytest.raises(TypeError, match=r"polars\.LazyFrame, which is lazy: pass \w+\.collect\(\), or write it by"):
            refused(lazy)


def test_other_data_are_no_frames():
    assert not any(is_frame(data) or is_lazy_frame(data) for data in (X, X.tolist(), "x.zarr", pd.Series(X[:, 0])))
    assert not is_lazy_frame(MAKE["dask"]()["age"])
    assert is_frame(MAKE["polars"]())


def test_rows_go_back_into_a_frame_of_the_same_kind():
    indexed = MAKE["pandas"]().set_index(pd.Index(range(100, 120), name="id"))
    pd.testing.assert_frame_equal(like_frame(X, indexed, frame_columns(indexed)), indexed)
    assert like_frame(X, MAKE["polars"](), frame_columns(MAKE["polars"]())).equals(MAKE["polars"](), null_equal=True)


@ANY
def test_a_fit_keeps_the_names(make):
    model = dem.PPCA(1).fit(make(), columns=["height", "age"])
    assert model.feature_names_in_.tolist() == ["height", "age"]
    assert model.columns_.names == ("height", "age")
    np.testing.assert_allclose(model.mean_, X[:, [2, 0]].mean(axis=0), rtol=1e-12)
