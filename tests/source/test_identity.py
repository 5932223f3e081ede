"""Every source answers for its rows, its weights and its identity."""

import dask.array as da
import numpy as np
import pytest
import zarr

from dem.source import open_source
from dem.source.generated import GeneratedSource
from dem.source.subset import subset

X = np.random.default_rng(0).normal(size=(23, 3))
W = np.random.default_rng(1).uniform(size=23)
KEYS = [7, 0, 22, 7]


def stored(values, path):
    array = zarr.create_array(path, shape=values.shape, dtype=values.dtype, chunks=(5, *values.shape[1:]))
    array[:] = values
    return str(path)


FORMS = {
    "memory": lambda x, folder: x,
    "dask": lambda x, folder: da.from_array(x, chunks=(4,) + (-1,) * (x.ndim - 1)),
    "zarr": lambda x, folder: stored(x, folder / f"{x.ndim}.zarr"),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("of_weights", FORMS.values(), ids=FORMS)
def test_rows_and_weights_by_their_keys(form, of_weights, tmp_path):
    source = open_source(form(X, tmp_path), of_weights(W, tmp_path))
    for read in (source, subset(source, [0])):
        np.testing.assert_array_equal(read.rows_at(KEYS), X[KEYS])
        np.testing.assert_array_equal(read.weights_at(KEYS), W[KEYS])
    assert source.weights_at(()).shape == (0,)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_rows_without_weights(form, tmp_path):
    assert open_source(form(X, tmp_path)).weights_at(KEYS) is None


def test_the_identity_of_a_store_changes_with_its_contents(tmp_path):
    path = stored(X, tmp_path / "x.zarr")
    before = open_source(path).identity()
    assert before == open_source(path).identity()
    assert before[0] == path
    zarr.open_array(path)[3] = 0.0
    assert open_source(path).identity() != before


def test_the_identity_of_data_without_a_place(tmp_path):
    assert open_source(X).identity() is None
    lazy = FORMS["dask"](X, tmp_path)
    assert open_source(lazy).identity() == open_source(lazy).identity()
    assert open_source(lazy).identity() != open_source(lazy + 1).identity()


def test_generated_rows_have_an_identity_and_no_columns():
    source = GeneratedSource(100, 10, 3, np.dtype("f8"))
    assert source.identity() == [source.fingerprint, None]
    assert source.rows_at(KEYS).shape == (4, 0)
    assert source.weights_at(KEYS) is None
