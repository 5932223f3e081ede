"""Factor analysis, x | z ~ N(W z + mu, Psi) with diagonal Psi, z ~ N(0, I)   (PRML 12.2.4; Rubin and Thayer 1982).

Three ways to the maximum of the likelihood: EM with a pass per iteration and statistics of size O(d q); EM on
the moments; and ECM on the moments (Zhao, Yu and Jiang 2008, "ML estimation for factor analysis: EM or non-EM?",
Statistics and Computing 18, 109-123). ECM maximises the likelihood itself, over one noise variance after the other and
over W. Each step has a closed form, and none lowers the likelihood. ECM needs about ten iterations where EM needs
hundreds, and it reaches noise variances of 0, which EM approaches slowly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import scipy.linalg

from dem.core.block import Block, Float
from dem.em.model import Step
from dem.families.factors.missing_algebra import ColumnwiseSums
from dem.models.latent.algebra import LatentParams, centred_rows, fixed_signs, inverse_noise, latent_precision
from dem.models.latent.kernel import LatentStats, mean_stats, updated_loadings
from dem.models.latent.missing import ObservedLatentModel
from dem.models.latent.model import LatentModel, OnMoments
from dem.models.latent.vector import latent_params, latent_vector
from dem.scan.scanner import Scan

NOISE_FLOOR = 1e-6
"""The smallest noise variance, as a share of the column's variance: the likelihood may be largest at 0."""
HEYWOOD_SHARE = 1e-4
"""A noise variance below this share of the column's variance counts as a Heywood case."""
FIRST_NOISE_SHARE = 0.1
"""The smallest share of noise in the first parameters: near 0 EM moves slowly."""


@dataclass(frozen=True)
class FactorParams(LatentParams):
    """Parameters of factor analysis, in the data's units.

    Attributes
    ----------
    mean : array of shape (d,)
    loadings : array of shape (d, q)
        W.
    noise_variance : array of shape (d,)
        The diagonal of Psi; 0 for constant columns, which then are not part of the density.
    """

    noise_variance: Float


