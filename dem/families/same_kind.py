"""Whether two families are of one kind, so that parameters of one are parameters of the other."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

NOT_OF_THE_KIND = ("reg_covar",)
"""Settings of families that do not change what their parameters mean."""


def same_kind(asked: Any, fitted: Any) -> bool:
    """Whether a family that a user asked for is of the kind of a fitted one.

    Settings that the user left open, which a fit takes from the data, agree with any.
    """
    if asked is None:
        return True
    if isinstance(asked, tuple) and isinstance(fitted, tuple):
        return len(asked) == len(fitted) and all(map(same_kind, asked, fitted))
    if is_dataclass(asked):
        names = [f.name for f in fields(asked) if f.name not in NOT_OF_THE_KIND]
        return type(asked) is type(fitted) and all(same_kind(getattr(asked, n), getattr(fitted, n)) for n in names)
    return bool(np.array_equal(asked, fitted))
