"""Bayesian PCA: probabilistic PCA with a prior on W that removes directions   (PRML 12.2.3; Bishop 1999).

p(W | alpha) = prod_i N(w_i | 0, I / alpha_i), with one alpha for each column of W. EM updates W and s^2, and each alpha
is set to its best value given W, d / |w_i|^2: every step raises log p(X | W, s^2) + log p(W | alpha). If the data do
not need a direction, w_i goes to 0 and its alpha to infinity; alpha has an upper limit, so that the objective stays
finite.
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

PRUNED_SHARE = 1e-10
"""A column of W is removed if it explains less than this share of the noise and of every column's variance."""


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
        The smallest variance of a column that is not constant, known after `bind`. The prior is a density of
        W / sqrt(unit), so that the objective changes with the units of the data as a likelihood does.
    whole : float or None
        The weight of all rows, kept from the first `bind`.
    copies : float
        Factor on the weight of the bound rows. A sample gets the weight of all rows relative to the prior; otherwise it
        would lose directions for good.
    """

    unit: float = 1.0
    whole: float | None = None
    copies: float = 1.0

    def with_scan(self, scan: Scan) -> Self:
        """Return the model with the mean, the unit and the weight of the rows from a scan."""
        moments = scan.moments
        whole = moments.weight if self.whole is None else self.whole
        varying = moments.variances[moments.variances > 0]
        unit = float(varying.min()) if len(varying) else 1.0
        return replace(super().with_scan(scan), unit=unit, whole=whole, copies=whole / moments.weight)

    def with_missing(self) -> ObservedBayesianPCAModel:
        """Return the model of rows in which values are missing."""
        return ObservedBayesianPCAModel(self.n_components, None, self.unit, self.whole, self.copies)

    def start(self, sample: Block, rng: np.random.Generator) -> BayesianPCAParams:
        """Return the closed form of probabilistic PCA on the sample, with the best alphas for it."""
        return self.with_prior(closed_form_on(sample, self.n_components, rng))

    def with_prior(self, first: PPCAParams) -> BayesianPCAParams:
        """Return the parameters of probabilistic PCA with the best alphas for them."""
        alpha = self.best_alpha(first.loadings)
        return self.constrained(BayesianPCAParams(first.mean, first.loadings, first.noise_variance, alpha))

    def best_alpha(self, loadings: Float) -> Float:
        """Return d / |w_i|^2, (q,), but at most the upper limit   (PRML 12.62)."""
        d = len(loadings)
        return np.asarray(d / np.maximum((loadings**2).sum(axis=0), PRUNED_SHARE * self.unit))

    def m_step(self, params: BayesianPCAParams, stats: LatentStats) -> Step[BayesianPCAParams]:
        """Return W   (PRML 12.63), s^2   (12.57) and alpha   (12.62), as updates by the residuals about the old W."""
        found, w = mean_stats(params, stats), params.loadings
        shrinkage = params.noise_variance * params.alpha / (self.copies * stats.weight)
        step = found.rz - w @ found.posterior - w * shrinkage
        new = w + np.linalg.solve(found.second + np.diag(shrinkage), step.T).T
        noise = shared_noise(found, w, new)
        return Step(self.constrained(BayesianPCAParams(params.mean, new, noise, self.best_alpha(new))))

    def log_prior(self, params: BayesianPCAParams) -> float:
        """Return log p(W | alpha), in nats."""
        d, squares = len(params.loadings), (params.loadings**2).sum(axis=0)
        return float(0.5 * np.sum(d * (np.log(params.alpha * self.unit) - LOG_2PI) - params.alpha * squares))

    def objective(self, params: BayesianPCAParams, stats: LatentStats) -> float:
        """Return the log-likelihood plus the log prior, in nats a row."""
        return self.log_likelihood(params, stats) + self.log_prior(params) / (self.copies * stats.weight)

    def expected(self, params: BayesianPCAParams, stats: LatentStats, new: BayesianPCAParams) -> float | None:
        """Return Q(new; stats) plus the log prior, in nats a row."""
        complete = super().expected(params, stats, new)
        return None if complete is None else complete + self.log_prior(new) / (self.copies * stats.weight)

    def n_parameters(self, d: int) -> int:
        """Return the number of free parameters of probabilistic PCA with as many directions."""
        return n_parameters(d, self.n_components)

    def canonical(self, params: BayesianPCAParams) -> tuple[BayesianPCAParams, Float]:
        """Return the parameters without the columns of W that are removed, and the directions (q, d) of the others.

        At least one column is kept. They are orthogonal at the maximum; before it, they are made orthogonal here.
        """
        squares = (params.loadings**2).sum(axis=0)
        least = PRUNED_SHARE * min(self.unit, params.noise_variance)
        kept = (squares > least) | (np.arange(len(squares)) == squares.argmax())
        turned, components = principal_rotation(replace(params, loadings=params.loadings[:, kept], stretch=None))
        return replace(turned, alpha=self.best_alpha(turned.loadings)), components


@dataclass(frozen=True)
class MomentsBayesianPCAModel(OnMoments[BayesianPCAParams], BayesianPCAModel):
    """Bayesian PCA by EM on the moments of the data."""

    def start(self, sample: Block, rng: np.random.Generator) -> BayesianPCAParams:
        """Return the closed form of probabilistic PCA of all rows, with the best alphas for it."""
        if self.moments is None:
            return super().start(sample, rng)
        return self.with_prior(closed_form(self.moments, self.n_components)[0])


@dataclass(frozen=True)
class ObservedBayesianPCAModel(ObservedLatentModel[BayesianPCAParams], BayesianPCAModel):
    """Bayesian PCA of rows in which values are missing."""

    def step(self, params: BayesianPCAParams, found: ColumnwiseSums) -> tuple[Float, Float]:
        """Return the step of each column, in which the prior shrinks W but not the mean, and the new s^2."""
        shrinkage = np.append(0.0, params.noise_variance * params.alpha / self.copies)
        towards_0 = np.pad(params.loadings, ((0, 0), (1, 0))) * shrinkage
        step = replace(found, second=found.second + np.diag(shrinkage), cross=found.cross - towards_0).step()
        return step[0], pooled_noise(params, found, step)

    def expansion(self, found: ColumnwiseSums) -> tuple[Float, Float]:
        """Return the mean of the latents, and the identity: W has a prior, so it must not be stretched."""
        shift, turn = found.latent_moments()
        return shift, np.broadcast_to(np.eye(shift.shape[1]), turn.shape)

    def new_params(self, params: BayesianPCAParams, mean: Float, loadings: Float, noise: Float) -> BayesianPCAParams:
        """Return mean, W, s^2 and the best alphas for W."""
        return BayesianPCAParams(mean, loadings, float(noise), self.best_alpha(loadings))

    def expected(self, params: BayesianPCAParams, stats: Any, new: BayesianPCAParams) -> float:
        """Return Q(new; stats) plus the entropy of q and the log prior, in nats a row."""
        return float(super().expected(params, stats, new) + self.log_prior(new) / (self.copies * stats.weight))
