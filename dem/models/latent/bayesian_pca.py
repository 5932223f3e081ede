"""Bayesian PCA: probabilistic PCA with a prior on W that does without directions   (PRML 12.2.3; Bishop 1999).

p(W | alpha) = prod_i N(w_i | 0, I / alpha_i), with one alpha for each column of W. EM on W and s^2, and for
each alpha its best value given W, d / |w_i|^2: every step raises log p(X | W, s^2) + log p(W | alpha).
Where the data do not need a direction, w_i goes to 0 and its alpha to infinity; it is held at a limit, so
that the objective stays finite.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from dem.core.block import Block, Float
from dem.em.model import Step
from dem.families.factors.missing_algebra import ColumnwiseSums
from dem.families.gaussian.base import LOG_2PI
from dem.models.latent.closed_form import PPCAParams, closed_form, n_parameters, principal_rotation
from dem.models.latent.kernel import LatentStats, mean_stats
from dem.models.latent.missing import ObservedLatentModel
from dem.models.latent.model import LatentModel, OnMoments
from dem.models.latent.ppca import closed_form_on, pooled_noise, shared_noise
from dem.scan.scanner import Scan

PRUNED = 1e-10
"""A column of W that explains less than this share of the noise, and of every column's variance, is done without."""


@dataclass(frozen=True)
class BayesianPCAParams(PPCAParams):
    """Parameters of Bayesian PCA, in the data's units.

    Attributes
    ----------
    mean : array of shape (d,)
    loadings : array of shape (d, q)
        W.
    noise_variance : float
        s^2.
    alpha : array of shape (q,)
        The precision of each column's prior.
    """

    alpha: Float


@dataclass(frozen=True)
class BayesianPCAModel(LatentModel[BayesianPCAParams]):
    """Bayesian PCA fitted by EM, with statistics of size O(d q).

    Attributes
    ----------
    unit : float
        The least variance of a column that varies, known after `bind`. The prior's density is that of W / sqrt(unit),
        so that the objective changes with the data's units as a likelihood does.
    whole : float or None
        The weight of all rows, kept from the first `bind`.
    copies : float
        How often the rows bound to count: a sample weighs as much beside the prior as all rows do, or it would lose
        directions for good.
    """

    unit: float = 1.0
    whole: float | None = None
    copies: float = 1.0

    def take(self, scan: Scan) -> Self:
        """Take the mean, the least variance of a column that varies, and what the rows weigh."""
        moments = scan.moments
        whole = moments.weight if self.whole is None else self.whole
        varying = moments.variances[moments.variances > 0]
        unit = float(varying.min()) if len(varying) else 1.0
        return replace(super().take(scan), unit=unit, whole=whole, copies=whole / moments.weight)

    def with_missing(self) -> ObservedBayesianPCAModel:
        """Return the model of rows in which values are missing."""
        return ObservedBayesianPCAModel(self.n_components, None, self.unit, self.whole, self.copies)

    def start(self, sample: Block, rng: np.random.Generator) -> BayesianPCAParams:
        """Return the closed form of probabilistic PCA on the sample, and alphas that suit it."""
        return self.with_prior(closed_form_on(sample, self.n_components, rng))

    def with_prior(self, first: PPCAParams) -> BayesianPCAParams:
        """Return the parameters of probabilistic PCA with the alphas that suit them."""
        alpha = self.best_alpha(first.loadings)
        return self.bound(BayesianPCAParams(first.mean, first.loadings, first.noise_variance, alpha))

    def best_alpha(self, loadings: Float) -> Float:
        """Return d / |w_i|^2, (q,), at most the limit   (PRML 12.62)."""
        d = len(loadings)
        return np.asarray(d / np.maximum((loadings**2).sum(axis=0), PRUNED * self.unit))

    def m_step(self, params: BayesianPCAParams, stats: LatentStats) -> Step[BayesianPCAParams]:
        """Return W   (PRML 12.63), s^2   (12.57) and alpha   (12.62), as updates by the residuals about the old W."""
        found, w = mean_stats(params, stats), params.loadings
        shrinkage = params.noise_variance * params.alpha / (self.copies * stats.weight)
        step = found.rz - w @ found.posterior - w * shrinkage
        new = w + np.linalg.solve(found.second + np.diag(shrinkage), step.T).T
        noise = shared_noise(found, w, new)
        return Step(self.bound(BayesianPCAParams(params.mean, new, noise, self.best_alpha(new))))

    def log_prior(self, params: BayesianPCAParams) -> float:
        """Return log p(W | alpha), in nats."""
        d, squares = len(params.loadings), (params.loadings**2).sum(axis=0)
        return float(0.5 * np.sum(d * (np.log(params.alpha * self.unit) - LOG_2PI) - params.alpha * squares))

    def objective(self, params: BayesianPCAParams, stats: LatentStats) -> float:
        """Return the log-likelihood and the log prior, in nats a row."""
        return self.log_likelihood(params, stats) + self.log_prior(params) / (self.copies * stats.weight)

    def expected(self, params: BayesianPCAParams, stats: LatentStats, new: BayesianPCAParams) -> float | None:
        """Return Q(new; stats) and the log prior, in nats a row."""
        complete = super().expected(params, stats, new)
        return None if complete is None else complete + self.log_prior(new) / (self.copies * stats.weight)

    def n_parameters(self, d: int) -> int:
        """Return those of probabilistic PCA with as many directions."""
        return n_parameters(d, self.n_components)

    def canonical(self, params: BayesianPCAParams) -> tuple[BayesianPCAParams, Float]:
        """Return the parameters without the columns that are done without, and the directions (q, d) of the rest.

        One column is always kept. At the maximum the columns are orthogonal; on the way they are made so.
        """
        squares = (params.loadings**2).sum(axis=0)
        least = PRUNED * min(self.unit, params.noise_variance)
        kept = (squares > least) | (np.arange(len(squares)) == squares.argmax())
        turned, components = principal_rotation(replace(params, loadings=params.loadings[:, kept], stretch=None))
        return replace(turned, alpha=self.best_alpha(turned.loadings)), components


