"""Where source, scan, start, sweep and em meet: a fit."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic

import numpy as np

from dem.core import human
from dem.core.blas import single_threaded_blas
from dem.core.block import Block, Sweep
from dem.core.error_state import default_error_state
from dem.core.stats import S
from dem.em import loop
from dem.em.model import Model, P
from dem.em.progress import WARNING
from dem.em.runs import RunProgress
from dem.em.starts import Start, best_start
from dem.engine.engine import Engine
from dem.engine.machines import CLIENT_GROWTH
from dem.engine.passes import Passes
from dem.engine.sweep.memory_plan import IDLE_WORKER_BYTES
from dem.engine.sweep.process_memory import process_bytes
from dem.run import absent_chunks, resume
from dem.run.check_chunks import UnchangedChunks
from dem.run.check_data import Squared, check_values, doubts
from dem.run.check_load import check_load
from dem.run.empty_rows import WithoutEmptyRows, copied_bytes, left_out_note
from dem.run.fit_settings import FitSettings
from dem.scan.fill_sample import completed_scan
from dem.scan.sample import sample_rows
from dem.scan.scanner import Scan, Scanner, scan_bytes
from dem.scan.support import Measure
from dem.source import Source, open_source
from dem.storage.progress_log import Journal

log = logging.getLogger("dem")

ENOUGH = 4
"""A sample that lacks rows, since those without any value were drawn for it, will do while it has a quarter of them."""
SAMPLE_COPIES = 3
"""The sample as it came, merged, and as float64."""
START_COPIES = 4
"""What each start holds at a time: the rows whitened, centred, transposed, and a little more."""


@dataclass(frozen=True)
class Fit(Generic[P, S]):
    """What a fit leaves.

    Attributes
    ----------
    model : Model
        Bound to the data.
    state : State
        Parameters, history, and why it stopped.
    scan : Scan
        What the first pass told of the data, completed (see `dem.scan.fill_sample`).
    n_passes : int
        Full passes over the data, the first scan included, also those of earlier runs that this one went on from.
    """

    model: Model[P, S]
    state: loop.State[P]
    scan: Scan
    n_passes: int


def fit_model(
    model: Model[P, S], source: Source, settings: FitSettings, *, params: P | None = None, found: Scan | None = None
) -> Fit[P, S]:
    """Fit a model by EM: one scan, a start on its sample, then a pass per iteration.

    Parameters
    ----------
    model : Model
        Not yet bound to data.
    source : Source
    settings : FitSettings
    params : P, optional
        The first parameters, where they are known: no start is made then.
    found : Scan, optional
        The first pass, where it has been made already.

    Raises
    ------
    Stopped
        The checkpoint's limits are reached; the same call goes on.
    ValueError
        The data hold missing or infinite values, or do not suit the model; or the checkpoint is of another fit.
    OSError
        A chunk cannot be read.
    MemoryError
        The plan does not fit in the memory given.
    """
    engine, start = settings.engine or Engine(), settings.start
    room = model.workspace_bytes(source.n_columns)
    threads = starts_at_a_time(start, source, engine, room)
    held = start_bytes(start, source, threads, room)
    stops = {"tol": settings.tol, "max_iter": settings.max_iter}
    identity = partial(resume.identity, model, source, start, params, **stops)
    with (
        single_threaded_blas(),
        engine.open(source, room, held) as sweep,
        resume.journal(settings.checkpoint, identity, sweep.machine_kinds, model) as journal,
    ):
        found = scan_for_model(sweep, model, source, settings, journal, found)
        seen = completed_scan(found)
        bound = model.bind(seen)
        more = bound.workspace_bytes(source.n_columns) + (copied_bytes(source) if found.empty_rows else 0)
        if more > room:
            sweep.plan_for(more)  # missing values need it, as the scan has shown
        state = journal.found.state
        if state is None:
            if params is None:
                params = start_on_sample(sweep, bound, found, seen, start, threads, journal)
            state = loop.first_state(bound, params, max_iter=settings.max_iter)
            journal.keep_state(state, sweep.count)
        state = iterate(sweep, bound, state, source, found, settings, journal)
        return Fit(bound, state, seen, sweep.count)


def scan_for_model(
    sweep: Passes, model: Model[P, S], source: Source, settings: FitSettings, journal: Journal, found: Scan | None
) -> Scan:
    """Return the scan that a model needs: the one that was `found` before, the journal's, or that of a first pass."""
    if found is None or journal.found.scan is not None:
        return scan_once(
            sweep,
            source,
            settings,
            journal,
            scatter=model.needs_scatter,
            measure=model.measure,
            squared=model.squared,
        )
    sweep.count = 1
    journal.keep_scan(found)
    return found


