"""The table of pictures, the picture of `dem plot`, and the curve of a criterion."""

from types import SimpleNamespace

import numpy as np
import pytest

import dem
from crosses import cross
from dem import plot
from dem.cli.options import PICTURE_NAMES
from dem.plot.histories import has_gains
from plot.looks import problems
from plot.models import clusters, fitted


def test_the_command_line_has_all_pictures():
    assert tuple(PICTURE_NAMES) == ("figure", *plot.PICTURES)


@pytest.mark.parametrize(
    ("name", "first"),
    {
        "2 components": "component",
        "profiles": "mean and standard deviation",
        "categorical": "probability",
        "product": "component",
        "K-means of 10": "clusters",
        "PPCA": "explain",
    }.items(),
)
def test_the_picture_that_says_most_is_beside_the_history(name, first):
    model, x = fitted(name)
    axes = plot.figure(model, x).axes
    assert first in axes[0].get_title()
    if has_gains(model):
        assert "at the end" in axes[-1].get_xlabel()


def test_pictures_that_do_not_suit_are_refused_with_those_that_do():
    model, x = fitted("2 components")
    with pytest.raises(ValueError, match="there is no picture 'pie': choose one of figure, mixture"):
        plot.draw("pie", model)
    with pytest.raises(
        ValueError, match="nothing to show of this GaussianMixture: choose one of figure, mixture, sizes"
    ):
        plot.draw("scree", model, x)
    with pytest.raises(ValueError, match="the picture 'entropy' needs rows"):
        plot.draw("entropy", model)
    with pytest.raises(ValueError, match="needs a fitted mixture, got a KMeans"):
        plot.mixture(fitted("K-means of 2")[0])


@cross(
    "model, labels",
    {
        type(model).__name__: model
        for model in (
            dem.GaussianMixture(2, n_init=1, tol=0.1),
            dem.Mixture(2, n_init=1, tol=0.1),
            dem.KMeans(2),
            dem.PPCA(1),
            dem.FactorAnalysis(1, tol=0.1),
            dem.MixturePPCA(2, n_init=1, tol=0.1),
        )
    },
    {"few": ["a", "b"], "many": ["a", "b", "c", "d"], "none": [], "word": "abc"},
)
def test_labels_name_every_column(model, labels):
    x = clusters(2, 3, 60)
    model.fit(x)
    got = "the word 'abc'" if labels == "abc" else f"{len(labels)} names"
    with pytest.raises(ValueError, match=f"labels must be a list with a name for each of the 3 columns, got {got}$"):
        plot.figure(model, x, labels=labels)
    assert plot.figure(model, x, labels=["a", "b", "c"]).axes


def candidates():
    for kind, best in (("full", 4), ("diag", 6)):
        for k in range(1, 9):
            bic = 100.0 + (k - best) ** 2 + 3 * (kind == "diag")
            settings = {"n_components": k, "covariance_type": kind}
            yield SimpleNamespace(
                settings=settings, criteria={"bic": bic, "aic": bic - k}, ended="dropped" if k > 6 else "converged"
            )


@pytest.mark.parametrize("criterion", ["bic", "aic"])
def test_the_best_candidate_is_marked(criterion):
    picture = plot.criterion(SimpleNamespace(table=list(candidates()), criterion=criterion))
    best = picture.artists["best"]
    assert (best.get_xdata()[0], best.get_ydata()[0]) == (4, 0)
    assert "4 components, full" in picture.text
    (ax,) = picture.axes
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["full", "diag"]
    hollow = [line for line in ax.lines if line.get_markerfacecolor() == "white"]
    np.testing.assert_array_equal(hollow[0].get_xdata(), [7, 8])
    assert problems(picture.figure) == []


def test_a_table_may_have_mappings_and_must_have_the_criterion():
    table = [{"settings": {"n_clusters": k}, "criteria": {"bic": float(-k)}} for k in (3, 2)]
    assert "3 clusters" in plot.criterion(table).text
    with pytest.raises(ValueError, match="no candidate has the criterion 'aic': they have bic"):
        plot.criterion(table, "aic")


def test_a_selected_model_keeps_its_curve():
    table = [{"settings": {"covariance_type": w}, "criteria": {"icl": v}} for w, v in (("full", 1.0), ("diag", 2.0))]
    picture = plot.criterion(SimpleNamespace(selection_={"criterion": "icl", "table": table}))
    (ax,) = picture.axes
    assert ax.get_xlabel() == "covariance type"
    assert "best ICL: full (1)" in picture.text
    assert problems(picture.figure) == []
    with pytest.raises(ValueError, match=r"this PPCA was not chosen by dem\.select"):
        plot.criterion(dem.PPCA(1))


def test_sizes_that_are_words_beside_numbers_are_drawn():
    table = [{"settings": {"n_factors": n}, "criteria": {"bic": v}} for n, v in ((2, 3.0), ("all", 1.0), (4, 2.0))]
    picture = plot.criterion(table)
    assert "all factors" in picture.text
    assert problems(picture.figure) == []


def test_latents_may_be_an_array():
    model, x = fitted("PPCA")
    (ax,) = plot.draw("latents", model, x, columns=np.array([1, 0])).axes
    assert ax.get_xlabel() == "latent 1"


@pytest.mark.parametrize(("kl", "steps", "suits"), [(0.1, 3, True), (0.1, 2, False), (1e-18, 9, False)])
def test_a_staircase_has_steps_that_can_be_seen(kl, steps, suits):
    model = SimpleNamespace(history_=[{"kl": kl, "elbo_e": -1.0}] * steps)
    assert plot.PICTURES["staircase"].suits(model, None) is suits
