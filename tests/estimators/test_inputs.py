"""The same rows in any form give the same parameters; bad ones are refused in one sentence."""

from functools import partial

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone

from crosses import cross
from dem import PPCA, GaussianMixture
from shared import ENDS_AT_MAX_ITER

K, N, D = 3, 400, 4


@pytest.fixture(scope="module")
def x():
    rng = np.random.default_rng(5)
    return rng.normal(0, 3, (K, D))[rng.integers(K, size=N)] + rng.normal(size=(N, D))


@pytest.fixture(scope="module")
def weight():
    return np.random.default_rng(6).integers(0, 5, N) / 2.0


def store(folder, x, **settings):
    path = folder / "x.zarr"
    array = zarr.create_array(path, shape=x.shape, dtype=x.dtype, **settings)
    array[:] = x
    return path


def in_a_group(folder, x):
    group = zarr.open_group(folder / "group.zarr", mode="w")
    group.create_array("deep/rows", shape=x.shape, dtype=x.dtype, chunks=(64, 3))[:] = x
    return f"{folder}/group.zarr/deep/rows"


def unknown_chunks(x):
    rows = da.from_array(x, chunks=(70, D))
    return rows[da.ones(N, chunks=70, dtype=bool)]


FORMS = {
    "list": lambda folder, x: x.tolist(),
    "fortran": lambda folder, x: np.asfortranarray(x),
    "strided": lambda folder, x: np.repeat(x, 2, axis=0)[::2],
    "dask": lambda folder, x: da.from_array(x, chunks=(70, D)),
    "dask-odd": lambda folder, x: da.from_array(x, chunks=((1, 0, 199, 3, 197), D)),
    "dask-columns": lambda folder, x: da.from_array(x, chunks=(90, (1, 2, 1))),
    "zarr-v2": lambda folder, x: store(folder, x, chunks=(50, D), zarr_format=2),
    "zarr-v3": lambda folder, x: str(store(folder, x, chunks=(33, 3))),
    "zarr-sharded": lambda folder, x: store(folder, x, chunks=(10, 2), shards=(80, 4)),
    "zarr-array": lambda folder, x: zarr.open_array(store(folder, x, chunks=(500, 4))),
    "zarr-in-group": in_a_group,
}
ANY = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def assert_same_mixture(a, b, tolerance=1e-10):
    for name in ("weights_", "means_", "covariances_", "precisions_"):
        one, two = getattr(a, name), getattr(b, name)
        np.testing.assert_allclose(one, two, rtol=0, atol=tolerance * np.abs(two).max(), err_msg=name)
    assert a.n_iter_ == b.n_iter_
    assert a.lower_bound_ == pytest.approx(b.lower_bound_, rel=1e-12)


@pytest.fixture(scope="module")
def mixtures(x):
    return {kind: GaussianMixture(K, n_init=2, covariance_type=kind).fit(x) for kind in ("full", "tied")}


@cross("form, kind", FORMS, ["full", "tied"])
def test_any_form_gives_the_same_mixture(form, kind, mixtures, x, tmp_path):
    expected = mixtures[kind]
    data = form(tmp_path, x)
    model = GaussianMixture(K, n_init=2, covariance_type=kind).fit(data)
    assert_same_mixture(model, expected)
    np.testing.assert_array_equal(np.asarray(model.predict(data)), expected.predict(x))
    np.testing.assert_allclose(np.asarray(model.score_samples(data)), expected.score_samples(x), rtol=1e-10)
    assert model.score(data) == pytest.approx(expected.score(x), rel=1e-12)
    assert isinstance(model.predict_proba(data), np.ndarray if isinstance(data, list | np.ndarray) else da.Array)


@ANY
def test_any_form_gives_the_same_ppca(form, x, tmp_path):
    data, expected = form(tmp_path, x), PPCA(2).fit(x)
    model = PPCA(2).fit(data)
    np.testing.assert_allclose(model.get_covariance(), expected.get_covariance(), atol=1e-10)
    np.testing.assert_allclose(np.asarray(model.transform(data)), expected.transform(x), atol=1e-10)


@ENDS_AT_MAX_ITER
@cross("form, as_", FORMS, {"array": np.asarray, "list": list, "dask": partial(da.from_array, chunks=37)})
def test_weights_in_any_form(form, as_, x, weight, tmp_path):
    given = {
        "weights_init": [0.3, 0.3, 0.4],
        "means_init": x[:K],
        "precisions_init": np.array([np.eye(D)] * K),
    }
    expected = GaussianMixture(K, **given, max_iter=5, tol=0).fit(np.repeat(x, (2 * weight).astype(int), axis=0))
    model = GaussianMixture(K, **given, max_iter=5, tol=0).fit(form(tmp_path, x), sample_weight=as_(weight))
    assert_same_mixture(model, expected)


