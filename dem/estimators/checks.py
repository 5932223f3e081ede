"""Checks of settings. Each error message names the setting."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np


def integer_seed(random_state: Any) -> int:
    """Return an integer seed from a `random_state` as in scikit-learn; None gives 0, so that fits are reproducible."""
    if random_state is None:
        return 0
    if isinstance(random_state, int | np.integer):
        check_number("random_state", int(random_state), int, 0)
        return int(random_state)
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31 - 1))
    raise ValueError(f"random_state must be None, an integer or a NumPy generator, not {random_state!r}")


def check_number(name: str, value: Any, kind: type, low: float) -> None:
    """Check that a setting is a number of this kind and at least `low`.

    Raises
    ------
    ValueError
    """
    kinds = (int, np.integer) if kind is int else (int, float, np.number)
    word = "an integer" if kind is int else "a number"
    number = isinstance(value, kinds) and not isinstance(value, bool)
    if not number or not np.isfinite(value) or value < low:
        raise ValueError(f"{name} must be {word} >= {low}, got {value!r}")


def check_choice(name: str, value: Any, choices: Iterable[str]) -> None:
    """Check that a setting is one of these words.

    Raises
    ------
    ValueError
    """
    if value not in tuple(choices):
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
