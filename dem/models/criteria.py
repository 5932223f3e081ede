"""Criteria that weigh the log-likelihood of a fit against its number of parameters: lower is better.

Estimators, commands and reports read `CRITERIA`. To add a criterion, add an entry there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


def bic(log_likelihood: float, n_parameters: int, rows: float) -> float:
    """Return the Bayesian information criterion, -2 log p(X) + k log n   (Schwarz 1978).

    Parameters
    ----------
    log_likelihood : float
        log p(X) of all rows together, in nats.
    n_parameters : int
        k, the number of free parameters.
    rows : float
        n, the number of rows, or the sum of their weights.
    """
    return float(-2 * log_likelihood + n_parameters * np.log(rows))


def aic(log_likelihood: float, n_parameters: int, rows: float) -> float:
    """Return Akaike's information criterion, -2 log p(X) + 2 k   (Akaike 1974). Parameters are those of `bic`."""
    return float(-2 * log_likelihood + 2 * n_parameters)


def hqic(log_likelihood: float, n_parameters: int, rows: float) -> float:
    """Return the Hannan-Quinn criterion, -2 log p(X) + 2 k log log n   (Hannan and Quinn 1979).

    Parameters are those of `bic`. NaN for one row or less, where log log n does not exist.
    """
    return float(-2 * log_likelihood + 2 * n_parameters * np.log(np.log(rows))) if rows > 1 else float("nan")


@dataclass(frozen=True)
class Criterion:
    """A criterion for the choice among models.

    Attributes
    ----------
    name : str
        Its name in Python and in JSON, such as "bic". The screen shows it in capitals.
    value : callable
        The function of the log-likelihood, the number of parameters and the number of rows: see `bic`.
    description : str
        Its name in words and its formula, for documentation.
    source : str
        Where it was published.
    output : {"score", "complete"}
        The row output whose sum is the log-likelihood in the criterion: "score", log p(x); or, for mixtures only,
        "complete", the expectation of log p(x, z) over the component z with the responsibilities as probabilities.
    """

    name: str
    value: Callable[[float, int, float], float]
    description: str
    source: str
    output: str = "score"


CRITERIA = {
    criterion.name: criterion
    for criterion in (
        Criterion("bic", bic, "the Bayesian information criterion, -2 log p(X) + k log n", "Schwarz 1978"),
        Criterion("aic", aic, "Akaike's information criterion, -2 log p(X) + 2 k", "Akaike 1974"),
        Criterion("hqic", hqic, "the Hannan-Quinn criterion, -2 log p(X) + 2 k log log n", "Hannan and Quinn 1979"),
        Criterion(
            "icl",
            bic,
            "the integrated complete likelihood criterion: BIC plus twice the entropy of all rows' responsibilities, "
            "so that it prefers components that do not overlap",
            "Biernacki, Celeux and Govaert 2000",
            output="complete",
        ),
    )
}
"""The criteria by name, in the order in which they are shown."""


def criteria_of_score(log_likelihood: float, n_parameters: int, rows: float) -> dict[str, float]:
    """Return by name all criteria that need only log p(X); parameters are those of `bic`."""
    return {
        name: criterion.value(log_likelihood, n_parameters, rows)
        for name, criterion in CRITERIA.items()
        if criterion.output == "score"
    }
