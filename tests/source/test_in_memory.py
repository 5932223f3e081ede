from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from dem.source import open_source
from dem.source.grid import block_rows, partition_rows

RNG = np.random.default_rng(0)


def test_blocks_are_views_and_cover_the_rows_in_order():
    x = RNG.normal(size=(10_001, 5))
    source = open_source(x, partition_bytes=2**15)
    blocks = [block for partition in source.partitions for block in partition.blocks()]
    assert len(blocks) > 1
    assert all(np.shares_memory(block.x, x) for block in blocks)
    assert [block.keys.first for block in blocks] == list(np.cumsum([0, *map(len, (b.x for b in blocks))])[:-1])
    np.testing.assert_array_equal(np.concatenate([block.x for block in blocks]), x)
    assert source.row_chunks == tuple(p.rows for p in source.partitions)
    assert source.in_memory
    assert not source.lazy
    assert source.locate(17) == "row 17 of the array"


def test_large_arrays_are_cut_into_multiples_of_eight():
    source = open_source(np.zeros((100_000, 10), np.float32), partition_bytes=2**20)
    assert len(source.partitions) % 8 == 0
    assert all(first % source.chunk_rows == 0 for first in np.cumsum(source.row_chunks)[:-1])


@given(
    n_rows=st.integers(1, 5000),
    unit=st.integers(1, 700),
    row_bytes=st.integers(1, 50),
    target=st.integers(1, 10_000),
    limit=st.integers(1, 40),
    step_chunks=st.integers(1, 9),
)
def test_any_grid_is_covered_once(n_rows, unit, row_bytes, target, limit, step_chunks):
    ranges = partition_rows(n_rows, unit, row_bytes, target, limit)
    assert ranges[0][0] == 0
    assert ranges[-1][1] == n_rows
    assert all(a < b for a, b in ranges)
    assert all(a[1] == b[0] and b[0] % unit == 0 for a, b in pairwise(ranges))
    assert len(ranges) <= limit
    sizes = [-(-(b - a) // unit) for a, b in ranges]
    assert max(sizes) - min(sizes) <= 1
    chunk = max(1, unit // 3)
    shard = chunk * 3
    step = chunk * step_chunks if step_chunks < 3 else shard * (step_chunks // 3)
    spans = list(block_rows(0, n_rows, shard, step))
    assert [first for first, _ in spans] == [0, *(last for _, last in spans[:-1])]
    assert spans[-1][1] == n_rows
    assert all(last - first <= step and first % chunk == 0 for first, last in spans)
    if step < shard:
        assert all(first // shard == (last - 1) // shard for first, last in spans)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ([[1, 2], [3, 4]], np.int64),
        (np.array([[1, 2.5]], object), np.float64),
        (np.ones((2, 2), np.float16), np.float16),
        (np.ones((2, 2), bool), np.bool_),
        (np.ma.array([[1, 2], [3, 4]]), np.int64),
    ],
)
def test_array_likes(data, expected):
    source = open_source(data)
    (block,) = source.partitions[0].blocks()
    np.testing.assert_array_equal(block.x, np.asarray(data, float))
    assert type(block.x) is np.ndarray
    assert source.dtype == block.x.dtype == expected


def test_masked_entries_become_nan():
    data = np.ma.array([[1, 2], [3, 4]], mask=[[0, 1], [0, 0]])
    (block,) = open_source(data).partitions[0].blocks()
    np.testing.assert_array_equal(block.x, [[1, np.nan], [3, 4]])


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (np.zeros(3), ValueError, r"Expected 2D array, got 1D array instead.*Reshape your data"),
        (3.0, ValueError, r"Expected 2D array, got scalar array instead"),
        (np.zeros((2, 2, 2)), ValueError, r"Expected 2D array, got 3D array instead"),
        (np.zeros((0, 3)), ValueError, r"0 sample\(s\) \(shape=\(0, 3\)\) while a minimum of 1 is required"),
        (np.zeros((3, 0)), ValueError, r"0 feature\(s\) \(shape=\(3, 0\)\) while a minimum of 1 is required"),
        (np.zeros((2, 2), complex), ValueError, r"Complex data not supported.*complex128"),
        (np.array([["a", "b"]]), ValueError, r"dtype <U1"),
        (np.zeros((2, 2), "datetime64[s]"), ValueError, r"dtype datetime64"),
        (np.array([[{}, 1]], object), TypeError, r"argument must be .* string.* number"),
        (np.array([["x", 1]], object), ValueError, r"dtype object"),
        (scipy.sparse.csr_array(np.eye(2)), TypeError, r"[Ss]parse data was passed"),
    ],
)
def test_refusals(data, error, message):
    with pytest.raises(error, match=message):
        open_source(data)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(3), r"wrong length: the array of weights has 3 for 4 rows"),
        (np.ones((4, 1)), r"Sample weights must be 1D array or scalar"),
        ([1, 1, -1, 1], r"not negative, but the array of weights has -1.0 for row 2"),
        ([1, np.nan, 1, 1], r"has nan for row 1"),
        ([1, np.inf, 1, 1], r"has inf for row 1"),
        (["a", "b", "c", "d"], r"dtype <U1"),
    ],
)
def test_bad_weights(weights, message):
    with pytest.raises(ValueError, match=message):
        open_source(np.zeros((4, 2)), weights)


def test_a_single_number_is_the_weight_of_every_row():
    (block,) = open_source(np.zeros((4, 2)), 2).partitions[0].blocks()
    np.testing.assert_array_equal(block.weight, [2.0] * 4)
