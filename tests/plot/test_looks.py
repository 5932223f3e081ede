"""No picture has text outside its canvas, text over text, or a legend over data: of any model, at any size."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from crosses import mostly_slow
from dem import plot
from dem.plot.choice import PICTURES, Request
from dem.plot.labels import Numbers
from plot.looks import problems
from plot.models import MODELS, fitted

QUICK = {"profiles", "categorical", "K-means of 10"}
COLUMN_OF_A_JOURNAL = (3.5, 2.6)
"""Inches."""


@mostly_slow("model", {name: name for name in MODELS}, quick=["2 components"])
def test_all_pictures_of_a_model(model):
    estimator, rows = fitted(model)
    sample = plot.rows(estimator, rows)
    said = {}
    for name in ("figure", *plot.suitable(estimator, sample)):
        picture = plot.draw(name, estimator, sample)
        assert picture.text.endswith(".")
        said[name] = problems(picture.figure)
        if name != "figure" and len(picture.axes) == 1:
            small = Figure(figsize=COLUMN_OF_A_JOURNAL, layout="constrained")
            PICTURES[name].draw(Request(estimator, sample, ax=small.subplots()))
            said[f"{name}, small"] = problems(small)
    assert {name: found for name, found in said.items() if found} == {}


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_all_pictures_of_a_model_without_rows(model):
    estimator, _ = fitted(model)
    for name in ("figure", *plot.suitable(estimator)):
        assert problems(plot.draw(name, estimator).figure) == []


def test_every_picture_suits_a_model():
    names = set()
    for model in QUICK | {"10 components", "PPCA, gaps"}:
        estimator, rows = fitted(model)
        names |= set(plot.suitable(estimator, plot.rows(estimator, rows)))
    assert set(PICTURES) - names <= {"criterion", "staircase"}  # of selections, and of fits of some iterations


@pytest.mark.parametrize(
    ("what", "draw"),
    {
        "outside the canvas": lambda fig: fig.text(0.99, 0.5, "a long text"),
        "over each other": lambda fig: [fig.text(0.5, 0.5, word) for word in ("one", "two")],
        "a legend over the data": lambda fig: fig.subplots().legend(handles=fig.axes[0].plot([0, 1], label="a")),
    }.items(),
)
def test_what_is_wrong_is_found(what, draw):
    fig = Figure()
    draw(fig)
    assert any(what in words for words in problems(fig))


def test_many_numbers_in_one_place_do_not_hide_one_another():
    fig = Figure()
    ax = fig.subplots()
    numbers = Numbers(ax, np.full((12, 2), 0.5), range(12))
    assert problems(fig) == []
    assert len({text.get_position() for text in numbers.texts}) == 12
