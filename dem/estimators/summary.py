"""Texts and numbers about fitted models, for the command line and for pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dem.core import human
from dem.core.columns import Columns
from dem.core.human import passes, plural
from dem.families.reg_covar import FromData

STOP_REASONS = {
    "converged": "converged",
    "max_iter": "stopped at max_iter, not converged",
    "fell": "stopped: the log-likelihood fell by less than tol",
    "closed_form": "closed form",
    "dropped": "dropped from a selection, not converged",
}


def why_stopped(model: Any) -> str:
    """Return why a fit stopped, in words."""
    reason = model.stop_reason_
    if reason == "fell" and getattr(model, "reg_covar", 0) != 0:
        return f"{STOP_REASONS[reason]}, which reg_covar can cause"
    return STOP_REASONS[reason]


def reg_covar_text(model: Any) -> str | None:
    """Return the `reg_covar` of a fit, in words; None if the model has none or does not know it."""
    if hasattr(model, "family_"):  # a Mixture: each family has its own reg_covar
        used = [getattr(family, "reg_covar", None) for family in model.family_.members]
        return "; ".join(_reg_covar_text(value) for value in used if value) or None
    if not hasattr(model, "reg_covar_"):
        return None
    return _reg_covar_text(FromData(model.reg_covar_) if model.reg_covar is None else model.reg_covar)


def _reg_covar_text(value: float | FromData) -> str:
    if not isinstance(value, FromData):
        return f"{value:.4g}"
    low, high = np.min(value.values), np.max(value.values)
    span = f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
    return f"{span}, from the columns' variances"


def iterations_and_passes(model: Any) -> str:
    """Return the number of iterations and of passes over the data, in words."""
    return f"{plural(model.n_iter_, 'iteration')}; data read by {passes(model.n_passes_)}"


def rest_in_words(model: Any) -> str | None:
    """Return what more iterations would gain, in words; None if there is no estimate, or the objective has no nats."""
    left = getattr(model, "remaining_gain_", None)
    if left is None or model.objective_name == "inertia":
        return None
    return f"about {left:.1g} nats a row, by Aitken's estimate" if left > 0 else "nothing, by Aitken's estimate"


def starts_in_words(model: Any) -> str | None:
    """Return how many starts on the sample came to the best optimum, in words; None if there were none."""
    records = getattr(model, "starts_", None) or []
    starts = [record for record in records if not record["moves"]]
    if not starts:
        return None
    seen = [record for record in starts if record["optimum"] is not None]
    best = sum(record["optimum"] == 1 for record in seen)
    carried_on = f" of {len(seen)} carried on" if len(seen) < len(starts) else ""
    moved = "; joining and splitting components found a better one" if len(records) > len(starts) and not best else ""
    return f"{len(starts)} on the sample, {best}{carried_on} at the best optimum{moved}"


def history_unit(model: Any) -> str:
    """Return what an entry of the history stands for: "pass" over the data, or "iteration" in memory."""
    return "pass" if hasattr(model, "weights_") or hasattr(model, "cluster_centers_") else "iteration"


def objective_history(model: Any) -> tuple[str, str, list[float]]:
    """Return the objective of a fit over its history: its name, its unit, and a value for each entry."""
    entries = model.history_
    if "inertia" in entries[0]:
        return "inertia", "", [entry["inertia"] for entry in entries]
    log_likelihoods = [entry["log_likelihood"] for entry in entries]
    objectives = [entry.get("objective", value) for entry, value in zip(entries, log_likelihoods, strict=True)]
    if log_likelihoods == objectives:
        return "log-likelihood", "nats a row", log_likelihoods
    return "lower bound" if None in log_likelihoods else "log posterior", "nats a row", objectives


def column_names(model: Any, d: int, labels: Sequence[str] | None) -> list[str]:
    """Return the names of the columns: `labels`, else the names in the training data with units, else numbers.

    Raises
    ------
    ValueError
        If the number of labels is not the number of columns.
    """
    if labels is not None and (isinstance(labels, str) or len(labels) != d):
        what = f"the word {labels!r}" if isinstance(labels, str) else plural(len(labels), "name")
        raise ValueError(f"labels must be a list with a name for each of the {plural(d, 'column')}, got {what}")
    if labels is not None:
        return [str(name) for name in labels]
    return list(columns_of(model, d).labels)


def columns_of(model: Any, d: int) -> Columns:
    """Return the columns that a model was fitted to; those of models made by hand have names, or only numbers."""
    names = getattr(model, "feature_names_in_", None)
    made = Columns.numbered(d) if names is None else Columns.of_names([str(name) for name in names])
    found: Columns = getattr(model, "columns_", made)
    return found


def covariances_among(model: Any, columns: Sequence[int]) -> NDArray[np.float64]:
    """Return the components' covariances among these columns, (K, len(columns), len(columns)).

    Parameters
    ----------
    model : GaussianMixture, MixturePPCA or MixtureFactorAnalysis
    columns : sequence of int
        A few columns; for all columns, every type would need K d^2 numbers.
    """
    k, eye, pick = len(model.weights_), np.eye(len(columns)), list(columns)
    unit = eye * shared_units(model, len(model.means_[0]))[pick] ** 2
    if hasattr(model, "loadings_"):
        loadings, noise = model.loadings_[:, pick], model.noise_variance_
        own = noise[:, pick][:, :, None] * eye if noise.ndim == 2 else noise[:, None, None] * unit
        return np.asarray(loadings @ np.swapaxes(loadings, 1, 2) + own)
    stored = np.asarray(model.covariances_, dtype=np.float64)
    kind = model.covariance_type
    if kind == "full":
        return stored[:, pick][:, :, pick]
    if kind == "tied":
        return np.repeat(stored[np.ix_(pick, pick)][None], k, axis=0)
    if kind == "diag":
        return stored[:, pick][:, :, None] * eye
    return stored[:, None, None] * unit


def shared_units(model: Any, d: int) -> NDArray[np.float64]:
    """Return the size (d,), in each column, of a number that all columns share: 1 if they were not scaled."""
    return np.asarray(getattr(model, "scale_", np.ones(d)), dtype=np.float64)


def in_scaled_units(model: Any) -> str:
    """Return " in scaled units" if the columns were scaled, for texts about numbers that they share; else ""."""
    return " in scaled units" if hasattr(model, "scale_") else ""


def correlations(model: Any) -> NDArray[np.float64]:
    """Return the correlations between columns and factors of a factor analysis, (d, q)."""
    loadings = np.asarray(model.components_, dtype=np.float64).T
    deviations = np.sqrt((loadings**2).sum(axis=1) + model.noise_variance_)
    return loadings / np.where(deviations > 0, deviations, 1.0)[:, None]


REPORT_COLUMNS = 30
"""Largest number of columns that a report lists."""


def missing_summary(shape: Sequence[int], counts: Sequence[int], incomplete: int, empty: int) -> str:
    """Return, in words, how many values are missing and in how many rows."""
    rows, columns = shape
    if not any(counts):
        return "nothing"
    lacking = sum(count > 0 for count in counts)
    fate = " and are left out of fits" if empty else ""
    return (
        f"{human.share(sum(counts), rows * columns)} of the values, in {human.plural(lacking, 'column')}; "
        f"{human.share(incomplete, rows)} of the rows have missing values, {human.share(empty, rows)} have no value at "
        f"all{fate}"
    )


def missing_in_training(source: Mapping[str, Any] | None) -> str | None:
    """Return `missing_summary` of the training data, from `source_` of an estimator; None if it is not known."""
    if not source or "missing" not in source:
        return None
    return missing_summary(source["shape"], source["missing"], source["incomplete_rows"], source["empty_rows"])


def worst_columns(source: Mapping[str, Any] | None, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the columns of the training data with most missing values, at most `REPORT_COLUMNS` of them."""
    counts = source.get("missing", []) if source else []
    worst = sorted((j for j, count in enumerate(counts) if count), key=lambda j: -counts[j])[:REPORT_COLUMNS]
    rows = source["shape"][0] if source else 0
    return [{"column": names[j], "missing": counts[j], "share": counts[j] / rows} for j in worst]
