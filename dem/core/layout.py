"""One memory layout for parameters: a matrix product of another layout may differ in the last bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import TypeVar

import numpy as np

V = TypeVar("V")


def c_ordered(value: V) -> V:
    """Return a value whose arrays are all in C order, the order in which saved ones are read.

    Parameters
    ----------
    value : dataclass, tuple, list, mapping, array or anything else
        Nested as deep as one likes. What is no array stays as it is.
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
