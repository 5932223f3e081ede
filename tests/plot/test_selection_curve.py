"""The picture of a selection."""

from types import SimpleNamespace

import pytest

from dem import plot

ROWS = [
    {"name": f"k={k}, type={kind}", "settings": {"k": k, "type": kind}, "value": 100.0 - k, "ended": ended}
    for k, ended in ((1, "dropped"), (2, "converged"), (3, "converged"))
    for kind in ("full", "diag")
]
FAILED = {"name": "k=4, type=full", "settings": {"k": 4, "type": "full"}, "value": None, "ended": "failed"}


def test_a_line_for_each_kind_over_the_numbers(tmp_path):
    record = {"criterion": "bic", "best": "k=3, type=full", "table": [*ROWS, FAILED]}
    fig = plot.criterion(SimpleNamespace(selection_=record))
    (ax,) = fig.axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("k", "BIC (less is better)")
    assert {text.get_text() for text in ax.get_legend().get_texts()} == {"type=full", "type=diag", "best"}
    fig.savefig(tmp_path / "curve.png")


def test_words_are_places_too():
    rows = [
        {"name": w, "settings": {"type": w}, "value": v, "ended": "converged"} for w, v in (("full", 1), ("diag", 2))
    ]
    fig = plot.criterion(SimpleNamespace(selection_={"criterion": "icl", "best": "full", "table": rows}))
    assert fig.axes[0].get_xlabel() == "type"


def test_other_models_have_no_curve():
    with pytest.raises(ValueError, match=r"was not chosen by dem\.select"):
        plot.criterion(SimpleNamespace())
