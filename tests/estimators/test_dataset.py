"""The fitted parameters as an xarray Dataset: every model, with and without names of the columns."""

import sys
from functools import cache

import numpy as np
import pytest

import dem
from clustered_rows import data
from crosses import mostly_slow
from dem.core.columns import Column, Columns
from families.kinds import KINDS
from results.labelled_rows import quiet
from shared import ENDS_AT_MAX_ITER

xarray = pytest.importorskip("xarray")
pytestmark = ENDS_AT_MAX_ITER

K, D = 2, 3
FAST = {"n_init": 1, "max_iter": 1, "random_state": 0}
COVARIANCES = ("full", "tied", "diag", "spherical")
MODELS = {
    **{f"mixture-{kind}": dem.GaussianMixture(K, covariance_type=kind, **FAST) for kind in COVARIANCES},
    **{f"bayesian-{kind}": dem.BayesianGaussianMixture(K, covariance_type=kind, **FAST) for kind in COVARIANCES},
    "dirichlet": dem.BayesianGaussianMixture(K, weight_concentration_prior_type="dirichlet_distribution", **FAST),
    "prior": dem.GaussianMixture(K, prior="weak", **FAST),
    "mixture-of-ppca": dem.MixturePPCA(K, n_factors=2, **FAST),
    "mixture-of-fa": dem.MixtureFactorAnalysis(K, n_factors=2, **FAST),
    "kmeans": dem.KMeans(K, **FAST),
    "ppca": dem.PPCA(2),
    "bpca": dem.BayesianPCA(2, max_iter=2),
    "fa": dem.FactorAnalysis(2, max_iter=2),
}
TABLE = Columns.of_names(["a", "b", "c"])
PROFILE = Columns(
    (
        *(Column(f"temperature(depth={z:g})", "temperature", (("depth", z),), "degC") for z in (5.0, 10.0)),
        Column("mld", "mld", (), "m"),
    )
)
AXES = {
    "full": ("component", "column", "column_2"),
    "tied": ("column", "column_2"),
    "diag": ("component", "column"),
    "spherical": ("component",),
}
WHOLE = {
    "mean": "means",
    "center": "centers",
    "loading": "loadings",
    "direction": "directions",
    "variance": "covariances",
}
"""The names of arrays, by the words that stand after the name of a variable."""


@cache
def fitted(name):
    return MODELS[name].fit(data(n=100))


def stored(found, place):
    """Return a Dataset after it was written and read again."""
    with quiet():
        found.to_zarr(place)
        return xarray.open_zarr(place, chunks=None).load()


@pytest.mark.parametrize("name", MODELS)
def test_every_model_without_names(name, tmp_path):
    model = fitted(name)
    found = model.to_dataset()
    for attribute, axes in dict(model._axes).items():
        values = np.asarray(getattr(model, attribute))
        same = [array for array in found.data_vars.values() if array.shape == values.shape and (array == values).all()]
        assert same, f"{attribute} is in no array"
        assert all(axis in (*axes.split(), "covariance", "column_2") for axis in same[0].dims) or axes == "covariance"
        assert all(array.attrs["long_name"] for array in same)
    assert set(found.coords) <= {"component", "column", "column_2", "latent"}
    assert (found.attrs["model"], found.attrs["converged"]) == (type(model).__name__, int(model.converged_))
    assert found.attrs["lower_bound"] == model.lower_bound_
    if name in ("mixture-full", "bayesian-tied", "ppca"):
        xarray.testing.assert_allclose(stored(found, tmp_path / "m.zarr"), found)


@mostly_slow("name", list(MODELS), quick=["mixture-diag", "mixture-of-ppca", "mixture-of-fa", "kmeans", "bpca"])
def test_every_model_by_variable(name):
    """Means, centres and loadings are divided by variable, with units; what they are divided into is all of them."""
    model = fitted(name)
    model.columns_ = PROFILE
    found = model.to_dataset()
    del model.columns_
    whole = model.to_dataset()
    divided = [n for n, array in whole.data_vars.items() if "column" in array.dims and "column_2" not in array.dims]
    assert divided
    assert not set(divided) & set(found.data_vars)
    for array_name, array in found.data_vars.items():
        variable, _, word = array_name.partition("_")
        if variable not in ("temperature", "mld"):
            xarray.testing.assert_equal(
                array.drop_vars(array.coords), whole[array_name].drop_vars(whole[array_name].coords)
            )
            continue
        assert ("depth" in array.dims) == (variable == "temperature")
        assert "column" not in array.dims
        part = whole[next(name for name in (WHOLE.get(word, word), word) if name in whole)].isel(
            column=slice(0, 2) if variable == "temperature" else 2
        )
        np.testing.assert_array_equal(array, part)
        unit = {"temperature": "degC", "mld": "m"}[variable]
        expected = None if word == "direction" else f"({unit})2" if "variance" in word else unit
        assert array.attrs.get("units") == expected
    if "depth" in found.dims:
        np.testing.assert_array_equal(found["depth"], [5.0, 10.0])


