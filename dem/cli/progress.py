"""Progress on the screen: a live bar on terminals, lines of text elsewhere, JSON for programs.

Each class implements `dem.em.progress.Progress`: begin, advance and end a pass, and show notes. They write to standard
error, because standard output is for the result.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from dem.estimators.progress_lines import Lines, PassReport, Timed, pass_line


class JSONLines(Lines):
    """Prints a JSON object for each pass."""

    def show_pass(self, report: PassReport) -> None:
        """Print the report as an object, without the values that are not known."""
        known = {key: value for key, value in asdict(report).items() if value is not None}
        print(json.dumps({"event": "step", **known}), file=self.stream, flush=True)

    def say(self, text: str) -> None:
        """Print a note as an object."""
        print(json.dumps({"event": "note", "text": text}), file=self.stream, flush=True)


class Live(Timed):
    """Prints a line for each finished pass, and a bar for the running one."""

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.perf_counter) -> None:
        super().__init__(clock)
        self.bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<20}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[facts]}", markup=False),
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
        """Move the bar; show the time left in this pass, and its speed."""
        if self.task is not None:
            facts = self.text or "  ".join(self.facts(done / max(1, total)))
            self.bar.update(self.task, completed=done, total=total, facts=facts)

    def detail(self, text: str) -> None:
        """Show the text next to the bar."""
        super().detail(text)
        if self.task is not None:
            self.bar.update(self.task, facts=text)

    def show_pass(self, report: PassReport) -> None:
        """Replace the bar by a line."""
        self.close()
        self._print(pass_line(report))

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._print(text)

    def _print(self, text: str) -> None:
        self.bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Remove the bar."""
        if self.task is not None:
            self.bar.stop()
            self.bar.remove_task(self.task)
            self.task = None


class Quiet(Timed):
    """Shows nothing."""

    def show_pass(self, report: PassReport) -> None:
        """Show nothing."""

    def say(self, text: str) -> None:
        """Show nothing."""


def choose_progress(*, quiet: bool = False, as_json: bool = False, stream: TextIO | None = None) -> Timed:
    """Return the progress display that the options ask for.

    Parameters
    ----------
    quiet : bool
        Show nothing.
    as_json : bool
        Print JSON.
    stream : text stream, optional
        Where to write; standard error by default.
    """
    stream = stream or sys.stderr
    if quiet:
        return Quiet()
    if as_json:
        return JSONLines(stream)
    return Live(Console(file=stream)) if stream.isatty() else Lines(stream)
