"""What the benchmarks share: a row of the table, and times measured side by side."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

REST = 0.1
"""Seconds before each run that is timed."""


@dataclass(frozen=True)
class Row:
    """One line of the table: a ratio beside its bar.

    Attributes
    ----------
    case : str
    peer : str
        What it is measured against.
    ratio : float
    bar : float
    at_least : bool
        Whether the ratio should be at least the bar, or at most.
    note : str
    """

    case: str
    peer: str
    ratio: float
    bar: float
    at_least: bool
    note: str = ""

    @property
    def met(self) -> bool:
        """Whether the bar is met."""
        return self.ratio >= self.bar if self.at_least else self.ratio <= self.bar


def side_by_side(runs: Sequence[Callable[[], float]], rounds: int = 3) -> list[float]:
    """Return the best time of each run, in seconds; the runs take turns, so that noise meets all alike.

    Before each is a rest: threads of BLAS and OpenMP keep their cores busy for some time after their work.
    """
    best = [float("inf")] * len(runs)
    for _ in range(rounds):
        for i, run in enumerate(runs):
            time.sleep(REST)
            best[i] = min(best[i], run())
    return best


def timed(work: Callable[[], object]) -> Callable[[], float]:
    """Return a run that times `work`."""

    def run() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return run


def rows_from(module: str, *arguments: str) -> list[Row]:
    """Run a benchmark in a process of its own and return its rows; what it prints goes to stderr."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [Row(**row) for row in json.loads(done.stdout.splitlines()[-1])]


def send(rows: Sequence[Row]) -> None:
    """Print rows for `rows_from`."""
    print(json.dumps([asdict(row) for row in rows]))


def mixture_data(n: int, d: int, k: int, seed: int, spread: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Return n rows (n, d) of k unit Gaussians, and their means (k, d)."""
    rng = np.random.default_rng(seed)
    means = rng.normal(scale=spread, size=(k, d))
    x = rng.standard_normal((n, d))
    x += means[rng.integers(k, size=n)]
    return x, means
