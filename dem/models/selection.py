"""The criteria by which candidates of a selection are compared, from the sums of a pass. Of all, less is better."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dem.em.candidates import Bounds
from dem.models.criteria import CRITERIA
from dem.models.kmeans.kmeans import KMeansModel

BOUND, HELD_OUT = "bound", "held_out"
DESCRIPTIONS = {
    **{name: criterion.description for name, criterion in CRITERIA.items()},
    BOUND: "-2 times the bound on the log-evidence of all rows",
    HELD_OUT: "-2 times the log-likelihood of the rows held out",
}
"""All criteria by name, in words."""


class Evidence(NamedTuple):
    """What the criteria are computed from.

    Attributes
    ----------
    log_likelihood : float
        Of all rows together, in nats.
    n_parameters : int
    rows : float
        The number of rows, or the sum of their weights.
    """

    log_likelihood: float
    n_parameters: int
    rows: float


def evidence(model: Any, params: Any, stats: Any, d: int, gain: float = 0.0) -> Evidence:
    """Return the evidence of parameters for data of d columns, given the statistics of a pass with them.

    Parameters
    ----------
    model : Model
    params, stats
    d : int
    gain : float
        Added to the objective, in its unit a row.
    """
    if isinstance(model, KMeansModel):
        return kmeans_evidence(stats.counts, float(stats.inertia.sum()) - gain * stats.weight, d)
    value, n = model.log_likelihood(params, stats), float(stats.weight)
    value = model.objective(params, stats) if value is None else value
    return Evidence((value + gain) * n, model.n_parameters(d), n)


def kmeans_evidence(counts: Any, inertia: float, d: int) -> Evidence:
    """Return the evidence of K-means as a mixture of spheres of one variance, to which rows belong for certain.

    log p(X, labels) = sum over k of N_k log(N_k / N) - N d / 2 (log(2 pi s^2) + 1), with s^2 = inertia / (N d): the
    likelihood that X-means compares (Pelleg and Moore 2000). It has K d + K parameters. If nothing is left of the
    inertia it is infinite.

    Parameters
    ----------
    counts : array of shape (K,)
        The weight of each cluster's rows.
    inertia : float
        The sum of the squared distances of all rows to their centres.
    d : int
    """
    weights = np.asarray(counts, dtype=np.float64)
    n, k = float(weights.sum()), len(weights)
    used = weights[weights > 0]
    shares = float(used @ np.log(used / n))
    if inertia <= 0:
        return Evidence(math.inf, k * d + k, n)
    spread = -n * d / 2 * (math.log(2 * math.pi * inertia / (n * d)) + 1)
    return Evidence(shares + spread, k * d + k, n)


def criterion_value(name: str, found: Evidence) -> float:
    """Return a criterion; of "icl" the part without the entropy, which no pass of EM tells."""
    if name in (BOUND, HELD_OUT):
        return -2 * found.log_likelihood
    return CRITERIA[name].value(*found)


@dataclass(frozen=True)
class CriterionBounds:
    """The judge of candidates (see `dem.em.candidates.Judge`) by one criterion.

    Attributes
    ----------
    name : str
    d : int
        The number of columns.
    """

    name: str
    d: int

    def __call__(self, model: Any, params: Any, stats: Any, gain: float = 0.0) -> Bounds:
        """Return the criterion's bounds. The entropy of ICL is between 0 and log K a row.

        The log-likelihood of held-out rows is not known before the fit has ended, so it drops nobody.
        """
        found = evidence(model, params, stats, self.d, gain)
        if self.name == HELD_OUT:
            return Bounds(0.0, math.inf)
        value = criterion_value(self.name, found)
        if self.name == "icl":
            return Bounds(value, value + 2 * found.rows * math.log(model.n_components))
        return Bounds(value, value)
