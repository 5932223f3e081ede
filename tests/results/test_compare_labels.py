"""How many rows have another label than before."""

import numpy as np
import pytest
import zarr

from dem.results import compare_labels as module
from dem.results.compare_labels import LabelChanges, compare_labels


def array(path, values, **more):
    return zarr.create_array(path, data=np.asarray(values), **more)


@pytest.mark.parametrize("size", [1, 2**26])
def test_rows_are_compared_by_their_places(tmp_path, monkeypatch, size):
    monkeypatch.setattr(module, "COMPARED_BYTES", size)
    old = np.random.default_rng(0).integers(0, 5, 1000)
    new = np.concatenate([old, [1, 2, 3]])
    new[[3, 500, 999]] = -1
    array(tmp_path / "old.zarr", old.astype(np.int8), chunks=(64,))
    array(tmp_path / "new.zarr", new.astype(np.int16), chunks=(100,))
    found = compare_labels(tmp_path / "old.zarr", tmp_path / "new.zarr")
    assert found == LabelChanges(1000, 3, 3, 0)
    assert str(found) == "3 (0.3 %) of the 1,000 rows in both arrays have another label; 3 rows new"
    assert compare_labels(tmp_path / "new.zarr", tmp_path / "old.zarr") == LabelChanges(1000, 3, 0, 3)
    assert found.record() == {"compared": 1000, "changed": 3, "added": 3, "removed": 0}


def test_labels_along_several_dimensions(tmp_path):
    old = array(tmp_path / "old.zarr", np.zeros((4, 3), np.int8))
    new = array(tmp_path / "new.zarr", np.eye(5, 3, dtype=np.int8))
    assert compare_labels(old, new) == LabelChanges(12, 3, 3, 0)


def test_arrays_that_are_no_labels_are_refused(tmp_path):
    labels, floats = array(tmp_path / "a.zarr", [1, 2]), array(tmp_path / "b.zarr", [1.0, 2.0])
    with pytest.raises(ValueError, match=r"b\.zarr has the dtype float64: give an array of labels"):
        compare_labels(labels, floats)
    with pytest.raises(ValueError, match="only the first dimension may differ"):
        compare_labels(labels, array(tmp_path / "c.zarr", [[1, 2]]))


def test_a_damaged_chunk_is_named(tmp_path):
    for name in ("old", "new"):
        array(tmp_path / f"{name}.zarr", np.arange(100), chunks=(50,))
    (tmp_path / "new.zarr" / "c" / "1").write_bytes(b"damaged")
    with pytest.raises(OSError, match=r"Cannot read chunk c/1 .*new.zarr"):
        compare_labels(tmp_path / "old.zarr", tmp_path / "new.zarr")
