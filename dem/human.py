"""Numbers as people read them, and what is said of models in text and in pictures alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

STOP_REASONS = {
    "converged": "converged",
    "max_iter": "stopped at max_iter, not converged",
    "fell": "settled: the log-likelihood fell by less than tol",
    "closed_form": "closed form",
}


def count(value: float) -> str:
    """Return a number with a thousands' letter: 62.5 M."""
    return _scaled(value, ("", " k", " M", " G", " T"))


def size(nbytes: float) -> str:
    """Return a number of bytes in decimal units: 4 GB."""
    return _scaled(nbytes, (" B", " kB", " MB", " GB", " TB", " PB"))


def seconds(value: float) -> str:
    """Return a time: 4 ms, 0.42 s, 12.3 s, 2 min 05 s, 1 h 02 min."""
    if value < 0.1:
        return f"{1000 * value:.0f} ms"
    if value < 10:
        return f"{value:.2f} s"
    if value < 59.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def plural(n: int, noun: str) -> str:
    """Return a number of things: 1 pass, 3 passes, 1,000 iterations."""
    ending = "" if n == 1 else "es" if noun.endswith("s") else "s"
    return f"{n:,} {noun}{ending}"


def share(n: int, whole: int) -> str:
    """Return a count and what share of the whole it is: 12,345 (3.1 %)."""
    if n == 0:
        return "0"
    percent = 100 * n / whole
    return f"{n:,} ({'< 0.1' if percent < 0.05 else f'{percent:.1f}'} %)"


def number(value: float) -> str:
    """Return a number to 6 significant digits."""
    return f"{value:.6g}"


def stopped(model: Any) -> str:
    """Say why a fit stopped."""
    reason = model.stop_reason_
    if reason == "fell" and getattr(model, "reg_covar", 0) > 0:
        return f"{STOP_REASONS[reason]}, as reg_covar can make it"
    return STOP_REASONS[reason]


def effort(model: Any) -> str:
    """Say what a fit took."""
    return f"{plural(model.n_iter_, 'iteration')}, {plural(model.n_passes_, 'pass')} over the data"


def step(model: Any) -> str:
    """Return what one entry of a history is: a pass over the data, or an iteration in memory."""
    return "pass" if hasattr(model, "weights_") or hasattr(model, "cluster_centers_") else "iteration"


def trace(model: Any) -> tuple[str, str, list[float]]:
    """Return what the passes of a fit told: its name, its unit, and a value for each pass."""
    entries = model.history_
    if "inertia" in entries[0]:
        return "inertia", "", [entry["inertia"] for entry in entries]
    told = [entry["log_likelihood"] for entry in entries]
    objectives = [entry.get("objective", value) for entry, value in zip(entries, told, strict=True)]
    if told == objectives:
        return "log-likelihood", "nats a row", told
    return "lower bound" if None in told else "log posterior", "nats a row", objectives


def column_names(model: Any, d: int, labels: Sequence[str] | None) -> list[str]:
    """Return what to call the columns: `labels`, else the names of the training data, else numbers."""
    given = getattr(model, "feature_names_in_", None) if labels is None else labels
    return [f"column {i}" for i in range(d)] if given is None else [str(name) for name in given]


def covariances_among(model: Any, columns: Sequence[int]) -> NDArray[np.float64]:
    """Return the components' covariances among these columns, (K, len(columns), len(columns)).

    Parameters
    ----------
    model : GaussianMixture, MixturePPCA or MixtureFactorAnalysis
    columns : sequence of int
        Few: covariances among all columns would take K d^2 numbers for every type.
    """
    k, eye, pick = len(model.weights_), np.eye(len(columns)), list(columns)
    if hasattr(model, "loadings_"):
        loadings, noise = model.loadings_[:, pick], model.noise_variance_
        noise = noise[:, pick] if noise.ndim == 2 else noise[:, None]
        return np.asarray(loadings @ np.swapaxes(loadings, 1, 2) + noise[:, :, None] * eye)
    stored = np.asarray(model.covariances_, dtype=np.float64)
    kind = model.covariance_type
    if kind == "full":
        return stored[:, pick][:, :, pick]
    if kind == "tied":
        return np.repeat(stored[np.ix_(pick, pick)][None], k, axis=0)
    if kind == "diag":
        return stored[:, pick][:, :, None] * eye
    return stored[:, None, None] * eye


def correlations(model: Any) -> NDArray[np.float64]:
    """Return the correlations of columns and factors of a factor analysis, (d, q): loadings in standard units."""
    loadings = np.asarray(model.components_, dtype=np.float64).T
    deviations = np.sqrt((loadings**2).sum(axis=1) + model.noise_variance_)
    return loadings / np.where(deviations > 0, deviations, 1.0)[:, None]


def _scaled(value: float, units: tuple[str, ...]) -> str:
    """Return the value to 3 significant digits, in the largest unit that it fills."""
    for i, unit in enumerate(units):
        scaled = value / 1000**i
        if abs(scaled) < 999.5 or i == len(units) - 1:
            return (f"{scaled:.0f}" if i == 0 and value == int(value) else f"{scaled:.3g}") + unit
    raise AssertionError("units are never empty")
