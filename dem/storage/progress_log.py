"""Where a fit writes down how far it is; `dem.storage.checkpoint` keeps it on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from dem.em import loop
from dem.scan.scanner import Scan


@dataclass(frozen=True)
class FitIdentity:
    """What a checkpoint belongs to.

    Attributes
    ----------
    data : mapping of str to JSON
        The source's fingerprint.
    settings : mapping of str to JSON
        All that the result depends on beside the data.
    name : str
        What to call the data in messages.
    """

    data: Mapping[str, Any]
    settings: Mapping[str, Any]
    name: str


@dataclass(frozen=True)
class ResumePoint:
    """Where a fit begins: at nothing, or at what a checkpoint holds.

    Attributes
    ----------
    scan : Scan or None
    state : State or None
    n_passes : int
        Passes made over the data, the first scan included.
    machine_kinds : tuple of str
        The kinds of machine that made it so far (see `dem.core.blas.machine_kind`); none where that was not kept.
    """

    scan: Scan | None = None
    state: loop.State[Any] | None = None
    n_passes: int = 0
    machine_kinds: tuple[str, ...] = ()


class Journal(Protocol):
    """Where a fit writes down how far it is."""

    @property
    def found(self) -> ResumePoint:
        """What there was at the beginning."""

    def keep_scan(self, scan: Scan) -> None:
        """Keep what the first pass told."""

    def keep_state(self, state: loop.State[Any], n_passes: int) -> None:
        """Keep the state after so many passes; raise `Stopped` if this run has done its share."""

    def check_time(self, n_passes: int) -> None:
        """Raise `Stopped` if the time of this run is over: asked between passes, in the start on the sample."""


class NoJournal:
    """Keeps nothing."""

    found = ResumePoint()

    def keep_scan(self, scan: Scan) -> None:
        """Keep nothing."""

    def keep_state(self, state: loop.State[Any], n_passes: int) -> None:
        """Keep nothing."""

    def check_time(self, n_passes: int) -> None:
        """Go on."""
