"""Probabilistic PCA with the names of scikit-learn's PCA."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn import decomposition
from sklearn.utils.validation import check_is_fitted

from dem.core.human import plural
from dem.core.warn import warn
from dem.engine.engine import Engine
from dem.estimators.checks import check_choice
from dem.estimators.dataset import AxesOf
from dem.estimators.docstrings import documented
from dem.estimators.linear_latent import LinearLatent, is_positive_integer, n_components_for_em
from dem.estimators.scaling import refuse_scaled
from dem.models.latent.closed_form import PPCAParams, components_by_bic, components_by_evidence, components_by_share
from dem.models.latent.ppca import MomentsPPCAModel, PPCAModel
from dem.run.fit_settings import FitSettings
from dem.run.latent import LatentFit, eigenvalues, fit_closed_form, fit_moments
from dem.scan.scanner import Scan
from dem.source import Source

WITHOUT_NOISE = "no density, because the noise variance is 0 (the data lie in a subspace): use fewer components"


class SubspaceWarning(UserWarning):
    """The data lie in a subspace that the components span: there is no density."""


def in_subspace(rank: int, d: int) -> str:
    """Return the warning that data of d columns lie in a subspace of `rank` dimensions."""
    fewer = f"use fewer than {rank} components" if rank > 1 else "give more rows"
    return (
        f"the data have {plural(d, 'column')} but lie in a subspace of {plural(rank, 'dimension')}, and the "
        "components span it: the noise variance is 0, so that there is no density and no log-likelihood "
        "(lower_bound_ is NaN; score and the criteria raise an error; transform works). For a density "
        f"{fewer}, or leave out columns that are constant or sums of others"
    )


@documented
class PPCA(LinearLatent):
    """Probabilistic principal component analysis of data of any size.

    x | z ~ N(W z + mu, s^2 I), z ~ N(0, I)   (PRML 12.2; Tipping and Bishop 1999). With up to a few thousand columns
    one pass over the data gives the maximum-likelihood parameters in closed form. With more columns EM makes a pass per
    iteration, with statistics of size O(d q). If values are missing, EM also makes a pass per iteration, with
    statistics of size O(d q^2). It then needs an integer `n_components`, and it fits the mean too, because the mean of
    the observed values is not the maximum-likelihood mean.

    Parameters
    ----------
    n_components : int, float, "mle", "bic" or None, default=None
        q, the number of latent dimensions; or the share of the variance to explain, between 0 and 1; or "mle", the q of
        largest evidence by Laplace's approximation (Minka 2000; as in scikit-learn, it needs at least as many rows as
        columns); or "bic", the q of lowest BIC, -2 log p(X) + parameters log n; or None for all directions with
        variance (then there is no noise). All except an integer need the covariance.
    solver : {"auto", "closed_form", "em"}, default="auto"
        "closed_form": the eigenvectors of the covariance, one pass. "em": EM, in memory on the covariance (one
        pass), or with a pass per iteration if the (d, d) covariance does not fit. "auto": the closed form if the
        covariance fits, else EM. With q = n_features the closed form is always used.
    tol : float, default=1e-6
        EM stops when the mean log-likelihood rises by less, in nats a row.
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
    components_ : array of shape (n_components_, n_features)
        Principal directions, orthonormal, the one of largest variance first. With `scale` they are orthonormal for
        scaled columns, and here in the data's units: multiplied by `scale_`.
    explained_variance_ : array of shape (n_components_,)
        Variances along them: maximum-likelihood ones (1 / n), where scikit-learn's PCA divides by n - 1. With `scale`
        these, `singular_values_` and `noise_variance_` are those of the scaled columns, as after a StandardScaler.
    explained_variance_ratio_ : array of shape (n_components_,)
        Shares of the model's total variance, the trace of W W' + s^2 I: on complete data that of the data.
    singular_values_ : array of shape (n_components_,)
        sqrt(n explained_variance_).
    mean_ : array of shape (n_features,)
    noise_variance_ : float
        s^2, the mean variance of the directions left out: the maximum-likelihood one (1 / n), where
        scikit-learn's PCA divides by n - 1.
    n_components_, n_samples_ : int
    stop_reason_ : str
        "closed_form", "converged", "max_iter" or "fell".
    {latent_fit}
    {scaled}
    {training_data}
    """

    _saved: ClassVar[tuple[str, ...]] = (
        "components_",
        "explained_variance_",
        "explained_variance_ratio_",
        "singular_values_",
        "mean_",
    )
    _saved_numbers = ("noise_variance_", "n_components_", "n_samples_")
    _axes: ClassVar[AxesOf] = (
        *LinearLatent._axes,
        ("components_", "latent column"),
        ("explained_variance_", "latent"),
        ("explained_variance_ratio_", "latent"),
    )

    def __init__(
        self,
        n_components: int | float | str | None = None,
        *,
        solver: str = "auto",
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
        super().__init__(
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
        self.solver = solver

    def describe(self) -> str:
        """Return a short description of the fitted model."""
        size = f"{plural(self.n_components_, 'component')}, {plural(self.n_features_in_, 'column')}"
        return f"probabilistic PCA, {size}{'; ' + WITHOUT_NOISE if not np.isfinite(self.lower_bound_) else ''}"

    def to_sklearn(self) -> decomposition.PCA:
        """Return the fitted scikit-learn PCA with the same directions, mean and variances."""
        check_is_fitted(self)
        refuse_scaled(self, "its components are not orthogonal in the data's units; fit scikit-learn's on scaled data")
        model = decomposition.PCA(self.n_components_)
        names = ("components_", "mean_", "explained_variance_", "explained_variance_ratio_", "singular_values_")
        return self._copy_fitted_to(model, (*names, "noise_variance_", "n_components_", "n_samples_"))

    def _check_settings(self) -> None:
        """Raise ValueError for wrong settings, before any data are read."""
        q = self.n_components
        share = isinstance(q, float | np.floating) and 0 < q < 1
        named = isinstance(q, str) and q in ("mle", "bic")
        if not (q is None or is_positive_integer(q) or share or named):
            raise ValueError(
                f"n_components must be an integer >= 1, a share of the variance between 0 and 1, 'mle', 'bic' or None, "
                f"got {q!r}"
            )
        check_choice("solver", self.solver, ("auto", "closed_form", "em"))

    @property
    def _depends_on_units(self) -> bool:
        """Yes: all columns have the same noise variance."""
        return True

    def _fit_moments(self, scan: Scan, settings: FitSettings) -> LatentFit:
        """Fit in closed form, or by EM on the moments."""
        q = self._latent_size(scan)
        if self.solver == "em" and q < scan.n_columns:
            return fit_moments(MomentsPPCAModel(q), scan, settings)
        fitted = fit_closed_form(scan, q)
        if np.isnan(fitted.log_likelihood):
            warn(in_subspace(int(np.count_nonzero(eigenvalues(scan))), scan.n_columns), SubspaceWarning)
        return fitted

    def _em_model(self, d: int, scan: Scan | None) -> PPCAModel:
        """Return the model for EM with a pass per iteration."""
        return PPCAModel(n_components_for_em(None if self.solver == "closed_form" else self.n_components, d, scan))

    def _em_model_of(self, params: PPCAParams) -> PPCAModel:
        """Return the model for EM with a pass per iteration, with as many latent dimensions as the parameters have."""
        return PPCAModel(params.loadings.shape[1])

    def _latent_size(self, scan: Scan) -> int:
        """Return q."""
        q = self.n_components
        if is_positive_integer(q):
            return int(q)
        variances, n = eigenvalues(scan), scan.moments.weight
        if q is None:
            return max(1, int((variances > 0).sum()))
        if q == "mle" and scan.rows_with_value < scan.n_columns:
            raise ValueError(
                f"n_components='mle' needs at least as many rows as columns, but there are {scan.rows_with_value} rows "
                f"of {scan.n_columns} columns: give a number, a share of the variance or 'bic'"
            )
        if isinstance(q, str):
            return components_by_evidence(variances, n) if q == "mle" else components_by_bic(variances, n)
        return components_by_share(float(q), variances)

    def _keep_fit(self, fitted: LatentFit, source: Source) -> None:
        """Store the parameters in public attributes."""
        super()._keep_fit(fitted, source)
        params, moments = fitted.params, fitted.scan.moments
        self.explained_variance_ = (params.loadings**2).sum(axis=0) + params.noise_variance
        q, d = len(self.explained_variance_), len(params.mean)
        total = float(self.explained_variance_.sum() + (d - q) * params.noise_variance)
        self.explained_variance_ratio_ = self.explained_variance_ / (total or 1.0)
        self.singular_values_ = np.sqrt(moments.weight * self.explained_variance_)

    def _fitted(self) -> tuple[PPCAModel, PPCAParams]:
        """Return the model and its parameters: W = U sqrt(variance - s^2)   (PRML 12.45)."""
        lengths = np.sqrt(np.maximum(self.explained_variance_ - self.noise_variance_, 0.0))
        params = PPCAParams(self.mean_, self.components_.T * lengths, self.noise_variance_)
        return PPCAModel(len(self.components_), self.mean_), params
