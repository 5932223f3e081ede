"""Bayesian PCA: probabilistic PCA that finds the number of directions."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import Tags

from dem.core.human import plural
from dem.engine.engine import Engine
from dem.estimators.docstrings import documented
from dem.estimators.linear_latent import LinearLatent, is_positive_integer, n_components_for_em
from dem.estimators.ppca import PPCA
from dem.models.latent.bayesian_pca import BayesianPCAModel, BayesianPCAParams, MomentsBayesianPCAModel
from dem.run.fit_settings import FitSettings
from dem.run.latent import LatentFit, eigenvalues, fit_moments
from dem.scan.scanner import Scan
from dem.source import Source


@documented
class BayesianPCA(PPCA):
    """Probabilistic PCA with a prior that removes directions which the data do not need.

    x | z ~ N(W z + mu, s^2 I), z ~ N(0, I), and each column of W has a prior w_i ~ N(0, I / alpha_i) whose alpha_i
    is fitted too: automatic relevance determination (PRML 12.2.3; Bishop 1999). EM runs in memory on the
    covariance (one pass). It makes a pass per iteration if the (d, d) covariance does not fit or values are missing.

    Parameters
    ----------
    n_components : int or None, default=None
        The largest number of directions. None means one less than the number of directions with variance; with missing
        values, one less than the number of columns. Must be an integer if the covariance does not fit in memory.
    tol : float, default=1e-6
        EM stops when the objective, log-likelihood plus log prior, rises by less, in nats a row.
    max_iter : int, default=500
        The largest number of M-steps; with 0 the model is the start of EM.
    {latent_random_state}
    {latent_verbose}
    {latent_sample_size}
    {scale}
    {missing}
    {missing_value}
    {engine}

    Attributes
    ----------
    n_components_ : int
        The number of directions kept; at least 1.
    alpha_ : array of shape (largest number of directions,)
        The precisions of the priors, the smallest (that of the longest column) first; inf for directions that are not
        kept. With `scale` they are those of scaled columns.
    components_, explained_variance_, explained_variance_ratio_, singular_values_, mean_, noise_variance_
        As in `dem.PPCA`, for the directions kept.
    n_samples_ : int
    stop_reason_ : str
        "converged", "max_iter" or "fell".
    {latent_fit}
        "objective" includes the prior, "log_likelihood" does not.
    {scaled}
    {training_data}
    """

    _saved = (*PPCA._saved, "alpha_")
    _axes = (*PPCA._axes, ("alpha_", "direction"))

    def __init__(
        self,
        n_components: int | None = None,
        *,
        tol: float = 1e-6,
        max_iter: int = 500,
        random_state: Any = None,
        verbose: int = 0,
        verbose_interval: int = 1,
        sample_size: int = 30_000,
        scale: str | None = None,
        missing: str = "marginalize",
        missing_value: float | None = None,
        engine: Engine | None = None,
    ) -> None:
        LinearLatent.__init__(
            self,
            n_components=n_components,
            tol=tol,
            max_iter=max_iter,
            random_state=random_state,
            verbose=verbose,
            verbose_interval=verbose_interval,
            sample_size=sample_size,
            missing=missing,
            missing_value=missing_value,
            engine=engine,
        )
        self.scale = scale

    def _check_settings(self) -> None:
        """Raise ValueError for wrong settings, before any data are read."""
        if not (self.n_components is None or is_positive_integer(self.n_components)):
            raise ValueError(f"n_components must be an integer >= 1 or None, got {self.n_components!r}")

    def describe(self) -> str:
        """Return a short description of the fitted model."""
        kept = f"{plural(self.n_components_, 'component')} kept of {len(self.alpha_)}"
        return f"Bayesian PCA, {kept}, {plural(self.n_features_in_, 'column')}"

    def _fit_moments(self, scan: Scan, settings: FitSettings) -> LatentFit:
        """Fit by EM on the moments; at least one direction must be left for the noise."""
        if scan.n_columns < 2:
            raise ValueError("n_features=1: with one column no direction is left for the noise; give 2 columns or more")
        most = max(1, int(np.count_nonzero(eigenvalues(scan))) - 1)
        wanted = most if self.n_components is None else min(int(self.n_components), most)
        return fit_moments(MomentsBayesianPCAModel(wanted), scan, settings)

    def _em_model(self, d: int, scan: Scan | None) -> BayesianPCAModel:  # type: ignore[override]
        """Return the model for EM with a pass per iteration; `n_components=None` is d - 1 with missing values."""
        wanted = d - 1 if self.n_components is None and scan is not None and d > 1 else self.n_components
        return BayesianPCAModel(n_components_for_em(wanted, d, scan))

    def _start_params(self) -> BayesianPCAParams:
        """Return the parameters with which EM goes on: those of the directions kept."""
        params = self._fitted()[1]
        return BayesianPCAParams(params.mean, params.loadings, params.noise_variance, self.alpha_[: self.n_components_])

    def _em_model_of(self, params: Any) -> BayesianPCAModel:  # type: ignore[override]
        """Return the model for EM with a pass per iteration, with as many latent dimensions as the parameters have."""
        return BayesianPCAModel(params.loadings.shape[1])

    def _can_have(self, asked: int, found: int) -> bool:
        """Whether a fit may start from a model with so many directions: removed ones stay removed."""
        return found <= asked

    def __sklearn_tags__(self) -> Tags:
        """Return scikit-learn's tags: NaN are allowed."""
        tags: Tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _keep_fit(self, fitted: LatentFit, source: Source) -> None:
        """Store the parameters in public attributes."""
        super()._keep_fit(fitted, source)
        self.alpha_ = np.full(fitted.state.params.loadings.shape[1], np.inf)
        self.alpha_[: self.n_components_] = fitted.params.alpha
