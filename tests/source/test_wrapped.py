"""Sources that change another one: what they pass on, and what they answer themselves."""

import numpy as np
import pytest
import zarr

from dem.scan.scaling import Scaling
from dem.source import is_source, open_source
from dem.source.chosen import choose_columns
from dem.source.held_out import held_out_rows, only_held_out, without_held_out
from dem.source.scaled import scaled
from dem.source.subset import subset

X = np.random.default_rng(0).normal(size=(40, 3))
SCALING = Scaling(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 4.0]))


@pytest.fixture
def source(tmp_path):
    return open_source(zarr.create_array(tmp_path / "x.zarr", data=X, chunks=(10, 3)))


def test_they_are_sources(source):
    for one in (choose_columns(source, [2, 0]), scaled(source, SCALING), subset(source, [1])):
        assert is_source(one)
        assert one.locate(12, 0).startswith("chunk c/1/0")
        assert one.stored_at == source.stored_at


def test_each_choice_and_scaling_has_an_identity(source):
    other = Scaling(SCALING.shift + 1, SCALING.scale)
    every = [source, choose_columns(source, [2, 0]), choose_columns(source, [0]), scaled(source, SCALING)]
    every.append(scaled(source, other))
    every += [make(source, held_out_rows(None, source, 0)) for make in (without_held_out, only_held_out)]
    assert len({str(one.identity()) for one in every}) == len(every)
    assert scaled(open_source(X), SCALING).identity() is None


def test_rows_for_results_and_for_writing_stay_changed(source):
    held = only_held_out(source, held_out_rows(None, source, 0))
    for one in (choose_columns(source, [2, 0]), scaled(source, SCALING), held):
        for same in (one.for_results(8, 100), one.for_writing(), one.reading_ahead(0)):
            assert type(same) is type(one)
            np.testing.assert_array_equal(same.rows_at([3]), one.rows_at([3]))
    with pytest.raises(NotImplementedError):
        subset(source, [0]).for_writing()


def test_copies_of_data_in_memory_are_in_the_plan():
    whole = open_source(X)
    assert whole.block_bytes == 0
    assert choose_columns(whole, [0, 2]).block_bytes == 40 * 2 * 8
    assert scaled(whole, SCALING).block_bytes == 40 * 3 * 8
