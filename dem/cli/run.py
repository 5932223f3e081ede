"""The program `dem`: it runs the command line as a process."""

from __future__ import annotations

from dem.cli import signals


def run() -> None:
    """Run the command line. A signal before the command starts or after it ends does not change the exit status."""
    signals.hold()
    try:
        from dem.cli.main import main

        main(prog_name="dem")
    finally:
        signals.ignore_sigterm()
