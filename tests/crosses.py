"""Crosses of settings: a covering selection runs in `make test`, the whole cross in `make test-slow`."""

from itertools import product

import pytest


def _named(axis):
    """Return an axis as a dict of its values, by what to call them."""
    return axis if isinstance(axis, dict) else {str(value): value for value in axis}


def _parameter(quick, word, *values):
    return pytest.param(*values, id=word, marks=() if quick else pytest.mark.slow)


def cross(names, *axes, indirect=False, one_in=None):
    """Return the decorator that runs a test over the cross of some axes, of which most combinations are slow ones.

    With two axes those that stay quick meet each value of both; with three, each pair of values of any two.

    Parameters
    ----------
    names : str
        The test's arguments, as `pytest.mark.parametrize` takes them.
    *axes : mapping of str to value, or sequence
        The values of each argument, by what to call them.
    indirect : bool or list of str
        Which arguments are fixtures that take the value as their parameter.
    one_in : int, optional
        One in so many combinations is quick; by default as many as the shortest axis is long. With more, some pairs of
        values are slow ones only.
    """
    named = [_named(axis) for axis in axes]
    one_in = one_in or min(map(len, named))
    parameters = []
    for indices in product(*(range(len(axis)) for axis in named)):
        words = [list(axis)[i] for axis, i in zip(named, indices, strict=True)]
        values = [axis[word] for axis, word in zip(named, words, strict=True)]
        parameters.append(_parameter(sum(indices) % one_in == 0, "-".join(words), *values))
    return pytest.mark.parametrize(names, parameters, indirect=indirect)


def mostly_slow(name, axis, *, quick):
    """Return the decorator that runs a test over one axis, of which only the values named in `quick` are quick ones.

    It is for tests that take long on each value. Other tests of the file have the other values among their quick ones.

    Parameters
    ----------
    name : str
        The test's argument.
    axis : mapping of str to value, or sequence
        Its values, by what to call them.
    quick : collection of str
        What the quick ones are called.
    """
    named = _named(axis)
    assert set(quick) <= set(named), f"no such value: {set(quick) - set(named)}"
    return pytest.mark.parametrize(name, [_parameter(word in quick, word, value) for word, value in named.items()])
