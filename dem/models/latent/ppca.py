"""Probabilistic PCA by EM: a pass per iteration with statistics of size O(d q), or none on the moments.

E-step: E[z | x] = inv(M) W' (x - mu)   (PRML 12.48). M-step: W and s^2 from the sums   (PRML 12.56, 12.57).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dem.core.block import Block, Float
from dem.em.model import Step
from dem.families.factors.missing_algebra import ColumnwiseSums
from dem.models.latent.algebra import NO_DENSITY, centred_rows
from dem.models.latent.closed_form import PPCAParams, n_parameters, principal_rotation
from dem.models.latent.kernel import LatentStats, MeanStats, mean_stats, updated_loadings
from dem.models.latent.missing import ObservedLatentModel
from dem.models.latent.model import LatentModel, OnMoments
from dem.models.latent.vector import latent_params, latent_vector


@dataclass(frozen=True)
class PPCAModel(LatentModel[PPCAParams]):
    """Probabilistic PCA fitted by EM, with statistics of size O(d q)."""

    def start(self, sample: Block, rng: np.random.Generator) -> PPCAParams:
        """Return the closed form on the sample."""
        return self.constrained(closed_form_on(sample, self.n_components, rng))

    def m_step(self, params: PPCAParams, stats: LatentStats) -> Step[PPCAParams]:
        """Return W and s^2   (PRML 12.56, 12.57), as updates by the residuals about the old W."""
        found = mean_stats(params, stats)
        new, stretch = updated_loadings(found, params.loadings)
        noise = shared_noise(found, params.loadings, new)
        return Step(
            principal_rotation(self.constrained(PPCAParams(params.mean, new @ stretch, noise, stretch=stretch)))[0]
        )

    def vector(self, params: PPCAParams, like: PPCAParams) -> Float:
        """Return the parameters as a vector, near that of `like`: see `dem.em.acceleration`."""
        return latent_vector(params, like)

    def of_vector(self, vector: Float, like: PPCAParams) -> PPCAParams:
        """Return the parameters of a vector."""
        return self.constrained(latent_params(vector, like))

    def with_missing(self) -> ObservedPPCAModel:
        """Return the model of rows in which values are missing."""
        return ObservedPPCAModel(self.n_components)

    def n_parameters(self, d: int) -> int:
        """Return d + 1 + d q - q (q - 1) / 2: W is known up to a rotation (PRML, after 12.58)."""
        return n_parameters(d, self.n_components)

    def canonical(self, params: PPCAParams) -> tuple[PPCAParams, Float]:
        """Return the parameters with orthogonal columns of W, the longest first, and their directions (q, d)."""
        return principal_rotation(params)


def closed_form_on(sample: Block, n_components: int, rng: np.random.Generator) -> PPCAParams:
    """Return the closed form on a sample, from its singular values: no (d, d) matrix is needed.

    Columns of W for which the sample has no direction are random and short.
    """
    mean, centred = centred_rows(sample)
    d, q = len(mean), n_components
    _, lengths, directions = np.linalg.svd(centred, full_matrices=False)
    values = np.zeros(max(q, len(lengths)))
    values[: len(lengths)] = lengths**2
    noise = float(values[q:].sum() / (d - q))
    if not noise > 0:  # too few rows to see any noise: leave a share of the variance to it
        noise = max(1e-3 * float(values.sum() / d), np.finfo(np.float64).tiny ** 0.5)
    loadings = 1e-3 * noise**0.5 * rng.standard_normal((d, q))
    found = min(q, len(lengths))
    loadings[:, :found] += directions[:found].T * np.sqrt(np.maximum(values[:found] - noise, 0.0))
    return PPCAParams(mean, loadings, noise)


def shared_noise(found: MeanStats, old: Float, new: Float) -> float:
    """Return s^2 for a new W   (PRML 12.57).

    Raises
    ------
    ValueError
        If no variance is left for the noise.
    """
    squares = found.squares(old, new)
    check_noise(squares, new)
    return float(squares.mean())


def check_noise(squares: Float, new: Float) -> None:
    """Raise an error if the residuals of all columns are rounding errors of W.

    Parameters
    ----------
    squares : array of shape (d,)
        The mean of E[(x - mu - W z)^2 | x] in each column.
    new : array of shape (d, q)
        W.

    Raises
    ------
    ValueError
    """
    if not (squares > np.finfo(np.float64).eps * np.sum(new**2, axis=1)).any():
        raise ValueError(NO_DENSITY)


@dataclass(frozen=True)
class MomentsPPCAModel(OnMoments[PPCAParams], PPCAModel):
    """Probabilistic PCA by EM on the moments of the data."""


@dataclass(frozen=True)
class ObservedPPCAModel(ObservedLatentModel[PPCAParams], PPCAModel):
    """Probabilistic PCA of rows in which values are missing."""

    def step(self, params: PPCAParams, found: ColumnwiseSums) -> tuple[Float, Float]:
        """Return the step of each column, and s^2 over all observed values."""
        step = found.step()
        return step[0], pooled_noise(params, found, step)

    def m_step(self, params: PPCAParams, stats: Any) -> Step[PPCAParams]:
        """Return mean, W and s^2, W with orthogonal columns."""
        return Step(principal_rotation(super().m_step(params, stats).params)[0])

    def new_params(self, params: PPCAParams, mean: Float, loadings: Float, noise: Float) -> PPCAParams:
        """Return mean, W and s^2."""
        return PPCAParams(mean, loadings, float(noise))


def pooled_noise(params: PPCAParams, found: ColumnwiseSums, step: Float) -> Float:
    """Return s^2 over all observed values, after a change of W^ by `step` (1, d, 1 + q).

    Raises
    ------
    ValueError
        If no variance is left for the noise.
    """
    squares = found.squares_after(step)[0]
    check_noise(squares / found.counts[0], params.loadings + step[0, :, 1:])
    return np.asarray(squares.sum() / found.counts.sum())
