"""The ways to fit a linear latent model: closed form, iterations on the moments, EM with a pass per iteration."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from dem.core.blas import single_threaded_blas
from dem.core.block import Block, Float, MakeKernel
from dem.em import acceleration, loop
from dem.em.progress import end_pass
from dem.models.latent.algebra import LatentParams
from dem.models.latent.closed_form import closed_form, closed_form_log_likelihood
from dem.models.latent.model import LatentModel
from dem.models.latent.spectrum import spectrum
from dem.run.fit import Problem, fit_problem
from dem.run.fit_settings import FitSettings
from dem.scan.scanner import Scan
from dem.source import Source

SCATTER_COPIES = 16
"""The most copies of the (d, d) scatter that a pass and its tree hold at a time."""
DEFAULT_SCATTER_BYTES = 2**31
"""The most bytes of these copies if no memory limit is set: d up to 4,096."""


@dataclass(frozen=True)
class LatentFit:
    """The result of a fit.

    Attributes
    ----------
    params : LatentParams
        With the loadings in their usual rotation: see `canonical` of the model.
    components : array of shape (q, d)
        The directions of the loadings, or the loadings themselves.
    scan : Scan
        The result of the first pass.
    n_passes : int
    log_likelihood : float
        In nats a row; NaN where there is no density.
    state : State
        The history of EM; for the closed form an empty one, with the stop reason "closed_form".
    """

    params: Any
    components: Float
    scan: Scan
    n_passes: int
    log_likelihood: float
    state: loop.State[Any]


def scatter_fits(d: int, memory_bytes: int | None) -> bool:
    """Whether the (d, d) scatter fits in memory; it does not depend on the number of workers."""
    return SCATTER_COPIES * 8 * d * d <= (memory_bytes or DEFAULT_SCATTER_BYTES)


@single_threaded_blas()
def eigenvalues(scan: Scan) -> Float:
    """Return the eigenvalues of the covariance, the largest first, 0 beyond its rank."""
    return spectrum(scan.moments.covariance).values


@single_threaded_blas()
def fit_closed_form(scan: Scan, n_components: int) -> LatentFit:
    """Return the maximum-likelihood parameters of probabilistic PCA from the moments."""
    params, values, components = closed_form(scan.moments, n_components)
    log_likelihood = closed_form_log_likelihood(values, n_components, params.noise_variance) + scan.mean_base
    state = loop.State(params, n_iter=1, stop_reason="closed_form")
    return LatentFit(params, components, scan, 1, log_likelihood, state)


@single_threaded_blas()
def fit_moments(model: LatentModel[Any], scan: Scan, settings: FitSettings) -> LatentFit:
    """Fit a model to the moments by EM in memory."""
    bound = model.bind(scan)
    sample = Block(scan.sample.x, scan.sample.weight)
    params = bound.start(sample, np.random.default_rng(settings.start.seed))
    nothing = loop.OneBlock(Block(np.empty((0, scan.n_columns))))
    progress, iteration = settings.progress, itertools.count(1)

    def sweep(make_kernel: MakeKernel[Any]) -> Any:
        progress.begin(f"iteration {next(iteration)}", None, None)
        return nothing(make_kernel)

    def after(state: loop.State[Any]) -> None:
        end_pass(progress, state, tol=settings.tol, max_iter=settings.max_iter)
        if settings.callback is not None:
            settings.callback(state)

    state = acceleration.fit(bound, params, sweep, tol=settings.tol, max_iter=settings.max_iter, callback=after)
    return latent_fit(bound, scan, 1, state)


def fit_by_passes(problem: Problem[Any, Any], source: Source) -> LatentFit:
    """Fit by EM with a pass per iteration, without any (d, d) matrix."""
    fitted = fit_problem(problem, source)
    return latent_fit(fitted.model, fitted.scan, fitted.n_passes, fitted.state)


def latent_fit(model: Any, scan: Scan, n_passes: int, state: loop.State[LatentParams]) -> LatentFit:
    """Return the result of a run of EM."""
    log_likelihood = state.history[-1].log_likelihood
    assert log_likelihood is not None  # these models have one
    params, components = model.canonical(state.params)
    return LatentFit(params, components, scan, n_passes, log_likelihood, state)
