"""The protocol by which a fit saves its progress. `dem.storage.checkpoint` implements it on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from dem.em import loop
from dem.kernel.kernel_id import KernelId
from dem.scan.scanner import Scan


@dataclass(frozen=True)
class FitIdentity:
    """The data and settings of a fit. A checkpoint can be continued only by a fit with the same identity.

    Attributes
    ----------
    data : mapping of str to JSON
        The fingerprint of the source.
    settings : mapping of str to JSON
        All settings that change the result.
    name : str
        The name of the data in messages.
    """

    data: Mapping[str, Any]
    settings: Mapping[str, Any]
    name: str


@dataclass(frozen=True)
class ResumePoint:
    """The state at which a fit begins: that of a checkpoint, or empty.

    Attributes
    ----------
    scan : Scan or None
    state : State or None
    n_passes : int
        Number of passes already made over the data, including the first scan.
    machine_kinds : tuple of str
        The kinds of machine used so far (see `dem.core.blas.machine_kind`); empty if not recorded.
    kernel : str or None
        The kernel that computed the state; None for NumPy.
    """

    scan: Scan | None = None
    state: loop.State[Any] | None = None
    n_passes: int = 0
    machine_kinds: tuple[str, ...] = ()
    kernel: str | None = None


class Journal(Protocol):
    """Saves the progress of a fit."""

    @property
    def found(self) -> ResumePoint:
        """The state at which the fit begins."""

    def keep_scan(self, scan: Scan) -> None:
        """Save the result of the first pass."""

    def use_kernel(self, kernel: KernelId) -> None:
        """Record the kernel that computes the next states; raise ValueError if another one computed the state found."""

    def keep_state(self, state: loop.State[Any], n_passes: int) -> None:
        """Save the state after `n_passes` passes; raise `Stopped` if a limit of this run is reached."""

    def check_time(self, n_passes: int) -> None:
        """Raise `Stopped` if the time limit is reached. Called during the start on the sample, between passes."""


class NoJournal:
    """Saves nothing."""

    found = ResumePoint()

    def keep_scan(self, scan: Scan) -> None:
        """Do nothing."""

    def use_kernel(self, kernel: KernelId) -> None:
        """Do nothing."""

    def keep_state(self, state: loop.State[Any], n_passes: int) -> None:
        """Do nothing."""

    def check_time(self, n_passes: int) -> None:
        """Do nothing."""