@dataclass(frozen=True)
class FactorModel(LatentModel[FactorParams]):
    """Factor analysis fitted by EM, with statistics of size O(d q).

    Attributes
    ----------
    variance : array of shape (d,) or None
        Of each column; None before `bind`.
    """

    variance: Float | None = None

    def with_scan(self, scan: Scan) -> Self:
        """Return the model with the mean and the variances from a scan."""
        return replace(super().with_scan(scan), variance=scan.moments.variances)

    def vector(self, params: FactorParams, like: FactorParams) -> Float:
        """Return the parameters as a vector, near that of `like`: see `dem.em.acceleration`."""
        return latent_vector(params, like)

    def of_vector(self, vector: Float, like: FactorParams) -> FactorParams:
        """Return the parameters of a vector."""
        return self.constrained(latent_params(vector, like))

    def with_missing(self) -> ObservedFactorModel:
        """Return the model of rows in which values are missing."""
        return ObservedFactorModel(self.n_components, variance=self.variance)

    def constrained(self, params: FactorParams) -> FactorParams:
        """Return the parameters with the mean of all rows, noise at or above the floor, and 0 in constant columns."""
        if self.variance is not None:
            noise = np.maximum(params.noise_variance, NOISE_FLOOR * self.variance)
            params = replace(params, noise_variance=np.where(self.variance > 0, noise, 0.0))
        return super().constrained(params)

    def start(self, sample: Block, rng: np.random.Generator) -> FactorParams:
        """Return the principal directions of the sample, each column in units of its standard deviation."""
        mean, centred = centred_rows(sample)
        deviation = np.sqrt(np.einsum("ij,ij->j", centred, centred))
        centred /= np.where(deviation > 0, deviation, 1.0)
        _, lengths, directions = np.linalg.svd(centred, full_matrices=False)
        return self.constrained(first_params(mean, deviation, lengths**2, directions, self.n_components, rng))

    def m_step(self, params: FactorParams, stats: LatentStats) -> Step[FactorParams]:
        """Return W and Psi   (PRML 12.69, 12.70), as updates by the residuals about the old W."""
        params = self.constrained(params)
        found = mean_stats(params, stats)
        new, stretch = updated_loadings(found, params.loadings)
        noise = np.maximum(found.squares(params.loadings, new), 0.0)
        return Step(self.constrained(FactorParams(params.mean, new @ stretch, noise, stretch=stretch)))

    def n_parameters(self, d: int) -> int:
        """Return d q + 2 d - q (q - 1) / 2, or the number for a free covariance if that is less."""
        q = self.n_components
        return d + min(d * q + d - q * (q - 1) // 2, d * (d + 1) // 2)

    def canonical(self, params: FactorParams) -> tuple[FactorParams, Float]:
        """Return the parameters with diagonal W' inv(Psi) W, its largest entry first, and the loadings (q, d).

        EM determines W only up to a rotation of z; this rotation is the usual one (Lawley and Maxwell 1971).
        """
        _, turn = np.linalg.eigh(latent_precision(params))
        loadings = fixed_signs((params.loadings @ turn[:, ::-1]).T)
        return replace(params, loadings=loadings.T), loadings


def first_params(
    mean: Float, deviation: Float, values: Float, directions: Float, n_components: int, rng: np.random.Generator
) -> FactorParams:
    """Return first parameters from the spectrum of the correlations.

    Parameters
    ----------
    mean, deviation : array of shape (d,)
    values : array of shape (m,)
        Eigenvalues, the largest first; fewer than q where there are few rows.
    directions : array of shape (m, d)
    n_components : int
    rng : Generator
        For the columns of W without a direction.
    """
    d, q = len(mean), n_components
    found = min(q, len(values))
    rest = max((d - values[:found].sum()) / max(d - found, 1), FIRST_NOISE_SHARE)
    loadings = 1e-3 * rng.standard_normal((d, q))
    loadings[:, :found] += directions[:found].T * np.sqrt(np.maximum(values[:found] - rest, 0.0))
    noise = np.maximum(1 - (loadings**2).sum(axis=1), FIRST_NOISE_SHARE)
    return FactorParams(mean, loadings * deviation[:, None], noise * deviation**2)


@dataclass(frozen=True)
class MomentsFactorModel(OnMoments[FactorParams], FactorModel):
    """Factor analysis by EM on the moments of the data."""

    @property
    def standardised(self) -> tuple[Float, Float]:
        """The correlations (d, d), and the standard deviations (d,), 1 for constant columns."""
        if self.moments is None:
            raise ValueError("the model is not bound to data: call bind(scan) first")
        covariance = self.moments.covariance
        deviation = np.sqrt(np.diag(covariance))
        unit = np.where(deviation > 0, deviation, 1.0)
        return covariance / unit[:, None] / unit, unit

    def start(self, sample: Block, rng: np.random.Generator) -> FactorParams:
        """Return the principal directions of the correlations of all rows."""
        if self.moments is None or self.variance is None:
            return super().start(sample, rng)
        deviation, (correlations, _) = np.sqrt(self.variance), self.standardised
        values, vectors = np.linalg.eigh(correlations)
        q = self.n_components
        return first_params(self.moments.mean, deviation, values[::-1], vectors[:, ::-1].T, q, rng)


@dataclass(frozen=True)
class ECMFactorModel(MomentsFactorModel):
    """Factor analysis by ECM on the moments of the data: conditional maximisations of the likelihood itself."""

    def m_step(self, params: FactorParams, stats: LatentStats) -> Step[FactorParams]:
        """Maximise the likelihood over one noise variance after the other, and then over W; in standard deviations."""
        correlations, unit = self.standardised
        old = self.constrained(params)
        old = FactorParams(old.mean, old.loadings / unit[:, None], old.noise_variance / unit**2)
        noise = best_noise(correlations, old, NOISE_FLOOR * np.diag(correlations))
        loadings = best_loadings(correlations, noise, self.n_components)
        return Step(FactorParams(params.mean, loadings * unit[:, None], noise * unit**2))

    def expected(self, params: FactorParams, stats: LatentStats, new: FactorParams) -> None:
        """Return None: these steps raise the likelihood itself, not a bound."""
        return


@dataclass(frozen=True)
class ObservedFactorModel(ObservedLatentModel[FactorParams], FactorModel):
    """Factor analysis of rows in which values are missing."""

    def step(self, params: FactorParams, found: ColumnwiseSums) -> tuple[Float, Float]:
        """Return the step of each column, and its noise over its observed values; constant columns do not change."""
        noisy = params.noise_variance > 0
        step = found.step() * noisy[:, None]
        noise = np.maximum(found.squares_after(step)[0], 0.0) / found.counts[0]
        return step[0], noise

    def new_params(self, params: FactorParams, mean: Float, loadings: Float, noise: Float) -> FactorParams:
        """Return mean, W and Psi."""
        return FactorParams(mean, loadings, noise)


def best_loadings(covariance: Float, noise: Float, n_components: int) -> Float:
    """Return the W of largest likelihood for given noise variances   (Lawley and Maxwell 1971; PRML 12.45).

    In units of the noise it is the closed form of probabilistic PCA with s^2 = 1.
    """
    d = len(noise)
    deviation = np.sqrt(noise)
    unit = np.divide(1.0, deviation, out=np.zeros(d), where=deviation > 0)
    top = (d - n_components, d - 1)
    values, vectors = scipy.linalg.eigh(covariance * unit[:, None] * unit, subset_by_index=top)
    return np.asarray(deviation[:, None] * vectors[:, ::-1] * np.sqrt(np.maximum(values[::-1] - 1, 0.0)))


def best_noise(covariance: Float, params: FactorParams, floor: Float) -> Float:
    """Return the noise variances (d,), each of largest likelihood given W and the others   (Zhao et al. 2008, 3.2).

    Let a and b be the diagonal entries of inv(C) S inv(C) and inv(C), where S is the covariance of the data. The best
    change of the noise is (a - b) / b^2. It changes inv(C) by a matrix of rank one, which needs only the q dimensions
    of z.
    """
    w, noise = params.loadings, params.noise_variance.copy()
    scaled = w * inverse_noise(params)[:, None]  # T = inv(Psi) W
    posterior = np.linalg.inv(latent_precision(params))
    inner = scaled.T @ covariance @ scaled
    for j in np.flatnonzero(floor > 0):
        across, t, variance = covariance[j] @ scaled, scaled[j], covariance[j, j]
        u = posterior @ t
        b = 1 / noise[j] - t @ u
        a = variance / noise[j] ** 2 - 2 * (across @ u) / noise[j] + u @ inner @ u
        best = max(noise[j] + (a - b) / b**2, floor[j])
        change = 1 / best - 1 / noise[j]
        step, shrunk = change * w[j], posterior @ w[j]
        cross = np.outer(step, across)
        inner += cross + cross.T + variance * np.outer(step, step)
        posterior -= np.outer(shrunk, shrunk) * (change / (1 + change * (w[j] @ shrunk)))
        scaled[j], noise[j] = t + step, best
    return noise
