"""The first scan sums the log base measure and finds the first value outside the support."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dem.core.block import Block
from dem.core.rows import RowKeys
from dem.core.stats import tree_sum
from dem.scan.scanner import Scanner
from dem.scan.support import Measured, Outside

X = np.random.default_rng(0).exponential(size=(500, 3))
WEIGHT = np.random.default_rng(1).integers(0, 3, 500).astype(float)


@dataclass(frozen=True)
class Squares:
    """Takes numbers >= 0; log h(x) = sum of x^2."""

    wants = "numbers >= 0"

    checks_rows = True

    def wants_in_column(self, column):
        return self.wants

    def outside(self, x):
        return x < 0

    def log_base(self, x):
        return (x**2).sum(axis=0)

    def observed_log_base(self, x):
        return np.nansum(x**2, axis=0)


def scan(x, weight=None, first=0):
    return Scanner(3, False, 10, 0, None, Squares())()(Block(x, weight, RowKeys.from_first(first)))


@given(cuts=st.lists(st.integers(0, 500), max_size=8), weighted=st.booleans())
def test_the_base_measure_adds_over_any_chunking(cuts, weighted):
    weight = WEIGHT if weighted else None
    edges = [0, *sorted(cuts), 500]
    parts = [scan(X[a:b], None if weight is None else weight[a:b], a) for a, b in pairwise(edges)]
    expected = (X**2).sum(axis=1) @ (np.ones(500) if weight is None else weight)
    assert tree_sum(parts).measured.base == pytest.approx(expected, rel=1e-12)


@given(cuts=st.lists(st.integers(0, 500), max_size=8), rows=st.lists(st.integers(0, 499), min_size=1, max_size=5))
def test_the_first_value_outside_is_found_for_any_chunking(cuts, rows):
    x = X.copy()
    for i, row in enumerate(rows):
        x[row, i % 3] = -1.0 - i
    edges = [0, *sorted(cuts), 500]
    total = tree_sum([scan(x[a:b], None, a) for a, b in pairwise(edges)])
    row = min(rows)
    column = int((x[row] < 0).argmax())
    assert total.measured.outside == Outside(row, column, x[row, column], "numbers >= 0")


def test_missing_values_are_left_out_and_keys_still_count_their_rows():
    x = X.copy()
    x[3, 1], x[7, 2] = np.nan, -0.25
    found = scan(x, None, 100)
    assert (found.measured.outside.row, found.measured.outside.column) == (107, 2)
    x[7, 2] = 0.25
    assert scan(x).measured.base == pytest.approx(np.nansum(x**2), rel=1e-12)


def test_rows_of_weight_zero_may_hold_anything():
    x, weight = X.copy(), np.ones(500)
    x[7, 2], weight[7] = -5.0, 0.0
    found = scan(x, weight).measured
    assert found.outside is None
    assert found.base == pytest.approx((np.delete(x, 7, axis=0) ** 2).sum(), rel=1e-12)


def test_no_base_measure_and_no_rows_give_zero():
    assert Measured() + Measured() == Measured()
    told = Measured(2.0, Outside(1, 0, -1.0, "numbers >= 0"))
    assert told + Measured(1.0) == Measured(3.0, told.outside)
