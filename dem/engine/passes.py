"""Passes as those who make them see them: counted, named, told of, whole or in part."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass

from dem.core.block import MakeKernel
from dem.core.stats import S
from dem.em.progress import Progress
from dem.engine.machines import Backend, decoded_bytes
from dem.engine.sweep.serial import PartitionSweep
from dem.source import Source
from dem.source.subset import subset


class Passes:
    """A sweep that counts its passes and tells of them.

    Attributes
    ----------
    count : int
        Passes made so far.
    """

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
        """Plan the passes to come for another workspace, in the same place.

        Raises
        ------
        MemoryError
            The plan does not fit in the memory given, or into a worker.
        """
        assert self._plan is not None
        self._sweep = self._plan(workspace_bytes)

    @property
    def on_cluster(self) -> bool:
        """Whether the passes run on a cluster, not on threads or worker processes of this process's own."""
        return self._backend.on_cluster

    @property
    def machine_kinds(self) -> tuple[str, ...]:
        """The kinds of machine that make the passes: see `dem.core.blas.machine_kind`."""
        return self._backend.machine_kinds

    def check_visible(self, places: Iterable[str]) -> None:
        """Refuse places that not all who make the passes can see.

        Parameters
        ----------
        places : iterable of str
            As of `dem.source.stores`, of what is there already.

        Raises
        ------
        OSError
            Naming a worker, its host and the place.
        """
        self._backend.check_visible(places)

    def __call__(self, make_kernel: MakeKernel[S]) -> S:
        """Make a pass of EM, which the caller ends by telling the state after it."""
        return self._run(f"pass {self.count}", make_kernel)

    def run_named(self, what: str, make_kernel: MakeKernel[S]) -> S:
        """Make a pass that stands for itself."""
        stats = self._run(what, make_kernel)
        self.progress.end(None)
        return stats

    def with_name(self, what: str) -> NamedPasses:
        """Return the sweep whose passes have this name."""
        return NamedPasses(self, what)

    def only(self, indices: Sequence[int]) -> Passes:
        """Return the passes over the partitions with these indices alone."""
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
    """Passes with a name, as a sweep that can leave out partitions."""

    passes: Passes
    what: str

    def __call__(self, make_kernel: MakeKernel[S]) -> S:
        """Make a pass that stands for itself."""
        return self.passes.run_named(self.what, make_kernel)

    def only(self, indices: Sequence[int]) -> NamedPasses:
        """Return the passes over the partitions with these indices alone."""
        return NamedPasses(self.passes.only(indices), self.what)
