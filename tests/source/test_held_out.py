"""Rows that are held out: which, whatever the chunks; and their weights."""

import dask.array as da
import numpy as np
import pytest
import zarr

from dem.source import open_source
from dem.source.held_out import ONE_IN, SEED, held_out_rows, only_held_out, without_held_out

N = 1000


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(N, 3))


def weights(source):
    """Return the weights of all rows, in order."""
    partitions = [p.compute() if hasattr(p, "compute") else p for p in source.partitions]
    return np.concatenate([block.weight for partition in partitions for block in partition.blocks()])


def test_one_row_in_ten_whatever_the_chunks(x, tmp_path):
    sources = {
        "memory": open_source(x),
        "store": open_source(zarr.create_array(tmp_path / "x.zarr", data=x, chunks=(37, 3))),
        "dask": open_source(da.from_array(x, chunks=(91, 3))),
    }
    masks = {name: weights(only_held_out(source, held_out_rows(None, source, 0))) for name, source in sources.items()}
    assert all((mask == masks["memory"]).all() for mask in masks.values())
    assert abs(masks["memory"].sum() - N / ONE_IN) < 4 * (N / ONE_IN) ** 0.5
    source = sources["store"]
    rule = held_out_rows(None, source, 0)
    np.testing.assert_array_equal(weights(without_held_out(source, rule)), 1 - masks["memory"])
    np.testing.assert_array_equal(
        without_held_out(source, rule).weights_at([3, 8, 500]), 1 - masks["memory"][[3, 8, 500]]
    )


def test_the_sample_of_the_same_seed_has_other_rows(x):
    from dem.scan.sample import hashes

    held = held_out_rows(None, open_source(x), 5)(np.arange(N))
    smallest = np.argsort(hashes(np.arange(N, dtype=np.uint64), 5))[: N // ONE_IN]
    assert SEED
    assert held[smallest].mean() < 0.3


def test_weights_are_kept(x):
    given = np.arange(N) / 7
    source = open_source(x, given)
    rule = held_out_rows(None, source, 0)
    np.testing.assert_allclose(weights(without_held_out(source, rule)) + weights(only_held_out(source, rule)), given)


def test_a_large_group_is_not_held_out(x):
    source = open_source(x)
    groups = np.r_[np.zeros(N - 100, int), np.arange(1, 101)]
    rule = held_out_rows(groups, source, 0)
    assert rule(np.arange(N)).sum() == 99 or rule(np.arange(N)).sum() == 100
    assert not rule(np.arange(N - 100)).any()
    assert rule.note == ""
    rule = held_out_rows(np.arange(N) % 2, source, 0)
    assert rule(np.arange(N)).sum() == N // 2
    assert "500 (50.0 %) of 1,000 rows are held out" in rule.note


def test_rows_without_a_group_are_refused(x):
    for groups in (np.r_[np.nan, np.arange(N - 1)], np.array([None, *range(N - 1)], object)):
        with pytest.raises(ValueError, match=r"1 row of .* without a group"):
            held_out_rows(groups, open_source(x), 0)
    column = held_out_rows((np.arange(N) // 9)[:, None], open_source(x), 0)
    np.testing.assert_array_equal(column.bits, held_out_rows(np.arange(N) // 9, open_source(x), 0).bits)


@pytest.mark.parametrize("labels", [np.arange(N) // 9, (np.arange(N) // 9).astype(str), np.arange(N) % 31 - 5])
def test_groups_stay_together(x, labels, tmp_path):
    source = open_source(zarr.create_array(tmp_path / "x.zarr", data=x, chunks=(37, 3)))
    rule = held_out_rows(labels, source, 0)
    held = weights(only_held_out(source, rule))
    assert all(len(set(held[labels == label])) == 1 for label in set(labels.tolist()))
    assert N / ONE_IN <= held.sum() < N / ONE_IN + np.unique(labels, return_counts=True)[1].max()


def test_the_rule_is_part_of_the_fingerprint(x):
    source = open_source(x)
    prints = [
        without_held_out(source, held_out_rows(groups, source, seed)).fingerprint["held_out"]
        for groups, seed in ((None, 0), (None, 1), (np.arange(N) % 20, 0), (np.arange(N) % 21, 0))
    ]
    assert len(set(prints)) == 4


def test_an_unknown_number_of_rows_is_refused():
    lazy = da.from_array(np.ones((20, 2)), chunks=(10, 2))
    unknown = lazy[lazy[:, 0] > 0]
    source = open_source(unknown)
    with pytest.raises(ValueError, match="their number is unknown: call compute_chunk_sizes"):
        held_out_rows(None, source, 0)
