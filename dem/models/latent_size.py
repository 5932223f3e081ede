"""How many latent dimensions: chosen from the spectrum of the covariance and the number of rows alone."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln

from dem.model import Float
from dem.models.ppca_algebra import closed_form_log_likelihood


def by_share(share: float, variances: Float) -> int:
    """Return how many directions explain more than this share of the variance."""
    shares = np.cumsum(variances)
    if shares[-1] == 0:  # constant columns: one direction explains the nothing that there is
        return 1
    return int(np.searchsorted(shares / shares[-1], share, side="right") + 1)


def by_evidence(variances: Float, n: float) -> int:
    """Return the q of largest evidence: Laplace's approximation of Minka (2000), as scikit-learn's "mle".

    Parameters
    ----------
    variances : array of shape (d,)
        Eigenvalues of the covariance, the largest first.
    n : float
        Number of rows.
    """
    return 1 + int(np.argmax([log_evidence(variances, q, n) for q in range(1, _most(variances))] or [0.0]))


def by_bic(variances: Float, n: float) -> int:
    """Return the q of lowest BIC, -2 log p(X) + parameters log n, each q at its closed form   (PRML 12.44)."""
    found = []
    for q in range(1, _most(variances)):
        log_likelihood = closed_form_log_likelihood(variances, q, float(variances[q:].mean()))
        found.append(-2 * n * log_likelihood + n_parameters(len(variances), q) * np.log(n))
    return 1 + int(np.argmin(found or [0.0]))


def log_evidence(variances: Float, q: int, n: float) -> float:
    """Return Laplace's approximation of log p(X | q), up to a term that all q share   (Minka 2000, equation 30)."""
    d = len(variances)
    noise = variances[q:].mean()
    # log |Stiefel manifold|: the prior of the directions
    k = d - np.arange(q)
    log_prior = -q * np.log(2) + np.sum(gammaln(k / 2) - k / 2 * np.log(np.pi))
    free = d * q - q * (q + 1) / 2
    spread = np.append(variances[:q], np.full(d - q, noise))
    i, j = np.triu_indices(d, 1)
    i, j = i[i < q], j[i < q]
    gaps = (variances[i] - variances[j]) * (1 / spread[j] - 1 / spread[i])
    curvature = np.log(np.maximum(gaps, np.finfo(np.float64).eps ** 2)) + np.log(n)  # equal ones have no gap
    return float(
        log_prior
        - n / 2 * (np.log(variances[:q]).sum() + (d - q) * np.log(noise))
        + (free + q) / 2 * np.log(2 * np.pi)
        - curvature.sum() / 2
        - q / 2 * np.log(n)
    )


def n_parameters(d: int, q: int) -> int:
    """Return d + 1 + d q - q (q - 1) / 2: W is known up to a rotation (PRML, after 12.58).

    With q = d the covariance is free, as it is with q = d - 1.
    """
    q = min(q, d - 1)
    return d + 1 + d * q - q * (q - 1) // 2


def _most(variances: Float) -> int:
    """Return the number of directions with any variance: fewer leave some to the noise."""
    return int(np.count_nonzero(variances))
