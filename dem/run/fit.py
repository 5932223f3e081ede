"""Fit a model to a source by EM: scan, start on the sample, and iterations."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic

import numpy as np

from dem.core import human
from dem.core.blas import single_threaded_blas
from dem.core.block import Sweep
from dem.core.error_state import default_error_state
from dem.core.stats import S
from dem.em import loop
from dem.em.model import Model, P
from dem.em.progress import WARNING, end_pass
from dem.em.starts import Start, Started
from dem.engine.engine import Engine
from dem.engine.passes import Passes
from dem.kernel.choice import chosen_kernel
from dem.kernel.kernel_id import kernel_of
from dem.run import absent_chunks, resume
from dem.run.check_chunks import UnchangedChunks
from dem.run.check_data import Squared, check_values, doubts, unlike_spreads
from dem.run.check_load import check_load
from dem.run.empty_rows import WithoutEmptyRows, copied_bytes, left_out_note
from dem.run.first_pass import Guess, Primed, scan_and_step
from dem.run.fit_settings import FitSettings
from dem.run.start import start_bytes, start_on_sample, starts_at_a_time
from dem.scan.fill_sample import completed_scan
from dem.scan.scanner import Scan, Scanner, scan_bytes
from dem.scan.support import Measure
from dem.source import Source, open_source
from dem.source.scaled import in_data_units
from dem.storage.progress_log import Journal

log = logging.getLogger("dem")

SMALLEST_SAMPLE_SHARE = 1 / 4
"""A sample is drawn again if it has less than this share of its rows, because the others were empty."""


@dataclass(frozen=True)
class Fit(Generic[P, S]):
    """The result of a fit.

    Attributes
    ----------
    model : Model
        Bound to the data.
    state : State
        Parameters, history, and why the fit stopped.
    scan : Scan
        The result of the first pass, completed (see `dem.scan.fill_sample`).
    n_passes : int
        Full passes over the data, with the first scan, and with those of earlier runs that this one continues.
    """

    model: Model[P, S]
    state: loop.State[P]
    scan: Scan
    n_passes: int


@dataclass(frozen=True)
class Problem(Generic[P, S]):
    """A fit by EM that can be made alone (`fit_model`) or together with others (`dem.run.select`).

    Attributes
    ----------
    model : Model
        Not yet bound to data.
    settings : FitSettings
    params : P or None
        The first parameters, if they are known.
    guess : Guess or None
        What is expected of the data, made for these `params`.
    scan_suffices : callable or None
        Tells of a scan with the whole scatter that no EM is needed: then `ScanSufficesError` is raised.
    """

    model: Model[P, S]
    settings: FitSettings
    params: P | None = None
    guess: Guess[P, S] | None = None
    scan_suffices: Callable[[Scan], bool] | None = None


class ScanSufficesError(Exception):
    """The first pass of a fit tells all: see `Problem.scan_suffices`.

    Attributes
    ----------
    scan : Scan
    """

    def __init__(self, scan: Scan) -> None:
        super().__init__("the scan suffices")
        self.scan = scan


def fit_problem(problem: Problem[P, S], source: Source) -> Fit[P, S]:
    """Make a fit alone: see `fit_model`."""
    return fit_model(
        problem.model,
        source,
        problem.settings,
        params=problem.params,
        guess=problem.guess,
        scan_suffices=problem.scan_suffices,
    )


def fit_model(
    model: Model[P, S],
    source: Source,
    settings: FitSettings,
    *,
    params: P | None = None,
    guess: Guess[P, S] | None = None,
    scan_suffices: Callable[[Scan], bool] | None = None,
) -> Fit[P, S]:
    """Fit a model by EM: one scan, a start on its sample, then a pass per iteration.

    With a guess, the first pass makes the scan and the E-step of the first iteration. If the data are not as expected,
    that E-step is made again.

    Parameters
    ----------
    model : Model
        Not yet bound to data.
    source : Source
    settings : FitSettings
    params : P, optional
        The first parameters, if they are known; then no start is made on the sample.
    guess : Guess, optional
        What is expected of the data, made for these `params`.
    scan_suffices : callable, optional
        See `Problem`.

    Raises
    ------
    ScanSufficesError
        No EM is needed.
    Stopped
        A limit of the checkpoint is reached; the same call continues the fit.
    ValueError
        The data have missing or infinite values, or do not suit the model; or the checkpoint is of another fit.
    OSError
        A chunk cannot be read.
    MemoryError
        The fit needs more memory than the limit.
    """
    engine, start = settings.engine or Engine(), settings.start
    workspace = model.workspace_bytes(source.n_columns)
    scatter = model.needs_scatter or scan_suffices is not None
    if guess is not None:
        workspace = max(workspace, guess.model.workspace_bytes(source.n_columns)) + copied_bytes(source)
    if guess is not None or scan_suffices is not None:
        workspace += scan_bytes(source.n_columns, scatter=scatter)
    threads = starts_at_a_time(start, source, engine, workspace)
    held = start_bytes(start, source, threads, workspace)
    identity = partial(resume.identity, model, source, start, params, tol=settings.tol, max_iter=settings.max_iter)
    with (
        single_threaded_blas(),
        engine.open(source, workspace, held) as sweep,
        resume.journal(settings.checkpoint, identity, sweep.machine_kinds, model) as journal,
    ):
        sweep.check_kernel(kernel_of(model))
        scanned, stats = scan_for_model(sweep, model, source, settings, journal, guess, scatter=scatter)
        completed = completed_scan(scanned)
        if scan_suffices is not None and scan_suffices(scanned):
            raise ScanSufficesError(completed)
        bound, stats = bound_model(sweep, model, completed, guess, stats)
        journal.use_kernel(kernel_of(bound))
        needed = bound.workspace_bytes(source.n_columns) + (copied_bytes(source) if scanned.empty_rows else 0)
        if needed > workspace:
            sweep.plan_for(needed)  # the scan has found missing values, which need more memory
        state = journal.found.state
        if state is None:
            if params is None:
                started = start_on_sample(sweep, bound, scanned, completed, settings, threads, journal)
            else:
                started = Started(params)
            state = first_state(bound, started.params, guess, settings.max_iter)
            state = replace(state, starts=started.starts)
            if stats is None:
                journal.keep_state(state, sweep.count)
        state = iterate(sweep, bound, state, source, scanned, settings, journal, stats)
        return Fit(bound, state, completed, sweep.count)


def scan_for_model(
    sweep: Passes,
    model: Model[P, S],
    source: Source,
    settings: FitSettings,
    journal: Journal,
    guess: Guess[P, S] | None = None,
    *,
    scatter: bool,
) -> tuple[Scan, S | None]:
    """Return the scan that a model needs: that of the settings, the one in the journal, or that of a first pass.

    Also return the statistics of the E-step that such a pass has made, if it has.
    """
    known = settings.scan
    if known is None or journal.found.scan is not None:
        return scan_once(
            sweep,
            source,
            settings,
            journal,
            scatter=scatter,
            measure=model.measure,
            squared=model.squared,
            guess=guess,
        )
    sweep.count = 1
    journal.keep_scan(known)
    return known, None


def bound_model(
    sweep: Passes, model: Model[P, S], scan: Scan, guess: Guess[P, S] | None, stats: S | None
) -> tuple[Model[P, S], S | None]:
    """Return the model bound to the data, and the statistics of the first pass as its own; None if it is made again.

    A fit that continues from a checkpoint gets the same model, because only the scan decides.
    """
    if guess is None:
        return model.bind(scan), None
    found = model.bind_like(scan, guess.model, guess.params)
    if found is not None:
        sweep.joined = 1
        return found, None if stats is None else found.own_stats(guess.params, stats, guess.model)
    if stats is not None or sweep.count == 1:
        sweep.progress.note(
            "the E-step of the first pass is made again: the data are not as the earlier model expects them (other "
            "ranges, or missing values where there were none)"
        )
    return model.bind(scan), None


def first_state(model: Model[P, S], params: P, guess: Guess[P, S] | None, max_iter: int) -> loop.State[P]:
    """Return the state before the first pass; after a guess it is exact, as its E-step was."""
    return loop.first_state(model, params if guess is None else model.exact(guess.params), max_iter=max_iter)


def iterate(
    sweep: Passes,
    model: Model[P, S],
    first_state: loop.State[P],
    source: Source,
    scanned: Scan,
    settings: FitSettings,
    journal: Journal,
    stats: S | None = None,
) -> loop.State[P]:
    """Return the state at which EM stops, starting from `first_state`; each pass is shown and saved.

    `stats` are those of the first pass, if it has been made already.
    """

    def after_pass(state: loop.State[P]) -> None:
        if len(state.history) == len(first_state.history) + 1:
            resume.check_objective(first_state, state, source)
        unit = "a row" if state.history[-1].log_likelihood is None else "nats a row"
        log.info("pass %d: %.9g %s", len(state.history), state.objective, unit)
        end_pass(sweep.progress, state, tol=settings.tol, max_iter=settings.max_iter)
        journal.keep_state(state, sweep.count)
        if settings.callback is not None:
            settings.callback(state)

    passes: Sweep = UnchangedChunks(sweep, scanned.absent, source)
    if scanned.empty_rows:
        passes = WithoutEmptyRows(passes)
    if stats is not None:
        passes = Primed(stats, passes, sweep.progress)
    return loop.continue_fit(
        model, first_state, passes, tol=settings.tol, max_iter=settings.max_iter, callback=after_pass
    )


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
    columns: Sequence[str | int] | None = None,
) -> Scan:
    """Return counts, moments, ranges and a sample of the rows, from one pass.

    Parameters
    ----------
    data : str, Path, zarr.Array, dask.array.Array or array-like of shape (n, d)
    sample_weight : array-like of shape (n,), optional
        In any of these forms.
    engine : Engine, optional
    sample_size : int
        Rows in the sample.
    seed : int
        The seed of the sample.
    scatter : bool
        Compute the whole (d, d) scatter, not only its diagonal.
    missing_value : number, optional
    columns : sequence of str or int, optional
        See `dem.open_source`.
    """
    start = Start(sample_size=sample_size, seed=seed)
    check_load(data, sample_weight, engine)
    source = open_source(data, sample_weight, missing_value=missing_value, columns=columns)
    scanner = scanner_of(source, start, scatter=scatter)
    with (engine or Engine()).open(source, scan_bytes(source.n_columns, scatter=scatter)) as sweep:
        return first_scan(sweep, source, scanner, name="scan")


def scan_of(source: Source, settings: FitSettings, *, scatter: bool, **identity: Any) -> Scan:
    """Return the checked scan of a fit as a pass of its own, with a checkpoint of its own.

    Parameters
    ----------
    source : Source
    settings : FitSettings
    scatter : bool
        Compute the whole (d, d) scatter.
    **identity
        Further settings of the fit that its checkpoint must agree with, valid in JSON.
    """
    known = partial(resume.identity, None, source, settings.start, None, scatter=scatter, **identity)
    with (
        (settings.engine or Engine()).open(source, scan_bytes(source.n_columns, scatter=scatter)) as sweep,
        resume.journal(settings.checkpoint, known, sweep.machine_kinds) as journal,
    ):
        return scan_once(sweep, source, settings, journal, scatter=scatter)[0]


def scanner_of(source: Source, start: Start, *, scatter: bool, measure: Measure | None = None) -> Scanner:
    """Return the maker of the kernel of the first pass."""
    return Scanner(source.n_columns, scatter, start.sample_size, start.seed, source.n_rows, measure, chosen_kernel())


def first_scan(sweep: Passes, source: Source, scanner: Scanner, name: str = "first scan") -> Scan:
    """Return the scan of the whole source; `name` is the name of the pass in reports."""
    sweep.check_kernel(scanner.kernel_used)
    return reported(sweep, source, scanner, sweep.run_named(name, scanner), name)


def reported(sweep: Passes, source: Source, scanner: Scanner, found: Scan, name: str) -> Scan:
    """Return the scan of the whole source after a report on it; with another sample, if too few rows have values.

    The logs of the scales of a scaled source are part of the base measure: see `dem.scan.scaling`.
    """
    if report_scan(sweep, source, found, scanner.k, name):
        found = sweep.run_named("sample", replace(scanner, n_rows=found.rows_with_value))
    return in_data_units(source, found)


def report_scan(sweep: Passes, source: Source, found: Scan, k: int, name: str) -> bool:
    """Report the scan of the whole source, and return whether its sample of k rows must be drawn again.

    It must be if it is too small because most rows have no value. Then the number of rows with a value is known.
    """
    log.info("%s: %d rows of %s", name, found.rows, source.name)
    absent_chunks.report_absent(found.absent, source, sweep.progress)
    if not found.empty_rows:
        return False
    sweep.progress.note(left_out_note(found.empty_rows, found.rows, source))
    fill = min(k, found.rows_with_value) * SMALLEST_SAMPLE_SHARE
    return len(found.sample.keys) < fill and source.weights_at(()) is None


def scan_once(
    sweep: Passes,
    source: Source,
    settings: FitSettings,
    journal: Journal,
    *,
    scatter: bool,
    measure: Measure | None = None,
    squared: Squared = np.asarray,
    guess: Guess[Any, Any] | None = None,
) -> tuple[Scan, Any]:
    """Return the scan in the journal, or that of a first pass, after checks of its values.

    Also return the statistics of the E-step that was made in the same pass; None without a guess.
    """
    earlier, start, missing, stats = journal.found, settings.start, settings.missing, None
    scanner = scanner_of(source, start, scatter=scatter, measure=measure)
    if earlier.scan is None:
        if guess is None:
            found = first_scan(sweep, source, scanner)
        else:
            name = "first scan and pass 1"
            sweep.check_kernel(scanner.kernel_used)
            both = sweep.run_named(name, scan_and_step(scanner, guess))
            found, stats = reported(sweep, source, scanner, both.scan, name), both.stats
        check_values(found, source, missing, squared)
        for sentence in (
            *doubts(found, source, measure),
            *(unlike_spreads(found, source) if settings.depends_on_units else ()),
        ):
            sweep.progress.note(f"{WARNING}{sentence}")
        journal.keep_scan(found)
        return found, stats
    check_values(earlier.scan, source, missing, squared)  # the settings may be stricter now
    sweep.count = earlier.n_passes
    resume.check_sampled_rows(earlier.scan, source, start.seed)
    sweep.progress.note(f"continuing after {human.passes(sweep.count)} over {source.name}")
    absent_chunks.report_absent(earlier.scan.absent, source, sweep.progress)
    for warning in resume.last_bits_warnings(earlier, sweep.machine_kinds, scanner.kernel_used):
        sweep.progress.note(warning)
    return earlier.scan, None
