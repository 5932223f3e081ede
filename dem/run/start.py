"""The start of a fit on the sample of its first pass: the memory that it needs, and the reports of its runs."""

from __future__ import annotations

import logging

from dem.core.block import Block
from dem.core.stats import S
from dem.em.model import Model, P
from dem.em.runs import RunProgress
from dem.em.start_records import doubt
from dem.em.starts import MOVING, Start, Started, best_start
from dem.engine.engine import Engine
from dem.engine.machines import CLIENT_GROWTH
from dem.engine.passes import Passes
from dem.engine.sweep.memory_plan import IDLE_WORKER_BYTES
from dem.engine.sweep.process_memory import process_bytes
from dem.run.fit_settings import FitSettings
from dem.scan.sample import sample_rows
from dem.scan.scanner import Scan
from dem.source import Source
from dem.storage.progress_log import Journal

log = logging.getLogger("dem")

SAMPLE_COPIES = 3
"""Copies of the sample in memory: as read, merged, and as float64."""
START_COPIES = 4
"""Copies of the sample that each start needs: whitened, centred, transposed, and smaller arrays."""


def start_on_sample(
    sweep: Passes,
    model: Model[P, S],
    scanned: Scan,
    completed: Scan,
    settings: FitSettings,
    threads: int,
    journal: Journal,
) -> Started[P]:
    """Return the first parameters, from the sample of the scan, as `scanned` and as `completed`.

    Every iteration is reported, and checks the time limit. An interrupted start is not saved: it is made again.
    """
    weight = scanned.sample.weight
    sample = Block(scanned.sample.x, None if (weight == 1).all() else weight)
    sweep.progress.begin(f"start on {len(sample.x):,} rows", None, None)

    def watch(run: RunProgress) -> None:
        if run.state is None:
            sweep.progress.advance(run.ended, run.runs)
        elif run.state.stop_reason is not None and run.kind != MOVING:
            reached = f"{run.state.objective:.9g} a row"
            log.info("start on the sample: %s: %s", run, reached)
        else:
            log.debug("start on the sample: %s: %.9g a row", run, run.state.objective)
        sweep.progress.detail(run.summary)
        journal.check_time(sweep.count)

    completion = completed.sample if scanned.lacking.any() else None
    rows, tol = scanned.rows_with_value, settings.tol
    started = best_start(model, sample, settings.start, threads, completion, rows=rows, tol=tol, watch=watch)
    sweep.progress.end(None)
    if (sentence := doubt(started.starts)) is not None:
        sweep.progress.note(sentence)
    return started


def start_bytes(start: Start, source: Source, threads: int, workspace: int) -> int:
    """Return the bytes of the sample, and of `threads` starts on it at a time, each with a workspace.

    The best runs are kept in memory, which needs about one more workspace.
    """
    d = source.n_columns
    rows = sample_rows(start.sample_size, d)
    if source.n_rows is not None:
        rows = min(rows, source.n_rows)
    return 8 * rows * d * (SAMPLE_COPIES + START_COPIES * threads) + (threads + 1) * workspace


def starts_at_a_time(start: Start, source: Source, engine: Engine, workspace: int) -> int:
    """Return how many starts run at a time: they leave half of the memory limit, and a worker, for the passes.

    If a fit is refused, it is planned with one start at a time, so the limit in the error message is sufficient.
    """
    threads, limit = engine.n_workers, engine.memory_bytes
    if limit is None or threads == 1:
        return threads
    worker = process_bytes() + CLIENT_GROWTH + IDLE_WORKER_BYTES + source.read_bytes + workspace
    while threads > 1 and start_bytes(start, source, threads, workspace) > min(limit / 2, limit - worker):
        threads -= 1
    return threads
