"""What all commands share: where they run, how they tell of it, and how they give their result."""

from __future__ import annotations

import json
import logging
import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console, RenderableType

from dem.cli.progress import choose_progress
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
        A scheduler's address, a file with one, or a cluster file.
    quiet : bool
        No progress, and no summary.
    as_json : bool
        Progress and result for machines.
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
        """Give the engine to run on, started; end what it started, and leave the terminal as it was.

        Nothing that writes or takes a lock may come before: under ``srun`` and ``mpirun`` all processes come so far,
        and one alone gets past this (see `dem.engine.engine.Engine.started`).
        """
        # What Dask's client says of a lost scheduler with tracebacks, the error of the pass says in a sentence.
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
        with closing(choose_progress(quiet=self.quiet, as_json=self.as_json)) as progress:
            asked = Engine(self.memory, self.scheduler, self.workers, progress, self.scheduler_file, self.cluster)
            with asked.started() as engine:
                yield engine

    def say(self, text: str) -> None:
        """Tell one sentence beside the result."""
        with closing(choose_progress(quiet=self.quiet, as_json=self.as_json)) as progress:
            progress.note(text)

    def result(self, record: Mapping[str, Any], *shown: RenderableType, summary: bool = True) -> None:
        """Give the result on standard output.

        Parameters
        ----------
        record : mapping
            The result for machines.
        *shown : rich renderables
            The result for people.
        summary : bool
            Only sums up what has been written: left out where `quiet` is set.
        """
        if self.as_json:
            print(json.dumps({"event": "result", **json_value(record)}))
        elif not (self.quiet and summary):
            console = console_for_results()
            for item in shown:
                console.print(item, highlight=False)


def console_for_results() -> Console:
    """Return the console of standard output: as wide as the terminal, and wide in files and pipes."""
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else 240)


def json_value(value: Any) -> Any:
    """Return a value as JSON has it; what is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    if hasattr(value, "tolist"):
        return json_value(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, bool | int | float | str | None) else str(value)
