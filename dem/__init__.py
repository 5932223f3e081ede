"""dem: expectation-maximisation for data that do not fit in memory.

Names are loaded when they are first used, so that `import dem.models` needs no Dask.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dem.checkpoint import Checkpoint as Checkpoint
    from dem.checkpoint import Stopped as Stopped
    from dem.engine import Engine as Engine
    from dem.estimators import PPCA as PPCA
    from dem.estimators import BayesianGaussianMixture as BayesianGaussianMixture
    from dem.estimators import BayesianPCA as BayesianPCA
    from dem.estimators import BernoulliMixture as BernoulliMixture
    from dem.estimators import CategoricalMixture as CategoricalMixture
    from dem.estimators import ExponentialMixture as ExponentialMixture
    from dem.estimators import FactorAnalysis as FactorAnalysis
    from dem.estimators import GaussianMixture as GaussianMixture
    from dem.estimators import KMeans as KMeans
    from dem.estimators import Mixture as Mixture
    from dem.estimators import MixtureFactorAnalysis as MixtureFactorAnalysis
    from dem.estimators import MixturePPCA as MixturePPCA
    from dem.estimators import PoissonMixture as PoissonMixture
    from dem.estimators import load as load
    from dem.models.prior import Prior as Prior
    from dem.source import open_source as open_source

__version__ = "0.1.0"

_ESTIMATORS = (
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
)
_HOMES = {
    "Checkpoint": "dem.checkpoint",
    "Stopped": "dem.checkpoint",
    "Engine": "dem.engine",
    "Prior": "dem.models.prior",
    "open_source": "dem.source",
    **dict.fromkeys(_ESTIMATORS, "dem.estimators"),
}
_MODULES = ("cluster", "em", "engine", "estimators", "families", "models", "outputs", "plot", "run", "source", "store")

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    """Load a public name from its module."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _MODULES:
        return import_module(f"dem.{name}")
    raise AttributeError(f"module 'dem' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted((*__all__, *_MODULES))
