"""The settings of a fit that are the same for every model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from dem.em import loop
from dem.em.progress import Progress, Silent
from dem.em.starts import Start
from dem.engine.engine import Engine
from dem.scan.scanner import Scan
from dem.storage.checkpoint import Checkpoint


@dataclass(frozen=True)
class FitSettings:
    """How a fit runs.

    Attributes
    ----------
    tol : float
        EM stops when the objective rises by less, in nats a row: see `dem.em.loop.advance`.
    max_iter : int
        The largest number of M-steps.
    start : Start
        How the first parameters are found; and the size and seed of the sample.
    missing : {"marginalize", "error"}
        Whether missing values are marginalised or refused.
    engine : Engine or None
        Where to run, with which memory limit; None for this machine.
    callback : callable or None
        Called with the `dem.em.loop.State` after each pass of EM.
    checkpoint : Checkpoint or None
        Where to save the fit after every pass. A fit saved there continues, with the same bits as without a stop.
    progress : Progress
        Shows iterations in memory. The engine's progress shows passes over the data.
    scan : Scan or None
        The result of the first pass, if it has been made already.
    depends_on_units : bool
        Whether the result depends on the units of the columns: then very different spreads are reported.
    """

    tol: float
    max_iter: int
    start: Start = field(default_factory=Start)
    missing: str = "marginalize"
    engine: Engine | None = None
    callback: Callable[[loop.State[Any]], object] | None = None
    checkpoint: Checkpoint | None = None
    progress: Progress = field(default_factory=Silent)
    scan: Scan | None = None
    depends_on_units: bool = False

    def after_scan(self, scan: Scan) -> FitSettings:
        """Return the settings of a fit that begins with this scan.

        The scan has a checkpoint of its own; that of the fit is inside it.
        """
        kept = self.checkpoint
        inside = None if kept is None else replace(kept, path=f"{kept.path}/em")
        return replace(self, scan=scan, checkpoint=inside)
