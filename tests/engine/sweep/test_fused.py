"""Bands of a Dask array are loaded in the tasks that sum them."""

import dask
import dask.array as da
import numpy as np
import pytest
import zarr

from dem.engine.sweep.fused import fused
from dem.engine.sweep.graph import pass_graph
from dem.source import open_source
from engine.sweep.kernels import make_moments

X = np.random.default_rng(0).normal(size=(600, 6))


def stored(columns):
    return da.from_zarr(zarr.create_array(zarr.storage.MemoryStore(), data=X, chunks=(50, columns)))


def taken(x, weight=None):
    """Return how many tasks a pass has besides the sums of its bands, those that add them, and the common one."""
    graph = pass_graph(open_source(x, weight), make_moments)
    w = np.ones(len(X)) if weight is None else np.asarray(weight)
    np.testing.assert_allclose(dask.get(graph.tasks, graph.root).total, w @ np.asarray(x), rtol=1e-12, atol=1e-12)
    own = {graph.leaves[0][0], graph.root[0]}
    return len([key for key in graph.tasks if not (isinstance(key, tuple) and key[0] in own)]) - 1


@pytest.mark.parametrize("make", [lambda: stored(6), lambda: stored(2), lambda: 2 * stored(3) + 1])
def test_a_band_that_one_task_needs_is_no_task_of_its_own(make):
    """All that is left is the store."""
    assert taken(make()) == 1


def test_what_several_bands_need_is_made_once():
    x = stored(6)
    assert taken(x.rechunk((75, 6))) == 1 + 4  # of three chunks, the middle one serves two bands
    assert taken(x - x.mean(axis=0)) > 12  # the mean needs each chunk, and so does its band


def test_weights_are_there_beside_their_rows():
    """Twelve pieces of an array in memory travel as they are."""
    assert taken(stored(6), da.from_array(np.arange(600.0), chunks=50)) == 1 + 12


def test_tuples_of_older_dask_are_left_as_they_are():
    graph = {"a": 1, "b": (abs, "a")}
    assert fused(graph, ["b"]) == graph
