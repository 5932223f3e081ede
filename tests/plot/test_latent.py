"""PPCA and factor analysis: scree, loadings, latents."""

from types import SimpleNamespace

import numpy as np
import pytest

import dem
from dem import plot
from plot.models import clusters, fitted

RNG = np.random.default_rng(0)


def test_scree_has_the_variances_and_the_noise():
    model, _ = fitted("PPCA")
    (ax,) = plot.scree(model).axes
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), model.explained_variance_)
    assert ax.lines[1].get_ydata()[0] == model.noise_variance_
    assert "2 latents explain" in ax.get_title()


def test_a_wide_spectrum_is_logarithmic():
    model = SimpleNamespace(
        components_=np.eye(3), mean_=np.zeros(3), noise_variance_=0.0,
        explained_variance_=np.array([1e6, 10.0, 0.0]), explained_variance_ratio_=np.array([1.0, 0, 0]),
    )  # fmt: skip
    assert plot.scree(model).axes[0].get_yscale() == "log"
    assert plot.scree(fitted("PPCA")[0]).axes[0].get_yscale() == "linear"


def test_factors_explain_shares_of_the_variance():
    model, _ = fitted("FactorAnalysis, names")
    (ax,) = plot.scree(model).axes
    shares, noise = ax.lines[0].get_ydata(), ax.lines[1].get_ydata()[0]
    assert shares.sum() + noise == pytest.approx(1)


@pytest.mark.parametrize("scale", [None, "standard"])
def test_loadings_are_the_correlations_with_the_latents(scale):
    x = clusters(3, 4) * [1, 1, 5, 1]
    model = dem.PPCA(2, scale=scale).fit(x)
    shown = np.asarray(plot.loadings(model).artists["image"].get_array())
    # Of rows drawn from the model, with their latents.
    drawn, z = model._draw(40_000, None)
    found = np.corrcoef(drawn.T, z.T)[:4, 4:]
    np.testing.assert_allclose(shown, found, atol=0.03)


@pytest.mark.parametrize(("q", "d"), [(1, 3), (4, 40), (15, 200)])
def test_loadings_of_factors(q, d):
    model = SimpleNamespace(
        components_=RNG.normal(size=(q, d)), noise_variance_=RNG.uniform(0, 2, d), mean_=np.zeros(d)
    )
    shown = np.asarray(plot.loadings(model).artists["image"].get_array())
    variances = (model.components_**2).sum(axis=0) + model.noise_variance_
    whole = model.components_.T / np.sqrt(variances)[:, None]
    most = np.sort(np.argsort(-(whole**2).sum(axis=1), kind="stable")[:40])
    np.testing.assert_allclose(shown, whole[most])


def test_loadings_along_depth_are_lines():
    model, _ = fitted("PPCA of profiles")
    picture = plot.loadings(model)
    assert [ax.get_xlabel() for ax in picture.axes] == ["correlation with temperature", "correlation with salinity"]
    assert all(ax.yaxis_inverted() for ax in picture.axes)


def test_latents_are_posterior_means_and_have_the_users_classes():
    model, x = fitted("PPCA")
    words = np.array(["gas", "oil", "water"])[np.arange(len(x)) % 3]
    picture = plot.latents(model, x, columns=(1, 0), classes=words)
    (ax,) = picture.axes
    np.testing.assert_allclose(
        np.sort(ax.collections[0].get_offsets().data, axis=0), np.sort(model.transform(x)[:, [1, 0]], axis=0)
    )
    assert [text.get_text() for text in picture.artists["legend"].get_texts()] == ["gas", "oil", "water"]
    with pytest.raises(ValueError, match=r"classes must have the shape \(600,\), got \(3,\)"):
        plot.latents(model, x, classes=[1, 2, 3])
    with pytest.raises(ValueError, match="two of the 2 latents"):
        plot.latents(model, x, columns=(0, 2))
    with pytest.raises(ValueError, match="has no latents"):
        plot.latents(*fitted("2 components"))
