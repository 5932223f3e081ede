import json
import pickle

import dask.array as da
import numpy as np
import pytest
import zarr

from dem.source import open_source
from dem.source.generated import GeneratedSource

X = np.arange(60.0).reshape(20, 3)
W = np.ones(20)


def stored(path, x=X, **layout):
    zarr.create_array(path, shape=x.shape, dtype=x.dtype, **layout)[:] = x
    return path


def sources(folder):
    w = stored(folder / "w.zarr", W, chunks=(7,))
    return {
        "zarr": open_source(stored(folder / "x.zarr", chunks=(5, 3)), w),
        "v2": open_source(stored(folder / "v2.zarr", chunks=(5, 3), zarr_format=2), W),
        "sharded": open_source(stored(folder / "s.zarr", chunks=(5, 3), shards=(10, 3)), da.from_array(W, chunks=4)),
        "memory": open_source(X, W),
        "dask": open_source(da.from_array(X, chunks=(6, 3))),
        "unknown": open_source((lambda x: x[x[:, 0] > 3])(da.from_array(X, chunks=(6, 3)))),
        "generated": GeneratedSource(20, 5, 3, np.dtype("f4")),
    }


def test_fingerprints_are_json_and_all_different(tmp_path):
    found = {name: source.fingerprint for name, source in sources(tmp_path).items()}
    texts = {name: json.dumps(value, allow_nan=False) for name, value in found.items()}
    assert len(set(texts.values())) == len(texts)
    assert {name: json.loads(text) for name, text in texts.items()} == found
    assert found["zarr"]["shape"] == [20, 3]
    assert found["zarr"]["chunks"] == [5, 3]
    assert found["zarr"]["weights"]["chunks"] == [7]
    assert found["unknown"]["shape"] == [None, 3]
    assert found["dask"]["weights"] is None


def test_fingerprints_stay_the_same(tmp_path):
    for source in sources(tmp_path).values():
        if not isinstance(getattr(source, "weights", None), da.Array):
            assert pickle.loads(pickle.dumps(source)).fingerprint == source.fingerprint
    again = open_source(tmp_path / "x.zarr", tmp_path / "w.zarr")
    assert again.fingerprint == open_source(zarr.open_array(tmp_path / "x.zarr"), tmp_path / "w.zarr").fingerprint


def test_fingerprints_ignore_attributes_and_values(tmp_path):
    before = open_source(stored(tmp_path / "x.zarr", chunks=(5, 3))).fingerprint
    z = zarr.open_array(tmp_path / "x.zarr", mode="r+")
    z.attrs["note"] = "something else"
    z[:5] = 0
    (tmp_path / "x.zarr" / "c/1/0").unlink()
    assert open_source(tmp_path / "x.zarr").fingerprint == before


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("chunks", {"chunks": (4, 3)}),
        ("dtype", {"chunks": (5, 3), "dtype": "f4"}),
        ("shape", {"chunks": (5, 3), "shape": (21, 3)}),
        ("fill value", {"chunks": (5, 3), "fill_value": 1}),
        ("codecs", {"chunks": (5, 3), "compressors": None}),
        ("shards", {"chunks": (5, 3), "shards": (10, 3)}),
        ("format", {"chunks": (5, 3), "zarr_format": 2}),
    ],
)
def test_each_part_of_the_metadata_counts(name, layout, tmp_path):
    before = open_source(stored(tmp_path / "x.zarr", chunks=(5, 3))).fingerprint
    zarr.create_array(tmp_path / "y.zarr", **{"shape": X.shape, "dtype": X.dtype, **layout})
    assert open_source(tmp_path / "y.zarr").fingerprint != before


def test_partitions_and_weights_count(tmp_path):
    x = stored(tmp_path / "x.zarr", chunks=(5, 3))
    found = [
        open_source(x).fingerprint,
        open_source(x, partition_bytes=100).fingerprint,
        open_source(x, W).fingerprint,
        open_source(x, stored(tmp_path / "w.zarr", W, chunks=(7,))).fingerprint,
    ]
    assert all(a != b for i, a in enumerate(found) for b in found[:i])
