"""Warnings that point to the line of the user's code that called dem."""

from __future__ import annotations

import sys
import warnings

INTERNAL_MODULES = ("dem.", "contextlib")
"""Modules that are not user code. Context managers used as decorators call from contextlib."""


def warn(text: str, category: type[Warning] = UserWarning) -> None:
    """Give a warning at the line outside dem that called it.

    Parameters
    ----------
    text : str
        One sentence.
    category : type of Warning
    """
    level, frame = 2, sys._getframe(1)  # stacklevel 2 is this frame
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith(INTERNAL_MODULES):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, category, stacklevel=level)
