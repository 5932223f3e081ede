"""What is told of the passes while they run."""

from __future__ import annotations

import logging
from typing import Any, Protocol

from dem.core.warn import warn
from dem.em.loop import State

log = logging.getLogger("dem")

WARNING = "warning: "
"""The first word of a note that warns."""


class Progress(Protocol):
    """What is told of the passes; all in the calling process."""

    def begin(self, what: str, rows: int | None, nbytes: int | None) -> None:
        """A pass begins: its name, and the rows and decoded bytes that it will read."""

    def advance(self, done: int, total: int) -> None:
        """So many partitions of so many are done."""

    def end(self, state: State[Any] | None) -> None:
        """The pass has ended; the state after it, where there is one."""

    def note(self, text: str) -> None:
        """Tell one sentence of what is not a pass: which cluster was taken, what it lacks."""


class Silent:
    """Progress that says nothing."""

    def begin(self, what: str, rows: int | None, nbytes: int | None) -> None:
        """Say nothing."""

    def advance(self, done: int, total: int) -> None:
        """Say nothing."""

    def end(self, state: State[Any] | None) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Log it, no more; of what warns make a Python warning."""
        log_or_warn(text)


def log_or_warn(text: str) -> None:
    """Log a note at the level INFO; one that warns becomes a `UserWarning`."""
    if text.startswith(WARNING):
        warn(text.removeprefix(WARNING))
    else:
        log.info(text)
