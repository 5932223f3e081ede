"""The algebra of linear models with Gaussian latents: x | z ~ N(W z + mu, Psi), z ~ N(0, I)   (PRML 12.2).

Psi is diagonal: s^2 I in probabilistic PCA, any diagonal in factor analysis. No array is larger than W, except where
the shape (d, d) is given. If some columns have noise and others have none, those without are constant and do not count
in the density. If no column has noise, z is the projection of x on the columns of W.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dem.core.block import Block, Float
from dem.families.factors.algebra import HIGH_SNR
from dem.families.gaussian.base import LOG_2PI
from dem.models.latent.spectrum import jacobi_svd

NO_DENSITY = (
    "the covariance is singular: the data lie in a subspace, so they have no density; use fewer components, or leave "
    "out columns that are constant or sums of other columns"
)


@dataclass(frozen=True)
class LatentParams:
    """Parameters, in the units of the data.

    Attributes
    ----------
    mean : array of shape (d,)
    loadings : array of shape (d, q)
        W.
    noise_variance : float or array of shape (d,)
        The diagonal of Psi; one number if all are equal.
    stretch : array of shape (q, q) or None
        The matrix by which the last M-step stretched and rotated the latents (see `kernel`); None if there was none.
    """

    mean: Float
    loadings: Float
    noise_variance: float | Float
    stretch: Float | None = field(default=None, kw_only=True)


def noise_diagonal(params: LatentParams) -> Float:
    """Return the diagonal of Psi, (d,)."""
    return np.broadcast_to(np.asarray(params.noise_variance, dtype=np.float64), params.mean.shape)


def inverse_noise(params: LatentParams) -> Float:
    """Return the diagonal of inv(Psi), (d,); 0 for columns without noise."""
    noise = noise_diagonal(params)
    return np.divide(1.0, noise, out=np.zeros(len(noise)), where=noise > 0)


def latent_precision(params: LatentParams) -> Float:
    """Return the precision of z given x, I + W' inv(Psi) W, (q, q); it is the same for every row   (PRML 12.41)."""
    w = params.loadings
    return np.asarray(np.eye(w.shape[1]) + w.T @ (w * inverse_noise(params)[:, None]))


def posterior_covariance(params: LatentParams) -> Float:
    """Return the covariance of z given x, (q, q); it is the same for every row   (PRML, after 12.42)."""
    if not noise_diagonal(params).any():
        return np.zeros((params.loadings.shape[1],) * 2)
    return np.asarray(np.linalg.inv(latent_precision(params)))


def projection(params: LatentParams) -> Float:
    """Return the (d, q) matrix A with E[z | x] = A' (x - mu)   (PRML 12.48)."""
    w = params.loadings
    if not noise_diagonal(params).any():
        return transposed_pseudo_inverse(w)
    scaled = w * inverse_noise(params)[:, None]
    return np.asarray(np.linalg.solve(latent_precision(params), scaled.T).T)


def log_normaliser(params: LatentParams) -> float:
    """Return -0.5 (d log 2 pi + log |C|) with |C| = |Psi| |I + W' inv(Psi) W|   (PRML 12.43).

    Raises
    ------
    ValueError
        If C is singular.
    """
    w, noise = params.loadings, noise_diagonal(params)
    noisy = noise[noise > 0]
    d = len(noisy)
    if d:
        log_det = np.log(noisy).sum() + np.linalg.slogdet(latent_precision(params))[1]
    else:
        d, log_det = len(w), 2 * np.log(nonzero_singular_values(w)).sum()
    return float(-0.5 * (d * LOG_2PI + log_det))


def covariance(params: LatentParams) -> Float:
    """Return C = W W' + Psi, (d, d)   (PRML 12.36)."""
    w = params.loadings
    return np.asarray(w @ w.T + np.diag(noise_diagonal(params)))


