"""What estimators tell of their starts, and of what is left to gain."""

import numpy as np
import pytest
from click.testing import CliRunner

import dem
from dem.cli.main import main

N = 400


def clusters(k=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(N, 2)) + 9.0 * np.eye(k, 2)[np.arange(N) % k]


def test_starts_and_the_rest_are_kept_with_the_model(tmp_path):
    model = dem.GaussianMixture(3, n_init=4, random_state=0).fit(clusters())
    starts = [record for record in model.starts_ if not record["moves"]]
    assert [record["start"] for record in starts] == [1, 2, 3, 4]
    best = [record for record in model.starts_ if record["optimum"] == 1]
    assert best[0]["times"] == sum(record["optimum"] == 1 for record in starts)
    assert max(record["objective"] for record in best) == pytest.approx(model.lower_bounds_[0], abs=1e-9)
    assert 0 <= model.remaining_gain_ < model.tol
    assert model.history_[-1]["remaining_gain"] == model.remaining_gain_
    model.save(tmp_path / "m.zarr")
    loaded = dem.load(tmp_path / "m.zarr")
    assert loaded.starts_ == model.starts_
    assert loaded.remaining_gain_ == model.remaining_gain_
    told = CliRunner().invoke(main, ["info", str(tmp_path / "m.zarr")]).stdout
    assert f"4 on the sample, {best[0]['times']} at the best optimum" in told
    assert "by Aitken's estimate" in told


def test_without_starts_there_is_nothing_to_tell():
    x = clusters()
    model = dem.GaussianMixture(1, weights_init=[1.0], means_init=[[0, 0]], precisions_init=[np.eye(2)]).fit(x)
    assert list(model.starts_) == []
    assert dem.PPCA(1).fit(x).remaining_gain_ is None


def test_a_checkpoint_keeps_the_starts(tmp_path):
    x, kept = clusters(), tmp_path / "c.zarr"
    whole = dem.GaussianMixture(3, n_init=3, tol=1e-6, sample_size=200).fit(x)
    with pytest.raises(dem.Stopped):
        dem.GaussianMixture(3, n_init=3, tol=1e-6, sample_size=200).fit(
            x, checkpoint=dem.Checkpoint(kept, max_passes=2)
        )
    again = dem.GaussianMixture(3, n_init=3, tol=1e-6, sample_size=200).fit(x, checkpoint=kept)
    assert again.starts_ == whole.starts_
    assert again.means_.tobytes() == whole.means_.tobytes()


def rows_of_a_heywood_case():
    """Return 47 rows of which one column is nearly a factor itself, so that its noise goes to 0; 18 % are missing."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(47, 2))
    x = z @ rng.normal(size=(2, 6)) + 0.7 * rng.normal(size=(47, 6))
    x[:, 0] = z[:, 0] + 1e-3 * rng.normal(size=47)
    x[rng.random(x.shape) < 0.18] = np.nan
    return x[~np.isnan(x).all(axis=1)]


@pytest.mark.parametrize("kind", [dem.PPCA, dem.FactorAnalysis])
def test_latent_models_with_holes_find_the_same_optimum_from_all_seeds(kind):
    x = rows_of_a_heywood_case()
    found = [kind(2, tol=1e-8, random_state=seed).fit(x) for seed in (0, 1)]
    assert all(model.converged_ for model in found)
    assert len(found[0].starts_) == 5
    assert found[0].n_passes_ < 40
    assert abs(found[0].lower_bound_ - found[1].lower_bound_) < 1e-4
