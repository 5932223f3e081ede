"""The closed forms of probabilistic PCA, x | z ~ N(W z + mu, s^2 I), z ~ N(0, I)   (PRML 12.2).

Everything here is computed from the mean and the covariance of x, which are sufficient statistics of complete data
(Tipping and Bishop 1999). The number of latent dimensions is chosen from the eigenvalues and the number of rows.
Functions of the parameters are in `algebra`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from scipy.special import gammaln

from dem.core.block import Float
from dem.families.gaussian.base import LOG_2PI
from dem.models.criteria import bic
from dem.models.latent.algebra import LatentParams, fixed_signs
from dem.models.latent.spectrum import jacobi_svd, spectrum
from dem.scan.moments import Moments


@dataclass(frozen=True)
class PPCAParams(LatentParams):
    """Parameters of probabilistic PCA, in the units of the data.

    Attributes
    ----------
    mean : array of shape (d,)
    loadings : array of shape (d, q)
        W.
    noise_variance : float
        s^2.
    """

    noise_variance: float


R = TypeVar("R", bound=PPCAParams)


def closed_form_log_likelihood(variances: Float, q: int, noise_variance: float) -> float:
    """Return the mean log-likelihood of the closed form, in nats a row   (PRML 12.44, 12.46).

    It is NaN if the data lie in a subspace of at most q dimensions: they have no density then.
    """
    d = len(variances)
    spread = np.append(variances[:q], np.full(d - q, noise_variance))
    if not (spread > 0).all():
        return math.nan
    return -0.5 * (d * LOG_2PI + float(np.log(spread).sum()) + d)


def closed_form(moments: Moments, n_components: int) -> tuple[PPCAParams, Float, Float]:
    """Return the maximum-likelihood parameters   (PRML 12.45, 12.46, with R = I).

    Parameters
    ----------
    moments : Moments
        With the scatter matrix (d, d).
    n_components : int
        q, at most d; with q = d the noise variance is 0.

    Returns
    -------
    params : PPCAParams
    variances : array of shape (d,)
        All eigenvalues of the covariance, the largest first.
    components : array of shape (q, d)
        The principal directions, each with its largest entry positive.
    """
    values, vectors = spectrum(moments.covariance)
    q, d = n_components, len(values)
    components = fixed_signs(vectors.T[:q])
    noise = float(values[q:].mean()) if q < d else 0.0
    loadings = components.T * np.sqrt(np.maximum(values[:q] - noise, 0.0))
    return PPCAParams(moments.mean, loadings, noise), values, components


def principal_rotation(params: R) -> tuple[R, Float]:
    """Return the parameters with W rotated to orthogonal columns, the longest first, and their directions (q, d).

    EM finds W only up to a rotation of z   (PRML, after 12.46). With this rotation W' W is diagonal. With other
    rotations, if some columns of the data are much larger than the rest, sums over the columns of W lose the digits of
    the rest.
    """
    directions, lengths, turn = jacobi_svd(params.loadings)
    components = fixed_signs(directions.T)
    signs = np.sign(np.einsum("qd,dq->q", components, directions))
    stretch = turn * signs if params.stretch is None else params.stretch @ (turn * signs)
    return replace(params, loadings=components.T * lengths, stretch=stretch), components


def components_by_share(share: float, variances: Float) -> int:
    """Return the smallest number of directions that explain more than this share of the variance."""
    shares = np.cumsum(variances)
    if shares[-1] == 0:  # all columns are constant
        return 1
    return int(np.searchsorted(shares / shares[-1], share, side="right") + 1)


def components_by_evidence(variances: Float, n: float) -> int:
    """Return the q with the largest evidence, by Laplace's approximation (Minka 2000), as "mle" in scikit-learn.

    Parameters
    ----------
    variances : array of shape (d,)
        Eigenvalues of the covariance, the largest first.
    n : float
        Number of rows.
    """
    return 1 + int(np.argmax([log_evidence(variances, q, n) for q in range(1, _rank(variances))] or [0.0]))


def components_by_bic(variances: Float, n: float) -> int:
    """Return the q with the lowest BIC = -2 log p(X) + parameters log n, each in closed form   (PRML 12.44)."""
    found = []
    for q in range(1, _rank(variances)):
        log_likelihood = closed_form_log_likelihood(variances, q, float(variances[q:].mean()))
        found.append(bic(n * log_likelihood, n_parameters(len(variances), q), n))
    return 1 + int(np.argmin(found or [0.0]))


def log_evidence(variances: Float, q: int, n: float) -> float:
    """Return Laplace's approximation of log p(X | q), up to a term equal for all q   (Minka 2000, equation 30)."""
    d = len(variances)
    noise = variances[q:].mean()
    # the uniform prior of the directions: minus the log-volume of the Stiefel manifold
    k = d - np.arange(q)
    log_prior = -q * np.log(2) + np.sum(gammaln(k / 2) - k / 2 * np.log(np.pi))
    free = d * q - q * (q + 1) / 2
    spread = np.append(variances[:q], np.full(d - q, noise))
    i, j = np.triu_indices(d, 1)
    i, j = i[i < q], j[i < q]
    gaps = (variances[i] - variances[j]) * (1 / spread[j] - 1 / spread[i])
    curvature = np.log(np.maximum(gaps, np.finfo(np.float64).eps ** 2)) + np.log(n)  # the gap of equal eigenvalues is 0
    return float(
        log_prior
        - n / 2 * (np.log(variances[:q]).sum() + (d - q) * np.log(noise))
        + (free + q) / 2 * np.log(2 * np.pi)
        - curvature.sum() / 2
        - q / 2 * np.log(n)
    )


def n_parameters(d: int, q: int) -> int:
    """Return the number of parameters d + 1 + d q - q (q - 1) / 2: W is unique up to a rotation (PRML, after 12.58).

    With q = d the covariance is a full matrix, as with q = d - 1.
    """
    q = min(q, d - 1)
    return d + 1 + d * q - q * (q - 1) // 2


def _rank(variances: Float) -> int:
    """Return the number of directions with variance; q must be smaller, so that there is noise."""
    return int(np.count_nonzero(variances))
