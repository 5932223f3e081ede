"""The candidates of a selection: the estimators that settings with several values stand for."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone

from dem.estimators.base import RowwiseEstimator
from dem.estimators.iterations import check_iterations
from dem.models.selection import DESCRIPTIONS

SHARED = (
    "engine", "missing", "missing_value", "random_state", "sample_size", "scale", "verbose", "verbose_interval",
    "warm_start",
)  # fmt: skip
"""Settings that all candidates have in common, since they share the data, the passes and the sample."""
CRITERIA_OF = {
    "log_likelihood": ("bic", "aic", "hqic", "icl", "held_out"),
    "bound": ("bound", "held_out"),
    "inertia": ("bic", "aic", "hqic"),
}
"""The criteria that a model has, by what it maximises; the first is the default."""


class Entry(NamedTuple):
    """A candidate: the settings that tell it from the others, and its estimator, to be fitted."""

    settings: dict[str, Any]
    estimator: RowwiseEstimator


def candidates_of(estimator: RowwiseEstimator, settings: Mapping[str, Any]) -> dict[str, Entry]:
    """Return the candidates by name, such as "n_components=3, covariance_type=full": all combinations of the values.

    A setting with a single value is no part of the names, unless all have one.

    Raises
    ------
    ValueError
        The estimator has no such setting, it cannot be varied, or it has no values; or a value is wrong.
    """
    if not isinstance(estimator, RowwiseEstimator):
        raise ValueError(
            f"estimator must be an estimator of dem that is not fitted, such as dem.KMeans(), got {estimator!r}"
        )
    if not settings:
        raise ValueError("no candidates: give a setting with several values, such as n_components=range(1, 21)")
    known, kind = estimator.get_params(deep=False), type(estimator).__name__
    values = {}
    for name, value in settings.items():
        if name not in known:
            raise ValueError(f"{kind} has no setting {name!r}: its settings are {', '.join(sorted(known))}")
        if name in SHARED:
            raise ValueError(
                f"{name} must be the same for all candidates: set it in the estimator, as {kind}({name}=...)"
            )
        values[name] = _several(name, value)
    found: dict[str, Entry] = {}
    for numbers in itertools.product(*(range(len(several)) for several in values.values())):
        chosen = {name: values[name][i] for name, i in zip(values, numbers, strict=True)}
        words = {name: _word(values[name][i], i) for name, i in zip(values, numbers, strict=True)}
        candidate = clone(estimator).set_params(**chosen)
        candidate._check_settings()
        check_iterations(candidate)
        telling = {name: value for name, value in chosen.items() if len(values[name]) > 1} or chosen
        found[in_words({name: words[name] for name in telling})] = Entry(telling, candidate)
    return found


def _word(value: Any, i: int) -> Any:
    """Return a value of a setting as it is in names; arrays, which may look alike, by their numbers."""
    return f"array {i + 1}" if isinstance(value, np.ndarray) else value


def _several(name: str, value: Any) -> list[Any]:
    """Return the values of a setting; one that is no list is the only value."""
    if isinstance(value, np.ndarray) and value.ndim > 1:
        raise ValueError(
            f"{name} is one array of shape {value.shape}: set it in the estimator, or give several arrays as a list"
        )
    single = isinstance(value, str | Mapping) or not isinstance(value, Iterable)
    several = [value] if single else list(value)
    several = [one.item() if isinstance(one, np.generic) else one for one in several]
    if not several:
        raise ValueError(f"{name} has no values: {value!r} is empty")
    return several


def in_words(settings: Mapping[str, Any]) -> str:
    """Return settings as text: "n_components=3, covariance_type=full"."""
    return ", ".join(f"{name}={value}" for name, value in settings.items())


def chosen_criterion(estimator: RowwiseEstimator, criterion: str | None) -> str:
    """Return the criterion, or the default of the estimator.

    Raises
    ------
    ValueError
        There is no such criterion, or the estimator does not have it.
    """
    has = CRITERIA_OF[estimator.objective_name]
    has = tuple(name for name in has if name != "icl" or hasattr(estimator, "icl"))
    if criterion is None:
        return has[0]
    if criterion not in DESCRIPTIONS:
        raise ValueError(f"criterion must be one of {', '.join(DESCRIPTIONS)}, got {criterion!r}")
    if criterion not in has:
        raise ValueError(
            f"{type(estimator).__name__} has no criterion {criterion!r} to be selected by: choose {' or '.join(has)}"
        )
    return criterion
