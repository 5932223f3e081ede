"""What a statistician would warn of: each warning is a function from a fitted model to one sentence, or None."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from dem.core import human
from dem.core.block import Float
from dem.core.columns import Columns
from dem.estimators.base import CONVERGED_REASONS
from dem.estimators.summary import columns_of, why_stopped
from dem.estimators.telling import class_counts, class_word, parts_of, percent, shares
from dem.plot.along import LEAST_SEEN, few_values
from dem.run.check_data import MOST_UNLIKE
from dem.run.observe import ClassSums

LEAST_ROWS = 10.0
"""A component of fewer rows is tiny, however few parameters it has."""
ROWS_EACH = 2.0
"""A component of fewer rows for each of its own parameters in a column is tiny: d + 3 with a full covariance."""
FLAT = 1e-5
"""A standard deviation below this share of the others, in units of the columns' own deviations, is a flat direction."""
MOST_FACTORED = 500
"""The most columns for which covariances are decomposed."""
LEAST_NOISE = 1e-4
"""A column with a smaller share of noise in its variance is a Heywood case."""
MOST_LACKING = 0.5
"""A column with a larger share of missing values is told."""
MOST_LISTED = 5


def warnings_of(model: Any, classes: ClassSums | None = None) -> list[str]:
    """Return what to look at before the model is used, in plain sentences; an empty list is good news.

    Parameters
    ----------
    model : estimator
        A fitted model.
    classes : ClassSums, optional
        What the rows of a store have of each class.
    """
    found = [warn(model) for warn in WARNINGS]
    if classes is not None:
        found.append(seldom_observed(model, classes))
    return [sentence for sentence in found if sentence]


def checks_of(model: Any) -> list[str]:
    """Return what is checked for in a model, besides its convergence, in words."""
    word = class_word(model)
    kept = (getattr(model, "source_", None) or {}).get("columns") or {}
    compares = getattr(model, "_depends_on_units", False) and getattr(model, "scale", None) is None
    found = {
        f"tiny {word}s": class_counts(model) is not None,
        "nearly singular covariances": any(True for _ in _spreads(model)),
        "variances that are explained wholly": hasattr(model, "components_"),
        "columns of very different scales": compares and len(kept.get("deviation", ())) > 1,
        "columns that are mostly missing": bool((getattr(model, "source_", None) or {}).get("missing")),
    }
    return [name for name, applies in found.items() if applies]


def not_converged(model: Any) -> str | None:
    """Return a sentence if the fit stopped before it converged."""
    reason = getattr(model, "stop_reason_", "converged")
    if reason in CONVERGED_REASONS:
        return None
    iterations = human.plural(model.n_iter_, "iteration")
    if reason == "fell":
        cause = "reg_covar can cause this: try a smaller one." if getattr(model, "reg_covar", 0) != 0 else ""
        return (
            f"The fit stopped after {iterations}, because the log-likelihood fell by less than tol: it is near a "
            f"maximum, not at it, and more iterations would not help. {cause}".rstrip()
        )
    return (
        f"The fit has not converged: it {why_stopped(model).removesuffix(', not converged')} after {iterations}. The "
        "parameters would still change: fit it again with a larger max_iter."
    )


def tiny_components(model: Any) -> str | None:
    """Return a sentence if a component has too few rows for its parameters."""
    found = class_counts(model)
    if found is None:
        return None
    counts, used = found.rows, _in_use(model, found.weights)
    needed = max(LEAST_ROWS, ROWS_EACH * _own_parameters(model) / model.n_features_in_)
    tiny = [k for k in np.argsort(counts, kind="stable").tolist() if used[k] and counts[k] < needed]
    if not tiny:
        return None
    word = class_word(model)
    if len(tiny) == used.sum():
        return (
            f"There are few rows for the parameters: no {word} has {needed:,.0f} rows, which is about what it needs. "
            f"Choose fewer {word}s, or a simpler covariance."
        )
    sizes = shares(model)
    about = "" if found.are_rows else "the weight of "
    listed = ", ".join(f"{k} ({about}{_rows(counts[k])}, {percent(float(sizes[k]))})" for k in tiny[:MOST_LISTED])
    more = f" and {len(tiny) - MOST_LISTED} more" if len(tiny) > MOST_LISTED else ""
    return (
        f"Tiny {_plural(word, len(tiny))}: {listed}{more}. A {word} needs about {needed:,.0f} rows; with fewer, its "
        "parameters follow a few rows. It may be noise, outliers, or a true rare class: look at its rows."
    )


