"""What each component is like, in words: its size, and the columns in which it differs most from all rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dem.core.block import Float
from dem.estimators.summary import columns_of, shared_units
from dem.families.lognormal import LogNormal, log_normal_moments

MOST_WORDS = 2
"""The most columns that are named for a component."""
DIFFERENT, VERY_DIFFERENT = 0.5, 1.5
"""Differences from the mean of all rows, in standard deviations, that are called high or low, and very high or low."""
SAME = 1e-6
"""Sums of weights that differ from the number of rows by less than this share of it are rows."""
MOST_COMPONENTS = 10
"""The most components that a summary on a terminal lists."""


@dataclass(frozen=True)
class Traits:
    """How the components differ from the mean of all rows.

    Attributes
    ----------
    names : tuple of str
        What they differ in: columns, or codes of columns.
    variables : tuple of str
        The variables that these belong to.
    differences : array of shape (K, len(names))
        In standard deviations of all rows; NaN where nothing is known.
    """

    names: tuple[str, ...]
    variables: tuple[str, ...]
    differences: Float


def shares(model: Any) -> Float:
    """Return the share of each component or cluster in the rows, (K,); empty for models without them."""
    counts = getattr(model, "cluster_counts_", None)
    if counts is None:
        return np.asarray(getattr(model, "weights_", np.ones(0)), dtype=np.float64)
    total = float(np.sum(counts))
    return np.asarray(counts, dtype=np.float64) / (total or 1.0)


@dataclass(frozen=True)
class ClassCounts:
    """How much of the data each component or cluster has.

    Attributes
    ----------
    weights : array of shape (K,)
        The sum of the weights of its rows.
    rows : array of shape (K,)
        The same, scaled to the number of rows.
    are_rows : bool
        The two are the same: each row has the weight 1, as far as their sum tells.
    """

    weights: Float
    rows: Float
    are_rows: bool


def class_counts(model: Any) -> ClassCounts | None:
    """Return how much of the data each class of a model has; None if it has no classes, or does not know it."""
    weights = getattr(model, "cluster_counts_", getattr(model, "effective_counts_", None))
    if weights is None:
        return None
    weights = np.asarray(weights, dtype=np.float64)
    source = getattr(model, "source_", None) or {}
    if "shape" not in source:
        return ClassCounts(weights, weights, are_rows=True)
    rows, total = source["shape"][0] - source.get("empty_rows", 0), float(weights.sum())
    if abs(total - rows) <= SAME * rows:
        return ClassCounts(weights, weights, are_rows=True)
    return ClassCounts(weights, weights * (rows / total), are_rows=False)


def class_word(model: Any) -> str:
    """Return the word for a class of a model: "cluster" or "component"."""
    return "cluster" if hasattr(model, "cluster_centers_") else "component"


def named(model: Any, key: str) -> str:
    """Return the name of a line of `component_lines`: "component 3", "cluster 3", or "others"."""
    return f"{class_word(model)} {key}" if key.isdecimal() else key


def component_means(model: Any) -> Float:
    """Return the mean of each component in each column (K, d); NaN in columns of codes and of angles."""
    if hasattr(model, "cluster_centers_"):
        return np.asarray(model.cluster_centers_, dtype=np.float64)
    if not hasattr(model, "component_parameters_"):
        return np.asarray(model.means_, dtype=np.float64)
    out = np.full((len(model.weights_), model.n_features_in_), np.nan)
    for family, theta, columns in parts_of(model):
        if hasattr(family, "moments"):
            out[:, columns] = family.moments(theta)[0]
        elif isinstance(family, LogNormal):
            out[:, columns] = log_normal_moments(theta)[0]
        elif "means" in (named := family.named_parameters(theta)):
            out[:, columns] = named["means"]
    return out


def traits(model: Any) -> Traits:
    """Return how the components of a mixture, or the clusters of K-means, differ from all rows."""
    means, weights = component_means(model), shares(model)
    d = means.shape[1]
    centre, spread = _of_all_rows(model, means, weights)
    apart = means - centre
    found = [np.divide(apart, spread, out=np.where(np.isnan(apart), np.nan, 0.0), where=~(spread <= 0))]
    columns = columns_of(model, d)
    names = [column.name if columns.named else f"column {column.name}" for column in columns]
    variables = [column.variable or name for column, name in zip(columns, names, strict=True)]
    for j, codes in _code_shares(model):
        whole = weights @ codes
        deviation = np.sqrt(np.maximum(whole * (1 - whole), 1e-12))
        found.append((codes - whole) / deviation)
        names += [f"{names[j]}={code}" for code in range(codes.shape[1])]
        variables += [names[j]] * codes.shape[1]
    return Traits(tuple(names), tuple(variables), np.concatenate(found, axis=1))


def in_words(found: Traits, component: int, most: int = MOST_WORDS) -> str:
    """Return the columns in which a component differs most: "temperature(depth=10) high, salinity(depth=10) low".

    Of several columns of one variable, such as neighbouring depths, only the most telling one is named. Nothing is said
    where nothing is known, as of angles.
    """
    own, words, told = found.differences[component], list[str](), set[str]()
    if not np.isfinite(own).any():
        return ""
    own = np.nan_to_num(own)
    for j in np.argsort(-np.abs(own), kind="stable"):
        if abs(own[j]) < DIFFERENT or len(words) == most:
            break
        if found.variables[j] not in told:
            words.append(f"{found.names[j]} {_how(own[j])}")
            told.add(found.variables[j])
    return ", ".join(words) or "near the mean of all rows"


def _how(difference: float) -> str:
    word = "high" if difference > 0 else "low"
    return f"very {word}" if abs(difference) >= VERY_DIFFERENT else word


def percent(share: float) -> str:
    """Return a share as text; one that is not 0 is never written as 0: "<0.1 %"."""
    if share == 0 or share == 1:
        return f"{share:.0%}".replace("%", " %")
    if share < 0.001:
        return "<0.1 %"
    if share > 0.999:
        return ">99.9 %"
    return f"{100 * share:.1f} %" if share < 0.0995 else f"{100 * share:.0f} %"


def component_lines(model: Any, most: int = MOST_COMPONENTS) -> dict[str, str]:
    """Return a line for each component or cluster, the largest first: "3": "12 %, temperature high, salinity low".

    Empty for models without components. At most `most` lines; the last one counts the components that are left out.
    """
    if not hasattr(model, "weights_") and not hasattr(model, "cluster_centers_"):
        return {}
    sizes, found = shares(model), traits(model)
    order = np.argsort(-sizes, kind="stable")
    shown = order if len(order) <= most else order[: most - 1]
    facts = {k: (percent(float(sizes[k])), in_words(found, k)) for k in shown.tolist()}
    lines = {str(k): ", ".join(filter(None, words)) for k, words in facts.items()}
    if len(shown) < len(order):
        rest = order[len(shown) :]
        lines["others"] = f"{len(rest)} more, {percent(float(sizes[rest].sum()))} together"
    return lines


def _of_all_rows(model: Any, means: Float, weights: Float) -> tuple[Float, Float]:
    """Return the mean and the deviation of each column over all rows, as the model has them.

    The mean of the observed values would be another one where values are missing more often in some components. A model
    without variances has the deviation of the training data; of old models, that of its means.
    """
    centre = weights @ np.nan_to_num(means)
    between = weights @ (np.nan_to_num(means) - centre) ** 2
    if hasattr(model, "means_"):
        return centre, np.sqrt(between + weights @ variances(model))
    kept = (getattr(model, "source_", None) or {}).get("columns") or {}
    if len(kept.get("deviation", ())) == means.shape[1]:
        return centre, np.array(kept["deviation"], dtype=np.float64)
    return centre, np.sqrt(between)


def variances(model: Any) -> Float:
    """Return the variance of each component of a model with `means_` in each column, (K, d)."""
    k, d = np.shape(model.means_)
    units = shared_units(model, d) ** 2
    if hasattr(model, "loadings_"):
        noise = np.asarray(model.noise_variance_)
        own = noise if noise.ndim == 2 else noise[:, None] * units
        return np.asarray((np.asarray(model.loadings_) ** 2).sum(axis=2) + own)
    stored, kind = np.asarray(model.covariances_, dtype=np.float64), model.covariance_type
    if kind == "full":
        return np.einsum("kii->ki", stored)
    if kind == "tied":
        return np.repeat(np.diag(stored)[None], k, axis=0)
    return stored if kind == "diag" else stored[:, None] * units


def parts_of(model: Any) -> list[tuple[Any, Any, list[int]]]:
    """Return the families of a mixture with their parameters and their columns."""
    family, theta = model.family_, model._theta
    if hasattr(family, "parts"):
        return [(part.family, own, list(part.columns)) for part, own in zip(family.parts, theta, strict=True)]
    return [(family, theta, list(range(model.n_features_in_)))]


def _code_shares(model: Any) -> list[tuple[int, Float]]:
    """Return the number of each column of codes, and the probabilities of its codes (K, C)."""
    if not hasattr(model, "component_parameters_"):
        return []
    found = []
    for family, theta, columns in parts_of(model):
        codes = family.named_parameters(theta).get("probabilities")
        if isinstance(codes, list | tuple):
            found += [(j, np.asarray(each)) for j, each in zip(columns, codes, strict=True)]
    return found
