"""Where passes over the data run, and how much memory they may use.

Names are loaded when they are first used: workers import the sweeps from here and should load nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dem.em.progress import Progress as Progress
    from dem.em.progress import Silent as Silent
    from dem.engine.engine import Engine as Engine

_HOMES = {"Engine": "dem.engine.engine", "Progress": "dem.em.progress", "Silent": "dem.em.progress"}

__all__ = ["Engine", "Progress", "Silent"]


def __getattr__(name: str) -> Any:
    """Load a public name from its module."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'dem.engine' has no attribute {name!r}")
