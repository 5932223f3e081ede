"""The algebra of probabilistic PCA: x | z ~ N(W z + mu, s^2 I), z ~ N(0, I)   (PRML 12.2).

Everything here follows from the parameters, or from the mean and the covariance of x, which are sufficient
on complete data (Tipping and Bishop 1999).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dem.families.gaussian import LOG_2PI
from dem.model import Float
from dem.scan import Moments

NO_DENSITY = (
    "the covariance is singular: the data lie in a subspace, where they have no density; use fewer "
    "components, or leave out columns that are constant or sums of others"
)


@dataclass(frozen=True)
class PPCAParams:
    """Parameters of probabilistic PCA, in the data's units.

    Attributes
    ----------
    mean : array of shape (d,)
    loadings : array of shape (d, q)
        W.
    noise_variance : float
        s^2.
    """

    mean: Float
    loadings: Float
    noise_variance: float


def latent_precision(params: PPCAParams) -> Float:
    """Return M = W' W + s^2 I   (PRML 12.41); the posterior covariance of z is s^2 inv(M)."""
    w = params.loadings
    return np.asarray(w.T @ w + params.noise_variance * np.eye(w.shape[1]))


def log_normaliser(params: PPCAParams) -> float:
    """Return -0.5 (d log 2 pi + log |C|) with |C| = s^(2 (d - q)) |M|   (PRML 12.43)."""
    d, q = params.loadings.shape
    log_det = np.linalg.slogdet(latent_precision(params))[1]
    if not np.isfinite(log_det) or (q < d and not params.noise_variance > 0):
        raise ValueError(NO_DENSITY)
    if q < d:
        log_det += (d - q) * np.log(params.noise_variance)
    return float(-0.5 * (d * LOG_2PI + log_det))


def projection(params: PPCAParams) -> Float:
    """Return the (d, q) matrix A with E[z | x] = A' (x - mu): A = W inv(M)   (PRML 12.48)."""
    m, w = latent_precision(params), params.loadings
    if params.noise_variance > 0:
        return np.asarray(np.linalg.solve(m, w.T).T)
    return np.asarray(w @ np.linalg.pinv(m, hermitian=True))  # without noise, M may be singular


def covariance(params: PPCAParams) -> Float:
    """Return C = W W' + s^2 I, (d, d)   (PRML 12.36)."""
    w = params.loadings
    return np.asarray(w @ w.T + params.noise_variance * np.eye(len(w)))


def precision(params: PPCAParams) -> Float:
    """Return inv(C) = (I - W inv(M) W') / s^2, (d, d)   (PRML 12.42).

    Raises
    ------
    ValueError
        If C is singular.
    """
    w = params.loadings
    if params.noise_variance > 0:
        return np.asarray((np.eye(len(w)) - projection(params) @ w.T) / params.noise_variance)
    if np.linalg.matrix_rank(w) < len(w):
        raise ValueError(NO_DENSITY)
    inverse = np.linalg.pinv(w)
    return np.asarray(inverse.T @ inverse)


def posterior_covariance(params: PPCAParams) -> Float:
    """Return the covariance of z given x, s^2 inv(M), (q, q): the same for every row   (PRML, after 12.42)."""
    return np.asarray(params.noise_variance * np.linalg.pinv(latent_precision(params), hermitian=True))


def least_squares(params: PPCAParams) -> Float:
    """Return B (q, d) such that E[z | x]' B + mu is the orthogonal projection of x on the principal subspace.

    It is M inv(W'W) W', which undoes the shrinking of E[z | x]   (Tipping and Bishop 1999, section 3.3).
    """
    return np.asarray(latent_precision(params) @ np.linalg.pinv(params.loadings))


def closed_form_log_likelihood(variances: Float, q: int, noise_variance: float) -> float:
    """Return the mean log-likelihood at the closed form's optimum, in nats a row   (PRML 12.44, 12.46).

    Infinite where the data lie in a subspace.
    """
    d = len(variances)
    with np.errstate(divide="ignore"):
        log_det = np.log(variances[:q]).sum() + ((d - q) * np.log(noise_variance) if q < d else 0.0)
    return -0.5 * (d * LOG_2PI + float(log_det) + d)


def latent_size(share: float, variances: Float) -> int:
    """Return how many directions explain more than this share of the variance."""
    shares = np.cumsum(variances)
    if shares[-1] == 0:  # constant columns: one direction explains the nothing that there is
        return 1
    return int(np.searchsorted(shares / shares[-1], share, side="right") + 1)


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


def fixed_signs(components: Float) -> Float:
    """Return the rows with the entry of largest magnitude positive, as scikit-learn's PCA has them."""
    largest = np.abs(components).argmax(axis=1)
    signs = np.sign(components[np.arange(len(components)), largest])
    return np.asarray(components * np.where(signs == 0, 1.0, signs)[:, None])


def canonical(params: PPCAParams) -> tuple[PPCAParams, Float]:
    """Return the parameters with orthogonal columns of W, the longest first, and their directions (q, d).

    EM finds W up to a rotation of z only   (PRML, after 12.46).
    """
    directions, lengths, _ = np.linalg.svd(params.loadings, full_matrices=False)
    components = fixed_signs(directions.T)
    return replace(params, loadings=components.T * lengths), components
