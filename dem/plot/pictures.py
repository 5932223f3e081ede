"""Pictures of fitted models, drawn from their public attributes, without pyplot and without global state.

Every function returns a new `matplotlib.figure.Figure`: a notebook shows it, and its `savefig` saves it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from dem.estimators.summary import column_names, columns_of
from dem.plot.axes import (
    check_columns,
    draw_densities,
    draw_ellipses,
    draw_history,
    draw_latents,
    draw_loadings,
    draw_regions,
    draw_spectrum,
)
from dem.plot.bound import draw_gains, draw_staircase
from dem.plot.components import draw_component_densities, draw_participation

DRAWN_ROWS = 3000
"""Rows drawn from a model when its picture is asked for without data."""


def figure(
    model: Any,
    x: ArrayLike | None = None,
    columns: Sequence[int | str] = (0, 1),
    labels: Sequence[str] | None = None,
) -> Figure:
    """Return the picture of a fitted model and of the history of its fit.

    Parameters
    ----------
    model : estimator
        A fitted model.
    x : array-like of shape (n, d), optional
        Rows to draw with the model; a sample of some thousands is enough.
    columns : two of int or str
        The two columns to draw, by number or by name (for PPCA with rows: the two latents, by number).
    labels : sequence of str, optional
        Names of all columns; by default the names of the training data, or numbers.

    Raises
    ------
    ValueError
        The number of labels is not the number of columns, or a column does not exist.
    """
    if hasattr(model, "cluster_centers_"):
        return _kmeans_figure(model, x, columns, labels, with_history=bool(getattr(model, "history_", ())))
    if hasattr(model, "component_parameters_"):
        return _components_figure(model, x, columns, labels)
    if hasattr(model, "weights_"):
        return _mixture_figure(model, x, columns, labels, with_history=bool(getattr(model, "history_", ())))
    return _latent_figure(model, x, columns, labels)


def mixture(
    model: Any,
    x: ArrayLike | None = None,
    columns: Sequence[int | str] = (0, 1),
    labels: Sequence[str] | None = None,
) -> Figure:
    """Return the picture of rows and components: ellipses of 1 and 2 sigma in two columns, curves for one column.

    Components of larger weight have wider lines. Parameters are those of `figure`.
    """
    return _mixture_figure(model, x, columns, labels, with_history=False)


def kmeans(
    model: Any,
    x: ArrayLike | None = None,
    columns: Sequence[int | str] = (0, 1),
    labels: Sequence[str] | None = None,
) -> Figure:
    """Return the picture of rows, centres and the borders between the clusters, in two columns.

    With more than two columns, it shows the borders in the plane through the mean of the centres. Parameters are those
    of `figure`.
    """
    return _kmeans_figure(model, x, columns, labels, with_history=False)


def history(model: Any) -> Figure:
    """Return the picture of the log-likelihood (for K-means: the inertia) after each pass over the data.

    Raises
    ------
    ValueError
        If the model has no history.
    """
    if not getattr(model, "history_", ()):
        raise ValueError("The model has no history: fit it to data first.")
    fig = Figure(figsize=(5.2, 4.0), layout="constrained")
    draw_history(fig.add_subplot(), model)
    return fig


def staircase(model: Any) -> Figure:
    """Return the picture of EM as coordinate ascent: the bound after each E-step and M-step, and the log-likelihood.

    The E-step raises the bound to the log-likelihood (KL = 0). The M-step raises the bound, and raises the
    log-likelihood by the bound's gain plus the new KL (PRML 9.4, figures 9.11 to 9.14). For variational models the
    picture shows their bound, for K-means minus the inertia per row. The right panel shows the gain of each step on a
    logarithmic scale.

    Raises
    ------
    ValueError
        If the model's history does not have the bound after the M-steps.
    """
    entries = [entry for entry in getattr(model, "history_", ()) if entry.get("kl") is not None]
    if not entries:
        raise ValueError(
            f"the history of this {type(model).__name__} has no bound: fit it by EM, with at least one M-step"
        )
    fig = Figure(figsize=(10.4, 4.4), layout="constrained")
    left, right = fig.subplots(1, 2, width_ratios=(6, 4))
    draw_staircase(left, model.history_)
    draw_gains(right, entries)
    return fig


def _figure_with_history(model: Any | None) -> tuple[Figure, Axes]:
    """Return a figure and its left axes; if a model is given, its history is drawn on the right."""
    if model is None:
        fig = Figure(figsize=(6.2, 4.8), layout="constrained")
        return fig, fig.add_subplot()
    fig = Figure(figsize=(10.4, 4.6), layout="constrained")
    left, right = fig.subplots(1, 2, width_ratios=(5, 4))
    draw_history(right, model)
    return fig, left


def _mixture_figure(
    model: Any,
    x: ArrayLike | None,
    columns: Sequence[int | str],
    labels: Sequence[str] | None,
    *,
    with_history: bool,
) -> Figure:
    rows = None if x is None else np.asarray(x, dtype=np.float64)
    d = model.means_.shape[1]
    pair = column_pair(model, columns, d)
    names = column_names(model, d, labels)
    fig, ax = _figure_with_history(model if with_history else None)
    if d == 1:
        draw_densities(ax, model, rows, names[0])
    else:
        draw_ellipses(ax, model, rows, pair, names)
    return fig


def _kmeans_figure(
    model: Any,
    x: ArrayLike | None,
    columns: Sequence[int | str],
    labels: Sequence[str] | None,
    *,
    with_history: bool,
) -> Figure:
    d = model.cluster_centers_.shape[1]
    if d < 2:
        raise ValueError("A picture of K-means needs at least two columns: this model has one.")
    pair = column_pair(model, columns, d)
    fig, ax = _figure_with_history(model if with_history else None)
    rows = None if x is None else np.asarray(x, dtype=np.float64)
    draw_regions(ax, model, rows, pair, column_names(model, d, labels))
    return fig


def _components_figure(
    model: Any, x: ArrayLike | None, columns: Sequence[int | str], labels: Sequence[str] | None
) -> Figure:
    d, traced = model.n_features_in_, bool(getattr(model, "history_", ()))
    pair = column_pair(model, columns, d)
    rows = model.sample(DRAWN_ROWS)[0] if x is None else np.asarray(x, dtype=np.float64)
    fig, ax = _figure_with_history(model if traced else None)
    names = column_names(model, d, labels)
    if d == 1:
        draw_component_densities(ax, model, rows, names[0], drawn=x is None)
    else:
        draw_participation(ax, model, rows, pair, names, drawn=x is None)
    return fig


def _latent_figure(
    model: Any, x: ArrayLike | None, columns: Sequence[int | str], labels: Sequence[str] | None
) -> Figure:
    names = column_names(model, len(model.mean_), labels)
    traced = len(getattr(model, "history_", ())) > 1
    panels = 1 + (x is not None) + traced
    fig = Figure(figsize=(1.0 + 4.8 * panels, 4.6), layout="constrained")
    axes = list(np.atleast_1d(np.asarray(fig.subplots(1, panels))))
    if hasattr(model, "explained_variance_ratio_"):
        draw_spectrum(axes.pop(0), model)
    else:
        draw_loadings(axes.pop(0), model, names)
    if x is not None:
        draw_latents(axes.pop(0), model, np.asarray(x, dtype=np.float64), _latents(columns))
    if traced:
        draw_history(axes.pop(0), model)
    return fig


def column_pair(model: Any, columns: Sequence[int | str], d: int) -> tuple[int, int]:
    """Return the numbers of the two columns to draw, of d columns; (0, 0) for a single column.

    Raises
    ------
    ValueError
        They are not two different columns that exist.
    """
    if d == 1:
        return (0, 0)
    if any(isinstance(column, str) for column in columns):
        columns = columns_of(model, d).numbers_of(columns)
    check_columns(columns, d, "columns")  # type: ignore[arg-type]
    first, second = (int(column) for column in columns)
    return first, second


def _latents(columns: Sequence[int | str]) -> tuple[int, int]:
    """Return the numbers of two latents, which have no names."""
    if not all(isinstance(column, int | np.integer) or column.isdecimal() for column in columns):
        raise ValueError(f"columns must be the numbers of two latents, from 0, got {', '.join(map(str, columns))}.")
    first, second = (int(column) for column in columns)
    return first, second