@pytest.mark.parametrize("kind", COVARIANCES)
def test_covariances_have_the_axes_of_their_type(kind):
    model = fitted(f"mixture-{kind}")
    model.columns_ = TABLE
    found = model.to_dataset()["covariances"]
    del model.columns_
    assert found.dims == AXES[kind]
    np.testing.assert_array_equal(found, model.covariances_)
    if "column" in found.dims:
        assert list(found["column"].values) == ["a", "b", "c"]


def test_columns_of_a_table_are_named(tmp_path):
    model = fitted("mixture-full")
    model.columns_ = Columns((*TABLE.columns[:2], Column("c", "c", (), "km")))
    found = stored(model.to_dataset(), tmp_path / "m.zarr")
    del model.columns_
    assert found["means"].dims == ("component", "column")
    assert float(found["means"].sel(component=1, column="b")) == model.means_[1, 1]
    assert list(found["units"].values) == ["", "", "km"]
    assert float(found["covariances"].sel(component=0, column="a", column_2="c")) == model.covariances_[0, 0, 2]


def test_coordinates_along_the_columns_of_a_covariance():
    model = fitted("mixture-full")
    model.columns_ = PROFILE
    found = model.to_dataset()
    del model.columns_
    assert list(found["variable"].values) == ["temperature", "temperature", "mld"]
    np.testing.assert_array_equal(found["column_depth"], [5.0, 10.0, np.nan])
    assert found["temperature_mean"].dims == ("component", "depth")


@pytest.mark.parametrize("name", KINDS)
def test_every_family(name):
    kind = KINDS[name]
    model = dem.Mixture(K, family=kind.fitted, **FAST).fit(kind.values(n=100))
    found = model.to_dataset()
    for parameter, values in model.component_parameters_.items():
        if isinstance(values, list):
            for j, own in enumerate(values):
                np.testing.assert_array_equal(found[f"column_{j}_{parameter}"], own)
                assert found[f"column_{j}_{parameter}"].dims == ("component", f"column_{j}_category")
            continue
        np.testing.assert_array_equal(found[parameter], values)
        expected = AXES["tied" if name == "gaussian-tied" and parameter == "covariances" else "full"]
        assert found[parameter].dims == expected[: values.ndim]


def test_as_many_components_as_columns_with_one_covariance():
    model = dem.Mixture(D, family="gaussian:tied", **FAST).fit(data(n=100))
    assert model.to_dataset()["covariances"].dims == ("column", "column_2")


def test_families_of_some_columns():
    model = dem.Mixture(K, family={(0, 2): "gaussian:full", 1: "gaussian:diag"}, **FAST).fit(data(n=100))
    whole, single = model.component_parameters_.values()
    found = model.to_dataset()
    assert found["column_0_2_means"].dims == ("component", "column_0_2_column")
    np.testing.assert_array_equal(found["column_0_2_column"], [0, 2])
    np.testing.assert_array_equal(found["column_0_2_covariances"], whole["covariances"])
    np.testing.assert_array_equal(found["column_1_means"], single["means"][:, 0])
    assert found["column_1_covariances"].dims == ("component",)
    model.columns_ = TABLE
    assert {"a_c_0_means", "b_means"} <= set(model.to_dataset().data_vars)


def test_parameters_without_a_fit():
    model = dem.GaussianMixture.from_parameters([0.5, 0.5], np.eye(2), [1.0, 2.0], "spherical")
    found = model.to_dataset()
    assert set(found.data_vars) == {"weights", "means", "covariances"}
    assert "converged" not in found.attrs
    with pytest.raises(Exception, match="not fitted"):
        dem.GaussianMixture().to_dataset()


def test_without_xarray(monkeypatch):
    model = dem.GaussianMixture.from_parameters([0.5, 0.5], np.eye(2), [1.0, 2.0], "spherical")
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(ImportError, match=r"^to_dataset needs xarray: pip install xarray$"):
        model.to_dataset()
