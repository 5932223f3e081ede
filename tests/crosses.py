"""Crosses of settings: a covering selection runs in `make test`, the whole cross in `make test-slow`."""

from itertools import product

import pytest


def cross(names, *axes):
    """Return the decorator that runs a test over the cross of some axes, of which most combinations are slow ones.

    With two axes those that stay quick meet each value of both; with three, each pair of values of any two.

    Parameters
    ----------
    names : str
        The test's arguments, as `pytest.mark.parametrize` takes them.
    *axes : mapping of str to value, or sequence
        The values of each argument, by what to call them.
    """
    named = [axis if isinstance(axis, dict) else {str(value): value for value in axis} for axis in axes]
    shortest = min(map(len, named))
    parameters = []
    for indices in product(*(range(len(axis)) for axis in named)):
        words = [list(axis)[i] for axis, i in zip(named, indices, strict=True)]
        values = [axis[word] for axis, word in zip(named, words, strict=True)]
        marks = () if sum(indices) % shortest == 0 else pytest.mark.slow
        parameters.append(pytest.param(*values, id="-".join(words), marks=marks))
    return pytest.mark.parametrize(names, parameters)
