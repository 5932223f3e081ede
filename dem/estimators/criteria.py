"""The criteria as methods of the estimators, one for each entry of `dem.models.criteria.CRITERIA`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from dem.models.criteria import CRITERIA, Criterion

C = TypeVar("C", bound=type)


def with_criteria(output: str) -> Callable[[C], C]:
    """Return a class decorator that adds a method for each criterion with this output, "score" or "complete".

    The class must have `_mean` and `n_parameters_`, as `dem.estimators.density.DensityEstimator` has.
    """

    def add(cls: C) -> C:
        for criterion in CRITERIA.values():
            if criterion.output == output:
                setattr(cls, criterion.name, _method(criterion, cls.__qualname__))
        return cls

    return add


def _method(criterion: Criterion, owner: str) -> Callable[[Any, Any], float]:
    """Return the method that computes a criterion in one pass."""

    def method(self: Any, X: Any) -> float:
        found = self._mean(X, criterion.output)
        return criterion.value(found.total, self.n_parameters_, found.counted)

    method.__name__, method.__qualname__ = criterion.name, f"{owner}.{criterion.name}"
    method.__doc__ = f"""Return {criterion.description}   ({criterion.source}).

        Lower is better. Computed in one pass, in nats. n is the number of rows that have a value, or the sum of their
        weights; k is the number of free parameters.
        """
    return method
