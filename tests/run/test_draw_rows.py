"""Rows drawn depend on the seed and their number, never on chunks, workers or how many are drawn."""

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from dem import PPCA, Engine, GaussianMixture
from dem.estimators import load
from dem.run import draw_rows

MIXTURE = GaussianMixture.from_parameters(
    [0.3, 0.7], [[0.0, 5, 1], [9, -5, 2]], [np.eye(3), 4 * np.eye(3)], "full"
).set_params(random_state=3)
WHOLE, LABELS = MIXTURE.sample(10_000)


@given(first=st.integers(0, 9000), n=st.integers(0, 1000))
def test_any_part_is_part_of_the_whole(first, n):
    x, labels = draw_rows.draw(*MIXTURE._fitted(), 3, first, n, 3)
    np.testing.assert_array_equal(x, WHOLE[first : first + n])
    np.testing.assert_array_equal(labels, LABELS[first : first + n])


@pytest.mark.parametrize("chunks", [1, 777, 4096, 10_000, 20_000])
def test_lazy_rows_are_the_same_for_any_chunks(chunks):
    n = 50 if chunks == 1 else 10_000
    x, labels = MIXTURE.sample(n, chunks=chunks)
    assert x.chunks[0][0] == min(chunks, n)
    np.testing.assert_array_equal(x.compute(scheduler="sync"), WHOLE[:n])
    np.testing.assert_array_equal(labels.compute(scheduler="sync"), LABELS[:n])


def test_a_thousand_million_rows_are_a_graph():
    x, labels = MIXTURE.sample(10**9, chunks="auto")
    assert x.shape == (10**9, 3)
    assert labels.shape == (10**9,)
    np.testing.assert_array_equal(x[:5].compute(), WHOLE[:5])
    assert x.nbytes / x.npartitions < 32e6


def test_written_rows_are_the_same_for_any_chunks(tmp_path):
    for i, rows in enumerate((999, 5000)):
        MIXTURE.write_sample(10_000, tmp_path / f"{i}.zarr", chunk_rows=rows)
        np.testing.assert_array_equal(zarr.open_array(tmp_path / f"{i}.zarr")[...], WHOLE)


def test_two_workers_draw_the_same_rows(tmp_path):
    model = MIXTURE.set_params(engine=Engine(workers=2))
    model.write_sample(10_000, tmp_path / "x.zarr", chunk_rows=500)
    MIXTURE.set_params(engine=None)
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "x.zarr")[...], WHOLE)


def test_seeds_differ_and_repeat(tmp_path):
    again = MIXTURE.sample(100)[0]
    np.testing.assert_array_equal(again, WHOLE[:100])
    other = GaussianMixture.from_parameters(MIXTURE.weights_, MIXTURE.means_, MIXTURE.covariances_)
    assert not np.array_equal(other.set_params(random_state=4).sample(100)[0], again)
    MIXTURE.save(tmp_path / "m.zarr")
    np.testing.assert_array_equal(load(tmp_path / "m.zarr").sample(100)[0], again)


def test_units_are_small_however_wide_the_rows():
    assert draw_rows.unit_rows(2) == 4096
    assert draw_rows.unit_rows(50_000) == 5
    assert draw_rows.unit_rows(10**7) == 1


def test_moments_are_those_of_the_mixture():
    counts = np.bincount(LABELS)
    assert abs(counts[0] / 10_000 - 0.3) < 4 * (0.3 * 0.7 / 10_000) ** 0.5
    for k, (mean, sd) in enumerate(zip(MIXTURE.means_, (1, 2), strict=True)):
        rows = WHOLE[k == LABELS]
        assert (np.abs(rows.mean(axis=0) - mean) < 4 * sd / len(rows) ** 0.5).all()
        assert (np.abs(rows.std(axis=0) / sd - 1) < 4 / (2 * len(rows)) ** 0.5).all()


def test_latent_models_draw_lazily_too(rng):
    model = PPCA(2).fit(rng.normal(size=(200, 4)) @ rng.normal(size=(4, 4)))
    x = model.sample(9000)
    np.testing.assert_array_equal(model.sample(9000, chunks=1000).compute(), x)
    assert np.abs(np.cov(x.T) - model.get_covariance()).max() < 0.1 * model.get_covariance().max()


@pytest.mark.parametrize("chunks", [0, -5, 2.5])
def test_wrong_chunks(chunks):
    with pytest.raises(ValueError, match="chunks must be an integer >= 1"):
        MIXTURE.sample(10, chunks=chunks)
