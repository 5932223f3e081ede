"""Factor analysis with the names of scikit-learn's."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import decomposition
from sklearn.utils.validation import check_is_fitted

from dem.core.block import Float
from dem.core.human import plural
from dem.core.layout import c_ordered
from dem.engine.engine import Engine
from dem.estimators.checks import check_choice
from dem.estimators.docstrings import documented
from dem.estimators.linear_latent import LinearLatent, is_positive_integer, n_components_for_em
from dem.estimators.scaling import VARIANCE, ColumnUnit
from dem.estimators.summary import columns_of
from dem.models.latent.algebra import fixed_signs
from dem.models.latent.factor_analysis import (
    HEYWOOD_SHARE,
    ECMFactorModel,
    FactorModel,
    FactorParams,
    MomentsFactorModel,
)
from dem.models.latent.rotation import ROTATIONS, rotation
from dem.run.fit_settings import FitSettings
from dem.run.latent import LatentFit, fit_moments
from dem.scan.scanner import Scan
from dem.source import Source


@documented
class FactorAnalysis(LinearLatent):
    """Factor analysis of data of any size.

    x | z ~ N(W z + mu, Psi) with diagonal Psi, z ~ N(0, I)   (PRML 12.2.4). The units of the columns do not matter: the
    factors are the same in other units. With up to a few thousand columns one pass over the data gives the covariance,
    and the likelihood is maximised in memory. With more columns EM makes a pass per iteration, with statistics of size
    O(d q). If values are missing, EM also makes a pass per iteration, with statistics of size O(d q^2). It then needs
    an integer `n_components`, and it fits the mean too.

    Parameters
    ----------
    n_components : int or None, default=None
        q, the number of factors; None for n_features, or n_samples if there are fewer.
    rotation : {"varimax", "quartimax"} or None, default=None
        Rotate the factors so that they are easier to read; the model stays the same.
    solver : {"auto", "ecm", "em"}, default="auto"
        "ecm": maximise the likelihood over W, and over one noise variance after the other, in memory on the covariance
        (Zhao, Yu and Jiang 2008). It needs about ten iterations and can reach noise variances of 0. "em": EM (Rubin and
        Thayer 1982, with parameter expansion: Liu, Rubin and Wu 1998), in memory on the covariance, or with a pass per
        iteration if the (d, d) covariance does not fit. It approaches noise variances of 0 slowly; its history has the
        bound. "auto": "ecm" if the covariance fits, else "em".
    tol : float, default=1e-6
        Iterations end when the mean log-likelihood rises by less, in nats a row.
    max_iter : int, default=1000
        The largest number of iterations; with 0 the model is the start.
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
        The loadings W'. Without rotation W' inv(Psi) W is diagonal, its largest entry first.
    noise_variance_ : array of shape (n_features,)
        The diagonal of Psi: the variance of each column that no factor explains. At least 1e-6 of the column's
        variance; 0 for constant columns, which are not part of the density.
    heywood_ : int array
        The columns whose noise variance is less than 1e-4 of their variance: the likelihood is largest at 0
        there (a Heywood case), often a sign of too many factors or too few rows.
    mean_ : array of shape (n_features,)
    loglike_ : list of float
        Log-likelihood of all rows after each iteration, as in scikit-learn.
    n_components_, n_samples_ : int
    stop_reason_ : str
        "converged", "max_iter" or "fell".
    {latent_fit}
    {scaled}
    {training_data}
    """

    _saved = ("components_", "noise_variance_", "heywood_", "mean_")
    _saved_numbers = ("n_components_", "n_samples_", "loglike_")

    def __init__(
        self,
        n_components: int | None = None,
        *,
        rotation: str | None = None,
        solver: str = "auto",
        tol: float = 1e-6,
        max_iter: int = 1000,
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
        self.rotation = rotation
        self.solver = solver

    def describe(self) -> str:
        """Return a short description of the fitted model, with the columns that have no noise left."""
        turned, cases = f", {self.rotation}" if self.rotation else "", self.heywood_
        words = (
            f"factor analysis, {plural(self.n_components_, 'factor')}{turned}, {plural(self.n_features_in_, 'column')}"
        )
        if not len(cases):
            return words
        named = columns_of(self, self.n_features_in_).in_words(np.asarray(cases).tolist())
        which = plural(len(cases), "column") if len(cases) > 20 else named
        return f"{words}; no noise is left in {which} (a Heywood case: try fewer factors)"

    def to_sklearn(self) -> decomposition.FactorAnalysis:
        """Return the fitted scikit-learn FactorAnalysis with the same loadings, mean and noise."""
        check_is_fitted(self)
        model = decomposition.FactorAnalysis(self.n_components_, rotation=self.rotation)
        names = ("components_", "noise_variance_", "mean_", "loglike_", "n_iter_")
        return self._copy_fitted_to(model, names)

    def _check_settings(self) -> None:
        """Raise ValueError for wrong settings, before any data are read."""
        if not (self.n_components is None or is_positive_integer(self.n_components)):
            raise ValueError(f"n_components must be an integer >= 1 or None, got {self.n_components!r}")
        if self.rotation is not None:
            check_choice("rotation", self.rotation, ROTATIONS)
        check_choice("solver", self.solver, ("auto", "ecm", "em"))

    def _column_units(self) -> dict[str, ColumnUnit]:
        """Return the units of the fitted attributes that have those of the columns."""
        return {**super()._column_units(), "noise_variance_": VARIANCE}

    def _fit_moments(self, scan: Scan, settings: FitSettings) -> LatentFit:
        """Fit by ECM or EM on the moments."""
        d = scan.n_columns
        if not np.any(scan.moments.variances > 0):
            raise ValueError(
                f"all {d} columns are constant, so there is no variance to explain: give columns that vary"
            )
        q = min(d, scan.rows_with_value) if self.n_components is None else int(self.n_components)
        return fit_moments((MomentsFactorModel if self.solver == "em" else ECMFactorModel)(q), scan, settings)

    def _em_model(self, d: int, scan: Scan | None) -> FactorModel:
        """Return the model for EM with a pass per iteration."""
        return FactorModel(n_components_for_em(None if self.solver == "ecm" else self.n_components, d, scan))

    def _em_model_of(self, params: FactorParams) -> FactorModel:
        """Return the model for EM with a pass per iteration, with as many latent dimensions as the parameters have."""
        return FactorModel(params.loadings.shape[1])

    def _keep_fit(self, fitted: LatentFit, source: Source) -> None:
        """Store the parameters in public attributes."""
        super()._keep_fit(fitted, source)
        if self.rotation is not None:
            self.components_ = c_ordered(self._rotated(self.components_))
        share = fitted.params.noise_variance < HEYWOOD_SHARE * fitted.scan.moments.variances
        self.heywood_ = np.flatnonzero(share)
        n = fitted.scan.moments.weight
        self.loglike_ = [n * entry["log_likelihood"] for entry in self.history_]

    def _rotated(self, components: Float) -> Float:
        """Return the rotated loadings, with the largest loading of each factor positive."""
        return fixed_signs((components.T @ rotation(components.T, str(self.rotation))).T)

    def _fitted(self) -> tuple[FactorModel, FactorParams]:
        """Return the model and its parameters."""
        params = FactorParams(self.mean_, self.components_.T, self.noise_variance_)
        return FactorModel(len(self.components_), self.mean_), params
