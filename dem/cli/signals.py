"""Ctrl-C and SIGTERM: held back while modules load; they interrupt a running command; SIGTERM is ignored at the end.

Like `dem.cli.main`, the module imports nothing that is slow to import.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

HELD = (signal.SIGINT, signal.SIGTERM)
_previous_handlers: dict[int, Any] = {}
"""Handlers of the signals before they were held back."""
_received: list[int] = []


def hold() -> None:
    """Hold the signals back: an interrupt would leave a module half imported, before checkpoints can be mentioned."""
    if threading.current_thread() is threading.main_thread() and not _previous_handlers:
        wanted = [number for number in HELD if signal.getsignal(number) is not signal.SIG_IGN]
        _previous_handlers.update(
            {number: signal.signal(number, lambda number, frame: _received.append(number)) for number in wanted}
        )


def let_through() -> None:
    """Stop holding the signals back; if one has come, interrupt now.

    Raises
    ------
    KeyboardInterrupt
    """
    while _previous_handlers:
        signal.signal(*_previous_handlers.popitem())
    if _received:
        _received.clear()
        raise KeyboardInterrupt


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Make SIGTERM act like Ctrl-C: batch systems send it before they kill a process."""
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
    """Ignore SIGTERM from now on: the exit status is final. Ctrl-C can still end a process that hangs."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
