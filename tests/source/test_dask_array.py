import dask.array as da
import numpy as np
import pytest
import scipy.sparse
import zarr
from hypothesis import given
from hypothesis import strategies as st
from zarr.storage import MemoryStore

from dem.source import evaluate, open_source

RNG = np.random.default_rng(2)
X = RNG.normal(size=(1000, 6))
W = RNG.uniform(size=1000)


def blocks_of(source):
    return [block for p in source.partitions for block in evaluate(p).blocks()]


@given(
    rows=st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(sum),
    columns=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    weight_chunk=st.integers(1, 20),
    form=st.sampled_from(["numpy", "dask", "zarr", None]),
)
def test_any_chunking(rows, columns, weight_chunk, form):
    shape = sum(rows), sum(columns)
    x = np.arange(np.prod(shape), dtype=float).reshape(shape)
    w = 1 + np.arange(shape[0], dtype=float)  # a chunk of zeros would not be stored
    z = zarr.create_array(MemoryStore(), shape=w.shape, chunks=(weight_chunk,), dtype="f8")
    z[:] = w
    weights = {"numpy": w, "dask": da.from_array(w, chunks=weight_chunk), "zarr": z, None: None}[form]
    source = open_source(da.from_array(x, chunks=(tuple(rows), tuple(columns))), weights)
    blocks = blocks_of(source)
    assert [len(block.x) for block in blocks] == list(source.row_chunks) == rows
    assert [block.keys.first for block in blocks] == [0, *np.cumsum(rows)[:-1]]
    np.testing.assert_array_equal(np.concatenate([block.x for block in blocks]), x)
    if form:
        np.testing.assert_array_equal(np.concatenate([block.weight for block in blocks]), w)


def test_regular_chunks_have_chunk_rows():
    assert open_source(da.from_array(X, chunks=(300, 3))).chunk_rows == 300
    assert open_source(da.from_array(X, chunks=((300, 300, 400), 6))).chunk_rows is None
    assert open_source(da.from_array(X, chunks=((300, 200, 300, 200), 6))).chunk_rows is None
    source = open_source(da.from_array(X, chunks=(300, 3)))
    assert source.block_bytes == 300 * 6 * 8
    assert source.lazy
    assert not source.in_memory
    assert source.locate(650) == "row 650 (block 2) of the Dask array"


def test_unknown_chunk_sizes():
    x = da.from_array(X, chunks=(300, 3))
    w = da.from_array(W, chunks=300)
    keep = x[:, 0] > 0
    source = open_source(x[keep], w[keep])
    assert source.n_rows is None
    blocks = blocks_of(source)
    assert [block.keys.first for block in blocks] == [i << 40 for i in range(4)]
    np.testing.assert_array_equal(np.concatenate([block.x for block in blocks]), X[X[:, 0] > 0])
    np.testing.assert_array_equal(np.concatenate([block.weight for block in blocks]), W[X[:, 0] > 0])
    assert source.locate((3 << 40) + 5) == "row 5 of block 3 of the Dask array"
    with pytest.raises(ValueError, match="unknown chunk sizes"):
        open_source(x[keep], W)
    with pytest.raises(ValueError, match="unknown chunk sizes"):
        open_source(x, w[keep])
    with pytest.raises(ValueError, match="sample_weight is a single number, but the number of rows is unknown"):
        open_source(x[keep], 2.0)
    with pytest.raises(ValueError, match=r"block of the weights has shape \(300,\)"):
        blocks_of(open_source(x[keep], w))


def test_refusals():
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array"):
        open_source(da.ones(3))
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        open_source(da.ones((0, 3)))
    with pytest.raises(ValueError, match=r"0 feature\(s\)"):
        open_source(da.ones((3, 0)))
    with pytest.raises(ValueError, match="Complex data not supported"):
        open_source(da.ones((3, 2), dtype=complex))
    with pytest.raises(ValueError, match="dtype object"):
        open_source(da.from_array(np.ones((3, 2), object), chunks=3))
    with pytest.raises(ValueError, match="wrong length"):
        open_source(da.ones((3, 2)), da.ones(4))
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        open_source(da.ones((4, 2), chunks=2).map_blocks(scipy.sparse.csr_matrix))
    wrong = da.ones((4, 2), chunks=2).map_blocks(lambda b: b[:, :1], dtype=float, meta=np.empty((0, 0)))
    with pytest.raises(ValueError, match="but the array has 2 columns"):
        blocks_of(open_source(wrong))
    with pytest.raises(ValueError, match=r"has -1.0 for row 3"):
        blocks_of(open_source(da.ones((4, 2), chunks=2), da.from_array(np.array([1, 1, 1, -1]), chunks=3)))
