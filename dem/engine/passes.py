"""Passes as those who make them see them: counted, named, told of, whole or in part."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass

from dem.core.block import MakeKernel
from dem.core.stats import S
from dem.em.progress import Progress
from dem.engine.machines import Place, decoded_bytes
from dem.engine.sweep.serial import Divisible
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
        sweep: Divisible,
        source: Source,
        progress: Progress,
        place: Place,
        plan: Callable[[int], Divisible] | None = None,
    ) -> None:
        self._sweep, self._source, self.progress, self._place, self._plan = sweep, source, progress, place, plan
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
    def elsewhere(self) -> bool:
        """Whether the passes run on a cluster, not on threads or worker processes of this process's own."""
        return self._place.elsewhere

    @property
    def machine_kinds(self) -> tuple[str, ...]:
        """The kinds of machine that make the passes: see `dem.core.blas.machine_kind`."""
        return self._place.machine_kinds

    def require(self, places: Iterable[str]) -> None:
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
        self._place.require(places)

    def __call__(self, make_kernel: MakeKernel[S]) -> S:
        """Make a pass of EM, which the caller ends by telling the state after it."""
        return self._run(f"pass {self.count}", make_kernel)

    def named(self, what: str, make_kernel: MakeKernel[S]) -> S:
        """Make a pass that stands for itself."""
        stats = self._run(what, make_kernel)
        self.progress.end(None)
        return stats

    def as_named(self, what: str) -> Named:
        """Return the sweep whose passes have this name."""
        return Named(self, what)

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
class Named:
    """Passes with a name, as a sweep that can leave out partitions."""

    passes: Passes
    what: str

    def __call__(self, make_kernel: MakeKernel[S]) -> S:
        """Make a pass that stands for itself."""
        return self.passes.named(self.what, make_kernel)

    def only(self, indices: Sequence[int]) -> Named:
        """Return the passes over the partitions with these indices alone."""
        return Named(self.passes.only(indices), self.what)
