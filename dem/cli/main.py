"""The command line: parses, then calls what a Python user calls.

`dask` imports this module at every call, for its plugin `dask dem`. So it imports nothing but click, and
each command imports what it needs when it runs: the one place where imports inside functions are right.
"""

from __future__ import annotations

from typing import Any

import click

from dem.cli.fit_options import fit
from dem.cli.options import (
    WORKERS,
    Bytes,
    ColumnPair,
    Commands,
    execution_options,
    labels,
    missing_chunks,
    missing_value,
    weights,
    writing,
)
from dem.core.version import __version__


@click.group("dem", cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(__version__, prog_name="dem")
def main() -> None:
    """Fit mixtures, K-means, PPCA and factor analysis to Zarr stores larger than memory.

    Exit status: 0 done, 1 could not be done, 2 wrong use, 130 interrupted, 75 stopped on the way: the same
    command goes on.
    """


main.add_command(fit)


@main.command()
@click.argument("model", metavar="MODEL")
@click.argument("data", metavar="STORE")
@click.option(
    "--what",
    type=click.Choice(["labels", "proba", "score", "entropy", "top-index", "top-weight", "distance"]),
    default="labels",
    help="Labels (mixtures, K-means); probabilities, their entropy, the most probable components and their "
    "probabilities (mixtures); distances to centres (K-means); log-likelihoods.",
)
@click.option("--top", type=click.IntRange(1), help="How many components top-index and top-weight tell  [default: 3].")
@missing_chunks
@writing
def predict(**options: Any) -> None:
    """Write what a model says of each row.

    A mixture gives all but distance, K-means gives labels, distance and score (minus the squared distance to the
    nearest centre); PPCA and factor analysis give score, and latents by `dem transform`.
    """
    from dem.cli.commands.rows import write_output

    write_output(**options)


@main.command()
@click.argument("model", metavar="MODEL")
@click.argument("data", metavar="STORE")
@missing_chunks
@writing
def transform(**options: Any) -> None:
    """Write each row's latents, the posterior means, by (Bayesian) PCA, factor analysis or a mixture of them."""
    from dem.cli.commands.rows import write_output

    write_output(what="latent", **options)


@main.command()
@click.argument("model", metavar="MODEL")
@click.argument("data", metavar="STORE")
@click.option(
    "--std",
    is_flag=True,
    help="Write the standard deviations of what is filled in too, beside the output: filled_std.zarr for filled.zarr.",
)
@missing_chunks
@writing
def impute(**options: Any) -> None:
    """Write a store's rows with their missing values filled in.

    A missing value becomes its mean given the row's observed values, which stay as they are.
    """
    from dem.cli.commands.rows import impute

    impute(**options)


@main.command()
@click.argument("model", metavar="MODEL")
@click.argument("data", metavar="STORE")
@weights
@missing_chunks
@execution_options
def score(**options: Any) -> None:
    """Tell the mean log-likelihood of a store's rows; of K-means, the inertia."""
    from dem.cli.commands.rows import score

    score(**options)


@main.command()
@click.argument("model", metavar="MODEL")
@click.option("-n", "n", type=click.IntRange(1), required=True, help="How many rows.")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float64", help="Of the rows.")
@click.option("--seed", type=int, default=0, help="The same seed gives the same rows.")
@writing
def sample(**options: Any) -> None:
    """Write rows drawn from a model."""
    from dem.cli.commands.rows import sample

    sample(**options)


@main.command()
@click.argument("path", metavar="STORE|MODEL")
@click.option("--scan/--no-scan", default=True, help="Read an array for its ranges and missing values.")
@click.option("--all", "every", is_flag=True, help="Show all columns of an array, however many.")
@missing_value
@execution_options
def info(**options: Any) -> None:
    """Tell what a store or a model holds."""
    from dem.cli.commands.info import info

    info(**options)


@main.command()
@click.argument("model", metavar="MODEL")
@click.option("--data", metavar="STORE", help="Show a sample of its rows too.")
@click.option("--columns", type=ColumnPair(), default="0,1", help="Which two columns (or latents, of PPCA and FA).")
@labels
@writing
def plot(**options: Any) -> None:
    """Draw a model and its history."""
    from dem.cli.commands.picture import draw_picture

    draw_picture(**options)


@main.command()
@click.argument("path", metavar="STORE")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON, for machines.")
def fingerprint(path: str, as_json: bool) -> None:
    """Tell whether a store has changed: one number over its metadata and a listing of its chunks.

    No chunk is read: their sizes and times (on a disk) or ETags (in an object store) are compared.
    """
    from dem.cli.commands.info import show_fingerprint
    from dem.cli.commands.session import Session

    show_fingerprint(path, Session(as_json=as_json))


@main.command()
@click.argument("model", metavar="MODEL")
@click.option("--data", metavar="STORE", required=True, help="The store to score and to show rows of.")
@click.option("--score", metavar="FILE", help="What `dem score --json` printed: saves the pass.")
@labels
@writing
def report(**options: Any) -> None:
    """Write a model's numbers and its picture to a folder: report.json and report.png."""
    from dem.cli.commands.report import report

    report(**options)


@main.group()
def cluster() -> None:
    """Try out a Dask cluster."""


@cluster.command("check")
@click.argument("path", metavar="FILE")
@click.option("--json", "as_json", is_flag=True, help="Progress and result as JSON, for machines.")
def check_cluster(path: str, as_json: bool) -> None:
    """Bring up the cluster of a file, run a tiny fit through it, tell what it has, and take it down."""
    from dem.cli.commands.cluster import check
    from dem.cli.commands.session import Session

    check(path, Session(cluster=path, as_json=as_json))


@main.command()
@click.option("--size", type=Bytes(), default="4GB", help="Of the store to be fitted.")
@click.option("--memory", type=Bytes(), default="1GB", help="Limit for all processes together.")
@click.option("--scratch", type=click.Path(file_okay=False), default="scratch", help="Folder to write in.")
@click.option("--workers", type=click.IntRange(1), help=WORKERS)
def demo(**options: Any) -> None:
    """Fit Old Faithful, then a mixture to a store that does not fit in the memory given."""
    from dem.cli.commands.demo import demo

    demo(**options)
