"""What is told of the passes while they run: live on terminals, lines elsewhere, JSON for machines.

Each class keeps to `dem.em.progress.Progress`: begin a pass, advance, end it; and note what is no pass. They
write to standard error, since standard output belongs to the result.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from dem.core import human
from dem.estimators import summary

log = logging.getLogger("dem")


@dataclass(frozen=True)
class Report:
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


def rates(rows: float | None, nbytes: float | None, elapsed: float) -> str:
    """Return the speed: "15.2 M rows/s, 973 MB/s"; what is not known is left out."""
    elapsed = max(elapsed, 1e-9)
    known = [f"{human.count(rows / elapsed)} rows/s"] if rows else []
    known += [f"{human.size(nbytes / elapsed)}/s"] if nbytes else []
    return ", ".join(known)


def line(report: Report) -> str:
    """Return a pass in one line."""
    parts = [f"{report.name:<20}"]
    reached = None if report.objective is None else f"{report.objective:.6f} a row"
    if reached is None and report.log_likelihood is not None:
        reached = f"{report.log_likelihood:.6f} nats a row"
    if reached is not None:
        parts.append(reached)
        parts.append(f"({report.change:+.1e})" if report.change is not None else " " * 10)
    parts.append(human.seconds(report.seconds))
    if speed := rates(report.rows, report.nbytes, report.seconds):
        parts.append(f"({speed})")
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
        report = Report(self.name, self.rows, self.nbytes, elapsed)
        if state is not None:
            report = replace(report, change=state.change, stop_reason=state.stop_reason)
            log_likelihood = state.history[-1].log_likelihood
            report = replace(report, log_likelihood=log_likelihood)
            if log_likelihood != state.objective:
                report = replace(report, objective=state.objective)
        self.tell(report)

    def tell(self, report: Report) -> None:
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
        self.told = 0.0

    def begin(self, what: str, rows: int | None, nbytes: int | None) -> None:
        """A pass begins."""
        super().begin(what, rows, nbytes)
        self.told = self.started

    def detail(self, text: str) -> None:
        """Print a line, if the last one is some seconds old."""
        now = self.clock()
        if now - self.told >= DETAIL_SECONDS:
            self.told = now
            self.say(f"{self.name}: {text}")

    def tell(self, report: Report) -> None:
        """Print a line."""
        print(line(report), file=self.stream, flush=True)

    def say(self, text: str) -> None:
        """Print a line."""
        print(text, file=self.stream, flush=True)


class JSONLines(Lines):
    """A JSON object for each pass."""

    def tell(self, report: Report) -> None:
        """Print an object, without what is not known."""
        known = {key: value for key, value in asdict(report).items() if value is not None}
        print(json.dumps({"event": "step", **known}), file=self.stream, flush=True)

    def say(self, text: str) -> None:
        """Print an object."""
        print(json.dumps({"event": "note", "text": text}), file=self.stream, flush=True)


class Live(Timed):
    """A line for each pass, and below them a bar for the one that runs."""

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.perf_counter) -> None:
        super().__init__(clock)
        self.bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<20}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[facts]}"),
            console=console or Console(stderr=True),
            transient=True,
            refresh_per_second=8,
        )
        self.task: TaskID | None = None

    def begin(self, what: str, rows: int | None, nbytes: int | None) -> None:
        """Show an empty bar."""
        super().begin(what, rows, nbytes)
        self.close()
        self.task = self.bar.add_task(what, total=None, facts="")
        self.bar.start()

    def advance(self, done: int, total: int) -> None:
        """Move the bar; tell the speed and the time that is left in this pass."""
        elapsed, share = self.clock() - self.started, done / max(1, total)
        rows, nbytes = (None if whole is None else whole * share for whole in (self.rows, self.nbytes))
        facts = [f"{share:4.0%}", rates(rows, nbytes, elapsed)]
        if done:
            facts.append(f"{human.seconds(elapsed * (1 / share - 1))} left")
        if self.task is not None:
            self.bar.update(self.task, completed=done, total=total, facts="  ".join(filter(None, facts)))

    def detail(self, text: str) -> None:
        """Tell it beside the bar."""
        if self.task is not None:
            self.bar.update(self.task, facts=text)

    def tell(self, report: Report) -> None:
        """Print a line in the bar's place."""
        self.close()
        self._print(line(report))

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._print(text)

    def _print(self, text: str) -> None:
        self.bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Take the bar away."""
        if self.task is not None:
            self.bar.stop()
            self.bar.remove_task(self.task)
            self.task = None


class Silent(Timed):
    """Says nothing."""

    def tell(self, report: Report) -> None:
        """Say nothing."""

    def say(self, text: str) -> None:
        """Say nothing."""


def choose(*, quiet: bool = False, as_json: bool = False, stream: TextIO | None = None) -> Timed:
    """Return what suits the way that the program was called.

    Parameters
    ----------
    quiet : bool
        Say nothing.
    as_json : bool
        For machines.
    stream : text stream, optional
        Where to write; standard error by default.
    """
    stream = stream or sys.stderr
    if quiet:
        return Silent()
    if as_json:
        return JSONLines(stream)
    return Live(Console(file=stream)) if stream.isatty() else Lines(stream)
