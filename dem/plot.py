"""Pictures of fitted models, drawn from their public attributes: no pyplot, no global state.

Every function returns a new `matplotlib.figure.Figure`, to be shown by a notebook or saved by `savefig`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from dem.human import column_names
from dem.plot_axes import (
    check_columns,
    draw_densities,
    draw_ellipses,
    draw_history,
    draw_latents,
    draw_loadings,
    draw_spectrum,
)


def figure(
    model: Any,
    x: ArrayLike | None = None,
    columns: tuple[int, int] = (0, 1),
    labels: Sequence[str] | None = None,
) -> Figure:
    """Return the picture of a model: its fit, and how it was reached.

    Parameters
    ----------
    model : GaussianMixture, PPCA, BayesianPCA or FactorAnalysis
        Fitted.
    x : array-like of shape (n, d), optional
        Rows to show with it; a sample of some thousands is enough.
    columns : (int, int)
        Which pair of columns (for PPCA and factor analysis with rows, of latents) to show.
    labels : sequence of str, optional
        What to call the columns; by default the names the model was fitted with, or their numbers.
    """
    if hasattr(model, "weights_"):
        return _mixture_figure(model, x, columns, labels, with_history=bool(getattr(model, "history_", ())))
    return _latent_figure(model, x, columns, labels)


def mixture(
    model: Any,
    x: ArrayLike | None = None,
    columns: tuple[int, int] = (0, 1),
    labels: Sequence[str] | None = None,
) -> Figure:
    """Return rows and components: ellipses of 1 and 2 sigma in two columns; curves for a single column.

    Heavier components have wider lines. Parameters are those of `figure`.
    """
    return _mixture_figure(model, x, columns, labels, with_history=False)


def history(model: Any) -> Figure:
    """Return the log-likelihood after each pass over the data.

    Raises
    ------
    ValueError
        If the model was not fitted by passes.
    """
    if not getattr(model, "history_", ()):
        raise ValueError("The model has no history: it was not fitted to data.")
    fig = Figure(figsize=(5.2, 4.0), layout="constrained")
    draw_history(fig.add_subplot(), model)
    return fig


def _mixture_figure(
    model: Any,
    x: ArrayLike | None,
    columns: tuple[int, int],
    labels: Sequence[str] | None,
    *,
    with_history: bool,
) -> Figure:
    rows = None if x is None else np.asarray(x, dtype=np.float64)
    d = model.means_.shape[1]
    check_columns(columns if d > 1 else (0, 0), d, "columns")
    names = column_names(model, d, labels)
    fig = Figure(figsize=(10.4, 4.6) if with_history else (6.2, 4.8), layout="constrained")
    axes = fig.subplots(1, 2, width_ratios=(5, 4)) if with_history else [fig.add_subplot()]
    if d == 1:
        draw_densities(axes[0], model, rows, names[0])
    else:
        draw_ellipses(axes[0], model, rows, columns, names)
    if with_history:
        draw_history(axes[1], model)
    return fig


def _latent_figure(model: Any, x: ArrayLike | None, columns: tuple[int, int], labels: Sequence[str] | None) -> Figure:
    traced = len(getattr(model, "history_", ())) > 1
    panels = 1 + (x is not None) + traced
    fig = Figure(figsize=(1.0 + 4.8 * panels, 4.6), layout="constrained")
    axes = list(np.atleast_1d(np.asarray(fig.subplots(1, panels))))
    if hasattr(model, "heywood_"):
        draw_loadings(axes.pop(0), model, column_names(model, len(model.mean_), labels))
    else:
        draw_spectrum(axes.pop(0), model)
    if x is not None:
        draw_latents(axes.pop(0), model, np.asarray(x, dtype=np.float64), columns)
    if traced:
        draw_history(axes.pop(0), model)
    return fig
