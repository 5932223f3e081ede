"""Shared parts of the commands: how errors are shown, types of options, and common options.

Like `dem.cli.main`, the module imports only click; functions import the rest.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from dataclasses import fields
from functools import reduce, wraps
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from dem.cli.name_list import split_names
from dem.cli.signals import sigterm_interrupts

F = TypeVar("F", bound=Callable[..., Any])

FAILURES = (ValueError, TypeError, OSError, MemoryError, RuntimeError, ArithmeticError, ImportError)
"""Errors whose message says in one sentence what went wrong. Any other error is a bug in dem."""

PICTURE_NAMES = (
    "figure", "mixture", "kmeans", "probabilities", "profiles", "quantiles", "map", "sizes", "densities", "pairs",
    "entropy", "distances", "latents", "scree", "loadings", "missing", "filled", "criterion", "history", "staircase",
)  # fmt: skip
"""The pictures of `dem plot`: those of `dem.plot.PICTURES`, which this module does not import."""
MANY_COLUMNS = ("densities", "pairs", "probabilities")
"""The pictures that show any number of columns; others show two."""

WORKERS = "Largest number of processes (threads for small stores)  [default: one for each core]."

RUN_AGAIN = 75
"""Exit status of a run that stopped early and can be continued: EX_TEMPFAIL ("try again") of sysexits.h."""


class Commands(click.Group):
    """A group of commands. A command that fails prints one sentence and exits with status 1.

    Ctrl-C and SIGTERM give status 130, or 75 if the same command can continue the work.
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
            sentence = sentence.replace("replace it (overwrite=True)", "use --overwrite")  # written for Python users
            click.echo(f"dem: {sentence}", err=True)
            raise click.exceptions.Exit(1) from None


def error_message(error: BaseException) -> str:
    """Return the message of an error; for a bare error of the operating system, the file and the reason."""
    if isinstance(error, OSError) and error.strerror and str(error).startswith("[Errno"):
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


