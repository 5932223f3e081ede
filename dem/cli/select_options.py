"""The commands `dem select ...`, one for each kind of model. Like `main`, the module imports only click."""

from __future__ import annotations

import re
from typing import Any

import click

from dem.cli import signals
from dem.cli.fit_options import COVARIANCES, PRIOR, REG_COVAR, SCALE, STARTS, STORE, FamiliesInHelp, stops
from dem.cli.options import NameList, selecting, together, updating

MOST_CANDIDATES = 1000
"""A longer list of numbers is a mistake."""


class Numbers(click.ParamType):
    """Positive integers such as 1:20 (1 to 20), 2:10:2 (every second) or 1,2,4:8."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        """Return the numbers, each once, in order."""
        if not isinstance(value, str):
            return list(value)
        found: list[int] = []
        for part in value.split(","):
            ends = re.fullmatch(r"\s*(\d+)(?::(\d+)(?::(\d+))?)?\s*", part)
            first, last, step = (int(ends[1]), int(ends[2] or ends[1]), int(ends[3] or 1)) if ends else (0, 0, 1)
            if not 1 <= first <= last or step < 1 or (last - first) // step >= MOST_CANDIDATES:
                self.fail(f"{value!r} is not a list of numbers from 1: write, for example, 1:20 or 2,4,8.", param, ctx)
            found += range(first, last + 1, step)
        return list(dict.fromkeys(found))


class Words(NameList):
    """Some of several words, separated by commas."""

    def __init__(self, words: list[str]) -> None:
        self.words, self.name = words, "|".join(words) + ",..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        """Return the words, each once."""
        given = super().convert(value, param, ctx)
        for word in given or [""]:
            if word not in self.words:
                self.fail(f"{word!r} is not one of {', '.join(self.words)}.", param, ctx)
        return list(dict.fromkeys(given))


def criterion(*words: str) -> Any:
    """Return the option of the criterion; the first word is the default."""
    return click.option(
        "--criterion", type=click.Choice(list(words)), default=words[0], help="What the candidates are compared by."
    )


PICTURE = click.option("--picture", metavar="PATH", help="Also write the criterion over the candidates as a picture.")
CHOOSING = together(
    click.option(
        "--groups",
        metavar="PATH",
        help="For --criterion held_out: a Zarr array with the group of each row (a number); whole groups are held out.",
    ),
    PICTURE,
)
OF_MIXTURES = criterion("bic", "aic", "hqic", "icl", "held_out")
OF_LATENTS = criterion("bic", "aic", "hqic", "held_out")
COMPONENTS = click.option(
    "-k", "--components", "n_components", type=Numbers(), required=True, help="Numbers of components, such as 1:20."
)
FACTORS = click.option(
    "-q", "--factors", "n_components", type=Numbers(), required=True, help="Numbers of latent dimensions, such as 1:8."
)


@click.group()
def select() -> None:
    """Fit several models with common passes over a store, and save the best.

    All candidates share the passes. Each stops when its own fit has converged, and those that cannot win are dropped.
    The best model is saved, with the table of all candidates. The criteria: less is better.
    """
    signals.hold()  # until `dem.cli.commands.fit` is loaded: it knows whether the fit can be resumed


@select.command("gmm")
@STORE
@COMPONENTS
@click.option(
    "--covariance", "covariance_type", type=Words(COVARIANCES), default="full", help="Covariances, such as full,diag."
)
@OF_MIXTURES
@CHOOSING
@stops(1e-3, 100)
@REG_COVAR
@PRIOR
@STARTS
@updating
@SCALE
@selecting
def select_gmm(**options: Any) -> None:
    """Choose among Gaussian mixtures."""
    _select("GaussianMixture", ("n_components", "covariance_type"), options)


@select.command("bgmm")
@STORE
@COMPONENTS
@click.option(
    "--covariance", "covariance_type", type=Words(COVARIANCES), default="full", help="Covariances, such as full,diag."
)
@criterion("bound", "held_out")
@CHOOSING
@stops(1e-3, 100)
@REG_COVAR
@STARTS
@updating
@SCALE
@selecting
def select_bgmm(**options: Any) -> None:
    """Choose among Bayesian Gaussian mixtures, by the bound on the log-evidence."""
    _select("BayesianGaussianMixture", ("n_components", "covariance_type"), options)


@select.command("mixture", cls=FamiliesInHelp)
@STORE
@COMPONENTS
@click.option(
    "--family",
    "families",
    metavar="[COLUMNS=]NAME[:SETTINGS]",
    multiple=True,
    required=True,
    help="As in `dem fit mixture`: the family of all candidates.",
)
@OF_MIXTURES
@CHOOSING
@stops(1e-3, 100)
@PRIOR
@STARTS
@updating
@selecting
def select_mixture(families: tuple[str, ...], **options: Any) -> None:
    """Choose among mixtures of a family of distributions."""
    from dem.cli.commands.fit import family_of

    _select("Mixture", ("n_components",), {**options, "family": family_of(families)})


@select.command("kmeans")
@STORE
@click.option("-k", "--clusters", "n_clusters", type=Numbers(), required=True, help="Numbers of clusters.")
@criterion("bic", "aic", "hqic")
@PICTURE
@click.option(
    "--tol",
    type=click.FloatRange(0),
    default=1e-4,
    help="Stop when the squared shift of all centres is less than this share of the mean variance.",
)
@click.option("--max-iter", type=click.IntRange(0), default=300, help="Largest number of iterations.")
@STARTS
@updating
@SCALE
@selecting
def select_kmeans(**options: Any) -> None:
    """Choose among K-means of several numbers of clusters.

    The criteria are those of a mixture of spheres of one variance, to which rows belong for certain.
    """
    _select("KMeans", ("n_clusters",), options)


@select.command("mppca")
@STORE
@COMPONENTS
@click.option("-q", "--factors", "n_factors", type=Numbers(), required=True, help="Numbers of factors, such as 1:3.")
@click.option(
    "--noise", type=click.Choice(["isotropic", "diagonal"]), default="isotropic", help="Noise, as in `dem fit mppca`."
)
@OF_MIXTURES
@CHOOSING
@stops(1e-3, 100)
@PRIOR
@STARTS
@updating
@SCALE
@selecting
def select_mppca(noise: str, **options: Any) -> None:
    """Choose among mixtures of PPCA or factor analysis models."""
    name = "MixturePPCA" if noise == "isotropic" else "MixtureFactorAnalysis"
    _select(name, ("n_components", "n_factors"), options)


@select.command("ppca")
@STORE
@FACTORS
@OF_LATENTS
@CHOOSING
@stops(1e-6, 500, "an iteration")
@SCALE
@selecting
def select_ppca(**options: Any) -> None:
    """Choose the number of dimensions of probabilistic PCA."""
    _select("PPCA", ("n_components",), options)


@select.command("fa")
@STORE
@FACTORS
@OF_LATENTS
@CHOOSING
@stops(1e-6, 1000, "an iteration")
@SCALE
@selecting
def select_fa(**options: Any) -> None:
    """Choose the number of factors of factor analysis."""
    _select("FactorAnalysis", ("n_components",), options)


def _select(estimator: str, several: tuple[str, ...], options: dict[str, Any]) -> None:
    """Select among estimators of this name; the options named in `several` have several values."""
    from dem.cli.commands.select import select_estimator

    candidates = {name: options.pop(name) for name in several}
    select_estimator(estimator, candidates=candidates, **options)
