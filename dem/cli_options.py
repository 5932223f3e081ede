"""Parts of the command line: how commands fail, and the kinds of options they share.

Like `dem.cli`, it imports nothing but click, and the rest where it is needed.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import reduce, wraps
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

FAILURES = (ValueError, TypeError, OSError, MemoryError, RuntimeError, ArithmeticError, ImportError)
"""What says in one sentence why something could not be done. Anything else is a mistake in dem."""

WORKERS = "Processes (for small stores, threads) at most  [default: one a core]."


class Commands(click.Group):
    """A group whose commands fail with one sentence and status 1; Ctrl-C ends them with status 130."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            click.echo("dem: interrupted", err=True)
            raise click.exceptions.Exit(130) from None
        except FAILURES as error:
            if os.environ.get("DEM_TRACEBACK") or getattr(error, "errno", None) == errno.EPIPE:
                raise
            sentence = " ".join(str(error).split()) or type(error).__name__
            sentence = sentence.replace("allow overwriting", "use --overwrite")  # as Python users do by overwrite=True
            click.echo(f"dem: {sentence}", err=True)
            raise click.exceptions.Exit(1) from None


class Bytes(click.ParamType):
    """A size such as 1GB, 512MiB or 1000000, as a number of bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number of bytes."""
        from dask.utils import parse_bytes

        try:
            size = int(parse_bytes(value))
        except ValueError:
            size = 0
        if size <= 0:
            self.fail(f"{value!r} is no size such as 1GB or 512MiB.", param, ctx)
        return size


class Columns(click.ParamType):
    """Two column numbers, as in 0,1."""

    name = "i,j"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the two numbers."""
        parts = value.split(",") if isinstance(value, str) else value
        try:
            first, second = (int(part) for part in parts)
        except ValueError:
            self.fail(f"{value!r} is no pair of column numbers such as 0,1.", param, ctx)
        return first, second


class Share(click.ParamType):
    """A number of components, or a share of the variance."""

    name = "q"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | float:
        """Return an int for 8, a float for 0.9."""
        try:
            return float(value) if "." in str(value) else int(value)
        except ValueError:
            self.fail(f"{value!r} is neither a whole number nor a share such as 0.9.", param, ctx)


def where(command: F) -> F:
    """Add the options that say where and how a command runs; they arrive as `session`."""

    @wraps(command)
    def run(
        *args: Any, memory: int | None, workers: int | None, scheduler: str | None,
        quiet: bool, as_json: bool, **options: Any,
    ) -> Any:  # fmt: skip
        from dem.commands.session import Session

        session = Session(memory, workers, scheduler, quiet, as_json)
        return command(*args, session=session, **options)

    return together(
        click.option(
            "--memory",
            type=Bytes(),
            help="Limit for all processes on this machine together, such as 1GB; not for a cluster elsewhere.",
        ),
        click.option("--workers", type=click.IntRange(1), help=WORKERS),
        click.option("--scheduler", metavar="ADDRESS", help="Run on this Dask scheduler."),
        click.option("--quiet", is_flag=True, help="No progress and no summary."),
        click.option("--json", "as_json", is_flag=True, help="Progress and result as JSON, for machines."),
    )(run)  # type: ignore[return-value]


def together(*decorators: Callable[[Any], Any]) -> Callable[[F], F]:
    """Return several decorators as one; options are listed in their order."""
    return lambda command: reduce(lambda decorated, decorator: decorator(decorated), reversed(decorators), command)


weights = click.option("--weights", metavar="PATH", help="A Zarr array with a weight for each row.")

writing = together(
    click.option("-o", "--output", required=True, metavar="PATH", help="Where to write."),
    click.option("--overwrite", is_flag=True, help="Replace what is there."),
    where,
)
"""The options of every command that writes."""

fitting = together(
    click.option("--sample-size", type=click.IntRange(1), default=30_000, help="Rows to start from."),
    click.option("--seed", "random_state", type=int, default=0, help="Of the sample and of the starts."),
    weights,
    writing,
)
"""The options of every command that fits."""
