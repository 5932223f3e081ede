"""The commands `dem fit ...`, one for each kind of model. Like `main`, the module imports only click."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from dem.cli import signals
from dem.cli.options import Share, fitting, together

F = TypeVar("F", bound=Callable[..., Any])

COVARIANCES = ["full", "tied", "diag", "spherical"]  # the same names as in dem.families, which imports NumPy
COMPONENTS = click.option(
    "-k", "--components", "n_components", type=click.IntRange(1), required=True, help="Number of components."
)
STARTS = together(
    click.option("--n-init", type=click.IntRange(1), default=10, help="Number of starts on the sample."),
    click.option(
        "--keep-labels",
        metavar="MODEL",
        help="Give components the numbers that they have in this saved model; say which are new or gone.",
    ),
)
PRIOR = click.option(
    "--prior", type=click.Choice(["weak"]), help="Fit by MAP with a weak conjugate prior  [default: no prior]."
)
STORE = click.argument("data", metavar="STORE")
COVARIANCE = click.option(
    "--covariance",
    "covariance_type",
    type=click.Choice(COVARIANCES),
    default="full",
    help="Covariances: full (a matrix for each component), tied (one matrix for all components), diag (a variance for "
    "each column of each component) or spherical (one variance for each component).",
)
REG_COVAR = click.option(
    "--reg-covar",
    type=click.FloatRange(0),
    help="Number added to the variances, in squared units of the data  [default: 1e-6 of each column's variance].",
)
SCALE = click.option(
    "--scale",
    type=click.Choice(["standard", "robust", "variable"]),
    help="Scale the columns first: standard (by the standard deviation), robust (by the interquartile range) or "
    "variable (one scale for all columns of a variable). Results are in the data's units  [default: no scaling].",
)
SOLVER_HELP = "Algorithm: em, or {}, which is faster but needs the covariance matrix in memory. auto chooses."


def stops(tol: float, max_iter: int, step: str = "a pass") -> Callable[[F], F]:
    """Add the options that say when the iterations stop; `step` is what one iteration is called in the help."""
    return together(
        click.option(
            "--tol",
            type=click.FloatRange(0),
            default=tol,
            help=f"Stop when {step} raises the log-likelihood (or its bound) by less than this, in nats a row.",
        ),
        click.option(
            "--max-iter",
            type=click.IntRange(0),
            default=max_iter,
            help="Largest number of iterations; 0 keeps the first parameters.",
        ),
    )


@click.group()
def fit() -> None:
    """Fit a model to the rows of a store.

    After each pass the log-likelihood is shown in nats a row: the mean of log p(row) over all rows, with natural
    logarithms. bgmm and fits with --prior show the bound or the log posterior instead, also per row. kmeans shows minus
    the mean squared distance of a row to its nearest centre. The change since the pass before is in brackets.
    """
    signals.hold()  # until `dem.cli.commands.fit` is loaded: it knows whether the fit can be resumed


@fit.command("gmm")
@STORE
@COMPONENTS
@COVARIANCE
@stops(1e-3, 100)
@REG_COVAR
@PRIOR
@STARTS
@SCALE
@fitting
def fit_gmm(**options: Any) -> None:
    """Fit a Gaussian mixture."""
    fit_and_save("GaussianMixture", options)


@fit.command("bgmm")
@STORE
@COMPONENTS
@COVARIANCE
@click.option(
    "--weight-prior",
    "weight_concentration_prior_type",
    type=click.Choice(["dirichlet_process", "dirichlet_distribution"]),
    default="dirichlet_process",
    help="Prior of the components' weights.",
)
@click.option(
    "--concentration",
    "weight_concentration_prior",
    type=click.FloatRange(0, min_open=True),
    help="Concentration of the prior of the weights: a smaller one gives fewer components  [default: 1 / k].",
)
@stops(1e-3, 100)
@REG_COVAR
@STARTS
@SCALE
@fitting
def fit_bgmm(**options: Any) -> None:
    """Fit a Bayesian Gaussian mixture.

    The fit is by variational Bayes. With a small --tol, components that are not needed become empty.
    """
    fit_and_save("BayesianGaussianMixture", options)


class FamiliesInHelp(click.Command):
    """A command whose help ends with the table of families, which is loaded for the help alone: it imports NumPy."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each family with the values that it is for, and its settings."""
        from dem.families import FAMILIES

        rows = []
        for name, family in FAMILIES.items():
            rows.append((name, family.description))
            rows += [(f"  {setting}", setting.description) for setting in family.settings]
        with formatter.section("Families, and their settings with the defaults"):
            formatter.write_dl(rows)