def near_singular(model: Any) -> str | None:
    """Return a sentence if a component is almost flat in one direction."""
    found = list(_flat_components(model))
    if not found:
        return None
    listed = "; ".join(f"{who} in {words}" for who, words in found[:MOST_LISTED])
    more = f"; and {len(found) - MOST_LISTED} more" if len(found) > MOST_LISTED else ""
    return (
        f"Covariances are nearly singular: {listed}{more}. Such a component has collapsed onto equal or dependent "
        "values, and its high density says little: remove columns that follow from others, raise reg_covar, or "
        "choose fewer components."
    )


def heywood_case(model: Any) -> str | None:
    """Return a sentence if a factor analysis explains a column wholly, or a PPCA leaves no noise."""
    if not hasattr(model, "components_"):
        return None
    noise = np.asarray(model.noise_variance_, dtype=np.float64)
    signal = (np.asarray(model.components_, dtype=np.float64) ** 2).sum(axis=0)
    if noise.ndim == 0:
        if hasattr(model, "explained_variance_") and noise <= LEAST_NOISE**2 * np.max(model.explained_variance_):
            return (
                "The noise variance is practically 0: the latents hold all of the data's variance, so the model has as "
                "many latents as the data have directions. Choose fewer latents."
            )
        return None
    share = noise / np.maximum(noise + signal, 1e-300)
    hit = np.flatnonzero(share < LEAST_NOISE).tolist()
    if not hit:
        return None
    return (
        f"A Heywood case: the factors explain all of the variance of {columns_of(model, len(noise)).in_words(hit)}. "
        "That is seldom true: such a column is a combination of others, or there are too many factors."
    )


def number_of_components(model: Any) -> str | None:
    """Return what a selection says about its choice, such as a best number of components at the edge."""
    found = (getattr(model, "selection_", None) or {}).get("sentences") or []
    return " ".join(found) or None


def found_once(model: Any) -> str | None:
    """Return a sentence if only one of several starts found the best optimum, or if there was only one start."""
    starts = [start for start in getattr(model, "starts_", None) or [] if not start.get("moves")]
    if not starts or _n_classes(model) == 1:
        return None
    if len(starts) == 1:
        return "There was only one start, so nothing tells whether there is a better optimum: set a larger n_init."
    compared = [start for start in starts if start.get("optimum") is not None]
    hits = sum(start["optimum"] == 1 for start in compared)
    if hits > 1 or len(compared) < 2:
        return None
    who = "Only one" if hits == 1 else "None"
    return (
        f"{who} of {len(compared)} starts came to the best optimum, so there may be a better one that none has found: "
        "set a larger n_init, and compare the log-likelihoods."
    )


def unlike_scales(model: Any) -> str | None:
    """Return a sentence if columns of very different spread enter a model that compares them."""
    if not getattr(model, "_depends_on_units", False) or getattr(model, "scale", None) is not None:
        return None
    kept = (getattr(model, "source_", None) or {}).get("columns") or {}
    spread = np.array(kept.get("deviation", ()), dtype=np.float64)
    spread = np.where(spread > 0, spread, np.nan)
    if np.isfinite(spread).sum() < 2:
        return None
    least, most = int(np.nanargmin(spread)), int(np.nanargmax(spread))
    if spread[most] <= MOST_UNLIKE * spread[least]:
        return None
    labels = columns_of(model, len(spread)).labels
    return (
        f"Columns have very different scales: the standard deviation is {spread[least]:.3g} in {labels[least]} and "
        f"{spread[most]:.3g} in {labels[most]}. This model depends on units, so the wide columns decide alone: fit it "
        "with scale='standard' if the units are not comparable."
    )


def much_missing(model: Any) -> str | None:
    """Return a sentence if most values of a column are missing."""
    source = getattr(model, "source_", None) or {}
    counts = np.asarray(source.get("missing", ()), dtype=np.float64)
    if not len(counts):
        return None
    rows = source["shape"][0] - source.get("empty_rows", 0)
    hit = np.flatnonzero(counts - source.get("empty_rows", 0) > MOST_LACKING * rows).tolist()
    if not hit:
        return None
    return (
        f"More than half of the values are missing in {columns_of(model, len(counts)).in_words(hit)}. The results are "
        "right if values are missing at random given the observed ones: think about why they are missing."
    )


def seldom_observed(model: Any, classes: ClassSums) -> str | None:
    """Return a sentence if few rows of a class have a value in some columns, so that its means there are guesses."""
    rare = few_values(classes.observed, classes.counts) & (classes.counts >= LEAST_SEEN)[:, None]
    hit = np.flatnonzero(rare.any(axis=1)).tolist()
    if not hit:
        return None
    columns, word = columns_of(model, rare.shape[1]), class_word(model)
    listed = "; ".join(f"{word} {k} in {_first(columns, np.flatnonzero(rare[k]).tolist())}" for k in hit[:MOST_LISTED])
    more = f"; and {len(hit) - MOST_LISTED} more" if len(hit) > MOST_LISTED else ""
    return (
        f"Less than half of the rows have a value: {listed}{more}. What the model says of these columns there follows "
        "from few rows: in pictures of profiles the line is dotted."
    )


