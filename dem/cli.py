"""The command line: parses, then calls what a Python user calls.

`dask` imports this module at every call, for its plugin `dask dem`. So it imports nothing but click, and
each command imports what it needs when it runs: the one place where imports inside functions are right.
"""

from __future__ import annotations

from typing import Any

import click

from dem import __version__
from dem.cli_options import WORKERS, Bytes, Columns, Commands, Share, fitting, weights, where, writing

COVARIANCES = ["full", "tied", "diag", "spherical"]  # dem.families has them too, but imports NumPy


@click.group("dem", cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(__version__, prog_name="dem")
def main() -> None:
    """Fit mixtures, PPCA and factor analysis to Zarr stores larger than memory.

    Exit status: 0 done, 1 could not be done, 2 wrong use, 130 interrupted, 75 stopped on the way: the same
    command goes on.
    """


@main.group()
def fit() -> None:
    """Fit a model to the rows of a store."""


@fit.command("gmm")
@click.argument("data", metavar="STORE")
@click.option("-k", "--components", "n_components", type=click.IntRange(1), required=True, help="How many.")
@click.option(
    "--covariance",
    "covariance_type",
    type=click.Choice(COVARIANCES),
    default="full",
    help="Of each component: any; one for all; without correlations; round.",
)
@click.option("--tol", type=click.FloatRange(0), default=1e-3, help="Least gain of a pass, nats a row.")
@click.option("--max-iter", type=click.IntRange(1), default=100, help="Most iterations, each a pass over the store.")
@click.option("--reg-covar", type=click.FloatRange(0), default=1e-6, help="Added to variances.")
@click.option("--n-init", type=click.IntRange(1), default=10, help="Starts on the sample.")
@fitting
def fit_gmm(**options: Any) -> None:
    """Fit a Gaussian mixture."""
    from dem.commands.fit import fit_gmm

    fit_gmm(**options)


@fit.command("ppca")
@click.argument("data", metavar="STORE")
@click.option(
    "-q",
    "--components",
    "n_components",
    type=Share(),
    help="Number of latent dimensions, a share of the variance, or mle or bic: the best by Minka's evidence, or by "
    "BIC  [default: all directions with any variance].",
)
@click.option(
    "--solver",
    type=click.Choice(["auto", "closed_form", "em"]),
    default="auto",
    help="One pass and the closed form, or EM; auto takes EM where there are too many columns for the former.",
)
@click.option("--tol", type=click.FloatRange(0), default=1e-6, help="Least gain of an iteration, nats a row.")
@click.option("--max-iter", type=click.IntRange(1), default=500, help="Most iterations of EM.")
@fitting
def fit_ppca(**options: Any) -> None:
    """Fit probabilistic PCA."""
    from dem.commands.fit import fit_ppca

    fit_ppca(**options)


@fit.command("bpca")
@click.argument("data", metavar="STORE")
@click.option(
    "-q", "--components", "n_components", type=click.IntRange(1), help="Most latent dimensions  [default: columns - 1]."
)
@click.option("--tol", type=click.FloatRange(0), default=1e-6, help="Least gain of an iteration, nats a row.")
@click.option("--max-iter", type=click.IntRange(1), default=500, help="Most iterations.")
@fitting
def fit_bpca(**options: Any) -> None:
    """Fit Bayesian PCA, which finds the number of dimensions."""
    from dem.commands.fit import fit_bpca

    fit_bpca(**options)


@fit.command("fa")
@click.argument("data", metavar="STORE")
@click.option("-q", "--components", "n_components", type=click.IntRange(1), required=True, help="Number of factors.")
@click.option("--rotation", type=click.Choice(["varimax", "quartimax"]), help="Turn the factors: simpler to read.")
@click.option(
    "--solver",
    type=click.Choice(["auto", "ecm", "em"]),
    default="auto",
    help="One pass and conditional maximisations, or EM; auto takes EM where there are too many columns for those.",
)
@click.option("--tol", type=click.FloatRange(0), default=1e-6, help="Least gain of an iteration, nats a row.")
@click.option("--max-iter", type=click.IntRange(1), default=1000, help="Most iterations.")
@fitting
def fit_fa(**options: Any) -> None:
    """Fit factor analysis."""
    from dem.commands.fit import fit_fa

    fit_fa(**options)


@main.command()
@click.argument("model", metavar="MODEL")
@click.argument("data", metavar="STORE")
@click.option(
    "--what",
    type=click.Choice(["labels", "proba", "score"]),
    default="labels",
    help="Components' labels or probabilities (of mixtures); log-likelihoods (of any model).",
)
@writing
def predict(**options: Any) -> None:
    """Write what a model says of each row.

    A mixture gives labels, proba and score; PPCA and factor analysis give score, and latents by `dem transform`.
    """
    from dem.commands.rows import write

    write(**options)


@main.command()
@click.argument("model", metavar="MODEL")
@click.argument("data", metavar="STORE")
@writing
def transform(**options: Any) -> None:
    """Write each row's latents, the posterior means, by PPCA or factor analysis (mixtures have none)."""
    from dem.commands.rows import write

    write(what="latent", **options)


@main.command()
@click.argument("model", metavar="MODEL")
@click.argument("data", metavar="STORE")
@weights
@where
def score(**options: Any) -> None:
    """Tell the mean log-likelihood of a store's rows."""
    from dem.commands.rows import score

    score(**options)


@main.command()
@click.argument("model", metavar="MODEL")
@click.option("-n", "n", type=click.IntRange(1), required=True, help="How many rows.")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float64", help="Of the rows.")
@click.option("--seed", type=int, default=0, help="The same seed gives the same rows.")
@writing
def sample(**options: Any) -> None:
    """Write rows drawn from a model."""
    from dem.commands.rows import sample

    sample(**options)


@main.command()
@click.argument("path", metavar="STORE|MODEL")
@click.option("--scan/--no-scan", default=True, help="Read an array for its ranges and missing values.")
@click.option("--all", "every", is_flag=True, help="Show all columns, however many.")
@where
def info(**options: Any) -> None:
    """Tell what a store or a model holds."""
    from dem.commands.info import info

    info(**options)


@main.command()
@click.argument("model", metavar="MODEL")
@click.option("--data", metavar="STORE", help="Show a sample of its rows too.")
@click.option(
    "--columns", type=Columns(), default="0,1", help="Which two columns (of PPCA and factor analysis, latents)."
)
@writing
def plot(**options: Any) -> None:
    """Draw a model and its history."""
    from dem.commands.picture import draw

    draw(**options)


@main.command()
@click.argument("path", metavar="STORE")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON, for machines.")
def fingerprint(path: str, as_json: bool) -> None:
    """Tell whether a store has changed: one number over its metadata and a listing of its chunks.

    No chunk is read: their sizes and times (on a disk) or ETags (in an object store) are compared.
    """
    from dem.commands.fingerprint import show
    from dem.commands.session import Session

    show(path, Session(as_json=as_json))


@main.command()
@click.argument("model", metavar="MODEL")
@click.option("--data", metavar="STORE", required=True, help="The store to score and to show rows of.")
@click.option("--score", metavar="FILE", help="What `dem score --json` printed: saves the pass.")
@writing
def report(**options: Any) -> None:
    """Write a model's numbers and its picture to a folder: report.json and report.png."""
    from dem.commands.report import report

    report(**options)


@main.group()
def cluster() -> None:
    """Try out a Dask cluster."""


@cluster.command("check")
@click.argument("path", metavar="FILE")
@click.option("--json", "as_json", is_flag=True, help="Progress and result as JSON, for machines.")
def check_cluster(path: str, as_json: bool) -> None:
    """Bring up the cluster of a file, run a tiny fit through it, tell what it has, and take it down."""
    from dem.commands.cluster import check
    from dem.commands.session import Session

    check(path, Session(cluster=path, as_json=as_json))


@main.command()
@click.option("--size", type=Bytes(), default="4GB", help="Of the store to be fitted.")
@click.option("--memory", type=Bytes(), default="1GB", help="Limit for all processes together.")
@click.option("--scratch", type=click.Path(file_okay=False), default="scratch", help="Folder to write in.")
@click.option("--workers", type=click.IntRange(1), help=WORKERS)
def demo(**options: Any) -> None:
    """Fit Old Faithful, then a mixture to a store that does not fit in the memory given."""
    from dem.demo import demo

    demo(**options)
