"""The algebra of K factor analysers: x = mu + W z + e, z ~ N(0, I), e ~ N(0, Psi), Psi diagonal   (PRML 12.64).

    H = I + W' inv(Psi) W,  G = inv(H)   the posterior precision and covariance of z given x   (PRML 12.67)
    E[z | x] = G W' inv(Psi) (x - mu)   (PRML 12.66)
    inv(W W' + Psi) = inv(Psi) - inv(Psi) W G W' inv(Psi),  |W W' + Psi| = |Psi| |H|   (Woodbury)

No array has the size d^2. The latents get a constant as first entry, z^ = (1, z), and the loadings get the mean as
first column, W^ = (mu, W). So mean and loadings have the same sums and the same M-step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from dem.core.block import Float
from dem.families.factors.columns import ColumnTerms
from dem.families.gaussian.base import LOG_2PI

HIGH_SNR = 1e10
"""Signal-to-noise ratio of a column (its variance from the factors, divided by its noise) above which differences of
squares lose the noise."""


@dataclass(frozen=True)
class FactorAnalysers:
    """The parameters of K factor analysers, in the units of the data.

    Attributes
    ----------
    means : array of shape (K, d)
    loadings : array of shape (K, d, q)
        W.
    noise_variances : array of shape (K, 1) or (K, d)
        The diagonal of Psi: one variance for all columns, or one for each.
    """

    means: Float
    loadings: Float
    noise_variances: Float

    @cached_property
    def posterior_terms(self) -> PosteriorTerms:
        """Terms of the E-step for complete rows, computed once."""
        return PosteriorTerms.of(self)

    @cached_property
    def column_terms(self) -> ColumnTerms:
        """Terms of the E-step for rows with missing values, computed once."""
        return ColumnTerms.of(self.loadings, self.noise_variances)


@dataclass(frozen=True)
class PosteriorTerms:
    """Functions of the parameters that the E-step uses.

    Attributes
    ----------
    inverse : array of shape (K, 1) or (K, d)
        The diagonal of inv(Psi).
    whiten : array of shape (K, q, q)
        C with G = C C'.
    posterior : array of shape (K, q, q)
        G.
    project : array of shape (K, d, q)
        B = inv(Psi) W C: t = B' (x - mu) is E[z | x] whitened, E[z | x] = C t.
    log_normaliser : array of shape (K,)
        -0.5 (d log 2 pi + log |Psi| + log |H|).
    origin : array of shape (d,)
        The mean of the means.
    augmented : array of shape (K, d, 1 + q)
        W^ about the origin: (mu - origin, W).
    columns : array of shape (d, (1 + q) K)
        inv(Psi) (mu - origin) and B side by side, the components of each column next to each other.
    offsets : array of shape (1 + q, K)
        The same products for the means: (mu - origin)' inv(Psi) (mu - origin), and B' (mu - origin).
    """

    inverse: Float
    whiten: Float
    posterior: Float
    project: Float
    log_normaliser: Float
    origin: Float
    augmented: Float
    columns: Float
    offsets: Float

    @classmethod
    def of(cls, theta: FactorAnalysers) -> PosteriorTerms:
        """Return the terms for these parameters."""
        w, noise = theta.loadings, theta.noise_variances
        _, d, q = w.shape
        inverse = 1 / noise
        scaled = w * inverse[:, :, None]
        precision = np.eye(q) + np.swapaxes(w, 1, 2) @ scaled
        lower = np.linalg.cholesky(0.5 * (precision + np.swapaxes(precision, 1, 2)))
        whiten = np.swapaxes(np.linalg.inv(lower), 1, 2)
        project = scaled @ whiten
        log_det = d / noise.shape[1] * np.log(noise).sum(axis=1) + 2 * np.log(np.einsum("kii->ki", lower)).sum(axis=1)
        origin = theta.means.mean(axis=0)
        offsets = theta.means - origin
        columns = np.concatenate([(inverse * offsets)[:, :, None], project], axis=2)
        return cls(
            inverse,
            whiten,
            whiten @ np.swapaxes(whiten, 1, 2),
            project,
            -0.5 * (d * LOG_2PI + log_det),
            origin,
            np.concatenate([offsets[:, :, None], w], axis=2),
            np.ascontiguousarray(columns.transpose(1, 2, 0)).reshape(d, -1),
            np.einsum("kdj,kd->jk", columns, offsets),
        )


@dataclass(frozen=True)
class ResidualSums:
    """Sums over rows, weighted by the responsibilities; the first axis is the component.

    They use the residuals r = x - mu - W E[z | x] of the parameters of the E-step, so that no digits are lost.

    Attributes
    ----------
    second : array of shape (K, 1 + q, 1 + q)
        Sums of E[z^ | x] E[z^ | x]'; the entries [0, 0] are the counts.
    cross : array of shape (K, d, 1 + q)
        Sums of r E[z^ | x]'.
    squares : array of shape (K, 1) or (K, d)
        Sums of |r|^2, or of r^2 in each column.
    """

    second: Float
    cross: Float
    squares: Float

    @classmethod
    def unpack(cls, sums: Float, d: int, q: int) -> ResidualSums:
        """Split sums (F', K) into the arrays that the M-step uses."""
        k, a = sums.shape[1], 1 + q
        second, cross, squares = np.split(sums, [a * a, a * a + d * a])
        return cls(
            second.reshape(a, a, k).transpose(2, 0, 1),
            np.ascontiguousarray(cross.reshape(d, a, k).transpose(2, 0, 1)),
            squares.T,
        )

    def over(self, counts: Float) -> ResidualSums:
        """Return the sums divided by counts (K,)."""
        return ResidualSums(
            self.second / counts[:, None, None], self.cross / counts[:, None, None], self.squares / counts[:, None]
        )


def m_step(average: ResidualSums, terms: PosteriorTerms, loadings: Float) -> Float:
    """Return the change of W^ = (mu, W), (K, d, 1 + q).

    W^ new = sum x E[z^ | x]' inv(sum E[z^ z^' | x])   (Ghahramani and Hinton 1996, eq. 15), written as a change of the
    old W^ that is computed from the residuals.

    Parameters
    ----------
    average : ResidualSums
        The sums divided by the counts.
    terms : PosteriorTerms
        The terms of the old parameters.
    loadings : array of shape (K, d, q)
        The old W.
    """
    second = average.second.copy()
    second[:, 1:, 1:] += terms.posterior
    target = average.cross.copy()
    target[:, :, 1:] -= loadings @ terms.posterior
    return np.asarray(np.swapaxes(np.linalg.solve(second, np.swapaxes(target, 1, 2)), 1, 2))


def latent_moments(average: ResidualSums, terms: PosteriorTerms, loadings: Float, noise: Float) -> tuple[Float, Float]:
    """Return mean a (K, q) and a root T (K, q, q) of the covariance T T' of the latents over the rows.

    Parameters
    ----------
    average, terms
        As in `m_step`.
    loadings, noise : array of shape (K, d, q) and (K, 1) or (K, d)
        The new ones, for `diagonalising_root`.
    """
    mean = average.second[:, 1:, 0]
    second = average.second[:, 1:, 1:] + terms.posterior
    covariance = second - mean[:, :, None] * mean[:, None, :]
    values, vectors = np.linalg.eigh(0.5 * (covariance + np.swapaxes(covariance, 1, 2)))
    least = covariance_rounding(second)
    return mean, diagonalising_root(vectors * np.sqrt(np.maximum(values, least))[:, None, :], loadings, noise)


def covariance_rounding(second: Float) -> Float:
    """Return the rounding error of covariances that are computed from moments E[z z'] (K, q, q), (K, 1)."""
    return np.asarray(np.finfo(np.float64).eps * np.einsum("kjj->k", second)[:, None])


def diagonalising_root(root: Float, loadings: Float, noise: Float) -> Float:
    """Return the root T R (K, q, q) of T T' such that (W T R)' inv(Psi) (W T R) is diagonal; R is a rotation.

    Every root gives the same model. With this one, H is nearly diagonal. With another one, a factor with a very large
    variance would appear in all entries of H, and the contributions of the other factors would be lost by rounding.
    """
    scaled = loadings / np.sqrt(noise)[:, :, None]
    return np.asarray(root @ np.swapaxes(np.linalg.svd(scaled @ root, full_matrices=False)[2], 1, 2))


def residual_squares(average: ResidualSums, terms: PosteriorTerms, step: Float, loadings: Float) -> Float:
    """Return E[(x - mu - W z)^2] with the new parameters minus r^2 with the old ones, for each column, (K, d).

    Parameters
    ----------
    average, terms
        As in `m_step`.
    step : array of shape (K, d, 1 + q)
        The new W^ minus the old W^.
    loadings : array of shape (K, d, q)
        The new W.
    """
    change = ((step @ average.second - 2 * average.cross) * step).sum(axis=2)
    return np.asarray(change + ((loadings @ terms.posterior) * loadings).sum(axis=2))


def canonical_rotation(theta: FactorAnalysers) -> FactorAnalysers:
    """Return the same densities with W' inv(Psi) W diagonal, the largest entry first, and with fixed signs.

    W is unique only up to a rotation of z. This is the choice of Lawley and Maxwell (1971); with isotropic noise it
    gives the principal directions.
    """
    root = np.sqrt(theta.noise_variances)[:, :, None]
    left, lengths, _ = np.linalg.svd(theta.loadings / root, full_matrices=False)
    loadings = left * lengths[:, None, :] * root
    largest = np.take_along_axis(loadings, np.abs(loadings).argmax(axis=1)[:, None, :], axis=1)
    return replace(theta, loadings=loadings * np.where(largest < 0, -1.0, 1.0))
