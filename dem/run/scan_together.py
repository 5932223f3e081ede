"""The first pass for several models: each gets the scan that it would get alone, and all are made in one pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dem.core import human
from dem.core.together import Together, together
from dem.em.progress import WARNING
from dem.engine.passes import Passes
from dem.run import absent_chunks, resume
from dem.run.check_data import check_values, doubts, unlike_spreads
from dem.run.fit import Problem, report_scan, scanner_of
from dem.scan.scanner import Scan, Scanner
from dem.scan.scans import Scans
from dem.scan.support import Measure
from dem.source import Source
from dem.storage.encoding import digest
from dem.storage.progress_log import Journal

Problems = Mapping[str, Problem[Any, Any]]


def distinct_scanners(problems: Problems, source: Source) -> tuple[Scanner, ...]:
    """Return the different scanners of the models, in the order in which they are first needed."""
    return tuple({_key(p): _scanner(p, source) for p in problems.values()}.values())


def scan_all(sweep: Passes, problems: Problems, source: Source, journal: Journal) -> dict[str, Scan]:
    """Return the scan of each model: that of the settings, the one in the journal, or that of a first pass.

    Raises
    ------
    ValueError
        The values do not suit one of the models.
    """
    known = next(iter(problems.values())).settings.scan
    keys = list(dict.fromkeys(_key(problem) for problem in problems.values()))
    earlier: Any = journal.found.scan
    if earlier is not None:
        found = earlier.of
        sweep.count = journal.found.n_passes
    elif known is not None:
        found = (known,) * len(keys)
        sweep.count = 1
    else:
        found = _first_scans(sweep, distinct_scanners(problems, source), source)
    scans = dict(zip(keys, found, strict=True))
    scanned = {name: scans[_key(problem)] for name, problem in problems.items()}
    for name, problem in problems.items():
        if known is None or earlier is not None:
            check_values(scanned[name], source, problem.settings.missing, problem.model.squared)
    if earlier is not None:
        _tell_of_resumed(sweep, problems, source, journal)
        return scanned
    if known is None:
        _tell_doubts(sweep, problems, scanned, source)
    journal.keep_scan(Scans(tuple(found)))  # type: ignore[arg-type]
    return scanned


def _first_scans(sweep: Passes, scanners: tuple[Scanner, ...], source: Source) -> tuple[Scan, ...]:
    """Return the scans that these scanners make in one pass; in another one if the sample has too few rows."""
    for kernel in {scanner.kernel_used for scanner in scanners}:
        sweep.check_kernel(kernel)

    def scan(name: str, scanners: tuple[Scanner, ...]) -> tuple[Scan, ...]:
        stats: Together = sweep.run_named(name, together({str(i): each for i, each in enumerate(scanners)}))
        return tuple(stats.of[str(i)] for i in range(len(scanners)))

    found = scan("first scan", scanners)
    first = found[0]
    if report_scan(sweep, source, first, scanners[0].k, "first scan"):
        found = scan("sample", tuple(replace(each, n_rows=first.rows_with_value) for each in scanners))
    return found


def _tell_doubts(sweep: Passes, problems: Problems, scanned: Mapping[str, Scan], source: Source) -> None:
    """Warn, once each, of data that a model accepts but that are probably of another unit or family."""
    sentences: dict[str, None] = {}
    for name, problem in problems.items():
        found = scanned[name]
        sentences.update(dict.fromkeys(doubts(found, source, problem.model.measure)))
        if problem.settings.depends_on_units:
            sentences.update(dict.fromkeys(unlike_spreads(found, source)))
    for sentence in sentences:
        sweep.progress.note(f"{WARNING}{sentence}")


def _tell_of_resumed(sweep: Passes, problems: Problems, source: Source, journal: Journal) -> None:
    """Check that the data are those of the checkpoint, and say that the selection continues."""
    earlier, problem = journal.found, next(iter(problems.values()))
    scans: Any = earlier.scan
    first: Scan = scans.first
    resume.check_sampled_rows(first, source, problem.settings.start.seed)
    sweep.progress.note(f"continuing after {human.passes(sweep.count)} over {source.name}")
    absent_chunks.report_absent(first.absent, source, sweep.progress)
    for warning in resume.last_bits_warnings(earlier, sweep.machine_kinds, _scanner(problem, source).kernel_used):
        sweep.progress.note(warning)


def _measure(problem: Problem[Any, Any]) -> Measure | None:
    """Return what the scan asks of every row for a model; None if it need not look at rows."""
    measure: Measure | None = problem.model.measure
    return measure if measure is not None and measure.checks_rows else None


def _key(problem: Problem[Any, Any]) -> tuple[bool, str]:
    """Return what tells different scanners apart."""
    measure = _measure(problem)
    try:
        return bool(problem.model.needs_scatter), "" if measure is None else digest(measure)
    except TypeError:  # a user's family that dem cannot encode
        return bool(problem.model.needs_scatter), f"{type(measure)} {id(measure)}"


def _scanner(problem: Problem[Any, Any], source: Source) -> Scanner:
    model = problem.model
    return scanner_of(source, problem.settings.start, scatter=model.needs_scatter, measure=_measure(problem))
