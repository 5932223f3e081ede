"""How a fit runs: one value, the same for every model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dem.em import loop
from dem.em.progress import Progress, Silent
from dem.em.starts import Start
from dem.engine.engine import Engine
from dem.storage.checkpoint import Checkpoint


@dataclass(frozen=True)
class FitSettings:
    """How a fit runs.

    Attributes
    ----------
    tol : float
        EM stops when the objective rises by less, in nats a row: see `dem.em.loop.advance`.
    max_iter : int
        Most M-steps.
    start : Start
        How the first parameters are found, and the sample of the first scan.
    missing : {"marginalize", "error"}
        Whether missing values are left out exactly, or refused.
    engine : Engine or None
        Where to run, and within what memory; None for this machine.
    callback : callable or None
        Called with the `dem.em.loop.State` after each pass of EM.
    checkpoint : Checkpoint or None
        Where to keep the fit after every pass. A fit that is there already goes on, with the same bits.
    progress : Progress
        Shows iterations that are made in memory. Passes over the data are shown by the engine's progress.
    """

    tol: float
    max_iter: int
    start: Start = field(default_factory=Start)
    missing: str = "marginalize"
    engine: Engine | None = None
    callback: Callable[[loop.State[Any]], object] | None = None
    checkpoint: Checkpoint | None = None
    progress: Progress = field(default_factory=Silent)
