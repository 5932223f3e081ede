"""The pass of a report: what it says of the rows is what the model says of them, for any chunks."""

import numpy as np
import pytest
import zarr

import dem
from dem.reports.observed import observed_rows

N = 500


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 1, (200, 3)), rng.normal(1e4, 2, (300, 3))])[rng.permutation(N)]
    x[rng.random(x.shape) < 0.05] = np.nan
    x[[7, 400]] = np.nan
    return x


@pytest.mark.parametrize("estimator", [dem.GaussianMixture(2, n_init=4, random_state=0), dem.KMeans(2, random_state=0)])
@pytest.mark.parametrize("chunk", [64, 500])
def test_of_any_chunks(estimator, chunk, rows, tmp_path):
    model = estimator.fit(rows)
    zarr.create_array(tmp_path / "x.zarr", data=rows, chunks=(chunk, 3))
    found = observed_rows(model, str(tmp_path / "x.zarr"))
    labels = model.predict(rows)
    sums = found.classes
    assert (sums.rows, found.store.empty_rows, found.store.chunk_rows) == (N, 2, chunk)
    assert found.store.missing == np.isnan(rows).sum(axis=0).tolist()
    for k in range(2):
        own = rows[labels == k]
        assert sums.counts[k] == len(own)
        np.testing.assert_allclose(sums.means(found.centre)[k], np.nanmean(own, axis=0), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(sums.deviations[k], np.nanstd(own, axis=0), rtol=1e-9)
    mean = model.mean_score(str(tmp_path / "x.zarr"))
    assert found.score == {
        "rows": N,
        "empty_rows": 2,
        **({"inertia": -mean.total} if estimator.objective_name == "inertia" else {"log_likelihood": mean.mean}),
        **{name: found.score[name] for name in found.score if name in ("bic", "aic", "hqic")},
    }
    assert len(found.sample) == N - 2


def test_models_without_classes_and_limits(rows, tmp_path):
    model = dem.PPCA(1).fit(rows)
    found = observed_rows(model, rows)
    assert found.classes is None
    assert found.score["log_likelihood"] == model.score(rows)
    with pytest.raises(MemoryError, match="but the limit is"):
        observed_rows(model, rows, dem.Engine(memory="1MB"))
