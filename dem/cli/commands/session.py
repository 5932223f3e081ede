"""Shared by all commands: where they run, and how they print progress and results."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console, RenderableType

from dem.cli.progress import choose_progress
from dem.core import human
from dem.core.json_value import json_value
from dem.engine.engine import Engine


@dataclass(frozen=True)
class Session:
    """The options that all commands share.

    Attributes
    ----------
    memory : int or None
        Limit for the whole process tree, in bytes.
    workers : int or None
    scheduler, scheduler_file, cluster : str or None
        The address of a scheduler, a file with this address, or a cluster file.
    quiet : bool
        Print no progress and no summary.
    as_json : bool
        Print progress and result as JSON.
    """

    memory: int | None = None
    workers: int | None = None
    scheduler: str | None = None
    scheduler_file: str | None = None
    cluster: str | None = None
    quiet: bool = False
    as_json: bool = False

    @contextmanager
    def engine(self) -> Iterator[Engine]:
        """Start the engine and yield it; afterwards stop it and restore the terminal.

        Do not write or lock anything before: under ``srun`` and ``mpirun`` all processes run until here, and only one
        of them continues (see `dem.engine.engine.Engine.started`).
        """
        # Dask's client logs a lost scheduler with tracebacks; the error of the pass says it in one sentence.
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
        with closing(choose_progress(quiet=self.quiet, as_json=self.as_json)) as progress:
            asked = Engine(self.memory, self.scheduler, self.workers, progress, self.scheduler_file, self.cluster)
            with asked.started() as engine:
                yield engine

    def say(self, text: str) -> None:
        """Show one sentence as progress, not as part of the result."""
        with closing(choose_progress(quiet=self.quiet, as_json=self.as_json)) as progress:
            progress.note(text)

    def peak_in_words(self, peak: int) -> str:
        """Return how much memory was used, in bytes at most, in words with the limit."""
        limit = "" if self.memory is None else f" (limit {human.size(self.memory)})"
        return f"{human.size(peak)} of all processes together{limit}"

    def result(self, record: Mapping[str, Any], *shown: RenderableType, summary: bool = True) -> None:
        """Print the result on standard output.

        Parameters
        ----------
        record : mapping
            The result, for JSON.
        *shown : rich renderables
            The result, for people.
        summary : bool
            The result only summarises written files: `quiet` hides it.
        """
        if self.as_json:
            print(json.dumps({"event": "result", **json_value(record)}))
        elif not (self.quiet and summary):
            console = console_for_results()
            for item in shown:
                console.print(item, highlight=False)


def console_for_results() -> Console:
    """Return the console of standard output: as wide as the terminal, or 240 columns for files and pipes.

    Names of the data are printed as they are: brackets, as in "[degC]", are no markup.
    """
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else 240, markup=False)
