"""Where passes over the data run, and within what memory."""

from __future__ import annotations

from dem.em.progress import Progress, Silent
from dem.engine.engine import Engine
from dem.engine.passes import Named, Passes

__all__ = ["Engine", "Named", "Passes", "Progress", "Silent"]
