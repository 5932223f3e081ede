"""What components are like, in words: sizes and telling columns."""

import numpy as np
import pytest

import dem
from dem.estimators.telling import component_lines, in_words, traits

pd = pytest.importorskip("pandas")

RNG = np.random.default_rng(0)
N = 400
GROUP = np.repeat([0, 1], [100, 300])


def frame():
    return pd.DataFrame(
        {
            "size": RNG.normal(0, 1, N) + 9 * GROUP,
            "noise": RNG.normal(0, 1, N),
            "rain": RNG.gamma(2.0, 1.0, N) * np.where(GROUP, 1.0, 20.0),
            "kind": np.where(GROUP, 2, RNG.integers(0, 2, N)),
        }
    )


def test_the_largest_first_and_the_columns_that_differ():
    data = frame()[["size", "noise"]]
    for model in (dem.GaussianMixture(2, n_init=2, random_state=0), dem.KMeans(2, random_state=0)):
        lines = component_lines(model.fit(data))
        assert list(lines.values()) == ["75 %, size high", "25 %, size very low"]
    assert component_lines(dem.PPCA(1).fit(data)) == {}


def test_mixed_families_and_codes():
    family = {"size": "gaussian", "noise": "gaussian", "rain": "gamma", "kind": "categorical"}
    model = dem.Mixture(2, family=family, n_init=2, random_state=0).fit(frame())
    found = traits(model)
    small = int(np.argmin(model.weights_))
    assert in_words(found, small, 3) == "kind=2 very low, size very low, rain high"
    assert "noise" not in in_words(found, 1 - small, 3)


def test_of_many_components_the_largest():
    model = dem.KMeans(12, random_state=0).fit(RNG.normal(size=(200, 2)))
    lines = component_lines(model, 5)
    assert len(lines) == 5
    assert lines["others"].startswith("8 more, ")


def test_of_several_columns_of_a_variable_one_is_named():
    xr = pytest.importorskip("xarray")
    deep = 9.0 * GROUP[:, None] + RNG.normal(size=(N, 5))
    data = xr.Dataset({"t": (("row", "depth"), deep), "s": (("row", "depth"), -deep)})
    model = dem.KMeans(2, random_state=0).fit(data, sample_dims="row")
    line = next(iter(component_lines(model).values()))
    assert line.count("t(depth=") == line.count("s(depth=") == 1


def test_models_of_earlier_versions():
    model = dem.GaussianMixture(2, n_init=2, random_state=0).fit(frame()[["size", "noise"]])
    del model.source_["columns"]
    assert [line.split(", ")[1] for line in component_lines(model).values()] == ["size high", "size very low"]


def test_columns_far_from_zero_are_told():
    data = frame()[["size", "noise"]] + 2_459_000.25
    model = dem.KMeans(2, random_state=0).fit(data)
    assert list(component_lines(model).values()) == ["75 %, size high", "25 %, size very low"]


def test_nothing_is_said_where_nothing_is_known():
    angles = RNG.vonmises(0, 5, N) + 2 * GROUP
    model = dem.Mixture(2, family="vonmises", n_init=1, random_state=0).fit(angles[:, None])
    assert all(line.endswith("%") for line in component_lines(model).values())
    constant = np.column_stack([np.ones(N), GROUP * 9.0 + RNG.normal(size=N)])
    assert np.isfinite(traits(dem.KMeans(2).fit(constant)).differences).all()


def test_means_are_compared_with_the_models_own():
    x = np.column_stack([9.0 * GROUP + RNG.normal(size=N), RNG.normal(size=N) + 6.0 * GROUP])
    x[(GROUP == 1) & (RNG.random(N) < 0.95), 1] = np.nan  # the observed mean is that of the small group
    model = dem.GaussianMixture(2, n_init=2, random_state=0).fit(x)
    assert np.abs(model.weights_ @ traits(model).differences).max() < 1e-12
