"""Warnings that name the user's own line, however deep in dem they arise."""

from __future__ import annotations

import sys
import warnings

OWN = ("dem.", "contextlib")
"""Modules whose lines are no user's; a decorator that is a context stands in the latter."""


def warn(text: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line outside dem that called it.

    Parameters
    ----------
    text : str
        One sentence.
    category : type of Warning
    """
    level, frame = 2, sys._getframe(1)  # the level 2 is that frame's
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith(OWN):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, category, stacklevel=level)
