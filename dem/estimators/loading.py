"""Load an estimator from a saved model."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dem.estimators.base import RowwiseEstimator
from dem.estimators.bayesian_gaussian_mixture import BayesianGaussianMixture
from dem.estimators.bayesian_pca import BayesianPCA
from dem.estimators.factor_analysis import FactorAnalysis
from dem.estimators.gaussian_mixture import GaussianMixture
from dem.estimators.kmeans import KMeans
from dem.estimators.mixture import Mixture
from dem.estimators.mixture_factors import MixtureFactorAnalysis, MixturePPCA
from dem.estimators.ppca import PPCA
from dem.estimators.saving import restore
from dem.storage.atomic import SAVED_MODELS
from dem.storage.document import GroupContents

ESTIMATORS: tuple[type[RowwiseEstimator], ...] = (
    BayesianGaussianMixture,
    BayesianPCA,
    FactorAnalysis,
    GaussianMixture,
    KMeans,
    Mixture,
    MixtureFactorAnalysis,
    MixturePPCA,
    PPCA,
)
ESTIMATORS_BY_NAME = {model.__name__: model for model in ESTIMATORS}
"""The estimators that can be loaded, by name."""


def load(path: str | Path, modules: str | Iterable[str] = ()) -> RowwiseEstimator:
    """Return the fitted estimator that `save` wrote.

    Parameters
    ----------
    path : str or Path
        A path or URL.
    modules : str or iterable of str
        Modules that define your families. Apart from dem, only these modules are imported: a file must not choose which
        code runs.

    Raises
    ------
    FileNotFoundError
        If nothing is stored at the path.
    TypeError
        If `path` is not a path.
    ValueError
        If the store is not a dem model, is damaged, or was written by a newer version.
    """
    return restored(SAVED_MODELS.load(path), path, modules)


def restored(saved: GroupContents, path: str | Path, modules: str | Iterable[str] = ()) -> RowwiseEstimator:
    """Return the estimator of a document that was read from a path; see `load`."""
    if saved.model not in ESTIMATORS_BY_NAME:
        raise ValueError(
            f"{path} holds a model of kind {saved.model!r}, which this version of dem does not know "
            f"(it knows {', '.join(ESTIMATORS_BY_NAME)}): upgrade dem"
        )
    named = (modules,) if isinstance(modules, str) else tuple(modules)
    return restore(ESTIMATORS_BY_NAME[saved.model], saved, path, named)
