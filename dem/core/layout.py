"""Parameters as nested values: one memory layout for all arrays, and another order of the components.

Matrix products of other layouts may differ in the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

V = TypeVar("V")
Order = NDArray[np.intp]
"""An order of K components (K,): the component `order[0]` becomes the first."""


def c_ordered(value: V) -> V:
    """Return the value with all its arrays in C order. Arrays of saved models are also loaded in C order.

    Parameters
    ----------
    value : dataclass, tuple, list, mapping, array or anything else
        Nested to any depth. Everything except arrays is left unchanged.
    """
    return _each_array(value, lambda array: np.asarray(array, order="C"))


def reordered(value: V, order: Order) -> V:
    """Return the value with the first axis of all its arrays in this order; see `c_ordered` for the kinds of value."""
    return _each_array(value, lambda array: array[order])


def _each_array(value: V, change: Callable[[Any], Any]) -> V:
    """Return the value with all its arrays changed."""
    found: object = value
    if isinstance(value, np.ndarray):
        found = change(value)
    elif isinstance(value, tuple | list):
        found = type(value)(_each_array(item, change) for item in value)
    elif isinstance(value, Mapping):
        found = {key: _each_array(item, change) for key, item in value.items()}
    elif is_dataclass(value) and not isinstance(value, type):
        found = replace(value, **{f.name: _each_array(getattr(value, f.name), change) for f in fields(value) if f.init})
    return found  # type: ignore[return-value]
