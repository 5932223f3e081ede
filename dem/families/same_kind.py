"""Whether two families are of one kind, so that parameters of one are parameters of the other."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
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
    if isinstance(asked, int) and isinstance(fitted, tuple):  # one number for all columns
        return all(same_kind(asked, each) for each in fitted)
    if is_dataclass(asked):
        names = [f.name for f in fields(asked) if f.name not in NOT_OF_THE_KIND]
        return type(asked) is type(fitted) and all(same_kind(getattr(asked, n), getattr(fitted, n)) for n in names)
    return bool(np.array_equal(asked, fitted))


def filled(asked: Any, fitted: Any) -> Any:
    """Return a family that a user asked for; what the user left open is that of a fitted family of the same kind.

    `reg_covar` stays as it was asked for: a default is computed from the data of each fit.
    """
    if asked is None:
        return fitted
    if isinstance(asked, tuple):
        return tuple(map(filled, asked, fitted))
    if is_dataclass(asked) and not isinstance(asked, type):
        names = [f.name for f in fields(asked) if f.init and f.name not in NOT_OF_THE_KIND]
        return replace(asked, **{n: filled(getattr(asked, n), getattr(fitted, n)) for n in names})
    return asked
