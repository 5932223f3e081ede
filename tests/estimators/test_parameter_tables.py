"""Tables of parameters: as many columns as a person can read, and those that say most."""

import numpy as np
import pytest

import dem
from dem.estimators.parameter_tables import parameter_tables

RNG = np.random.default_rng(0)
D, TELLING = 20, [3, 7, 12, 18]
ROWS = RNG.normal(size=(200, D))
ROWS[:100, TELLING] += 8


@pytest.mark.parametrize("kind", [dem.GaussianMixture(2, covariance_type="diag"), dem.KMeans(2)], ids=str)
def test_a_wide_model_shows_the_columns_that_differ_most(kind):
    (table,) = parameter_tables(kind.fit(ROWS), most_columns=4)
    assert list(table.header[-4:]) == [f"column {j}" for j in TELLING]
    assert table.rest == "(16 more columns not shown)"


def test_of_columns_along_a_coordinate_it_shows_every_so_many():
    xr = pytest.importorskip("xarray")
    depths = np.arange(0.0, 10 * D, 10)
    data = xr.DataArray(ROWS, dims=("profile", "depth"), coords={"depth": depths}, name="t")
    model = dem.GaussianMixture(2, covariance_type="diag").fit(data, sample_dims="profile")
    (table,) = parameter_tables(model, most_columns=4)
    assert [name.split("=")[1] for name in table.header[2:]] == ["0)", "60)", "130)", "190)"]


def test_latents_are_numbered_as_outputs_are():
    (spectrum,) = parameter_tables(dem.PPCA(2).fit(ROWS))
    assert [row[0] for row in spectrum.rows] == ["0", "1"]
    (loadings,) = parameter_tables(dem.FactorAnalysis(2, max_iter=500).fit(ROWS))
    assert loadings.header == ("column", "latent 0", "latent 1", "noise variance")
