"""dem: expectation-maximisation for data that do not fit in memory.

Names are loaded when they are first used, so that `import dem.models` needs no Dask.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dem.core.version import __version__

if TYPE_CHECKING:
    from dem.engine.engine import Engine as Engine
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
    from dem.estimators.ppca import SubspaceWarning as SubspaceWarning
    from dem.models.mixture.prior import Prior as Prior
    from dem.reports import Report as Report
    from dem.reports import report as report
    from dem.selection import Selection as Selection
    from dem.selection import select as select
    from dem.source import open_source as open_source
    from dem.storage.checkpoint import Checkpoint as Checkpoint
    from dem.storage.checkpoint import Stopped as Stopped

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
    "Checkpoint": "dem.storage.checkpoint",
    "Stopped": "dem.storage.checkpoint",
    "Engine": "dem.engine.engine",
    "Prior": "dem.models.mixture.prior",
    "Report": "dem.reports",
    "Selection": "dem.selection",
    "select": "dem.selection",
    "SubspaceWarning": "dem.estimators.ppca",
    "open_source": "dem.source",
    "report": "dem.reports",
    **dict.fromkeys(_ESTIMATORS, "dem.estimators"),
}
_PACKAGES = (
    "em",
    "engine",
    "estimators",
    "families",
    "models",
    "plot",
    "reports",
    "run",
    "scan",
    "selection",
    "source",
    "storage",
)

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    """Load a public name from its module."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _PACKAGES:
        return import_module(f"dem.{name}")
    raise AttributeError(f"module 'dem' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted((*__all__, *_PACKAGES))