def iterate(
    sweep: Passes,
    model: Model[P, S],
    begun: loop.State[P],
    source: Source,
    found: Scan,
    settings: FitSettings,
    journal: Journal,
) -> loop.State[P]:
    """Return the state at which EM stops, from the state `begun` on; each pass is checked, shown and kept."""

    def after_pass(state: loop.State[P]) -> None:
        if len(state.history) == len(begun.history) + 1:
            resume.check_objective(begun, state, source)
        unit = "a row" if state.history[-1].log_likelihood is None else "nats a row"
        log.info("pass %d: %.9g %s", len(state.history), state.objective, unit)
        sweep.progress.end(state)
        journal.keep_state(state, sweep.count)
        if settings.callback is not None:
            settings.callback(state)

    passes: Sweep = UnchangedChunks(sweep, found.absent, source)
    if found.empty_rows:
        passes = WithoutEmptyRows(passes)
    return loop.go_on(model, begun, passes, tol=settings.tol, max_iter=settings.max_iter, callback=after_pass)


@default_error_state()
def scan(
    data: Any,
    sample_weight: Any = None,
    *,
    engine: Engine | None = None,
    sample_size: int = Start.sample_size,
    seed: int = 0,
    scatter: bool = False,
    missing_value: float | None = None,
) -> Scan:
    """Return counts, moments, ranges and a sample of the rows, from one pass.

    Parameters
    ----------
    data : str, Path, zarr.Array, dask.array.Array or array-like of shape (n, d)
    sample_weight : array-like of shape (n,), optional
        In any of the same forms.
    engine : Engine, optional
    sample_size : int
        Rows in the sample.
    seed : int
        Of the sample.
    scatter : bool
        Gather the whole (d, d) scatter, not only its diagonal.
    missing_value : number, optional
        See `dem.open_source`.
    """
    start = Start(sample_size=sample_size, seed=seed)
    check_load(data, sample_weight, engine)
    source = open_source(data, sample_weight, missing_value=missing_value)
    with (engine or Engine()).open(source, scan_bytes(source.n_columns, scatter=scatter)) as sweep:
        return first_scan(sweep, source, start, scatter=scatter, name="scan")


def scan_moments(source: Source, settings: FitSettings) -> Scan:
    """Return the checked scan with the whole scatter: the one pass of fits on moments."""
    identity = partial(resume.identity, None, source, settings.start, None, scatter=True)
    with (
        (settings.engine or Engine()).open(source, scan_bytes(source.n_columns, scatter=True)) as sweep,
        resume.journal(settings.checkpoint, identity, sweep.machine_kinds) as journal,
    ):
        return scan_once(sweep, source, settings, journal, scatter=True)


def first_scan(
    sweep: Passes,
    source: Source,
    start: Start,
    *,
    scatter: bool,
    measure: Measure | None = None,
    name: str = "first scan",
) -> Scan:
    """Return the scan of the whole source; `name` is the name of the pass in reports."""
    scanner = Scanner(source.n_columns, scatter, start.sample_size, start.seed, source.n_rows, measure)
    found = sweep.run_named(name, scanner)
    log.info("%s: %d rows of %s", name, found.rows, source.name)
    absent_chunks.report_absent(found.absent, source, sweep.progress)
    if found.empty_rows:
        sweep.progress.note(left_out_note(found.empty_rows, found.rows, source))
        fill = min(scanner.k, found.rows_with_value) / ENOUGH
        if len(found.sample.keys) < fill and resume.weights_of(source) is None:
            found = sweep.run_named("sample", replace(scanner, n_rows=found.rows_with_value))
    return found


