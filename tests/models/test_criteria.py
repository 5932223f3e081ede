"""Criteria: their values by hand, and that one entry of the table is enough to show and to offer one."""

import math

import pytest

from dem.estimators.criteria import with_criteria
from dem.estimators.density import DensityEstimator
from dem.estimators.mixture_base import MixtureEstimator
from dem.estimators.objectives import criteria_in_words
from dem.models.criteria import CRITERIA, Criterion, criteria_of_score
from dem.run.rows import Mean

EXPECTED = {
    "bic": 200 + 3 * math.log(50),
    "aic": 200 + 6,
    "hqic": 200 + 6 * math.log(math.log(50)),
    "icl": 200 + 3 * math.log(50),
}


@pytest.mark.parametrize("name", CRITERIA)
def test_values_by_hand(name):
    assert CRITERIA[name].value(-100.0, 3, 50.0) == pytest.approx(EXPECTED[name], rel=1e-15)


@pytest.mark.parametrize("criterion", CRITERIA.values(), ids=CRITERIA)
def test_type_checkers_know_the_method(criterion):
    """Methods are made from the table: the class declares each."""
    owner = {"score": DensityEstimator, "complete": MixtureEstimator}[criterion.output]
    assert criterion.name in owner.__annotations__
    assert callable(getattr(owner, criterion.name))


def test_of_one_row_there_is_no_log_log_n():
    assert math.isnan(CRITERIA["hqic"].value(-1.0, 2, 1))
    assert CRITERIA["bic"].value(-1.0, 2, 1) == 2


def test_a_new_entry_is_shown_and_is_a_method(monkeypatch):
    def twice(log_likelihood, n_parameters, rows):
        return -2 * log_likelihood + 4 * n_parameters * rows

    before = criteria_of_score(-100.0, 3, 50.0)
    monkeypatch.setitem(CRITERIA, "new", Criterion("new", twice, "a criterion", "nobody 2000"))
    found = criteria_of_score(-100.0, 3, 50.0)
    assert found == {**before, "new": 800}
    record = {"rows": 50, "new": found["new"], "bic": found["bic"]}
    assert criteria_in_words(record) == {"BIC, NEW": "211.736069, 800"}

    @with_criteria("score")
    class Model:
        n_parameters_ = 3

        def _mean(self, X, what):
            return Mean(X, 0, float(X), -2.0 * X)

    assert Model().new(50) == 800
    assert Model.new.__doc__.startswith("Return a criterion   (nobody 2000).")
    assert not hasattr(Model, "icl")  # it needs another output
