"""Chunks that a store never had read as the fill value; one that goes missing in a fit is an error."""

import shutil

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

import dem
from dem.run.check_chunks import _new
from dem.storage.checkpoint import Checkpoint
from shared import ENDS_AT_MAX_ITER

pytestmark = ENDS_AT_MAX_ITER

KNOWN = pytest.mark.filterwarnings("ignore:2 chunks of x.zarr are not in the store")


@pytest.fixture
def store(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5000, 3)) + 5 * rng.integers(3, size=(5000, 1))
    x[1000:2000] = 0  # two chunks that zarr leaves out
    zarr.create_array(tmp_path / "x.zarr", data=x, chunks=(500, 3))
    assert not (tmp_path / "x.zarr" / "c" / "2").exists()
    return tmp_path / "x.zarr"


def mixture(**settings):
    return dem.GaussianMixture(4, tol=0, max_iter=4, n_init=1, covariance_type="diag", **settings)


def test_chunks_that_were_never_there_are_counted_and_read_as_the_fill_value(store):
    whole = mixture().fit(zarr.open_array(store)[...])
    with pytest.warns(
        UserWarning, match=r"^2 chunks of x.zarr are not in the store, and read as the fill value; the first"
    ):
        model = mixture().fit(store)
    np.testing.assert_allclose(model.means_, whole.means_)
    with pytest.raises(OSError, match="chunk c/2/0"):
        mixture().fit(dem.open_source(store, missing_chunks="error"))


@KNOWN
def test_a_chunk_that_goes_missing_during_a_fit(store):
    def lose(state):
        if len(state.history) == 1:
            shutil.rmtree(store / "c" / "7")

    with pytest.raises(
        OSError, match=r"chunk c/7/0 \(rows 3500 to 3999\) of x.zarr has disappeared since the first scan"
    ):
        mixture().fit(store, callback=lose)


@KNOWN
def test_a_chunk_that_goes_missing_before_a_resume(store, tmp_path):
    straight = mixture().fit(store)
    with pytest.raises(dem.Stopped):
        mixture().fit(store, checkpoint=Checkpoint(tmp_path / "c.zarr", max_passes=2))
    shutil.move(store / "c" / "6", tmp_path / "kept")
    with pytest.raises(OSError, match=r"chunk c/6/0 .* has disappeared since the first scan"):
        mixture().fit(store, checkpoint=tmp_path / "c.zarr")
    shutil.move(tmp_path / "kept", store / "c" / "6")
    model = mixture().fit(store, checkpoint=tmp_path / "c.zarr")
    np.testing.assert_array_equal(model.means_, straight.means_)


@given(st.lists(st.integers(0, 30), unique=True), st.lists(st.integers(0, 30), unique=True))
def test_new_numbers(numbers, known):
    assert set(_new(tuple(numbers), np.array(sorted(known), np.int64))) == set(numbers) - set(known)
