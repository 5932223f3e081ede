"""Parts of the command line: how commands fail, and the kinds of options they share.

Like `dem.cli.main`, it imports nothing but click, and the rest where it is needed.
"""

from __future__ import annotations

import csv
import errno
import os
import re
from collections.abc import Callable
from functools import reduce, wraps
from typing import Any, TypeVar

import click

from dem.cli.signals import sigterm_interrupts

F = TypeVar("F", bound=Callable[..., Any])

FAILURES = (ValueError, TypeError, OSError, MemoryError, RuntimeError, ArithmeticError, ImportError)
"""What says in one sentence why something could not be done. Anything else is a mistake in dem."""

WORKERS = "Processes (for small stores, threads) at most  [default: one a core]."


RUN_AGAIN = 75
"""Status of a run that stopped before its end and can go on: EX_TEMPFAIL, "try again", of sysexits.h."""


class Commands(click.Group):
    """A group whose commands fail with one sentence and status 1.

    Ctrl-C and SIGTERM end them with status 130; with 75 where the same command can go on from what was done.
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            with sigterm_interrupts():
                return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt as error:
            click.echo(f"dem: {getattr(error, 'resumable', 'interrupted')}", err=True)
            raise click.exceptions.Exit(RUN_AGAIN if hasattr(error, "resumable") else 130) from None
        except FAILURES as error:
            if hasattr(error, "resumable"):
                click.echo(f"dem: {error.resumable}", err=True)
                raise click.exceptions.Exit(RUN_AGAIN) from None
            if os.environ.get("DEM_TRACEBACK") or getattr(error, "errno", None) == errno.EPIPE:
                raise
            sentence = " ".join(error_message(error).split()) or type(error).__name__
            sentence = sentence.replace("allow overwriting", "use --overwrite")  # as Python users do by overwrite=True
            click.echo(f"dem: {sentence}", err=True)
            raise click.exceptions.Exit(1) from None


def error_message(error: BaseException) -> str:
    """Return what an error says; of a bare one of the system, the file and the reason."""
    if isinstance(error, OSError) and error.strerror and str(error).startswith("[Errno"):
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


class Duration(click.ParamType):
    """A time such as 3h50m, 45m, 90s or 1d, as a number of seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number of seconds."""
        parts = re.fullmatch(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", str(value).replace(" ", ""))
        units = (86400, 3600, 60, 1)
        seconds = sum(int(n or 0) * unit for n, unit in zip(parts.groups(), units, strict=True)) if parts else 0
        if seconds <= 0:
            self.fail(f"{value!r} is no time such as 3h50m, 45m or 90s.", param, ctx)
        return float(seconds)


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


class ColumnPair(click.ParamType):
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


class NameList(click.ParamType):
    """Names, separated by commas, as in length,width; one that has a comma stands in double quotes."""

    name = "name,name,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        """Return the names."""
        parts = next(csv.reader([value], skipinitialspace=True), []) if isinstance(value, str) else value
        return [name.strip() for name in parts]


class Number(click.ParamType):
    """A number; whole ones keep all their digits."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | float:
        """Return an int where it is one."""
        try:
            number = float(value)
        except ValueError:
            self.fail(f"{value!r} is no number.", param, ctx)
        return int(value) if re.fullmatch(r"[+-]?\d+", str(value)) else number


class Share(click.ParamType):
    """A number of components, a share of the variance, or a rule that chooses the number."""

    name = "q"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | float | str:
        """Return an int for 8, a float for 0.9, and the words as they are."""
        if value in ("mle", "bic"):
            return str(value)
        try:
            return float(value) if "." in str(value) else int(value)
        except ValueError:
            self.fail(f"{value!r} is no whole number, no share such as 0.9, and neither mle nor bic.", param, ctx)


def execution_options(command: F) -> F:
    """Add the options that say where and how a command runs; they arrive as `session`."""

    @wraps(command)
    def run(
        *args: Any, memory: int | None, workers: int | None, scheduler: str | None, scheduler_file: str | None,
        cluster: str | None, quiet: bool, as_json: bool, **options: Any,
    ) -> Any:  # fmt: skip
        from dem.cli.commands.session import Session

        if sum(name is not None for name in (scheduler, scheduler_file, cluster)) > 1:
            raise click.UsageError("--scheduler, --scheduler-file and --cluster name a cluster each: give one of them.")
        session = Session(memory, workers, scheduler, scheduler_file, cluster, quiet, as_json)
        return command(*args, session=session, **options)

    return together(
        click.option(
            "--memory",
            type=Bytes(),
            help="Limit for all processes on this machine together, such as 1GB; not for a cluster elsewhere.",
        ),
        click.option("--workers", type=click.IntRange(1), help=WORKERS),
        click.option("--scheduler", metavar="ADDRESS", help="Run on this Dask scheduler, such as tcp://10.0.0.1:8786."),
        click.option("--scheduler-file", metavar="FILE", help="Run on the one that has written its address there."),
        click.option(
            "--cluster", metavar="FILE", help="Bring up the cluster of this file (see cluster_configs/), and end it."
        ),
        click.option("--quiet", is_flag=True, help="No progress and no summary."),
        click.option("--json", "as_json", is_flag=True, help="Progress and result as JSON, for machines."),
    )(run)  # type: ignore[return-value]


def together(*decorators: Callable[[Any], Any]) -> Callable[[F], F]:
    """Return several decorators as one; options are listed in their order."""
    return lambda command: reduce(lambda decorated, decorator: decorator(decorated), reversed(decorators), command)


missing_value = click.option(
    "--missing-value",
    type=Number(),
    help="Entries equal to it are missing, besides NaN  [default: what the store's CF attributes say].",
)
missing_chunks = click.option(
    "--missing-chunks",
    type=click.Choice(["fill", "error"]),
    default="fill",
    help="Chunks that the store does not hold: read as the fill value, and counted; or an error.",
)
weights = click.option("--weights", metavar="PATH", help="A Zarr array with a weight for each row.")

labels = click.option(
    "--labels", type=NameList(), help="What to call the columns  [default: names it was fitted with, or numbers]."
)
writing = together(
    click.option("-o", "--output", required=True, metavar="PATH", help="Where to write."),
    click.option("--overwrite", is_flag=True, help="Replace what is there."),
    execution_options,
)
"""The options of every command that writes."""

fitting = together(
    click.option("--sample-size", type=click.IntRange(1), default=30_000, help="Rows to start from."),
    click.option("--seed", "random_state", type=int, default=0, help="Of the sample and of the starts."),
    weights,
    missing_chunks,
    click.option(
        "--missing",
        type=click.Choice(["marginalize", "error"]),
        default="marginalize",
        help="Missing values: marginalised, as missing at random; or an error.",
    ),
    missing_value,
    click.option(
        "--checkpoint",
        metavar="PATH",
        help="Keep the fit there after every pass  [default on a cluster: beside the output].",
    ),
    click.option("--no-checkpoint", is_flag=True, help="Keep nothing on the way."),
    click.option(
        "--resume", is_flag=True, help="Keep a checkpoint beside the output, and go on from one that is there."
    ),
    click.option(
        "--max-passes",
        type=click.IntRange(1),
        help="Stop after so many, the first scan counted; the same command goes on.",
    ),
    click.option("--max-time", type=Duration(), help="Stop in time, as in 3h50m; the same command goes on."),
    writing,
)
"""The options of every command that fits."""
