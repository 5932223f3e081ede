"""The protocol for showing the progress of passes."""

from __future__ import annotations

import logging
from typing import Any, Protocol

from dem.core.warn import warn
from dem.em.forecast import PassesLeft, passes_left
from dem.em.loop import State

log = logging.getLogger("dem")

WARNING = "warning: "
"""A note that starts with this is a warning."""


class Progress(Protocol):
    """Shows the progress of passes. All methods are called in the calling process."""

    def begin(self, what: str, rows: int | None, nbytes: int | None) -> None:
        """Begin a pass, with its name and the rows and decoded bytes that it will read."""

    def advance(self, done: int, total: int) -> None:
        """Take the number of finished partitions, and of all partitions."""

    def detail(self, text: str) -> None:
        """Take a short text about the current part of a pass or of the start; called often."""

    def expect(self, left: PassesLeft) -> None:
        """Take an estimate of the passes that the fit still needs; called before `end`, once there is one."""

    def end(self, state: State[Any] | None) -> None:
        """End the pass; `state` is the state after it, or None."""

    def note(self, text: str) -> None:
        """Show one sentence that is not about a pass, such as the name of the cluster."""


class Silent:
    """Shows no progress; notes are logged."""

    def begin(self, what: str, rows: int | None, nbytes: int | None) -> None:
        """Show nothing."""

    def advance(self, done: int, total: int) -> None:
        """Show nothing."""

    def detail(self, text: str) -> None:
        """Show nothing."""

    def expect(self, left: PassesLeft) -> None:
        """Show nothing."""

    def end(self, state: State[Any] | None) -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Log the note; a note that warns becomes a Python warning."""
        log_or_warn(text)


def end_pass(progress: Progress, state: State[Any], *, tol: float, max_iter: int) -> None:
    """End a pass of EM, with an estimate of the passes left if there is a basis for it."""
    left = passes_left(state, tol=tol, max_iter=max_iter)
    if left is not None:
        progress.expect(left)
    progress.end(state)


def log_or_warn(text: str) -> None:
    """Log a note at the level INFO; a note that warns becomes a `UserWarning`."""
    if text.startswith(WARNING):
        warn(text.removeprefix(WARNING))
    else:
        log.info(text)
