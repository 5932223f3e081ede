"""Ctrl-C and SIGTERM in a command: held back while modules load, then they interrupt; SIGTERM is ignored at the end.

Like `dem.cli.main`, it imports nothing that takes time.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

HELD = (signal.SIGINT, signal.SIGTERM)
_before: dict[int, Any] = {}
"""What the signals do that are held back."""
_came: list[int] = []


def hold() -> None:
    """Hold the signals back: an interrupted import leaves a module half made, and nobody can say yet what is kept."""
    if threading.current_thread() is threading.main_thread() and not _before:
        wanted = [number for number in HELD if signal.getsignal(number) is not signal.SIG_IGN]
        _before.update({number: signal.signal(number, lambda number, frame: _came.append(number)) for number in wanted})


def let_through() -> None:
    """Let them through; one that was held back interrupts here.

    Raises
    ------
    KeyboardInterrupt
    """
    while _before:
        signal.signal(*_before.popitem())
    if _came:
        _came.clear()
        raise KeyboardInterrupt


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM, which batch systems send before they kill, do what Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    let_through()
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        try:
            let_through()
        finally:
            signal.signal(signal.SIGTERM, before)


def ignore_sigterm() -> None:
    """Ignore SIGTERM from now on: the command has ended, and its status stands. Ctrl-C still ends what hangs."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
