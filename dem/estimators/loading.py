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
from dem.estimators.records import FIT_ATTRIBUTES
from dem.storage.atomic import SAVED_MODELS
from dem.storage.document import GroupContents
from dem.storage.encoding import ForeignClassError

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
NOT_IN_0_1_0 = ("reg_covar_",)
"""Attributes that models saved by version 0.1.0 do not have."""
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
    found = ESTIMATORS_BY_NAME[saved.model]
    unreadable = f"{path} cannot be read as a {saved.model}: a newer version of dem wrote it, or it was changed by hand"
    remedy = "upgrade dem, or fit and save the model again"
    named = (modules,) if isinstance(modules, str) else tuple(modules)
    try:
        model = found._restore(saved, named) if issubclass(found, Mixture) else found._restore(saved)
        if not (absent := [name for name in _names_of_a_fit(model) if not hasattr(model, name)]):
            model.describe()
    except ForeignClassError as error:
        raise ValueError(f"{path} {error}: name the module, in Python, as in dem.load(path, modules=[...])") from None
    except (AttributeError, ImportError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{unreadable} ({type(error).__name__}: {error}); {remedy}") from error
    if absent:
        raise ValueError(f"{unreadable} (it has no {', '.join(absent)}); {remedy}")
    return model


def _names_of_a_fit(model: RowwiseEstimator) -> tuple[str, ...]:
    """Return the attributes that the model must have: none if it was made from parameters and not fitted."""
    every = [name for name in (*FIT_ATTRIBUTES, *model._saved, *model._saved_numbers) if name not in NOT_IN_0_1_0]
    return tuple(every) if any(hasattr(model, name) for name in FIT_ATTRIBUTES) else ()
