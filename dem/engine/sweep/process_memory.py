"""Measure the memory of a process and all its children."""

from __future__ import annotations

import os
import threading
from types import TracebackType
from typing import Self

import psutil


def process_bytes(pid: int | None = None) -> int:
    """Return the memory of one process (by default this one) in bytes; 0 if it has ended.

    On Linux this is the proportional set size: a page that n processes share counts 1/n for each, so the sizes of
    several processes can be added. On other systems it is the resident set size, which counts shared pages in full.
    """
    pid = os.getpid() if pid is None else pid
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as rollup:
            return next(int(line.split()[1]) * 1024 for line in rollup if line.startswith(b"Pss:"))
    except (OSError, StopIteration):
        try:
            return int(psutil.Process(pid).memory_info().rss)
        except psutil.Error:
            return 0


def tree_bytes() -> int:
    """Return the memory of this process and all its descendants, in bytes."""
    children = psutil.Process().children(recursive=True)
    return process_bytes() + sum(process_bytes(child.pid) for child in children)


class PeakMemory:
    """Context manager that samples `tree_bytes` and keeps the largest value.

    Attributes
    ----------
    peak : int
        The largest sample so far, in bytes. Peaks shorter than `interval` may be missed.
    """

    def __init__(self, interval: float = 0.05) -> None:
        self.interval = interval
        self.peak = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="dem-memory", daemon=True)

    def _sample(self) -> None:
        self.peak = max(self.peak, tree_bytes())

    def _watch(self) -> None:
        while not self._done.wait(self.interval):
            self._sample()

    def __enter__(self) -> Self:
        self._sample()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        self._sample()