@fit.command("mixture", cls=FamiliesInHelp)
@STORE
@COMPONENTS
@click.option(
    "--family",
    "families",
    metavar="[COLUMNS=]NAME[:SETTINGS]",
    multiple=True,
    required=True,
    help="A name of the list below. Settings follow a colon: --family studentt:diag (the first setting needs no name), "
    "or --family studentt:diag,degrees_of_freedom=4. For columns of different kinds, give the option once for each "
    "block of columns: --family 0,2-5=gamma --family 1=categorical:5.",
)
@stops(1e-3, 100)
@PRIOR
@STARTS
@fitting
def fit_mixture(**options: Any) -> None:
    """Fit a mixture of any family of distributions."""
    from dem.cli.commands.fit import fit_mixture

    fit_mixture(**options)


@fit.command("kmeans")
@STORE
@click.option("-k", "--clusters", "n_clusters", type=click.IntRange(1), required=True, help="Number of clusters.")
@click.option(
    "--init", type=click.Choice(["k-means++", "random"]), default="k-means++", help="How first centres are chosen."
)
@click.option(
    "--tol",
    type=click.FloatRange(0),
    default=1e-4,
    help="Stop when the squared shift of all centres is less than this share of the mean variance.",
)
@click.option(
    "--max-iter",
    type=click.IntRange(0),
    default=300,
    help="Largest number of iterations, each one pass over the store; 0 keeps the first centres.",
)
@STARTS
@SCALE
@fitting
def fit_kmeans(**options: Any) -> None:
    """Fit K-means.

    After each pass, minus the mean squared distance of a row to its nearest centre is shown.
    """
    fit_and_save("KMeans", options)


@fit.command("mppca")
@STORE
@COMPONENTS
@click.option("-q", "--factors", "n_factors", type=click.IntRange(1), required=True, help="Number of factors.")
@click.option(
    "--noise",
    type=click.Choice(["isotropic", "diagonal"]),
    default="isotropic",
    help="Noise: isotropic (one variance for all columns: probabilistic PCA) or diagonal (one for each column: factor "
    "analysis).",
)
@stops(1e-3, 100)
@click.option(
    "--reg-covar",
    type=click.FloatRange(0),
    help="Smallest noise variance allowed, in squared units of the data  [default: 1e-6 of each column's variance].",
)
@PRIOR
@STARTS
@SCALE
@fitting
def fit_mppca(noise: str, **options: Any) -> None:
    """Fit a mixture of PPCA or factor analysis models."""
    fit_and_save("MixturePPCA" if noise == "isotropic" else "MixtureFactorAnalysis", options)


@fit.command("ppca")
@STORE
@click.option(
    "-q",
    "--components",
    "n_components",
    type=Share(),
    help="Number of latent dimensions; or the share of the variance to explain, such as 0.9; or mle or bic, "
    "which choose the number  [default: all directions with variance].",
)
@click.option(
    "--solver", type=click.Choice(["auto", "closed_form", "em"]), default="auto", help=SOLVER_HELP.format("closed_form")
)
@stops(1e-6, 500, "an iteration")
@SCALE
@fitting
def fit_ppca(**options: Any) -> None:
    """Fit probabilistic PCA."""
    fit_and_save("PPCA", options)


@fit.command("bpca")
@STORE
@click.option(
    "-q",
    "--components",
    "n_components",
    type=click.IntRange(1),
    help="Largest number of latent dimensions  [default: all].",
)
@stops(1e-6, 500, "an iteration")
@SCALE
@fitting
def fit_bpca(**options: Any) -> None:
    """Fit Bayesian PCA.

    It chooses the number of latent dimensions itself.
    """
    fit_and_save("BayesianPCA", options)


@fit.command("fa")
@STORE
@click.option("-q", "--factors", "n_components", type=click.IntRange(1), required=True, help="Number of factors.")
@click.option(
    "--rotation", type=click.Choice(["varimax", "quartimax"]), help="Rotate the factors  [default: no rotation]."
)
@click.option("--solver", type=click.Choice(["auto", "ecm", "em"]), default="auto", help=SOLVER_HELP.format("ecm"))
@stops(1e-6, 1000, "an iteration")
@SCALE
@fitting
def fit_fa(**options: Any) -> None:
    """Fit factor analysis.

    It is like probabilistic PCA, but each column has its own noise variance.
    """
    fit_and_save("FactorAnalysis", options)


def fit_and_save(estimator: str, options: dict[str, Any]) -> None:
    """Fit the estimator of this name and save it."""
    from dem.cli.commands.fit import fit_estimator

    fit_estimator(estimator, **options)
