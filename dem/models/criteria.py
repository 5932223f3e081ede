"""Criteria that weigh the log-likelihood of a fit against its number of parameters: lower is better."""

from __future__ import annotations

import numpy as np


def bic(log_likelihood: float, n_parameters: int, rows: float) -> float:
    """Return the Bayesian information criterion, -2 log p(X) + parameters log n   (Schwarz 1978).

    Parameters
    ----------
    log_likelihood : float
        log p(X) of all rows together, in nats. With log p(X, Z) in its place, the classes being those of the
        responsibilities, it is the integrated complete likelihood criterion (Biernacki, Celeux and Govaert 2000).
    n_parameters : int
        Free parameters.
    rows : float
        How many, or their weight.
    """
    return float(-2 * log_likelihood + n_parameters * np.log(rows))


def aic(log_likelihood: float, n_parameters: int) -> float:
    """Return Akaike's information criterion, -2 log p(X) + 2 parameters   (Akaike 1974)."""
    return float(-2 * log_likelihood + 2 * n_parameters)
