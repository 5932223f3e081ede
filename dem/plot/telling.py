"""Which columns tell the classes apart, and what a class looks like in each column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from dem.core.block import Float
from dem.estimators.summary import columns_of
from dem.estimators.telling import class_counts, variances
from dem.plot.sampled import RowSample, n_columns, row_sample

DRAWN_ROWS = 3000
"""Rows drawn from a model when its picture is asked for without data."""
ALIKE = 0.75
"""How much less telling a column is that says the same as one chosen before."""


@dataclass(frozen=True)
class ClassMoments:
    """The mean and the standard deviation of each class in each column.

    Attributes
    ----------
    means, sds : arrays of shape (K, d)
        NaN where a class has no rows.
    weights : array of shape (K,)
    """

    means: Float
    sds: Float
    weights: Float


def as_gaussians(model: Any) -> Any:
    """Return what has the means and covariances of a mixture; None if its family has none.

    The covariances of Student's t are its scale matrices.
    """
    if hasattr(model, "covariances_") or hasattr(model, "loadings_"):
        return model
    parameters = getattr(model, "component_parameters_", None)
    if not isinstance(parameters, dict) or not {"means", "covariances"} <= set(parameters):
        return None
    means, covariances = (np.asarray(parameters[name]) for name in ("means", "covariances"))
    kinds = {3: "full", 1: "spherical", 2: "tied" if "Tied" in type(model.family_).__name__ else "diag"}
    return SimpleNamespace(
        weights_=model.weights_, means_=means, covariances_=covariances, covariance_type=kinds[covariances.ndim]
    )


def present(model: Any) -> list[int]:
    """Return the components that have rows; all, if none or the numbers of rows are not known."""
    counts = class_counts(model)
    found = [] if counts is None else np.flatnonzero(counts.rows >= 1).tolist()
    return found or list(range(len(model.weights_)))


def class_moments(model: Any, sample: RowSample | None) -> ClassMoments:
    """Return the moments of each class: those of the model where it has means, else those of the rows by class.

    The deviations of K-means are those of the rows; without rows they are NaN.
    """
    if hasattr(model, "cluster_centers_"):
        centres = np.asarray(model.cluster_centers_, dtype=np.float64)
        sds = np.full(centres.shape, np.nan) if sample is None else moments_by_class(sample, len(centres)).sds
        counts = np.asarray(getattr(model, "cluster_counts_", np.ones(len(centres))), dtype=np.float64)
        return ClassMoments(centres, sds, counts / counts.sum())
    weights = np.asarray(model.weights_, dtype=np.float64)
    if (gaussians := as_gaussians(model)) is not None:
        means = np.asarray(gaussians.means_, dtype=np.float64)
        return ClassMoments(means, np.sqrt(np.maximum(variances(gaussians), 0.0)), weights)
    if sample is None:
        x, drawn = model.sample(DRAWN_ROWS)
        sample = RowSample(model, np.asarray(x), len(x), drawn=True)
        sample.__dict__["classes"] = np.asarray(drawn)
    found = moments_by_class(sample, len(weights))
    return ClassMoments(found.means, found.sds, weights)


def moments_by_class(sample: RowSample, k: int) -> ClassMoments:
    """Return the means and deviations of the observed values of the rows of each class."""
    means, sds, counts = np.full((k, sample.x.shape[1]), np.nan), np.full((k, sample.x.shape[1]), np.nan), np.zeros(k)
    classes = sample.classes
    for j in range(k if classes is not None else 0):
        own = sample.x[classes == j]
        seen = np.isfinite(own)
        n = seen.sum(axis=0)
        counts[j] = len(own)
        some = n > 0
        values = np.where(seen, own, 0.0)
        mean = values.sum(axis=0)[some] / n[some]
        means[j, some] = mean
        squares = np.where(seen[:, some], (own[:, some] - mean) ** 2, 0.0).sum(axis=0)
        sds[j, some] = np.sqrt(squares / n[some])
    return ClassMoments(means, sds, counts / max(1.0, counts.sum()))


def between_shares(moments: ClassMoments) -> Float:
    """Return how much of each column's variance is between the classes, (d,): 0 for nothing, 1 for all."""
    w = np.where(np.isfinite(moments.means), moments.weights[:, None], 0.0)
    w = w / np.maximum(w.sum(axis=0), 1e-300)
    means, sds = np.nan_to_num(moments.means), np.nan_to_num(moments.sds)
    centre = (w * means).sum(axis=0)
    between = (w * (means - centre) ** 2).sum(axis=0)
    total = between + (w * sds**2).sum(axis=0)
    return np.asarray(np.divide(between, total, out=np.zeros_like(total), where=total > 0))


def telling_columns(model: Any, n: int, rows: Any = None) -> tuple[int, ...]:
    """Return the n columns in which the classes differ most, the most telling one first.

    A column that says the same as one chosen before counts less, so that two neighbouring depths are not both chosen
    where another variable tells more.

    Parameters
    ----------
    model : estimator
        A mixture or K-means.
    n : int
    rows : rows, optional
        See `dem.plot`. Without them all columns of K-means in which the centres differ count alike.
    """
    d = n_columns(model)
    if d <= n:
        return tuple(range(d))
    moments = class_moments(model, row_sample(model, rows))
    score = between_shares(moments)
    means = np.nan_to_num(moments.means)
    centred = (means - means.mean(axis=0)) * np.sqrt(moments.weights)[:, None]
    unit = centred / np.maximum(np.linalg.norm(centred, axis=0), 1e-300)
    variables = np.array([column.variable for column in columns_of(model, d)])
    alike, chosen = np.zeros(d), list[int]()
    for _ in range(n):
        best = np.where(np.isin(np.arange(d), chosen), -1.0, score * (1 - ALIKE * alike) + 1e-12)
        j = int(np.argmax(best))
        chosen.append(j)
        same = (unit.T @ unit[:, j]) ** 2
        neighbours = (variables == variables[j]) if len(set(variables)) < d else np.ones(d, dtype=bool)
        alike = np.maximum(alike, np.where(neighbours, same, same / 2))
    return tuple(chosen)


def chosen_columns(
    model: Any, columns: Sequence[int | str] | None, most: int, sample: RowSample | None = None
) -> tuple[int, ...]:
    """Return the numbers of the columns that a user chose; by default the most telling ones, at most so many.

    Raises
    ------
    ValueError
        There is no such column, or it is given twice.
    """
    if columns is None:
        return tuple(sorted(telling_columns(model, most, sample)))
    return columns_of(model, n_columns(model)).numbers_of(list(columns))


def column_pair(
    model: Any, columns: Sequence[int | str] | None = None, d: int | None = None, sample: RowSample | None = None
) -> tuple[int, int]:
    """Return the numbers of the two columns to draw; (0, 0) for a single column. By default the most telling ones.

    Raises
    ------
    ValueError
        They are not two different columns that exist.
    """
    d = n_columns(model) if d is None else d
    if d == 1:
        return (0, 0)
    if columns is None:
        first, second = sorted(telling_columns(model, 2, sample))
        return first, second
    if any(isinstance(column, str) for column in columns):
        columns = columns_of(model, d).numbers_of(list(columns))
    check_columns(columns, d, "columns")
    first, second = (int(column) for column in columns)
    return first, second


def check_columns(columns: Sequence[Any], n: int, what: str) -> None:
    """Refuse anything other than two different columns that exist; the only one of a single column is (0, 0)."""
    if len(columns) != 2 or not all(0 <= c < n for c in columns) or len(set(columns)) < min(2, n):
        raise ValueError(f"columns must be two of the {n} {what}, numbered from 0, got {tuple(columns)}.")
