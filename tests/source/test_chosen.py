"""Some columns of a source: the same rows, with fewer columns."""

import dask
import dask.array as da
import numpy as np
import pytest
import zarr

import dem
from dem.source import open_source
from dem.source.chosen import ChosenColumns, choose_columns

X = np.random.default_rng(0).normal(size=(50, 4))
W = np.random.default_rng(1).random(50)


def stored(values, path):
    array = zarr.create_array(path, shape=values.shape, dtype=values.dtype, chunks=(7, *values.shape[1:]))
    array[:] = values
    return str(path)


FORMS = {
    "memory": lambda x, folder: x,
    "dask": lambda x, folder: da.from_array(x, chunks=(9,) + (-1,) * (x.ndim - 1)),
    "zarr": lambda x, folder: stored(x, folder / f"{x.ndim}.zarr"),
}
ANY = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


@ANY
@pytest.mark.parametrize("weights", FORMS.values(), ids=FORMS)
def test_the_rows_have_the_chosen_columns(form, weights, tmp_path):
    source = open_source(form(X, tmp_path), weights(W, tmp_path), columns=[3, 0])
    parts = dask.compute(*source.partitions, scheduler="synchronous")
    blocks = [block for part in parts for block in part.blocks()]
    np.testing.assert_array_equal(np.concatenate([block.x for block in blocks]), X[:, [3, 0]])
    np.testing.assert_array_equal(np.concatenate([block.weight for block in blocks]), W)
    np.testing.assert_array_equal(source.rows_at([4, 2]), X[[4, 2]][:, [3, 0]])
    assert sum(part.rows for part in parts) == source.n_rows
    assert source.columns.names == ("3", "0")


@ANY
def test_a_fit_and_outputs_of_chosen_columns(form, tmp_path):
    data = form(X, tmp_path)
    model = dem.PPCA(1).fit(data, columns=[2, 1])
    same = dem.PPCA(1).fit(X[:, [2, 1]])
    np.testing.assert_allclose(model.mean_, same.mean_, rtol=1e-12)
    source = open_source(data, columns=[2, 1])
    np.testing.assert_allclose(np.asarray(model.transform(source)), same.transform(X[:, [2, 1]]), rtol=1e-9, atol=1e-9)
    if not isinstance(data, np.ndarray):
        model.write(source, tmp_path / "out.zarr", "latent")
        np.testing.assert_allclose(zarr.open_array(tmp_path / "out.zarr")[:], np.asarray(model.transform(source)))
    with pytest.raises(ValueError, match=r"4 (columns|features)"):
        model.transform(data)


def test_the_choice_is_part_of_the_identity(tmp_path):
    path = stored(X, tmp_path / "x.zarr")
    whole, some = open_source(path), open_source(path, columns=[0, 1])
    assert some.fingerprint != whole.fingerprint != open_source(path, columns=[1, 0]).fingerprint
    assert some.fingerprint == open_source(path, columns=[0, 1]).fingerprint
    assert some.identity() != open_source(path, columns=[1, 0]).identity()
    assert open_source(X, columns=[0]).identity() is None


def test_all_columns_are_the_source_itself(tmp_path):
    source = open_source(stored(X, tmp_path / "x.zarr"))
    assert choose_columns(source, range(4)) is source
    some = choose_columns(source, [1])
    assert isinstance(some, ChosenColumns)
    assert some.reading_ahead(0).columns == some.columns
    assert some.for_results(8, 1).n_columns == 1
    assert source.read_bytes < some.read_bytes < source.read_bytes + source.block_bytes
    assert some.locate(8, 0) == source.locate(8, 1)


def test_absent_chunks_are_reported(tmp_path):
    path = stored(X, tmp_path / "x.zarr")
    (tmp_path / "x.zarr" / "c" / "1" / "0").unlink()
    with pytest.warns(UserWarning, match=r"1 chunk of x\.zarr is not in the store"):
        dem.KMeans(1).fit(path, columns=[0, 1])
