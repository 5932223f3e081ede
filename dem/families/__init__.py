"""Component distributions: the densities of all K components at once, one file each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dem.families.bernoulli import Bernoulli
from dem.families.categorical import Categorical
from dem.families.exponential import Exponential
from dem.families.exponential_family import ExponentialFamily, Theta
from dem.families.factors.algebra import FactorAnalysers
from dem.families.factors.family import NOISE, FactorAnalysisFamily, FactorFamily, PPCAFamily
from dem.families.family import Family
from dem.families.gamma import Gamma
from dem.families.gaussian.base import GaussianFamily, Gaussians
from dem.families.gaussian.diag import DiagonalGaussian
from dem.families.gaussian.full import FullGaussian
from dem.families.gaussian.spherical import SphericalGaussian
from dem.families.gaussian.tied import TiedGaussian
from dem.families.geometric import Geometric
from dem.families.lognormal import LogNormal
from dem.families.multinomial import Multinomial
from dem.families.poisson import Poisson
from dem.families.student_t import StudentT
from dem.families.vonmises import VonMises
from dem.families.vonmises_fisher import VonMisesFisher

COVARIANCE_TYPES: dict[str, type[GaussianFamily]] = {
    "full": FullGaussian,
    "tied": TiedGaussian,
    "diag": DiagonalGaussian,
    "spherical": SphericalGaussian,
}
"""scikit-learn's names of the Gaussian families."""


def Gaussian(covariance_type: str = "full", reg_covar: float | None = None) -> GaussianFamily:  # noqa: N802
    """Return the Gaussian family of a covariance type: "full", "tied", "diag" or "spherical".

    Parameters
    ----------
    covariance_type : str
    reg_covar : float or None
        Added to the diagonal of the covariances after the M-step, in the data's units squared; None for 1e-6 times each
        column's variance (spherical: times their mean), and 1e-6 for a column that is constant.

    Raises
    ------
    ValueError
        If there is no such type.
    """
    if covariance_type not in COVARIANCE_TYPES:
        raise ValueError(f"covariance_type must be one of {', '.join(COVARIANCE_TYPES)}, got {covariance_type!r}")
    return COVARIANCE_TYPES[covariance_type](reg_covar)


FAMILIES: dict[str, Callable[..., Family[Any]]] = {
    "bernoulli": Bernoulli,
    "categorical": Categorical,
    "exponential": Exponential,
    "gamma": Gamma,
    "gaussian": Gaussian,
    "geometric": Geometric,
    "lognormal": LogNormal,
    "multinomial": Multinomial,
    "poisson": Poisson,
    "studentt": StudentT,
    "vonmises": VonMises,
    "vonmisesfisher": VonMisesFisher,
}
"""The families by name."""

__all__ = [
    "COVARIANCE_TYPES",
    "FAMILIES",
    "NOISE",
    "Bernoulli",
    "Categorical",
    "DiagonalGaussian",
    "Exponential",
    "ExponentialFamily",
    "FactorAnalysers",
    "FactorAnalysisFamily",
    "FactorFamily",
    "Family",
    "FullGaussian",
    "Gamma",
    "Gaussian",
    "GaussianFamily",
    "Gaussians",
    "Geometric",
    "LogNormal",
    "Multinomial",
    "PPCAFamily",
    "Poisson",
    "SphericalGaussian",
    "StudentT",
    "Theta",
    "TiedGaussian",
    "VonMises",
    "VonMisesFisher",
]
