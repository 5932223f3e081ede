"""dem: expectation-maximisation for data that do not fit in memory.

Names are loaded when they are first used, so that `import dem.models` needs no Dask.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dem.checkpoint import Checkpoint as Checkpoint
    from dem.checkpoint import Stopped as Stopped
    from dem.engine import Engine
    from dem.estimators import PPCA as PPCA
    from dem.estimators import BayesianPCA as BayesianPCA
    from dem.estimators import FactorAnalysis as FactorAnalysis
    from dem.estimators import GaussianMixture as GaussianMixture
    from dem.estimators import load as load
    from dem.source import open_source

__version__ = "0.1.0"

_HOMES = {
    "Checkpoint": "dem.checkpoint",
    "Stopped": "dem.checkpoint",
    "BayesianPCA": "dem.estimators",
    "Engine": "dem.engine",
    "FactorAnalysis": "dem.estimators",
    "GaussianMixture": "dem.estimators",
    "PPCA": "dem.estimators",
    "load": "dem.estimators",
    "open_source": "dem.source",
}
_MODULES = ("cluster", "em", "engine", "estimators", "families", "models", "outputs", "plot", "run", "source", "store")

__all__ = [
    "PPCA",
    "BayesianPCA",
    "Checkpoint",
    "Engine",
    "FactorAnalysis",
    "GaussianMixture",
    "Stopped",
    "__version__",
    "load",
    "open_source",
]


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
