"""The memory a sweep will need, computed before it starts; a sweep that does not fit is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from dem.core import human
from dem.source import Source

IDLE_WORKER_BYTES = 110_000_000
"""Memory of a worker process between tasks (measured: 110 MB resident with all imports of a task, 30 MB shared)."""


@dataclass(frozen=True)
class Plan:
    """The memory of all processes during a sweep, in bytes.

    Attributes
    ----------
    name : str
        Name of the data in messages.
    block_bytes : int
        Size of the largest decoded block; 0 if blocks are views or their sizes are unknown.
    read_bytes : int
        Memory of a task while it reads that block, including the block.
    workspace_bytes : int
        Additional memory of a kernel: workspaces and statistics.
    client_bytes : int
        Memory of this process, including what it already holds.
    n_workers : int
        Number of tasks that run at the same time.
    worker_bytes : int
        Memory of an idle worker process; 0 for threads of this process.
    read_ahead : int
        The number of blocks that a task reads ahead, at the same time.
    read_ahead_bytes : int
        Additional memory of a task that reads one block ahead; each further one needs `read_bytes`.
    """

    name: str
    block_bytes: int
    read_bytes: int
    workspace_bytes: int
    client_bytes: int
    n_workers: int = 1
    worker_bytes: int = IDLE_WORKER_BYTES
    read_ahead: int = 0
    read_ahead_bytes: int = 0

    @property
    def task_bytes(self) -> int:
        """The most memory that one task needs."""
        reads = self.read_bytes * max(1, self.read_ahead) + (self.read_ahead_bytes if self.read_ahead else 0)
        return reads + self.workspace_bytes

    @property
    def total_bytes(self) -> int:
        """The most memory that all processes need together."""
        return self.client_bytes + self.n_workers * (self.worker_bytes + self.task_bytes)

    def check(self, limit_bytes: int | None) -> None:
        """Refuse a plan that needs more than the limit.

        Raises
        ------
        MemoryError
            The message has the memory needed and the limit.
        """
        if limit_bytes is None or self.total_bytes <= limit_bytes:
            return
        alone = replace(self, n_workers=1, read_ahead=0)
        enough = f"raise the memory limit to {human.size(rounded_up(alone.total_bytes))} or more"
        without_data = alone.total_bytes - alone.read_bytes
        if self.block_bytes and limit_bytes < without_data:  # smaller chunks would not help
            raise MemoryError(
                f"A pass over {self.name} needs {human.size(without_data)} even without data "
                f"({human.size(self.client_bytes)} of it for this process), but the limit is "
                f"{human.size(limit_bytes)}: {enough}."
            )
        workers = f"{self.n_workers} worker{'s' if self.n_workers > 1 else ''}"
        each = self.worker_bytes + self.task_bytes
        needs = (
            f"{human.size(self.total_bytes)} in all ({human.size(self.client_bytes)} for this process, "
            f"{workers} x {human.size(each)}), but the limit is {human.size(limit_bytes)}: {enough}"
        )
        if not self.block_bytes:  # blocks are views of an array in memory
            fewer = ", or use fewer workers" if self.n_workers > 1 else ""
            raise MemoryError(f"A pass over {self.name} needs {needs}{fewer}.")
        raise MemoryError(
            f"One chunk of {self.name} needs {human.size(self.block_bytes)} decoded, and the pass {needs}, or rechunk "
            "the data to smaller chunks."
        )

    def within(self, limit_bytes: int | None) -> Plan:
        """Return the plan reduced to the limit: first tasks read less ahead, then there are fewer workers.

        Raises
        ------
        MemoryError
            Even one worker does not fit.
        """
        plan, limit = self, math.inf if limit_bytes is None else limit_bytes
        while plan.read_ahead and plan.total_bytes > limit:
            plan = plan.reading_less_ahead()
        while plan.n_workers > 1 and plan.total_bytes > limit:
            plan = replace(plan, n_workers=plan.n_workers - 1)
        plan.check(limit_bytes)
        return plan

    def reading_less_ahead(self) -> Plan:
        """Return the plan of tasks that read half as many blocks ahead."""
        return replace(self, read_ahead=self.read_ahead // 2)

    def apply_to(self, source: Source) -> Source:
        """Return the source, whose tasks read as many blocks ahead as planned."""
        return source.reading_ahead(self.read_ahead)


def rounded_up(nbytes: int) -> int:
    """Return a limit that is enough for so many bytes, with 3 % more since memory varies from run to run."""
    return math.ceil(1.03 * nbytes / 1e7) * 10_000_000


def plan_sweep(
    source: Source,
    workspace_bytes: int,
    client_bytes: int,
    n_workers: int,
    worker_bytes: int = IDLE_WORKER_BYTES,
) -> Plan:
    """Return the memory plan for sweeps over `source`."""
    block, ahead = (source.block_bytes, source.read_bytes), (source.read_ahead, source.read_ahead_bytes)
    return Plan(source.name, *block, workspace_bytes, client_bytes, n_workers, worker_bytes, *ahead)
