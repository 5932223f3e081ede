"""A sweep that counts and reports its passes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass

from dem.core.block import MakeKernel
from dem.core.stats import S
from dem.em.progress import Progress
from dem.engine.machines import Backend, decoded_bytes
from dem.engine.sweep.serial import PartitionSweep
from dem.kernel.kernel_id import KernelId
from dem.source import Source
from dem.source.subset import subset


class Passes:
    """A sweep that counts its passes and reports them to a `Progress`.

    Attributes
    ----------
    count : int
        Number of passes so far.
    progress : Progress
    joined : int
        1 if the scan and the first pass of EM were one pass, else 0; for the numbers of passes in reports.
    """

    joined = 0

    def __init__(
        self,
        sweep: PartitionSweep,
        source: Source,
        progress: Progress,
        backend: Backend,
        plan: Callable[[int], PartitionSweep] | None = None,
    ) -> None:
        self._sweep, self._source, self.progress, self._backend, self._plan = sweep, source, progress, backend, plan
        self.count = 0

    def plan_for(self, workspace_bytes: int) -> None:
        """Plan the next passes again, for tasks that need `workspace_bytes` in addition to their blocks.

        Raises
        ------
        MemoryError
            The passes do not fit into the memory limit, or into the memory of a worker.
        """
        assert self._plan is not None
        self._sweep = self._plan(workspace_bytes)

    @property
    def on_cluster(self) -> bool:
        """Whether the passes run on a cluster."""
        return self._backend.on_cluster

    @property
    def machine_kinds(self) -> tuple[str, ...]:
        """The kinds of machine that run the passes: see `dem.core.blas.machine_kind`."""
        return self._backend.machine_kinds

    def check_visible(self, places: Iterable[str]) -> None:
        """Check that every worker can see these paths and URLs.

        Parameters
        ----------
        places : iterable of str
            Paths and URLs that exist, in the form of `dem.source.stores`.

        Raises
        ------
        OSError
            A worker cannot see one of them; the message names the worker, its host and the place.
        """
        self._backend.check_visible(places)

    def check_kernel(self, kernel: KernelId) -> None:
        """Check that every worker has this implementation of the E-step.

        Raises
        ------
        RuntimeError
            A worker does not have it; the message names the worker and its host.
        """
        self._backend.check_kernel(kernel)

    def __call__(self, make_kernel: MakeKernel[S]) -> S:
        """Run a pass of EM; the caller then calls ``progress.end(state)`` with the state after it."""
        return self._run(f"pass {self.count + self.joined}", make_kernel)

    def run_named(self, what: str, make_kernel: MakeKernel[S]) -> S:
        """Run one pass that is not an iteration of EM, and report it under the name `what`."""
        stats = self._run(what, make_kernel)
        self.progress.end(None)
        return stats

    def with_name(self, what: str) -> NamedPasses:
        """Return a sweep whose passes are all reported under the name `what`."""
        return NamedPasses(self, what)

    def only(self, indices: Sequence[int]) -> Passes:
        """Return passes over the partitions with these indices only."""
        part = copy(self)
        part._sweep, part._source = self._sweep.only(indices), subset(self._source, indices)
        return part

    def _run(self, what: str, make_kernel: MakeKernel[S]) -> S:
        source = self._source
        self.progress.begin(what, source.n_rows, decoded_bytes(source))
        self.count += 1
        return self._sweep(make_kernel)


@dataclass(frozen=True)
class NamedPasses:
    """A sweep whose passes are all reported under one name."""

    passes: Passes
    what: str

    def __call__(self, make_kernel: MakeKernel[S]) -> S:
        """Run one pass and report it."""
        return self.passes.run_named(self.what, make_kernel)

    def only(self, indices: Sequence[int]) -> NamedPasses:
        """Return passes over the partitions with these indices only."""
        return NamedPasses(self.passes.only(indices), self.what)
