"""Fit several candidates to the same rows: one scan, the starts on its sample, then passes that all of them share."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from dem.core import human
from dem.core.blas import single_threaded_blas
from dem.core.block import Sweep
from dem.core.stats import Statistics
from dem.core.together import Together, together
from dem.em import loop
from dem.em.candidates import DROPPING_RULE, Candidate, Candidates, Judge, Limits, advance_all
from dem.em.model import Model
from dem.em.progress import WARNING
from dem.em.starts import Started
from dem.engine.engine import Engine
from dem.engine.passes import Passes
from dem.kernel.kernel_id import NUMPY, KernelId, kernel_of
from dem.run import resume
from dem.run.check_chunks import UnchangedChunks
from dem.run.empty_rows import WithoutEmptyRows, copied_bytes
from dem.run.fit import Fit, Problem
from dem.run.fit_settings import FitSettings
from dem.run.scan_together import distinct_scanners, scan_all
from dem.run.start import start_bytes, start_on_sample, starts_at_a_time
from dem.scan.fill_sample import completed_scan
from dem.scan.scanner import Scan, scan_bytes
from dem.source import Source
from dem.storage.encoding import digest
from dem.storage.progress_log import FitIdentity, Journal

log = logging.getLogger("dem")

ROWS_A_PARAMETER = 8
"""With fewer rows in the sample, the start may be far from the optimum: measured on simulated mixtures."""

MOST_NAMED = 4
"""Most candidates that a line of progress names."""

Problems = Mapping[str, Problem[Any, Any]]
AnyModel = Model[Any, Any]


@dataclass(frozen=True)
class Selected:
    """The candidates after their fits.

    Attributes
    ----------
    candidates : Candidates
        In the order in which they were given; with the criterion, and who was dropped, when and why.
    fits : mapping of str to Fit
        Of all candidates whose fit has not failed.
    n_passes : int
        Passes over the data, with the first scan.
    """

    candidates: Candidates
    fits: Mapping[str, Fit[Any, Any]]
    n_passes: int


def fit_candidates(problems: Problems, source: Source, judge: Judge, criterion: str) -> Selected:
    """Fit all candidates with common passes; those that cannot win by the judge are dropped.

    Parameters
    ----------
    problems : mapping of str to Problem
        By name. Engine, checkpoint, callback and sample are those of the first. The callback gets the `Candidates`.
    source : Source
    judge : Judge
    criterion : str
        Its name, for the checkpoint.

    Raises
    ------
    Stopped, ValueError, OSError, MemoryError
        See `dem.run.fit.fit_model`. A fit that fails alone leaves the others running, unless all fail.
    """
    first = next(iter(problems.values()))
    settings, identity = first.settings, partial(_identity, problems, source, criterion)
    engine, d = settings.engine or Engine(), source.n_columns
    spaces = {name: problem.model.workspace_bytes(d) for name, problem in problems.items()}
    widest = max(spaces.values())
    scans = sum(scan_bytes(d, scatter=scanner.scatter) for scanner in distinct_scanners(problems, source))
    threads = starts_at_a_time(settings.start, source, engine, widest)
    with (
        single_threaded_blas(),
        engine.open(source, max(widest, scans), start_bytes(settings.start, source, threads, widest)) as sweep,
        resume.journal(settings.checkpoint, identity, sweep.machine_kinds, first.model) as journal,
    ):
        for kernel in {kernel_of(problem.model) for problem in problems.values()}:
            sweep.check_kernel(kernel)
        scanned = scan_all(sweep, problems, source, journal)
        completed = _completed(scanned)
        models, fresh = _bound(problems, completed, sweep)
        journal.use_kernel(_first_native(models))
        found: Any = journal.found.state
        starts = Starts(problems, models, scanned, completed, sweep, journal, threads)
        candidates = starts(fresh if found is None else found.in_order(list(problems)))
        passes = SharedPasses(sweep, source, next(iter(scanned.values())), models)
        limits = {name: _limits(problems[name], model, scanned[name]) for name, model in models.items()}
        candidates = _iterate(candidates, passes, limits, settings, judge, journal)
    _check_any_left(candidates)
    fits = {
        c.name: Fit(models[c.name], c.state, completed[c.name], sweep.count)
        for c in candidates.of
        if c.state is not None and not c.failed
    }
    return Selected(candidates, fits, sweep.count)


class SharedPasses:
    """Makes passes for several candidates: all in one, or in turns where the memory limit does not allow that.

    Parameters
    ----------
    sweep : Passes
    source : Source
    scanned : Scan
    models : mapping of str to Model
        Bound to the data.
    """

    def __init__(self, sweep: Passes, source: Source, scanned: Scan, models: Mapping[str, AnyModel]) -> None:
        self.sweep, self.source, self.scanned, self.models = sweep, source, scanned, models
        d = source.n_columns
        self._spaces = {name: model.workspace_bytes(d) for name, model in models.items()}
        self._each = copied_bytes(source) if scanned.empty_rows else 0
        self._room = 0

    def __call__(self, states: Mapping[str, loop.State[Any]]) -> dict[str, Statistics]:
        """Return the statistics of each model with its parameters."""
        found: dict[str, Statistics] = {}
        for group in self._turns(list(states)):
            kernels = {name: partial(self.models[name].kernel, states[name].params) for name in group}
            what = f"pass {self.sweep.count}, {human.plural(len(group), 'candidate')}"
            passes: Sweep = UnchangedChunks(self.sweep.with_name(what), self.scanned.absent, self.source)
            if self.scanned.empty_rows:
                passes = WithoutEmptyRows(passes)
            stats: Together = passes(together(kernels))
            found.update(stats.of)
        return found

    def _turns(self, names: list[str]) -> list[list[str]]:
        """Return the candidates in as few groups as the memory limit allows; each is one pass."""
        if not self._room:
            self._plan(names)
        groups: list[list[str]] = []
        for name in sorted(names, key=lambda name: -self._spaces[name]):
            group = next((g for g in groups if self._bytes([*g, name]) <= self._room), None)
            if group is None:
                groups.append(group := [])
            group.append(name)
        return groups

    def _plan(self, names: list[str]) -> None:
        """Plan passes for all candidates together; where these do not fit, for a half of their bytes, and so on."""
        least, wanted = max(self._bytes([name]) for name in names), self._bytes(names)
        room = wanted
        while True:
            try:
                self.sweep.plan_for(room)
                break
            except MemoryError:
                if room == least:
                    raise
                room = max(least, room // 2)
        self._room = room
        if room < wanted:
            turns = len(self._turns(names))
            self.sweep.progress.note(
                f"all {len(names)} candidates together do not fit within the memory limit: they take turns, so that a "
                f"step of all needs {human.plural(turns, 'pass')}"
            )

    def _bytes(self, names: Sequence[str]) -> int:
        return self._each + sum(self._spaces[name] for name in names)


def _iterate(
    candidates: Candidates,
    passes: SharedPasses,
    limits: Mapping[str, Limits],
    settings: FitSettings,
    judge: Judge,
    journal: Journal,
) -> Candidates:
    """Return the candidates after all have left; each step of all is shown and saved."""
    resumed = True
    while candidates.running:
        states = {c.name: c.state for c in candidates.running if c.state is not None}
        stats = passes(states)
        after = advance_all(candidates, passes.models, stats, judge, limits)
        if resumed:
            for c in after.of:
                if c.name in states and c.state is not None and len(c.state.history) > len(states[c.name].history):
                    resume.check_objective(states[c.name], c.state, passes.source)
            resumed = False
        passes.sweep.progress.note(_progress(candidates, after))
        candidates = after
        journal.keep_state(candidates, passes.sweep.count)  # type: ignore[arg-type]
        if settings.callback is not None:
            settings.callback(candidates)  # type: ignore[arg-type]
    return candidates


def _limits(problem: Problem[Any, Any], model: AnyModel, scanned: Scan) -> Limits:
    """Return when a candidate leaves; careful if first parameters were given, or chosen from few rows."""
    rows, d = len(scanned.sample.keys), scanned.n_columns
    n_parameters = getattr(model, "n_parameters", None)
    few = 0 if n_parameters is None else ROWS_A_PARAMETER * n_parameters(d)
    careful = problem.params is not None or rows < min(few, scanned.rows_with_value)
    return Limits(problem.settings.tol, problem.settings.max_iter, careful)


def _progress(before: Candidates, after: Candidates) -> str:
    """Return who has left in the last pass, and who is the best so far, in one sentence."""
    left = [c for c in after.of if c.ended_in == after.n_passes]
    again = {c.name for c in after.running} - {c.name for c in before.running}
    parts = [f"{len(after.running)} of {len(after.of)} candidates are running"]
    for word, members in (
        ("dropped", [c.name for c in left if c.dropped]),
        ("failed", [c.name for c in left if c.failed]),
        ("stopped", [c.name for c in left if not c.dropped and not c.failed]),
        ("running again", [c.name for c in after.running if c.name in again]),
    ):
        if members:
            more = f"; and {len(members) - MOST_NAMED} more" if len(members) > MOST_NAMED else ""
            parts.append(f"{word}: {'; '.join(members[:MOST_NAMED])}{more}")
    known = [(c.most, c.name) for c in after.of if c.most is not None and c.most < float("inf")]
    if known:
        parts.append(f"best so far: {min(known)[1]}")
    return ". ".join(parts)


@dataclass(frozen=True)
class Starts:
    """The starts of the candidates on the sample, one candidate after the other.

    Attributes
    ----------
    problems, models, scanned, completed : mapping of str
        By candidate: its problem, its bound model, and the scan, as it is and completed.
    sweep : Passes
    journal : Journal
        Gets the candidates after each start, so that an interrupted selection repeats one start at most.
    threads : int
        Starts at a time.
    """

    problems: Problems
    models: Mapping[str, AnyModel]
    scanned: Mapping[str, Scan]
    completed: Mapping[str, Scan]
    sweep: Passes
    journal: Journal
    threads: int

    def __call__(self, candidates: Candidates) -> Candidates:
        """Return the candidates, all started; those whose start failed have left."""
        for candidate in candidates.running:
            if candidate.state is None:
                candidates = candidates.replaced(self._started(candidate.name))
                self.journal.keep_state(candidates, self.sweep.count)  # type: ignore[arg-type]
        return candidates

    def _started(self, name: str) -> Candidate:
        problem, progress = self.problems[name], self.sweep.progress
        params, settings = problem.params, problem.settings
        try:
            if params is None:
                progress.note(f"start of {name}")
                scans = self.scanned[name], self.completed[name]
                started = start_on_sample(self.sweep, self.models[name], *scans, settings, self.threads, self.journal)
            else:
                started = Started(params)
        except (ValueError, ArithmeticError) as error:
            progress.end(None)
            progress.note(f"{WARNING}{name} cannot be fitted: {error}")
            return Candidate(name, ended_in=0, why=str(error))
        state = loop.first_state(self.models[name], started.params, max_iter=settings.max_iter)
        return Candidate(name, replace(state, starts=started.starts))


def _bound(problems: Problems, completed: Mapping[str, Scan], sweep: Passes) -> tuple[dict[str, AnyModel], Candidates]:
    """Return the models bound to the data, and all candidates; those to which the data do not suit have failed."""
    models, candidates = {}, []
    for name, problem in problems.items():
        try:
            models[name] = problem.model.bind(completed[name])
            candidates.append(Candidate(name))
        except (ValueError, ArithmeticError) as error:
            sweep.progress.note(f"{WARNING}{name} cannot be fitted: {error}")
            candidates.append(Candidate(name, ended_in=0, why=str(error)))
    found = Candidates(tuple(candidates))
    _check_any_left(found)
    return models, found


def _check_any_left(candidates: Candidates) -> None:
    """Raise the first error if all fits have failed."""
    if all(c.failed for c in candidates.of):
        raise ValueError(f"no candidate can be fitted; {candidates.of[0].name}: {candidates.of[0].why}")


def _completed(scanned: Mapping[str, Scan]) -> dict[str, Scan]:
    """Return the completed scan of each candidate; candidates that share a scan share that too."""
    each = {id(scan): scan for scan in scanned.values()}
    done = {key: completed_scan(scan) for key, scan in each.items()}
    return {name: done[id(scan)] for name, scan in scanned.items()}


def _first_native(models: Mapping[str, AnyModel]) -> KernelId:
    """Return the native kernel, if any of the models uses it."""
    return next((kernel for model in models.values() if (kernel := kernel_of(model)) != NUMPY), NUMPY)


def _identity(problems: Problems, source: Source, criterion: str) -> FitIdentity:
    """Return everything that the selection depends on."""
    each = {name: _settings(problem) for name, problem in problems.items()}
    start = next(iter(problems.values())).settings.start
    known: dict[str, Any] = {"model": None, "candidates": each, "criterion": criterion, "dropping": DROPPING_RULE}
    return FitIdentity(source.fingerprint, {**known, **asdict(replace(start, n_init=1))}, source.name)


def _settings(problem: Problem[Any, Any]) -> dict[str, Any]:
    """Return the settings of a candidate that change its result, valid in JSON."""
    model, settings = problem.model, problem.settings
    first = {} if problem.params is None else {"first_parameters": digest(problem.params)}
    own = {"tol": settings.tol, "max_iter": settings.max_iter, "n_init": settings.start.n_init}
    return {"model": type(model).__name__, **resume.settings_of(model), **own, **first}