@dataclass(frozen=True)
class MomentsBayesianPCAModel(OnMoments[BayesianPCAParams], BayesianPCAModel):
    """Bayesian PCA by EM on the moments of the data."""

    def start(self, sample: Block, rng: np.random.Generator) -> BayesianPCAParams:
        """Return the closed form of probabilistic PCA of all rows, and alphas that suit it."""
        if self.moments is None:
            return super().start(sample, rng)
        return self.with_prior(closed_form(self.moments, self.n_components)[0])


@dataclass(frozen=True)
class ObservedBayesianPCAModel(ObservedLatentModel[BayesianPCAParams], BayesianPCAModel):
    """Bayesian PCA of rows in which values are missing."""

    def step(self, params: BayesianPCAParams, found: ColumnwiseSums) -> tuple[Float, Float]:
        """Return the step of each column, shrunk by the prior of W (not of the mean), and s^2 for it."""
        shrinkage = np.append(0.0, params.noise_variance * params.alpha / self.copies)
        towards_0 = np.pad(params.loadings, ((0, 0), (1, 0))) * shrinkage
        step = replace(found, second=found.second + np.diag(shrinkage), cross=found.cross - towards_0).step()
        return step[0], pooled_noise(params, found, step)

    def expansion(self, found: ColumnwiseSums) -> tuple[Float, Float]:
        """Return the latents' mean and no stretch: the prior is of W as it is."""
        shift, turn = found.latent_moments()
        return shift, np.broadcast_to(np.eye(shift.shape[1]), turn.shape)

    def renewed(self, params: BayesianPCAParams, mean: Float, loadings: Float, noise: Float) -> BayesianPCAParams:
        """Return mean, W, s^2 and the alphas that suit W."""
        return BayesianPCAParams(mean, loadings, float(noise), self.best_alpha(loadings))

    def expected(self, params: BayesianPCAParams, stats: Any, new: BayesianPCAParams) -> float:
        """Return Q(new; stats), the entropy of q and the log prior, in nats a row."""
        return float(super().expected(params, stats, new) + self.log_prior(new) / (self.copies * stats.weight))
