"""Docstrings of the estimators: shared paragraphs stand in their places, and every parameter is there."""

import inspect
import re

import pytest

from dem.estimators.docstrings import PARAGRAPHS, documented
from dem.estimators.loading import ESTIMATORS
from dem.estimators.saving import FIT_ATTRIBUTES

OWN = [model for model in ESTIMATORS if model.__name__ != "MixturePPCA"]  # which refers to its base


@pytest.mark.parametrize("model", OWN, ids=lambda model: model.__name__)
def test_every_parameter_and_attribute_is_documented(model):
    text = inspect.getdoc(model)
    assert not re.search(r"^\s*\{\w+\}$", text, flags=re.MULTILINE)
    parameters, attributes = text.split("\nParameters\n")[1].split("\nAttributes\n")
    parameters, attributes = (
        {name for line in re.findall(r"^(\w[\w, ]*)(?: :.*)?$", part, flags=re.MULTILINE) for name in line.split(", ")}
        for part in (parameters, attributes)
    )
    assert parameters == set(inspect.signature(model).parameters)
    assert attributes >= set(FIT_ATTRIBUTES)


def test_a_paragraph_is_indented_as_the_line_that_names_it():
    class Model:
        """Model.

        {warm_start}
        """

    shown = inspect.getdoc(documented(Model))
    assert shown == "Model.\n\nwarm_start : bool, default=False\n    Start from the last fit's parameters."


def test_names_of_no_paragraph_are_refused():
    class Model:
        """{nothing}"""

    with pytest.raises(KeyError, match="nothing"):
        documented(Model)


def test_without_docstrings_nothing_is_done():
    class Model:
        __doc__ = None

    assert documented(Model).__doc__ is None
    assert all(text.strip() for text in PARAGRAPHS.values())