def scan_once(
    sweep: Passes,
    source: Source,
    settings: FitSettings,
    journal: Journal,
    *,
    scatter: bool,
    measure: Measure | None = None,
    squared: Squared = np.asarray,
) -> Scan:
    """Return the scan, checked: the one that the journal has, or that of a first pass."""
    before, start, missing = journal.found, settings.start, settings.missing
    if before.scan is None:
        found = first_scan(sweep, source, start, scatter=scatter, measure=measure)
        check_values(found, source, missing, squared)
        for sentence in doubts(found, source, measure):
            sweep.progress.note(f"{WARNING}{sentence}")
        journal.keep_scan(found)
        return found
    check_values(before.scan, source, missing, squared)  # what was taken then may be refused now
    sweep.count = before.n_passes
    resume.check_sampled_rows(before.scan, source, start.seed)
    sweep.progress.note(f"continuing after {human.passes(sweep.count)} over {source.name}")
    absent_chunks.report_absent(before.scan.absent, source, sweep.progress)
    if warning := resume.machine_warning(before, sweep.machine_kinds):
        sweep.progress.note(warning)
    return before.scan


def start_on_sample(
    sweep: Passes, model: Model[P, S], found: Scan, seen: Scan, start: Start, threads: int, journal: Journal
) -> P:
    """Return the first parameters, from the scan's sample as it was `found`, and as it is `seen` completed.

    Every iteration is told of, and looks at the journal's limits. Of a start that is broken off nothing is kept: it is
    made anew.
    """
    weight = found.sample.weight
    sample = Block(found.sample.x, None if (weight == 1).all() else weight)
    sweep.progress.begin(f"start on {len(sample.x):,} rows", None, None)

    def watch(run: RunProgress) -> None:
        if run.state is None:
            sweep.progress.advance(run.ended, run.runs)
        elif run.state.stop_reason is not None:
            reached = f"{run.state.objective:.9g} a row"
            log.info("start on the sample: %s: %s", run, reached)
        else:
            log.debug("start on the sample: %s: %.9g a row", run, run.state.objective)
        sweep.progress.detail(str(run))
        journal.check_time(sweep.count)

    completion = seen.sample if found.lacking.any() else None
    params = best_start(model, sample, start, threads, completion, rows=found.rows_with_value, watch=watch)
    sweep.progress.end(None)
    return params


def start_bytes(start: Start, source: Source, threads: int, room: int) -> int:
    """Return what the sample takes, and so many starts on it at a time, each with `room` to work in, in bytes.

    The best runs are kept meanwhile, which takes about as much room as one that works.
    """
    d = source.n_columns
    rows = sample_rows(start.sample_size, d)
    if source.n_rows is not None:
        rows = min(rows, source.n_rows)
    return 8 * rows * d * (SAMPLE_COPIES + START_COPIES * threads) + (threads + 1) * room


def starts_at_a_time(start: Start, source: Source, engine: Engine, room: int) -> int:
    """Return how many starts to run at a time: as many as leave half of the limit, and a worker, to the passes.

    So a fit that is refused is so with one start at a time, and the limit that the refusal names will do.
    """
    threads, limit = engine.n_workers, engine.memory_bytes
    if limit is None or threads == 1:
        return threads
    worker = process_bytes() + CLIENT_GROWTH + IDLE_WORKER_BYTES + source.read_bytes + room
    while threads > 1 and start_bytes(start, source, threads, room) > min(limit / 2, limit - worker):
        threads -= 1
    return threads