def _first(columns: Columns, numbers: list[int]) -> str:
    """Return the first of some columns as text, and how many more there are."""
    more = f" and {len(numbers) - MOST_LISTED} more" if len(numbers) > MOST_LISTED else ""
    return columns.in_words(numbers[:MOST_LISTED]) + more


Warn = Callable[[Any], str | None]
WARNINGS: tuple[Warn, ...] = (
    not_converged,
    found_once,
    number_of_components,
    tiny_components,
    near_singular,
    heywood_case,
    unlike_scales,
    much_missing,
)
"""All warnings, the most important ones first."""


def _n_classes(model: Any) -> int:
    for name in ("cluster_centers_", "weights_"):
        if hasattr(model, name):
            return len(getattr(model, name))
    return 0


def _plural(word: str, n: int) -> str:
    return word if n == 1 else f"{word}s"


def _rows(count: float) -> str:
    return f"{count:,.0f} rows" if count >= 1.5 else f"{count:.1g} rows" if count > 0 else "no rows"


def _in_use(model: Any, weights: Float) -> Any:
    """Return a mask (K,) of the components in use: a variational mixture empties those that it does not need."""
    if not hasattr(model, "n_components_used_"):
        return np.ones(len(weights), dtype=bool)
    return weights >= max(1.0, model.mean_precision_prior_)


def _own_parameters(model: Any) -> float:
    """Return the free parameters of one component, about."""
    k = _n_classes(model)
    total = getattr(model, "n_parameters_", None)
    if total is None:
        return float(model.n_features_in_)
    shared = 0.0
    if getattr(model, "covariance_type", None) == "tied":
        shared = model.n_features_in_ * (model.n_features_in_ + 1) / 2
    return float(max(1.0, (total - shared - (k - 1)) / k))


def _flat_components(model: Any) -> Iterator[tuple[str, str]]:
    """Yield the components that are almost flat in a direction, with the columns that this direction is made of."""
    for numbers, spreads, shared in _spreads(model):
        if spreads.ndim == 3 and len(numbers) > MOST_FACTORED:
            continue
        unit = _unit(model, numbers, spreads)
        for k, spread in enumerate(spreads):
            hit = _flat_columns(spread, unit)
            if hit:
                words = columns_of(model, model.n_features_in_).in_words([numbers[j] for j in hit[:MOST_LISTED]])
                yield "all components" if shared else f"component {k}", words


def _flat_columns(spread: Float, unit: Float) -> list[int]:
    """Return the columns of the flattest direction of a covariance (m, m) or of variances (m,); none if it is wide."""
    if spread.ndim == 1:
        values = spread / unit**2
        return np.flatnonzero(values <= FLAT**2 * max(values.max(), 1e-300)).tolist()
    values, vectors = np.linalg.eigh(spread / np.outer(unit, unit))
    if values[0] > FLAT**2 * max(values[-1], 1e-300):
        return []
    direction = np.abs(vectors[:, 0])
    return np.flatnonzero(direction > 0.3 * direction.max()).tolist()


def _spreads(model: Any) -> Iterator[tuple[list[int], Float, bool]]:
    """Yield the columns of each part of a mixture, its covariances or variances, and whether all components share them.

    Covariances are (K, m, m), or (1, m, m) if they are shared; variances are (K, m).
    """
    if hasattr(model, "component_parameters_"):
        for family, theta, numbers in parts_of(model):
            named = family.named_parameters(theta)
            found = np.asarray(named.get("covariances", 0.0)) if hasattr(named, "get") else np.zeros(0)
            shared = "covariances" in getattr(family, "shared_parameters", ())
            if found.ndim >= 2:
                yield numbers, found[None] if shared else found, shared
    elif hasattr(model, "covariances_") and model.covariance_type != "spherical":
        found, shared = np.asarray(model.covariances_, dtype=np.float64), model.covariance_type == "tied"
        yield list(range(model.n_features_in_)), found[None] if shared else found, shared


def _unit(model: Any, numbers: list[int], spreads: Float) -> Float:
    """Return the deviation of each of these columns over all rows; of old models, those within the components."""
    kept = (getattr(model, "source_", None) or {}).get("columns") or {}
    deviations = np.array(kept.get("deviation", ()), dtype=np.float64)
    if len(deviations) == model.n_features_in_:
        unit = deviations[numbers]
    else:
        variances = np.einsum("kii->ki", spreads) if spreads.ndim == 3 else spreads
        unit = np.sqrt(variances.mean(axis=0))
    return np.asarray(np.where(np.isfinite(unit) & (unit > 0), unit, 1.0))