class Duration(click.ParamType):
    """A duration such as 3h50m, 45m, 90s or 1d, converted to seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number of seconds."""
        parts = re.fullmatch(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", str(value).replace(" ", ""))
        units = (86400, 3600, 60, 1)
        seconds = sum(int(n or 0) * unit for n, unit in zip(parts.groups(), units, strict=True)) if parts else 0
        if seconds <= 0:
            self.fail(f"{value!r} is not a duration: write, for example, 3h50m, 45m or 90s.", param, ctx)
        return float(seconds)


class Bytes(click.ParamType):
    """A size such as 1GB, 512MiB or 1000000, converted to bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number of bytes."""
        from dask.utils import parse_bytes

        try:
            size = int(parse_bytes(value))
        except ValueError:
            size = 0
        if size <= 0:
            self.fail(f"{value!r} is not a size: write, for example, 1GB or 512MiB.", param, ctx)
        return size


class NameList(click.ParamType):
    """Names separated by commas, such as length,width. Put a name that has a comma in double quotes."""

    name = "name,name,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        """Return the names."""
        return split_names(value) if isinstance(value, str) else list(value)


class ColumnChoice(NameList):
    """Different columns, by name or number, such as 0,1 or length,width."""

    name = "i,j"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        """Return the names or numbers."""
        chosen = super().convert(value, param, ctx)
        picture = "figure" if ctx is None else ctx.params.get("picture", "figure")
        as_many = len(chosen) >= 1 if picture in MANY_COLUMNS else len(chosen) == 2
        if len(set(chosen)) != len(chosen) or not as_many or not all(chosen):
            what = "a list" if picture in MANY_COLUMNS else "a pair"
            self.fail(f"{value!r} is not {what} of columns: write, for example, 0,1 or length,width.", param, ctx)
        return chosen


class PredictOutputs(NameList):
    """The words for outputs of `dem predict`, separated by commas; the models say which there are."""

    name = "output,output,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        """Return the words, each once; the names of outputs in Python are accepted, too."""
        from dem.cli.commands.rows import WORDS, predict_outputs

        words = predict_outputs()
        given = [WORDS.get(word, word) for word in super().convert(value, param, ctx)]
        for word in given or [""]:
            if word not in words:
                self.fail(f"{word!r} is not one of {', '.join(words)}.", param, ctx)
        return list(dict.fromkeys(given))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the words with which the last one may go on."""
        from dem.cli.commands.rows import predict_outputs

        before, comma, last = incomplete.rpartition(",")
        return [CompletionItem(before + comma + word) for word in predict_outputs() if word.startswith(last)]


class PredictCommand(click.Command):
    """A command whose help lists the outputs of all models."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list."""
        from dem.cli.commands.rows import predict_outputs

        with formatter.section("Outputs"):
            formatter.write_dl(list(predict_outputs().items()))


class Number(click.ParamType):
    """A number; integers keep all their digits."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | float:
        """Return an int if the value is one, else a float."""
        try:
            number = float(value)
        except ValueError:
            self.fail(f"{value!r} is not a number.", param, ctx)
        return int(value) if re.fullmatch(r"[+-]?\d+", str(value)) else number


class Share(click.ParamType):
    """A number of components, a share of the variance, or a rule that chooses the number."""

    name = "q"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | float | str:
        """Return an int for 8, a float for 0.9, and the words mle and bic as they are."""
        if value in ("mle", "bic"):
            return str(value)
        try:
            return float(value) if "." in str(value) else int(value)
        except ValueError:
            self.fail(
                f"{value!r} is not a number of components: give an integer, a share such as 0.9, mle or bic.",
                param,
                ctx,
            )


def execution_options(command: F) -> F:
    """Add the options that say where a command runs and what it prints; the command gets them as `session`."""

    @wraps(command)
    def run(*args: Any, **options: Any) -> Any:
        from dem.cli.commands.session import Session

        given = {field.name: options.pop(field.name) for field in fields(Session)}
        if sum(given[name] is not None for name in ("scheduler", "scheduler_file", "cluster")) > 1:
            raise click.UsageError(
                "--scheduler, --scheduler-file and --cluster each name a cluster: give only one of them."
            )
        return command(*args, session=Session(**given), **options)

    return together(
        click.option(
            "--memory",
            type=Bytes(),
            help="Memory limit of all processes on this machine together, such as 1GB. Not used on a cluster of other "
            "machines.",
        ),
        click.option("--workers", type=click.IntRange(1), help=WORKERS),
        click.option("--scheduler", metavar="ADDRESS", help="Run on this Dask scheduler, such as tcp://10.0.0.1:8786."),
        click.option(
            "--scheduler-file", metavar="FILE", help="Run on the Dask scheduler whose address is in this file."
        ),
        click.option(
            "--cluster",
            metavar="FILE",
            help="Start the cluster that FILE describes (see cluster_configs/); stop it at the end.",
        ),
        click.option("--quiet", is_flag=True, help="Print no progress and no summary."),
        click.option("--json", "as_json", is_flag=True, help="Print progress and result as JSON."),
    )(run)  # type: ignore[return-value]


def together(*decorators: Callable[[Any], Any]) -> Callable[[F], F]:
    """Combine decorators into one; the help lists the options in this order."""
    return lambda command: reduce(lambda decorated, decorator: decorator(decorated), reversed(decorators), command)


missing_value = click.option(
    "--missing-value",
    type=Number(),
    help="Number that marks missing values, in addition to NaN  [default: from the CF attributes of the store].",
)
missing_chunks = click.option(
    "--missing-chunks",
    type=click.Choice(["fill", "error"]),
    default="fill",
    help="Chunks that are not in the store: fill reads them as the fill value and reports how many; error stops.",
)
weights = click.option("--weights", metavar="PATH", help="Zarr array with one weight for each row.")
named = together(
    click.option(
        "--variables",
        type=NameList(),
        help="Variables of a Zarr group to use side by side, such as temperature,salinity  [default: all].",
    ),
    click.option(
        "--sample-dims",
        type=NameList(),
        help="Dimensions of a Zarr group that make rows, such as time,lat,lon; the others make columns.",
    ),
)
"""Options that choose rows and columns of a Zarr group by name."""

columns = click.option(
    "--columns",
    type=NameList(),
    help="Columns to use, by name or number, such as age,income or 0,2  [default: all].",
)
labels = click.option(
    "--labels", type=NameList(), help="Names of the columns, such as a,b  [default: from the training data]."
)
writing = together(
    click.option("-o", "--output", required=True, metavar="PATH", help="Path or URL to write to."),
    click.option("--overwrite", is_flag=True, help="Replace an existing output."),
    execution_options,
)
"""Options of every command that writes."""

_sample = together(
    click.option("--sample-size", type=click.IntRange(1), default=30_000, help="Rows in the sample for the starts."),
    click.option("--seed", "random_state", type=int, default=0, help="Random seed of the sample and the starts."),
)
_earlier = together(
    click.option(
        "--from",
        "start",
        metavar="MODEL",
        help="Start from a saved model of the same kind, such as last night's: one pass less, and components keep "
        "their order.",
    ),
    click.option(
        "--update",
        metavar="MODEL",
        help="For fits that are repeated, such as every night: start from this saved model and keep its labels if it "
        "is there and suits this fit; otherwise say why, and start from nothing (the labels are kept if possible).",
    ),
)
_reading_and_running = together(
    named,
    weights,
    columns,
    missing_chunks,
    click.option(
        "--missing",
        type=click.Choice(["marginalize", "error"]),
        default="marginalize",
        help="Missing values: marginalize treats them as missing at random; error stops.",
    ),
    missing_value,
    click.option(
        "--checkpoint",
        metavar="PATH",
        help="Save the fit here after every pass, to resume it  [default on a cluster: next to the output].",
    ),
    click.option("--no-checkpoint", is_flag=True, help="Save no checkpoint."),
    click.option(
        "--resume", is_flag=True, help="Save a checkpoint next to the output, and continue from an existing one."
    ),
    click.option(
        "--max-passes",
        type=click.IntRange(1),
        help="Stop after this number of passes, including the first scan; run the same command again to continue.",
    ),
    click.option(
        "--max-time", type=Duration(), help="Time limit, such as 3h50m; run the same command again to continue."
    ),
    writing,
)
fitting = together(_sample, _earlier, _reading_and_running)
"""Options of every command that fits."""
selecting = together(
    _sample,
    _reading_and_running,
)
"""Options of every command that selects among several fits."""
updating = click.option(
    "--update",
    metavar="MODEL",
    help="For selections that are repeated: keep the labels of this saved model, if it is there and has components of "
    "the same columns; otherwise say why not.",
)
"""The option of every command that selects among models with components."""
