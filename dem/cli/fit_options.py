"""The commands `dem fit ...`, one for each kind of model; like `main`, it imports nothing but click at first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from dem.cli import signals
from dem.cli.options import Share, fitting, together

F = TypeVar("F", bound=Callable[..., Any])

COVARIANCES = ["full", "tied", "diag", "spherical"]  # dem.families has them too, but imports NumPy
COMPONENTS = click.option(
    "-k", "--components", "n_components", type=click.IntRange(1), required=True, help="How many components."
)
STARTS = click.option("--n-init", type=click.IntRange(1), default=10, help="Starts on the sample.")
PRIOR = click.option("--prior", type=click.Choice(["weak"]), help="MAP, with a conjugate prior  [default: none].")
STORE = click.argument("data", metavar="STORE")
COVARIANCE = click.option(
    "--covariance",
    "covariance_type",
    type=click.Choice(COVARIANCES),
    default="full",
    help="Shape of the components: full, any ellipsoid each; tied, one ellipsoid for all; diag, along the axes; "
    "spherical, round.",
)
REG_COVAR = click.option(
    "--reg-covar",
    type=click.FloatRange(0),
    help="Added to variances, in squared units  [default: 1e-6 of each column's variance].",
)
SOLVER_HELP = "EM, or what is faster where the covariance fits in memory; auto chooses."


def stops(tol: float, max_iter: int, unit: str = "a pass, nats a row") -> Callable[[F], F]:
    """Add the options that say when the iterations stop."""
    return together(
        click.option("--tol", type=click.FloatRange(0), default=tol, help=f"Least gain of {unit}."),
        click.option("--max-iter", type=click.IntRange(0), default=max_iter, help="Most iterations; 0: the start."),
    )


@click.group()
def fit() -> None:
    """Fit a model to the rows of a store."""
    signals.hold()  # until `dem.cli.commands.fit` is loaded, which can say whether the fit goes on


@fit.command("gmm")
@STORE
@COMPONENTS
@COVARIANCE
@stops(1e-3, 100)
@REG_COVAR
@PRIOR
@STARTS
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
    help="Of the components' weights.",
)
@click.option(
    "--concentration",
    "weight_concentration_prior",
    type=click.FloatRange(0, min_open=True),
    help="Of the weights' prior: the smaller, the fewer components  [default: 1 / k].",
)
@stops(1e-3, 100)
@REG_COVAR
@STARTS
@fitting
def fit_bgmm(**options: Any) -> None:
    """Fit a Gaussian mixture by variational Bayes, which empties components that it does not need (small --tol)."""
    fit_and_save("BayesianGaussianMixture", options)


@fit.command("mixture")
@STORE
@COMPONENTS
@click.option(
    "--family",
    "families",
    multiple=True,
    required=True,
    help="bernoulli, categorical, exponential, gamma, gaussian, geometric, lognormal, multinomial, poisson, studentt, "
    "vonmises or vonmisesfisher; for columns of different kinds once for each block, as in --family 0=gamma --family "
    "1,3-7=gaussian.",
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
@click.option("-k", "--clusters", "n_clusters", type=click.IntRange(1), required=True, help="How many clusters.")
@click.option(
    "--init", type=click.Choice(["k-means++", "random"]), default="k-means++", help="First centres on the sample."
)
@click.option(
    "--tol", type=click.FloatRange(0), default=1e-4, help="Least squared shift of the centres, by the mean variance."
)
@click.option(
    "--max-iter",
    type=click.IntRange(0),
    default=300,
    help="Most iterations, each a pass over the store; 0 gives the first centres.",
)
@STARTS
@fitting
def fit_kmeans(**options: Any) -> None:
    """Fit K-means."""
    fit_and_save("KMeans", options)


@fit.command("mppca")
@STORE
@COMPONENTS
@click.option("-q", "--factors", "n_factors", type=click.IntRange(1), required=True, help="Of each component.")
@click.option(
    "--noise",
    type=click.Choice(["isotropic", "diagonal"]),
    default="isotropic",
    help="One variance for all columns (probabilistic PCAs), or one for each (factor analysers).",
)
@stops(1e-3, 100)
@click.option(
    "--reg-covar",
    type=click.FloatRange(0),
    help="Least noise variance, in squared units  [default: 1e-6 of each column's variance].",
)
@PRIOR
@STARTS
@fitting
def fit_mppca(noise: str, **options: Any) -> None:
    """Fit a mixture of probabilistic PCAs, or of factor analysers."""
    fit_and_save("MixturePPCA" if noise == "isotropic" else "MixtureFactorAnalysis", options)


@fit.command("ppca")
@STORE
@click.option(
    "-q",
    "--components",
    "n_components",
    type=Share(),
    help="Number of latent dimensions, a share of the variance, mle or bic  [default: all directions with variance].",
)
@click.option("--solver", type=click.Choice(["auto", "closed_form", "em"]), default="auto", help=SOLVER_HELP)
@stops(1e-6, 500, "an iteration, nats a row")
@fitting
def fit_ppca(**options: Any) -> None:
    """Fit probabilistic PCA."""
    fit_and_save("PPCA", options)


@fit.command("bpca")
@STORE
@click.option(
    "-q", "--components", "n_components", type=click.IntRange(1), help="Most latent dimensions  [default: all]."
)
@stops(1e-6, 500, "an iteration, nats a row")
@fitting
def fit_bpca(**options: Any) -> None:
    """Fit Bayesian PCA, which keeps the directions that the data ask for."""
    fit_and_save("BayesianPCA", options)


@fit.command("fa")
@STORE
@click.option("-q", "--factors", "n_components", type=click.IntRange(1), required=True, help="Number of factors.")
@click.option("--rotation", type=click.Choice(["varimax", "quartimax"]), help="Turn the factors  [default: none].")
@click.option("--solver", type=click.Choice(["auto", "ecm", "em"]), default="auto", help=SOLVER_HELP)
@stops(1e-6, 1000, "an iteration, nats a row")
@fitting
def fit_fa(**options: Any) -> None:
    """Fit factor analysis: probabilistic PCA with a noise variance for each column."""
    fit_and_save("FactorAnalysis", options)


def fit_and_save(estimator: str, options: dict[str, Any]) -> None:
    """Fit an estimator and save it."""
    from dem.cli.commands.fit import fit_estimator

    fit_estimator(estimator, **options)