def precision(params: LatentParams) -> Float:
    """Return inv(C) = inv(Psi) - A W' inv(Psi), A as in `projection`, (d, d)   (PRML 12.42).

    Raises
    ------
    ValueError
        If C is singular.
    """
    w, inverse = params.loadings, inverse_noise(params)
    if (inverse > 0).all():
        if (np.sum(w**2, axis=1) * inverse < HIGH_SNR).all():
            return np.asarray(np.diag(inverse) - projection(params) @ (w * inverse[:, None]).T)
        found = covariance(params)  # the difference above would lose all digits of a column with little noise
        unit = np.sqrt(np.diag(found))
        return np.asarray(np.linalg.inv(found / unit[:, None] / unit) / unit[:, None] / unit)
    if inverse.any():
        raise ValueError(NO_DENSITY)
    nonzero_singular_values(w)
    back = transposed_pseudo_inverse(w)
    return np.asarray(back @ back.T)


def nonzero_singular_values(loadings: Float) -> Float:
    """Return the d singular values of W (d, q) of a model without noise.

    Raises
    ------
    ValueError
        If fewer than d are positive: C = W W' is singular.
    """
    d, q = loadings.shape
    lengths = jacobi_svd(loadings)[1]
    if q < d or not (lengths > 0).all():
        raise ValueError(NO_DENSITY)
    return lengths


def transposed_pseudo_inverse(loadings: Float) -> Float:
    """Return the transposed pseudo-inverse of W, (d, q); singular values that are 0 stay 0."""
    left, lengths, right = jacobi_svd(loadings)
    inverse = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    return np.asarray((left * inverse) @ right.T)


def least_squares_matrix(params: LatentParams) -> Float:
    """Return B (q, d) such that E[z | x]' B + mu is the least-squares projection of x on the columns of W.

    B' = W inv(W' inv(Psi) W) (I + W' inv(Psi) W), which undoes the shrinkage of E[z | x]. With isotropic noise the
    projection is orthogonal (Tipping and Bishop 1999, section 3.3).
    """
    w, inverse = params.loadings, inverse_noise(params)
    if not inverse.any():
        return np.asarray(w.T)
    _, lengths, turn = jacobi_svd(w * np.sqrt(inverse)[:, None])
    share = lengths**2 / (1 + lengths**2)  # shrinkage of each direction of z
    unshrunk = np.divide(1.0, share, out=np.zeros_like(share), where=share > np.finfo(np.float64).tiny)
    return np.asarray(((w @ turn) * unshrunk @ turn.T).T)


def expected_log_joint(noise: Float, squares: Float, second: Float) -> float:
    """Return the expected log p(x, z), in nats a row   (PRML 12.53).

    Parameters
    ----------
    noise, squares : array of shape (d,)
        The diagonal of Psi, and the mean of E[(x - mu - W z)^2 | x] in each column.
    second : array of shape (q, q)
        The mean of E[z z' | x].
    """
    noisy = noise > 0
    of_x = np.sum(np.log(noise[noisy]) + squares[noisy] / noise[noisy])
    size = np.count_nonzero(noisy) + len(second)
    return float(-0.5 * (size * LOG_2PI + of_x + np.trace(second)))


def fixed_signs(components: Float) -> Float:
    """Return the rows with signs such that their largest entry by magnitude is positive, as in scikit-learn's PCA."""
    largest = np.abs(components).argmax(axis=1)
    signs = np.sign(components[np.arange(len(components)), largest])
    return np.asarray(components * np.where(signs == 0, 1.0, signs)[:, None])


def centred_rows(sample: Block) -> tuple[Float, Float]:
    """Return the mean (d,) of a sample, and centred rows Y (n, d), scaled so that Y' Y is the covariance."""
    x = np.asarray(sample.x, dtype=np.float64)
    weight = np.ones(len(x)) if sample.weight is None else np.asarray(sample.weight, dtype=np.float64)
    share = weight / weight.sum()
    mean = share @ x
    return mean, (x - mean) * np.sqrt(share)[:, None]
