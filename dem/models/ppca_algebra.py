"""The closed forms of probabilistic PCA, x | z ~ N(W z + mu, s^2 I), z ~ N(0, I)   (PRML 12.2).

Everything here follows from the mean and the covariance of x, which are sufficient on complete data
(Tipping and Bishop 1999). What follows from the parameters is in `latent_algebra`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from dem.families.gaussian import LOG_2PI
from dem.model import Float
from dem.models.latent_algebra import LatentParams, fixed_signs
from dem.moments import Moments


@dataclass(frozen=True)
class PPCAParams(LatentParams):
    """Parameters of probabilistic PCA, in the data's units.

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
    """Return the mean log-likelihood at the closed form's optimum, in nats a row   (PRML 12.44, 12.46).

    Infinite where the data lie in a subspace.
    """
    d = len(variances)
    with np.errstate(divide="ignore"):
        log_det = np.log(variances[:q]).sum() + ((d - q) * np.log(noise_variance) if q < d else 0.0)
    return -0.5 * (d * LOG_2PI + float(log_det) + d)


def closed_form(moments: Moments, n_components: int) -> tuple[PPCAParams, Float, Float]:
    """Return the maximum-likelihood parameters   (PRML 12.45, 12.46, with R = I).

    Parameters
    ----------
    moments : Moments
        With the whole scatter (d, d).
    n_components : int
        q, less than d, or d (then the noise variance is 0).

    Returns
    -------
    params : PPCAParams
    variances : array of shape (d,)
        All eigenvalues of the covariance, the largest first.
    components : array of shape (q, d)
        The principal directions, each with its largest entry positive.
    """
    values, vectors = np.linalg.eigh(moments.covariance)
    values = without_rounding(values[::-1])
    q, d = n_components, len(values)
    components = fixed_signs(vectors[:, ::-1].T[:q])
    noise = float(values[q:].mean()) if q < d else 0.0
    loadings = components.T * np.sqrt(np.maximum(values[:q] - noise, 0.0))
    return PPCAParams(moments.mean, loadings, noise), values, components


def without_rounding(values: Float) -> Float:
    """Return eigenvalues, the largest first, with those that are rounding of 0 set to 0."""
    return np.where(values > len(values) * np.finfo(np.float64).eps * values[0], values, 0.0)


def canonical(params: R) -> tuple[R, Float]:
    """Return the parameters with orthogonal columns of W, the longest first, and their directions (q, d).

    EM finds W up to a rotation of z only   (PRML, after 12.46).
    """
    directions, lengths, _ = np.linalg.svd(params.loadings, full_matrices=False)
    components = fixed_signs(directions.T)
    return replace(params, loadings=components.T * lengths), components
