"""The program `dem`: the command line in a process of its own."""

from __future__ import annotations

from dem.cli import signals


def run() -> None:
    """Run the command line; a signal before it listens, or after it has ended, does not change its status."""
    signals.hold()
    try:
        from dem.cli.main import main

        main(prog_name="dem")
    finally:
        signals.ignore_sigterm()
