"""Scaled sources: the same rows, keys, weights and partitions, with scaled values."""

import pickle

import dask.array as da
import numpy as np
import pytest
import zarr

from dem.scan.scaling import Scaling
from dem.source import open_source
from dem.source.opening import evaluate
from dem.source.scaled import scaled
from dem.source.subset import subset

N, D = 3000, 3
SCALING = Scaling(np.array([1.0, -2.0, 30.0]), np.array([2.0, 0.25, 10.0]))
X = np.random.default_rng(0).normal(30.0, 10.0, (N, D)).round(2)
X[5, 1] = np.nan
WEIGHT = np.random.default_rng(1).integers(0, 3, N).astype(float)


def zarr_of(tmp_path, x, name):
    array = zarr.create_array(tmp_path / name, shape=x.shape, chunks=(250, *x.shape[1:]), dtype=x.dtype)
    array[:] = x
    return array


SOURCES = {
    "memory": lambda tmp, x: open_source(x, WEIGHT, partition_bytes=2**14),
    "zarr": lambda tmp, x: open_source(
        zarr_of(tmp, x, "x.zarr"), zarr_of(tmp, WEIGHT, "w.zarr"), partition_bytes=2**14
    ),
    "dask": lambda tmp, x: open_source(da.from_array(x, chunks=(400, D)), WEIGHT),
    "zarr-weights-dask": lambda tmp, x: open_source(
        zarr_of(tmp, x, "x.zarr"), da.from_array(WEIGHT, chunks=100), partition_bytes=2**14
    ),
}
KINDS = pytest.mark.parametrize("kind", SOURCES)


def blocks(source):
    return [block for partition in source.partitions for block in evaluate(partition).blocks()]


@KINDS
@pytest.mark.parametrize("dtype", ["float64", "float32", "int16"])
def test_rows_keys_and_weights(tmp_path, kind, dtype):
    x = np.nan_to_num(X).astype(dtype) if dtype == "int16" else X.astype(dtype)
    whole = SOURCES[kind](tmp_path, x)
    source = scaled(whole, SCALING)
    assert source.dtype == (np.float64 if dtype == "float64" else np.float32)
    own, raw = blocks(source), blocks(whole)
    assert len(own) == len(raw) > 1
    for block, other in zip(own, raw, strict=True):
        np.testing.assert_array_equal(block.x, SCALING(other.x))
        assert block.x.dtype == source.dtype
        np.testing.assert_array_equal(block.weight, other.weight)
        assert (block.keys, block.absent) == (other.keys, other.absent)
    assert [evaluate(p).rows for p in source.partitions] == list(whole.row_chunks) == list(source.row_chunks)


@KINDS
def test_what_else_a_source_tells(tmp_path, kind):
    whole = SOURCES[kind](tmp_path, X)
    source = scaled(whole, SCALING)
    for name in ("name", "n_rows", "n_columns", "chunk_rows", "lazy", "compact", "stored_at", "in_memory", "columns"):
        assert getattr(source, name) == getattr(whole, name), name
    assert source.locate(1234, 1) == whole.locate(1234, 1)
    largest = max(block.x.nbytes for block in blocks(source))
    assert source.block_bytes >= largest
    assert source.read_bytes == whole.read_bytes + source.block_bytes
    assert source.for_results(8, 2**12).row_chunks == whole.for_results(8, 2**12).row_chunks
    assert source.reading_ahead(0).read_ahead == 0
    again = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(blocks(again)[0].x, blocks(source)[0].x)


def test_the_scaling_is_part_of_the_fingerprint():
    whole = open_source(X)
    one, other = (scaled(whole, Scaling(SCALING.shift, SCALING.scale * factor)) for factor in (1, 1 + 1e-15))
    assert one.fingerprint == scaled(whole, SCALING).fingerprint
    assert one.fingerprint != other.fingerprint
    assert one.fingerprint.items() >= whole.fingerprint.items()


def test_some_of_the_partitions():
    source = scaled(open_source(X, partition_bytes=2**14), SCALING)
    part = subset(source, [2, 0])
    np.testing.assert_array_equal(blocks(part)[0].x, blocks(source)[2].x)


def test_blocks_of_dask_arrays_are_computed_once():
    """All delayed partitions share one graph, and each task has the scaled block alone as its own."""
    x = da.from_array(X, chunks=(500, D))
    partitions = scaled(open_source(x), SCALING).partitions
    assert len({id(partition.dask) for partition in partitions}) == 1
    assert len({partition.key for partition in partitions}) == len(partitions) == 6
