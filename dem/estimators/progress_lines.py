"""What is told of the passes while they run, in lines of text: on the command line, and where `verbose` asks for it.

Each class keeps to `dem.em.progress.Progress`: begin a pass, advance, end it; and note what is no pass.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TextIO

from dem.core import human
from dem.em.progress import WARNING, log_or_warn
from dem.estimators import summary

log = logging.getLogger("dem")


@dataclass(frozen=True)
class PassReport:
    """What there is to say of a pass that has ended.

    Attributes
    ----------
    name : str
        "first scan", "start on 30,000 rows", "pass 3", "label".
    rows, nbytes : int or None
        What the pass has read; None where it is not known.
    seconds : float
    log_likelihood : float or None
        Of the parameters that the pass was made with, in nats a row.
    objective : float or None
        What the fit raises, where it is another thing: with a prior the log posterior, of variational models their
        bound, of K-means minus the inertia, all a row.
    change : float or None
        Of the same, since the pass before.
    stop_reason : str or None
        Why this pass was the last one.
    """

    name: str
    rows: int | None
    nbytes: int | None
    seconds: float
    log_likelihood: float | None = None
    objective: float | None = None
    change: float | None = None
    stop_reason: str | None = None


def speed(rows: float | None, nbytes: float | None, elapsed: float) -> str:
    """Return the speed: "15.2 M rows/s, 973 MB/s"; what is not known is left out."""
    elapsed = max(elapsed, 1e-9)
    known = [f"{human.count(rows / elapsed)} rows/s"] if rows else []
    known += [f"{human.size(nbytes / elapsed)}/s"] if nbytes else []
    return ", ".join(known)


def pass_line(report: PassReport) -> str:
    """Return a pass in one line."""
    parts = [f"{report.name:<20}"]
    reached = None if report.objective is None else f"{report.objective:.6f} a row"
    if reached is None and report.log_likelihood is not None:
        reached = f"{report.log_likelihood:.6f} nats a row"
    if reached is not None:
        parts.append(reached)
        parts.append(f"({report.change:+.1e})" if report.change is not None else " " * 10)
    parts.append(human.seconds(report.seconds))
    if rates := speed(report.rows, report.nbytes, report.seconds):
        parts.append(f"({rates})")
    if report.stop_reason is not None:
        parts.append(summary.STOP_REASONS[report.stop_reason])
    return "  ".join(parts)


class Timed:
    """Times passes and makes a report of each; the base of what is shown.

    Parameters
    ----------
    clock : callable
        Returns seconds; tests give their own.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self.name, self.rows, self.nbytes = "", None, None  # type: tuple[str, int | None, int | None]
        self.started = 0.0

    def begin(self, what: str, rows: int | None, nbytes: int | None) -> None:
        """A pass begins."""
        self.name, self.rows, self.nbytes = what, rows, nbytes
        self.started = self.clock()

    def advance(self, done: int, total: int) -> None:
        """So many partitions of so many are done."""

    def detail(self, text: str) -> None:
        """What is being done just now."""

    def end(self, state: Any) -> None:
        """The pass has ended; the state after it, where there is one."""
        elapsed = self.clock() - self.started
        report = PassReport(self.name, self.rows, self.nbytes, elapsed)
        if state is not None:
            report = replace(report, change=state.change, stop_reason=state.stop_reason)
            log_likelihood = state.history[-1].log_likelihood
            report = replace(report, log_likelihood=log_likelihood)
            if log_likelihood != state.objective:
                report = replace(report, objective=state.objective)
        self.show_pass(report)

    def show_pass(self, report: PassReport) -> None:
        """Show a report."""
        raise NotImplementedError

    def note(self, text: str) -> None:
        """Tell one sentence of what is not a pass; it is logged, too."""
        log.info(text)
        self.say(text)

    def say(self, text: str) -> None:
        """Show a sentence."""
        raise NotImplementedError

    def close(self) -> None:
        """Leave the terminal as it was; called after errors, too."""


DETAIL_SECONDS = 10.0
"""How often a line tells what is being done just now."""


class Lines(Timed):
    """A line for each pass, and now and then one within a pass that tells of its parts."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.perf_counter) -> None:
        super().__init__(clock)
        self.stream = stream or sys.stderr
        self.last_shown = 0.0

    def begin(self, what: str, rows: int | None, nbytes: int | None) -> None:
        """A pass begins."""
        super().begin(what, rows, nbytes)
        self.last_shown = self.started

    def detail(self, text: str) -> None:
        """Print a line, if the last one is some seconds old."""
        now = self.clock()
        if now - self.last_shown >= DETAIL_SECONDS:
            self.last_shown = now
            self.say(f"{self.name}: {text}")

    def show_pass(self, report: PassReport) -> None:
        """Print a line."""
        print(pass_line(report), file=self.stream, flush=True)

    def say(self, text: str) -> None:
        """Print a line."""
        print(text, file=self.stream, flush=True)


class Printed(Lines):
    """Prints a line to standard output for the first scan, the start, and the passes that are asked for.

    Parameters
    ----------
    interval : int
        Every so many passes have a line; so has the last one.
    """

    def __init__(self, interval: int = 1, clock: Callable[[], float] = time.perf_counter) -> None:
        super().__init__(sys.stdout, clock)
        self.interval = interval

    def end(self, state: Any) -> None:
        """Print a line, where this pass has one."""
        if state is None or state.stop_reason is not None or len(state.history) % self.interval == 0:
            super().end(state)

    def note(self, text: str) -> None:
        """Print a sentence; of what warns make a Python warning."""
        if not text.startswith(WARNING):
            self.say(text)
        log_or_warn(text)
