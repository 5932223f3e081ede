"""The command line: it parses arguments, then calls the functions that a Python user calls.

`dask` imports this module at every call, for its plugin `dask dem`. So the module imports only click, and each command
imports the rest when it runs. This is why imports are inside functions here.
"""

from __future__ import annotations

from typing import Any

import click

from dem.cli.fit_options import fit
from dem.cli.options import (
    PICTURE_NAMES,
    WORKERS,
    Bytes,
    ColumnChoice,
    Commands,
    PredictCommand,
    PredictOutputs,
    columns,
    execution_options,
    labels,
    missing_chunks,
    missing_value,
    weights,
    writing,
)
from dem.cli.select_options import select
from dem.core.version import __version__


@click.group("dem", cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(__version__, prog_name="dem")
def main() -> None:
    """Fit mixtures, K-means, PPCA and factor analysis to Zarr stores and Parquet files larger than memory.

    STORE is a Zarr array (for one inside a group: store.zarr/name); or a Zarr group whose arrays have named dimensions,
    as xarray writes it; or a Parquet file, a folder of them or a glob. Commands that apply a MODEL to a group use the
    variables of the fit, and the dimensions that made its rows.

    Exit status: 0 success; 1 failure, with one sentence that says why; 2 wrong options; 130 interrupted; 75 stopped
    early: run the same command again to continue.
    """


main.add_command(fit)
main.add_command(select)


@main.command(cls=PredictCommand)
@click.argument("model", metavar="MODEL")
@click.argument("data", metavar="STORE")
@click.option(
    "--what",
    type=PredictOutputs(),
    default="labels",
    help="Which output: one of those listed below; or several, with commas between, if the output is a Zarr group.",
)
@click.option("--top", type=click.IntRange(1), help="Components in top-index and top-weight  [default: 3].")
@columns
@missing_chunks
@writing
def predict(**options: Any) -> None:
    """Write labels or other results of all rows.

    Each kind of model has some of the outputs below. Latents are written by `dem transform`, rows with their missing
    values filled in by `dem impute`.

    Several outputs go into a Zarr group that exists, such as that of the data: `--what labels,proba -o STORE.zarr`
    writes the arrays STORE.zarr/label and STORE.zarr/proba. If such a command was interrupted, add --overwrite.
    """
    from dem.cli.commands.rows import write_outputs

    write_outputs(**options)


@main.command()
@click.argument("model", metavar="MODEL")
@click.argument("data", metavar="STORE")
@columns
@missing_chunks
@writing
def transform(**options: Any) -> None:
    """Write the latents of each row: posterior means.

    The model is PPCA, Bayesian PCA, factor analysis or a mixture of these.
    """
    from dem.cli.commands.rows import write_outputs

    write_outputs(what=["latent"], **options)


@main.command()
@click.argument("model", metavar="MODEL")
@click.argument("data", metavar="STORE")
@click.option(
    "--std",
    is_flag=True,
    help="Also write the standard deviations of filled values, next to the output: filled_std.zarr for filled.zarr.",
)
@columns
@missing_chunks
@writing
def impute(**options: Any) -> None:
    """Write rows with missing values filled in.

    A missing value is replaced by its mean given the observed values of the row. Observed values do not change.
    """
    from dem.cli.commands.rows import write_imputed

    write_imputed(**options)


@main.command()
@click.argument("model", metavar="MODEL")
@click.argument("data", metavar="STORE")
@weights
@columns
@missing_chunks
@execution_options
def score(**options: Any) -> None:
    """Print how well a model fits a store.

    The score is the mean log-likelihood of the rows; for K-means it is the inertia.
    """
    from dem.cli.commands.rows import show_score

    show_score(**options)


@main.command()
@click.argument("model", metavar="MODEL")
@click.option("-n", "n", type=click.IntRange(1), required=True, help="Number of rows.")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float64", help="Type of the values.")
@click.option("--seed", type=int, default=0, help="Random seed: the same seed gives the same rows.")
@writing
def sample(**options: Any) -> None:
    """Write rows drawn from a model."""
    from dem.cli.commands.rows import write_drawn_rows

    write_drawn_rows(**options)


@main.command()
@click.argument("path", metavar="STORE|MODEL")
@click.option("--scan/--no-scan", default=True, help="Read an array to show its ranges and missing values.")
@click.option("--all", "every", is_flag=True, help="Show all columns of an array, not only the first 30.")
@missing_value
@execution_options
def info(**options: Any) -> None:
    """Show the contents of a store or a model."""
    from dem.cli.commands.info import show_info

    show_info(**options)


@main.command()
@click.argument("model", metavar="MODEL")
@click.argument("earlier", metavar="EARLIER")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def match(model: str, earlier: str, as_json: bool) -> None:
    """Show which components of a model are those of an earlier one.

    Rows are drawn from both models, and components that take the same rows are the same. No data are read.
    """
    from dem.cli.commands.labels import show_matching
    from dem.cli.commands.session import Session

    show_matching(model, earlier, Session(as_json=as_json))


@main.command("compare-labels")
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def compare_labels(old: str, new: str, as_json: bool) -> None:
    """Print how many rows have another label than before.

    OLD and NEW are arrays of labels, as `dem predict` writes them. NEW may have more rows at its end.
    """
    from dem.cli.commands.labels import show_changes
    from dem.cli.commands.session import Session

    show_changes(old, new, Session(as_json=as_json))


@main.command()
@click.argument("model", metavar="MODEL")
@click.option("--data", metavar="STORE", help="Also show a sample of the rows of this store.")
@click.option(
    "--picture",
    type=click.Choice(PICTURE_NAMES),
    default="figure",
    is_eager=True,
    help="What to draw; figure: what says most about the model, beside the history of its fit.",
)
@click.option(
    "--columns",
    type=ColumnChoice(),
    help="The two columns to draw (densities, pairs, probabilities: any number of them), by name or by number from 0 "
    "(PPCA, FA: latents, by number).  [default: the most telling ones]",
)
@labels
@writing
def plot(**options: Any) -> None:
    """Draw a model.

    Some pictures need rows: give a store with --data. It is read once.
    """
    from dem.cli.commands.picture import draw_picture

    draw_picture(**options)


@main.command()
@click.argument("path", metavar="STORE")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def fingerprint(path: str, as_json: bool) -> None:
    """Print a checksum of a store.

    It changes when the store changes. It is made of the metadata and of a listing of the chunks: their sizes and times
    (on a disk) or ETags (in an object store). No chunk is read.
    """
    from dem.cli.commands.info import show_fingerprint
    from dem.cli.commands.session import Session

    show_fingerprint(path, Session(as_json=as_json))


@main.command()
@click.argument("model", metavar="MODEL")
@click.argument("data", metavar="[STORE]", required=False)
@labels
@writing
def report(**options: Any) -> None:
    """Write a page about a model: facts, warnings, tables, pictures.

    The page is one file of HTML, for a browser, a phone or paper. STORE is read once, for the score, the sizes of the
    classes, and pictures of its rows; without it, the page shows what the model knows. If PATH ends in .json, it
    gets the record for programs instead; --json prints that record, too.
    """
    from dem.cli.commands.report import write_report

    write_report(**options)


@main.group()
def cluster() -> None:
    """Check a Dask cluster."""


@cluster.command("check")
@click.argument("path", metavar="FILE")
@click.option("--json", "as_json", is_flag=True, help="Print progress and result as JSON.")
def check_cluster(path: str, as_json: bool) -> None:
    """Check the cluster that FILE describes.

    Start the cluster, run a small fit on it, show its workers, and stop it.
    """
    from dem.cli.commands.cluster import check
    from dem.cli.commands.session import Session

    check(path, Session(cluster=path, as_json=as_json))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def doctor(as_json: bool) -> None:
    """Show what a bug report needs.

    These are versions, processor, memory, BLAS, the kernel of the E-step and why it is used, Dask, extras and
    environment variables, and a speed test of one second. Passwords and tokens are not shown. The exit status is 1 if
    you must mend something.
    """
    from dem.cli.commands.doctor import show_doctor
    from dem.cli.commands.session import Session

    show_doctor(Session(as_json=as_json))


@main.command()
@click.option("--size", type=Bytes(), default="4GB", help="Size of the store that is fitted.")
@click.option("--memory", type=Bytes(), default="1GB", help="Memory limit of all processes together.")
@click.option("--scratch", type=click.Path(file_okay=False), default="scratch", help="Folder for all files.")
@click.option("--workers", type=click.IntRange(1), help=WORKERS)
def demo(**options: Any) -> None:
    """Fit two data sets, to show what dem does.

    The first is Old Faithful (272 rows), the second a store that is larger than the memory limit.
    """
    from dem.cli.commands.demo import run_demo

    run_demo(**options)
