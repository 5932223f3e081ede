"""The scikit-learn face of the models: thin, without maths and without Dask."""

from __future__ import annotations

from dem.estimators.bayesian_pca import BayesianPCA
from dem.estimators.factor_analysis import FactorAnalysis
from dem.estimators.gaussian_mixture import GaussianMixture
from dem.estimators.loading import load
from dem.estimators.ppca import PPCA

__all__ = ["PPCA", "BayesianPCA", "FactorAnalysis", "GaussianMixture", "load"]
