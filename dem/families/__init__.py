"""Component distributions: the densities of all K components at once, one file each."""

from __future__ import annotations

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
from dem.families.table import COVARIANCE_TYPES, FAMILIES, Gaussian
from dem.families.vonmises import VonMises
from dem.families.vonmises_fisher import VonMisesFisher

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
