"""The scikit-learn face of the models: thin, without maths and without Dask."""

from __future__ import annotations

from dem.estimators.bayesian_gaussian_mixture import BayesianGaussianMixture
from dem.estimators.bayesian_pca import BayesianPCA
from dem.estimators.factor_analysis import FactorAnalysis
from dem.estimators.gaussian_mixture import GaussianMixture
from dem.estimators.kmeans import KMeans
from dem.estimators.loading import load
from dem.estimators.mixture import BernoulliMixture, CategoricalMixture, ExponentialMixture, Mixture, PoissonMixture
from dem.estimators.mixture_factors import MixtureFactorAnalysis, MixturePPCA
from dem.estimators.ppca import PPCA

__all__ = [
    "PPCA",
    "BayesianGaussianMixture",
    "BayesianPCA",
    "BernoulliMixture",
    "CategoricalMixture",
    "ExponentialMixture",
    "FactorAnalysis",
    "GaussianMixture",
    "KMeans",
    "Mixture",
    "MixtureFactorAnalysis",
    "MixturePPCA",
    "PoissonMixture",
    "load",
]
