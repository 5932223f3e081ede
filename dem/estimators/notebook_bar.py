"""Progress in a notebook: a bar for the running pass below the lines of the passes that have ended."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from html import escape
from typing import Any

from dem.estimators.progress_lines import PassReport, Printed, pass_line

REFRESH_SECONDS = 0.2
"""Least time between two pictures of the bar."""
MOST_LINES = 200
"""The most lines that stay on the screen."""


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    if ipython is None:
        return False
    shell = ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


class NotebookBar(Printed):
    """Shows a bar for the running pass, and a line for each pass that has ended, in one output of the cell.

    It is HTML, so it needs no widgets, and it stays in the saved notebook.

    Parameters
    ----------
    interval : int
        Show a line after every `interval` passes, and after the last one.
    show : callable, optional
        Shows HTML and returns a function that replaces it; by default IPython's `display`.
    clock : callable
    """

    def __init__(
        self,
        interval: int = 1,
        show: Callable[[str], Callable[[str], object]] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        super().__init__(interval, clock)
        self._show = show or _display
        self._replace: Callable[[str], object] | None = None
        self._lines: list[str] = []
        self._last = -REFRESH_SECONDS

    def begin(self, what: str, rows: int | None, nbytes: int | None) -> None:
        """Show an empty bar."""
        super().begin(what, rows, nbytes)
        self._draw(f"{_bar(None)} {escape(what)}")

    def advance(self, done: int, total: int) -> None:
        """Move the bar; show the time left in this pass, and its speed."""
        now, share = self.clock(), done / max(1, total)
        if now - self._last >= REFRESH_SECONDS:
            self._last = now
            facts = self.text or ", ".join(self.facts(share))
            self._draw(f"{_bar(share)} {escape(self.name)}: {escape(facts)}")

    def detail(self, text: str) -> None:
        """Show a text beside the bar."""
        self.text = text
        now = self.clock()
        if now - self._last >= REFRESH_SECONDS:
            self._last = now
            self._draw(f"{_bar(None)} {escape(self.name)}: {escape(text)}")

    def end(self, state: Any) -> None:
        """Replace the bar by a line, if one is due."""
        super().end(state)
        self._draw("")

    def show_pass(self, report: PassReport) -> None:
        """Add a line."""
        self.say(pass_line(report))

    def say(self, text: str) -> None:
        """Add a line."""
        self._lines = [*self._lines, text][-MOST_LINES:]
        self._draw("")

    def _draw(self, bar: str) -> None:
        lines = escape("\n".join(self._lines))
        html = f'<div><pre style="margin:0;line-height:1.3">{lines}</pre>{bar}</div>'
        if self._replace is None:
            self._replace = self._show(html)
        else:
            self._replace(html)


def _bar(share: float | None) -> str:
    value = "" if share is None else f' value="{share:.3f}"'
    return f'<progress max="1"{value}></progress>'


def _display(html: str) -> Callable[[str], object]:
    """Show HTML in the cell's output; return a function that replaces it."""
    from IPython.display import HTML, display

    handle = display(HTML(html), display_id=True)
    return lambda new: handle.update(HTML(new))
