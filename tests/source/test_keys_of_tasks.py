"""Sources that are computed together by Dask: tasks of different rows have different keys."""

import dask
import dask.array as da
import numpy as np
import pytest
import zarr

import dem
from dem.source import open_source
from dem.source.dask_boxes import boxes_of_dask

xr = pytest.importorskip("xarray")

RNG = np.random.default_rng(0)


def test_two_stores_with_the_same_lazy_weights(tmp_path):
    weights = da.ones(40, chunks=10)
    arrays = [RNG.normal(size=(40, 2)), RNG.normal(size=(40, 2)) + 9]
    sources = [
        open_source(zarr.create_array(tmp_path / f"{i}.zarr", data=x, chunks=(10, 2)), weights)
        for i, x in enumerate(arrays)
    ]
    for found, x in zip(dask.compute(*(source.partitions[0] for source in sources)), arrays, strict=True):
        np.testing.assert_array_equal(next(found.blocks()).x, x[:40])


def test_two_choices_of_columns_of_one_table(tmp_path):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"a": np.arange(6.0), "b": np.arange(6.0) + 10})
    frame.to_parquet(tmp_path / "x.parquet")
    weights = da.ones(6, chunks=6)
    sources = [open_source(tmp_path / "x.parquet", weights, columns=[name]) for name in "ab"]
    for found, name in zip(dask.compute(*(source.partitions[0] for source in sources)), "ab", strict=True):
        np.testing.assert_array_equal(next(found.blocks()).x[:, 0], frame[name])


def test_two_readings_of_one_lazy_array():
    array = xr.DataArray(RNG.normal(size=(4, 3, 2)), dims=("a", "b", "c")).chunk(a=2)
    sources = [open_source(array, sample_dims=dims) for dims in ("a", ("a", "b"), "c")]
    assert len({source.x.name for source in sources}) == len(sources)
    found = dask.compute(*(source.x for source in sources))
    assert [rows.shape for rows in found] == [(4, 6), (12, 2), (2, 12)]
    models = [dem.KMeans(2, random_state=0).fit(array, sample_dims=dims) for dims in ("a", "c")]
    together = dask.compute(*(model.predict(array) for model in models))
    for labels, model in zip(together, models, strict=True):
        np.testing.assert_array_equal(labels, model.predict(array))
    assert boxes_of_dask([array.data], sources[0].rows).x.name == sources[0].x.name  # the same key for the same rows
