"""The command line of mixtures of PPCA: fit, transform, info and plot."""

import json

import numpy as np
import pytest
import zarr

import dem
from command_line import done


@pytest.mark.parametrize("noise", ["isotropic", "diagonal"])
def test_fit_mppca(tmp_path, noise):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 1, (300, 3)), rng.normal(8, 2, (600, 3))])[rng.permutation(900)]
    zarr.create_array(tmp_path / "x.zarr", data=x, chunks=(200, 3))
    store, fitted = tmp_path / "x.zarr", tmp_path / "m.zarr"
    record = json.loads(
        done("fit", "mppca", store, "-k", 2, "-q", 1, "--noise", noise, "--n-init", 2, "-o", fitted, "--json")
    )
    model = dem.load(fitted)
    assert record["model"] == type(model).__name__
    assert sorted(model.means_.mean(axis=1).round()) == [0, 8]
    assert model.noise_variance_.shape == ((2,) if noise == "isotropic" else (2, 3))
    done("transform", fitted, store, "-o", tmp_path / "z.zarr")
    np.testing.assert_allclose(zarr.open_array(tmp_path / "z.zarr")[:], model.transform(x), atol=1e-12)
    kind = "probabilistic PCAs" if noise == "isotropic" else "factor analysers"
    assert f"mixture of {kind}, 2 components, 1 factor each, 3 columns" in done("info", fitted)
    done("plot", fitted, "-o", tmp_path / "m.png")
