"""Bytes, before the start: what a sweep will hold, and the refusal of what cannot fit."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from dem.core import human
from dem.source import Source

IDLE_WORKER_BYTES = 110_000_000
"""A worker process between tasks (measured: 110 MB resident with all that a task imports, 30 of them shared)."""


@dataclass(frozen=True)
class Plan:
    """The bytes of a whole process tree during a sweep.

    Attributes
    ----------
    name : str
        What the data are called in messages.
    block_bytes : int
        The largest decoded block; 0 where blocks are views, or their sizes unknown.
    read_bytes : int
        What a task holds while it reads that block, the block among it.
    workspace_bytes : int
        What a kernel holds besides: workspaces and statistics.
    client_bytes : int
        This process, with what it holds already.
    n_workers : int
        How many tasks run at a time.
    worker_bytes : int
        An idle worker process; 0 for threads of this process.
    ahead_bytes : int
        What a task holds besides where it reads the next block ahead; 0 where it does not.
    """

    name: str
    block_bytes: int
    read_bytes: int
    workspace_bytes: int
    client_bytes: int
    n_workers: int = 1
    worker_bytes: int = IDLE_WORKER_BYTES
    ahead_bytes: int = 0

    @property
    def task_bytes(self) -> int:
        """What one task holds at most."""
        return self.read_bytes + self.ahead_bytes + self.workspace_bytes

    @property
    def total_bytes(self) -> int:
        """What the whole process tree holds at most."""
        return self.client_bytes + self.n_workers * (self.worker_bytes + self.task_bytes)

    def check(self, limit_bytes: int | None) -> None:
        """Refuse a plan that cannot fit.

        Raises
        ------
        MemoryError
            The process tree would pass the limit; the message has both numbers.
        """
        if limit_bytes is None or self.total_bytes <= limit_bytes:
            return
        alone = replace(self, n_workers=1, ahead_bytes=0)
        enough = f"raise the memory limit to {human.size(rounded_up(alone.total_bytes))} or more"
        without_data = alone.total_bytes - alone.read_bytes
        if self.block_bytes and limit_bytes < without_data:  # smaller chunks would not do
            raise MemoryError(
                f"A pass over {self.name} needs {human.size(without_data)} without any data "
                f"({human.size(self.client_bytes)} of them for this process), but the limit is "
                f"{human.size(limit_bytes)}: {enough}."
            )
        workers = f"{self.n_workers} worker{'s' if self.n_workers > 1 else ''}"
        each = self.worker_bytes + self.task_bytes
        needs = (
            f"{human.size(self.total_bytes)} in all ({human.size(self.client_bytes)} for this process, "
            f"{workers} x {human.size(each)}), but the limit is {human.size(limit_bytes)}: {enough}"
        )
        if not self.block_bytes:  # views of an array that is there
            fewer = ", or use fewer workers" if self.n_workers > 1 else ""
            raise MemoryError(f"A pass over the {self.name} needs {needs}{fewer}.")
        raise MemoryError(
            f"One chunk of {self.name} needs {human.size(self.block_bytes)} decoded, and the pass {needs}, or rechunk "
            "the data to smaller chunks."
        )

    def within(self, limit_bytes: int | None) -> Plan:
        """Return the plan with as many of its workers as the limit allows; reading ahead is given up before a worker.

        Raises
        ------
        MemoryError
            Not even one worker fits.
        """
        fits = limit_bytes is None or self.total_bytes <= limit_bytes
        plan = self if fits else replace(self, ahead_bytes=0)
        while limit_bytes is not None and plan.n_workers > 1 and plan.total_bytes > limit_bytes:
            plan = replace(plan, n_workers=plan.n_workers - 1)
        plan.check(limit_bytes)
        return plan

    def apply_to(self, source: Source) -> Source:
        """Return the source as the plan has it: its tasks do not read ahead if the plan does not."""
        return source if self.ahead_bytes else source.without_ahead()


def rounded_up(nbytes: int) -> int:
    """Return a limit that such a plan fits in, with room for what a process takes more in another run."""
    return math.ceil(1.03 * nbytes / 1e7) * 10_000_000


def plan_sweep(
    source: Source,
    workspace_bytes: int,
    client_bytes: int,
    n_workers: int,
    worker_bytes: int = IDLE_WORKER_BYTES,
) -> Plan:
    """Return the plan of sweeps over `source`."""
    sizes = source.block_bytes, source.read_bytes
    return Plan(source.name, *sizes, workspace_bytes, client_bytes, n_workers, worker_bytes, source.ahead_bytes)
