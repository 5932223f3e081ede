"""Progress as lines of text, for the command line and for estimators with `verbose`.

Each class implements `dem.em.progress.Progress`: begin, advance and end a pass, and show notes.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TextIO

from dem.core import human
from dem.em.forecast import PassesLeft
from dem.em.progress import WARNING, log_or_warn
from dem.estimators import summary

log = logging.getLogger("dem")

LINE_SECONDS = 10.0
"""Least time between two lines within a pass."""
LINE_SHARE = 0.1
"""Least share of a pass, and of the time since its begin, between two lines: long passes have nine lines at most."""


@dataclass(frozen=True)
class PassReport:
    """The facts about a pass that has ended.

    Attributes
    ----------
    name : str
        "first scan", "start on 30,000 rows", "pass 3", "label".
    rows, nbytes : int or None
        What the pass has read; None if it is not known.
    seconds : float
    log_likelihood : float or None
        Log-likelihood of the parameters that the pass used, in nats a row.
    objective : float or None
        What the fit maximises, if that is not the log-likelihood: the log posterior with a prior, the bound of
        variational models, minus the inertia of K-means; all a row.
    change : float or None
        Change of the objective (or log-likelihood) since the previous pass.
    stop_reason : str or None
        Why the fit stopped after this pass; None if it continues.
    seconds_left : (float, float) or None
        An estimate of the time that the fit still needs: the least and the most. None if there is no basis for it.
    """

    name: str
    rows: int | None
    nbytes: int | None
    seconds: float
    log_likelihood: float | None = None
    objective: float | None = None
    change: float | None = None
    stop_reason: str | None = None
    seconds_left: tuple[float, float] | None = None


def speed(rows: float | None, nbytes: float | None, elapsed: float) -> str:
    """Return the speed as text, such as "15.2 M rows/s, 973 MB/s", without the numbers that are not known."""
    elapsed = max(elapsed, 1e-9)
    known = [f"{human.count(rows / elapsed)} rows/s"] if rows else []
    known += [f"{human.size(nbytes / elapsed)}/s"] if nbytes else []
    return ", ".join(known)


def pass_line(report: PassReport) -> str:
    """Return the report of a pass as one line."""
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
    if report.seconds_left is not None and (left := human.time_left(*report.seconds_left)):
        parts.append(f"fit: {left}")
    return "  ".join(parts)


class Timed:
    """Base of the displays: measures the time of each pass and makes its report.

    Parameters
    ----------
    clock : callable
        Returns the time in seconds; tests use another clock.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self.name, self.rows, self.nbytes = "", None, None  # type: tuple[str, int | None, int | None]
        self.started = 0.0
        self.text = ""
        self.left: PassesLeft | None = None

    def begin(self, what: str, rows: int | None, nbytes: int | None) -> None:
        """Start the clock of a pass."""
        self.name, self.rows, self.nbytes = what, rows, nbytes
        self.text, self.left = "", None
        self.started = self.clock()

    def advance(self, done: int, total: int) -> None:
        """Take the number of finished partitions, and of all partitions."""

    def detail(self, text: str) -> None:
        """Take a text about the current part of the pass. It is shown in place of speed and time left."""
        self.text = text

    def expect(self, left: PassesLeft) -> None:
        """Take an estimate of the passes that the fit still needs."""
        self.left = left

    def facts(self, share: float) -> list[str]:
        """Return the finished share of the pass, the time left in it, and its speed, as texts.

        The speed is the last one: narrow terminals cut it off.
        """
        elapsed = self.clock() - self.started
        rows, nbytes = (None if whole is None else whole * share for whole in (self.rows, self.nbytes))
        left = f"about {human.seconds(elapsed * (1 / share - 1))} left" if 0 < share < 1 else ""
        return [fact for fact in (f"{share:.0%}", left, speed(rows, nbytes, elapsed)) if fact]

    def end(self, state: Any) -> None:
        """Show the report of the pass; `state` is the state after it, or None."""
        elapsed = self.clock() - self.started
        report = PassReport(self.name, self.rows, self.nbytes, elapsed)
        if state is not None:
            report = replace(report, change=state.change, stop_reason=state.stop_reason)
            log_likelihood = state.history[-1].log_likelihood
            report = replace(report, log_likelihood=log_likelihood)
            if log_likelihood != state.objective:
                report = replace(report, objective=state.objective)
            if self.left is not None:
                report = replace(report, seconds_left=(self.left.least * elapsed, self.left.most * elapsed))
        self.show_pass(report)

    def show_pass(self, report: PassReport) -> None:
        """Show the report of a pass."""
        raise NotImplementedError

    def note(self, text: str) -> None:
        """Log and show one sentence that is not about a pass."""
        log.info(text)
        self.say(text)

    def say(self, text: str) -> None:
        """Show a sentence."""
        raise NotImplementedError

    def close(self) -> None:
        """Restore the terminal; also called after errors."""


class Lines(Timed):
    """Prints a line for each pass; in long passes also some lines about the part that is done, or about the starts."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.perf_counter) -> None:
        super().__init__(clock)
        self.stream = stream or sys.stderr
        self.last_line, self.last_share = 0.0, 0.0

    def begin(self, what: str, rows: int | None, nbytes: int | None) -> None:
        """Start the clock of a pass."""
        super().begin(what, rows, nbytes)
        self.last_line, self.last_share = self.started, 0.0

    def advance(self, done: int, total: int) -> None:
        """Print a line now and then: see `LINE_SECONDS` and `LINE_SHARE`."""
        share = done / max(1, total)
        if not self.text and done < total and share - self.last_share >= LINE_SHARE and self._count_line_if_due():
            self.last_share = share
            self.say(f"{self.name}: {', '.join(self.facts(share))}")

    def detail(self, text: str) -> None:
        """Print a line now and then: see `LINE_SECONDS` and `LINE_SHARE`."""
        super().detail(text)
        if self._count_line_if_due():
            self.say(f"{self.name}: {text}")

    def _count_line_if_due(self) -> bool:
        """Return whether a line is due; if so, count it as printed now."""
        now = self.clock()
        due = now - self.last_line >= max(LINE_SECONDS, LINE_SHARE * (now - self.started))
        self.last_line = now if due else self.last_line
        return due

    def show_pass(self, report: PassReport) -> None:
        """Print a line."""
        print(pass_line(report), file=self.stream, flush=True)

    def say(self, text: str) -> None:
        """Print a line."""
        print(text, file=self.stream, flush=True)


class Printed(Lines):
    """Prints lines to standard output: for the first scan, the start, and some or all of the passes.

    Parameters
    ----------
    interval : int
        Print a line after every `interval` passes, and after the last one.
    """

    def __init__(self, interval: int = 1, clock: Callable[[], float] = time.perf_counter) -> None:
        super().__init__(sys.stdout, clock)
        self.interval = interval

    def end(self, state: Any) -> None:
        """Print a line if the interval is over or the fit has stopped."""
        if state is None or state.stop_reason is not None or len(state.history) % self.interval == 0:
            super().end(state)

    def note(self, text: str) -> None:
        """Print a note; a note that warns becomes a Python warning."""
        if not text.startswith(WARNING):
            self.say(text)
        log_or_warn(text)
