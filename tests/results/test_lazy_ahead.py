"""Lazy results read at most one block ahead, because no plan limits the memory of their tasks."""

import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore

from dem.em.row_output import RowOutput
from dem.results import row_outputs
from dem.source import open_source, zarr_partition, zarr_rows

X = np.random.default_rng(4).normal(size=(1000, 4))


def first_column(block):
    return block.x[:, 0]


def make_rows():
    return first_column


@pytest.mark.parametrize("remote", [False, True])
def test_lazy_results_read_one_block_ahead(remote, monkeypatch):
    monkeypatch.setattr(zarr_rows, "READ_BYTES", 1)
    monkeypatch.setattr(zarr_rows.ZarrRows, "is_remote", remote)
    seen, real = [], zarr_partition.read_ahead

    def watched(read, spans, n):
        seen.append(n)
        return real(read, spans, n)

    monkeypatch.setattr(zarr_partition, "read_ahead", watched)
    source = open_source(zarr.create_array(MemoryStore(), data=X, chunks=(100, 4)))
    assert source.read_ahead == (4 if remote else 1)
    out = row_outputs.lazy(source, make_rows, RowOutput("first", "", np.dtype(float)))
    np.testing.assert_array_equal(out.compute(scheduler="synchronous"), X[:, 0])
    assert seen == [1]