@pytest.mark.slow
@ENDS_AT_MAX_ITER
@given(cuts=st.lists(st.integers(0, N), max_size=8), kind=st.sampled_from(["full", "tied", "diag", "spherical"]))
def test_any_chunking_gives_the_same_mixture(cuts, kind, x, weight):
    edges = [0, *sorted(cuts), N]
    sizes = tuple(np.diff(edges).tolist())
    far = x + 1e4
    model = GaussianMixture(K, covariance_type=kind, tol=0, max_iter=4, n_init=1)
    chunked = clone(model).fit(da.from_array(far, chunks=(sizes, D)), sample_weight=weight)
    whole = model.fit(far, sample_weight=weight)
    assert_same_mixture(chunked, whole)


def test_unknown_chunk_sizes(x, weight):
    """Rows have other keys there, so the start is another: compare from given parameters."""
    given = {
        "weights_init": [0.3, 0.3, 0.4],
        "means_init": x[:K],
        "precisions_init": np.array([np.eye(D)] * K),
    }
    for w in (None, weight):
        expected = GaussianMixture(K, **given).fit(x, sample_weight=w)
        rows = unknown_chunks(x)
        model = GaussianMixture(K, n_init=2, **given).fit(
            rows, sample_weight=None if w is None else da.from_array(w, chunks=70)
        )
        assert_same_mixture(model, expected)
    assert model.source_["shape"] == [N, D]
    np.testing.assert_array_equal(model.predict(unknown_chunks(x)).compute(), expected.predict(x))
    scores = [GaussianMixture(K).fit(data).score(x) for data in (x, unknown_chunks(x))]
    assert scores[1] == pytest.approx(scores[0], abs=1e-2)


@cross(
    "dtype, model",
    ["f2", "f4", "f8", "i1", "u1", "i8", "u8", "?", ">f8", ">i4", "g"],
    {"mixture": GaussianMixture(2, n_init=2, tol=1e-5), "ppca": PPCA(2)},
)
def test_any_dtype_is_fitted_as_its_values(dtype, model, x):
    kind = np.dtype(dtype).kind
    rows = (x > 0 if kind == "b" else np.abs(20 * x) if kind == "u" else 20 * x).astype(dtype)
    wide = rows.astype(float)
    expected = clone(model).fit(wide).score(wide)
    assert model.fit(rows).score(rows) == pytest.approx(expected, abs=1e-5 if dtype in ("f2", "f4") else 1e-12)


def bad(x, value, row=3, column=1):
    y = x.copy()
    y[row, column] = value
    return y


REFUSED = {
    "nan": (
        lambda x: bad(x, np.nan),
        r"1 missing value \(NaN\), in column 1; .*row 3 .*set missing='marginalize'",
    ),
    "inf": (lambda x: bad(x, np.inf), r"1 infinite value \(inf\), in column 1; .*row 3 "),
    "no-rows": (lambda x: x[:0], "Found array with 0 sample"),
    "one-dimension": (lambda x: x[:, 0], "Expected 2D array, got 1D array"),
    "three-dimensions": (lambda x: x[:, :, None], "(Found array with dim 3|Expected 2D array, got 3D array)"),
    "complex": (lambda x: x + 1j, "^Complex data not supported"),
    "times": (lambda x: np.zeros((9, 2), "datetime64[s]"), "(datetime64|DateTime64)"),
}
MODELS = pytest.mark.parametrize("model", [GaussianMixture(2), PPCA(1)], ids=["mixture", "ppca"])


@pytest.mark.parametrize(
    "model", [GaussianMixture(2, missing="error"), PPCA(1, missing="error")], ids=["mixture", "ppca"]
)
@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("wrap", [np.asarray, da.from_array], ids=["array", "dask"])
def test_bad_data_are_refused(model, make, message, wrap, x):
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(wrap(make(x)))


@MODELS
def test_words_and_stores_that_are_not_there_are_refused(model):
    with pytest.raises(ValueError, match=r"(could not convert string|dtype)"):
        model.fit([["a", "b"]] * 9)
    with pytest.raises(FileNotFoundError, match=r"No Zarr store at /nowhere/x.zarr"):
        model.fit("/nowhere/x.zarr")


@MODELS
def test_other_columns_than_the_models_are_refused(model, x):
    model.fit(x)
    for data in (x[:, :2], da.from_array(x[:, :2])):
        with pytest.raises(ValueError, match=r"(has 2 columns|X has 2 features), but .* (fitted on|is expecting) 4"):
            model.score(data)


def test_a_group_lists_its_arrays(x, tmp_path):
    in_a_group(tmp_path, x)
    with pytest.raises(ValueError, match="deep/rows"):
        GaussianMixture(2).fit(tmp_path / "group.zarr")


def test_weights_that_are_all_zero_are_refused(x):
    with pytest.raises(ValueError, match="weights of the array are all zero"):
        GaussianMixture(2).fit(x, sample_weight=np.zeros(N))
