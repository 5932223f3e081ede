"""The part of an estimator that lets its fit share the passes of other fits: see `dem.selection`."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from dem.estimators.earlier import EarlierModel
from dem.run.fit import Fit, Problem
from dem.run.fit_settings import FitSettings
from dem.source import Source


class HasProblem:
    """An estimator whose fit by EM can be described as a value."""

    selection_: dict[str, Any]
    """The table of the selection that chose this model; only such models have it."""

    @abstractmethod
    def _problem(self, source: Source, settings: FitSettings, begun: EarlierModel | None = None) -> Problem[Any, Any]:
        """Return the fit by EM with a pass per iteration, as a value: several of them can share their passes.

        It begins with the parameters of an earlier model, if one is given.
        """

    def _result(self, fitted: Fit[Any, Any]) -> Any:
        """Return what `_keep_result` takes, given the result of `_problem`."""
        return fitted
