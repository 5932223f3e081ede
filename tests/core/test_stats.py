from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dem.core.stats import ARITY, Additive, TreeSum, add_up, groups, tree_sum


@dataclass(frozen=True)
class Sum(Additive):
    total: np.ndarray


@dataclass(frozen=True)
class Shape:
    """Records the order of additions."""

    rows: int
    text: str

    def __add__(self, other):
        return Shape(self.rows + other.rows, f"({self.text}{other.text})")


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=200))
def test_the_tree_sums_all_once(values):
    found = tree_sum([Sum(1, np.array([v, 1])) for v in values])
    assert found.rows == len(values)
    np.testing.assert_array_equal(found.total, [sum(values), len(values)])


def test_the_tree_has_a_fixed_shape():
    assert ARITY == 8
    letters = [Shape(1, c) for c in "abcdefghij"]
    assert tree_sum(letters).text == "((((((((ab)c)d)e)f)g)h)(ij))"
    assert tree_sum(letters[:1]).text == "a"
    assert add_up(letters[:3]).text == "((ab)c)"


def sum_by_levels(items):
    """The tree as Dask builds it from all items, level by level."""
    while len(items) > 1:
        items = [add_up(group) for group in groups(items)]
    return items[0]


def test_folding_gives_the_tree_for_every_length():
    values = np.random.default_rng(0).normal(size=600) * 10.0 ** np.arange(600).clip(0, 300)
    tree, items = TreeSum(), []
    for n, value in enumerate(np.random.default_rng(1).permutation(values), 1):
        items.append(Sum(1, np.float64(value)))
        tree.push(items[-1])
        expected = sum_by_levels(items)
        assert tree.total().total.tobytes() == expected.total.tobytes() == tree_sum(items).total.tobytes()
        assert tree.total().rows == expected.rows == n


def test_folding_has_the_shape_of_the_tree():
    tree, items = TreeSum(), []
    for n in range(600):
        items.append(Shape(1, chr(97 + n % 26)))
        tree.push(items[-1])
        assert tree.total() == sum_by_levels(items)


@pytest.mark.parametrize("n", [1, 7, 8, 9, 64, 65])
def test_groups_are_runs_of_the_arity(n):
    found = list(groups(range(n)))
    assert [i for group in found for i in group] == list(range(n))
    assert all(len(group) == ARITY for group in found[:-1])
    assert 1 <= len(found[-1]) <= ARITY
