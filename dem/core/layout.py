"""One memory layout for parameters, because matrix products of other layouts may differ in the last bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import TypeVar

import numpy as np

V = TypeVar("V")


def c_ordered(value: V) -> V:
    """Return the value with all its arrays in C order. Arrays of saved models are also loaded in C order.

    Parameters
    ----------
    value : dataclass, tuple, list, mapping, array or anything else
        Nested to any depth. Everything except arrays is left unchanged.
    """
    found: object = value
    if isinstance(value, np.ndarray):
        found = np.asarray(value, order="C")
    elif isinstance(value, tuple | list):
        found = type(value)(c_ordered(item) for item in value)
    elif isinstance(value, Mapping):
        found = {key: c_ordered(item) for key, item in value.items()}
    elif is_dataclass(value) and not isinstance(value, type):
        found = replace(value, **{f.name: c_ordered(getattr(value, f.name)) for f in fields(value) if f.init})
    return found  # type: ignore[return-value]
