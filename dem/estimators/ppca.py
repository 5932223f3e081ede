"""Probabilistic PCA with the names of scikit-learn's PCA."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn import decomposition
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from dem import em
from dem.checkpoint import Checkpoint
from dem.engine import Engine
from dem.estimators.base import (
    Estimator,
    as_checkpoint,
    check_choice,
    check_number,
    history,
    integer_seed,
    source_record,
)
from dem.model import Float
from dem.models.ppca import PPCAModel
from dem.models.ppca_algebra import (
    PPCAParams,
    covariance,
    latent_size,
    least_squares,
    posterior_covariance,
    precision,
)
from dem.run_ppca import (
    EMSettings,
    PPCAFit,
    fit_closed_form,
    fit_moments,
    fit_wide,
    moments_fit,
    scan_moments,
    spectrum,
)
from dem.scan import Scan
from dem.start import Start


class PPCA(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Estimator):
    """Probabilistic principal component analysis of data of any size.

    x | z ~ N(W z + mu, s^2 I), z ~ N(0, I)   (PRML 12.2; Tipping and Bishop 1999). With up to a few thousand
    columns one pass over the data gives the maximum-likelihood parameters in closed form; with more, EM with
    statistics of size O(d q) makes a pass per iteration.

    Parameters
    ----------
    n_components : int, float or None, default=None
        q, the number of latent dimensions; a share of the variance, between 0 and 1, to be explained; or None
        for all directions with any variance (then there is no noise).
    solver : {"auto", "closed_form", "em"}, default="auto"
        "closed_form": the eigenvectors of the covariance, one pass. "em": EM, in memory on the covariance (one
        pass), or with a pass per iteration where the (d, d) covariance does not fit. "auto": the closed form
        where it fits, else EM. With q = n_features there is nothing for EM to find, and the closed form is used.
    tol : float, default=1e-6
        EM stops when the mean log-likelihood rises by less, in nats a row.
    max_iter : int, default=500
        Most M-steps of EM.
    random_state : int, RandomState, Generator or None, default=None
        Seed of EM's start. None is the seed 0.
    sample_size : int, default=30000
        Rows in the sample on which EM starts.
    engine : dem.Engine, optional
        Memory limit, scheduler and number of workers; by default this machine.

    Attributes
    ----------
    components_ : array of shape (n_components_, n_features)
        Principal directions, orthonormal, the one of largest variance first.
    explained_variance_ : array of shape (n_components_,)
        Variances along them: maximum-likelihood ones (1 / n), where scikit-learn's PCA divides by n - 1.
    explained_variance_ratio_ : array of shape (n_components_,)
    singular_values_ : array of shape (n_components_,)
        sqrt(n explained_variance_).
    mean_ : array of shape (n_features,)
    noise_variance_ : float
        s^2, the mean variance of the directions left out: the maximum-likelihood one (1 / n), where
        scikit-learn's PCA divides by n - 1.
    n_components_, n_samples_, n_features_in_ : int
    feature_names_in_ : array of str
        Where the data in memory had names.
    lower_bound_ : float
        Mean log-likelihood of the training data, in nats a row; inf if they lie in a subspace.
    n_iter_, n_passes_ : int
        M-steps of EM (1 for the closed form), and passes over the data, the first scan included.
    stop_reason_ : str
        "closed_form", "converged", "max_iter" or "fell".
    history_ : list of dict
        What each E-step of EM told; see `dem.estimators.base.history`.
    source_ : dict
        Name, shape and dtype of the training data.
    """

    _saved = (
        "components_",
        "explained_variance_",
        "explained_variance_ratio_",
        "singular_values_",
        "mean_",
    )
    _saved_numbers = ("noise_variance_", "n_components_", "n_samples_", "lower_bound_")

    def __init__(
        self,
        n_components: int | float | None = None,
        *,
        solver: str = "auto",
        tol: float = 1e-6,
        max_iter: int = 500,
        random_state: Any = None,
        sample_size: int = 30_000,
        engine: Engine | None = None,
    ) -> None:
        self.n_components = n_components
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.sample_size = sample_size
        self.engine = engine

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        callback: Callable[[em.State[PPCAParams]], object] | None = None,
        checkpoint: str | Path | Checkpoint | None = None,
    ) -> Self:
        """Fit mean, directions and noise.

        Parameters
        ----------
        X : str, Path, zarr.Array, dask.array.Array or array-like of shape (n, d)
        y : ignored
        sample_weight : array-like, Dask or Zarr array, or path, of shape (n,), optional
            Weights of the rows, finite and not negative.
        callback : callable, optional
            Called with the `dem.em.State` after each E-step of EM.
        checkpoint : str, Path or dem.Checkpoint, optional
            Where to keep the fit after every pass. One that is there is gone on from, with the same bits.

        Raises
        ------
        dem.Stopped
            The checkpoint's limits are reached: the same call goes on.
        ValueError
            Wrong settings or unusable data: one sentence says what, where and what to do.
        OSError
            A chunk cannot be read.
        MemoryError
            The plan does not fit in the engine's memory.
        """
        self._check_settings()
        source = self._open(X, sample_weight, reset=True)
        d = source.n_columns
        start = Start(1, self.sample_size, integer_seed(self.random_state))
        settings = EMSettings(self.tol, self.max_iter, start, callback)
        if source.n_rows is not None:
            self._check_size(source.n_rows, d)
        if moments_fit(d, self.engine.memory_bytes if self.engine else None):
            scan = scan_moments(source, start, self.engine, as_checkpoint(checkpoint))
            self._check_size(scan.rows, d)
            q = self._latent_size(scan)
            em_wanted = self.solver == "em" and q < d
            fitted = fit_moments(scan, q, settings) if em_wanted else fit_closed_form(scan, q)
        elif self.solver == "closed_form" or not isinstance(self.n_components, int | np.integer):
            raise ValueError(
                f"the covariance of {d} columns takes {8 * d * d / 1e9:.1f} GB, several times over, and does "
                f"not fit in memory: use solver='em' and an integer n_components"
            )
        elif self.n_components >= d:
            raise ValueError(f"n_components={self.n_components} must be less than the {d} columns for EM: use fewer")
        else:
            fitted = fit_wide(source, int(self.n_components), settings, self.engine, as_checkpoint(checkpoint))
        self._keep(fitted)
        self.source_ = source_record(source, fitted.scan.rows)
        return self

    def transform(self, X: Any) -> Any:
        """Return the posterior means E[z | x] = inv(M) W' (x - mu), of shape (n, q)   (PRML 12.48).

        A NumPy array for data in memory, a lazy Dask array otherwise. Beside the projections of
        scikit-learn's PCA these are scaled to unit prior variance and shrunk towards 0. Their posterior
        covariance, the same for every row, is `posterior_covariance_`.
        """
        return self._rows(X, "latent")

    def inverse_transform(self, X: Any, reconstruct: str = "mean") -> Any:
        """Return rows of the data's space for latents from `transform`.

        Parameters
        ----------
        X : array of shape (n, q)
            NumPy or Dask.
        reconstruct : {"mean", "least_squares"}, default="mean"
            "mean": W z + mu, the mean of x given z. "least_squares": the orthogonal projection of the
            original row on the principal subspace, W inv(W'W) M z + mu, which undoes the shrinking of
            `transform` (Tipping and Bishop 1999, section 3.3).

        Returns
        -------
        array of shape (n, d)
        """
        check_is_fitted(self)
        check_choice("reconstruct", reconstruct, ("mean", "least_squares"))
        latents = X if hasattr(X, "ndim") else np.asarray(X, dtype=np.float64)
        if latents.ndim != 2 or latents.shape[1] != self.n_components_:
            raise ValueError(
                f"inverse_transform takes an array of {self.n_components_} columns, as transform gives it, "
                f"but got the shape {latents.shape}"
            )
        params = self._fitted()[1]
        back = params.loadings.T if reconstruct == "mean" else least_squares(params)
        return latents @ back + self.mean_

    def sample(self, n_samples: int = 1, chunks: Any = None) -> Any:
        """Return n rows W z + mu + noise, of shape (n, d).

        The same rows in each call, unless `random_state` is a generator. With `chunks`, a number of rows or "auto", a
        lazy Dask array of any size, of the same rows for any chunks.
        """
        return self._draw(n_samples, chunks)[0]

    def get_covariance(self) -> Float:
        """Return C = W W' + s^2 I, of shape (d, d)   (PRML 12.36)."""
        check_is_fitted(self)
        return covariance(self._fitted()[1])

    def get_precision(self) -> Float:
        """Return inv(C) = (I - W inv(M) W') / s^2, of shape (d, d)   (PRML 12.42)."""
        check_is_fitted(self)
        return precision(self._fitted()[1])

    @property
    def posterior_covariance_(self) -> Float:
        """Covariance of z given x, s^2 inv(M), of shape (q, q): the same for every row   (PRML 12.42)."""
        check_is_fitted(self)
        return posterior_covariance(self._fitted()[1])

    def to_sklearn(self) -> decomposition.PCA:
        """Return the fitted scikit-learn PCA with the same directions, mean and variances."""
        check_is_fitted(self)
        model = decomposition.PCA(self.n_components_)
        for name in (*self._saved, *self._saved_numbers, "n_features_in_", "feature_names_in_"):
            if hasattr(self, name) and name != "lower_bound_":
                setattr(model, name, getattr(self, name))
        return model

    @property
    def _n_features_out(self) -> int:
        """Number of columns that `transform` gives, for scikit-learn's names of them."""
        return self.n_components_

    def _check_settings(self) -> None:
        """Refuse wrong settings, before anything is read."""
        q = self.n_components
        whole = isinstance(q, int | np.integer) and not isinstance(q, bool)
        if q is not None and not (whole and q >= 1) and not (isinstance(q, float | np.floating) and 0 < q < 1):
            raise ValueError(
                f"n_components must be an integer >= 1, a share of the variance between 0 and 1, or None, got {q!r}"
            )
        check_choice("solver", self.solver, ("auto", "closed_form", "em"))
        check_number("tol", self.tol, float, 0)
        check_number("max_iter", self.max_iter, int, 1)
        check_number("sample_size", self.sample_size, int, 1)

    def _check_size(self, n: int, d: int) -> None:
        """Refuse more latent dimensions than the data can show."""
        if n < 2:
            raise ValueError(f"n_samples={n}: one row has no variance; give at least 2 rows")
        q = self.n_components
        if isinstance(q, int | np.integer) and q > min(n, d):
            raise ValueError(
                f"n_components={q} must be between 1 and min(n_samples, n_features)={min(n, d)}: use fewer"
            )

    def _latent_size(self, scan: Scan) -> int:
        """Return q."""
        if self.n_components is None:
            return max(1, int((spectrum(scan) > 0).sum()))
        if isinstance(self.n_components, int | np.integer):
            return int(self.n_components)
        return latent_size(float(self.n_components), spectrum(scan))

    def _keep(self, fitted: PPCAFit) -> None:
        """Keep the parameters as public attributes."""
        params, scan = fitted.params, fitted.scan
        self.components_, self.mean_ = fitted.components, params.mean
        self.noise_variance_ = params.noise_variance
        self.explained_variance_ = (params.loadings**2).sum(axis=0) + params.noise_variance
        scatter = scan.moments.covariance
        total = float(np.trace(scatter) if scatter.ndim == 2 else scatter.sum())
        self.explained_variance_ratio_ = self.explained_variance_ / (total or 1.0)
        self.singular_values_ = np.sqrt(scan.moments.weight * self.explained_variance_)
        self.n_components_, self.n_samples_ = len(fitted.components), scan.rows
        self.lower_bound_ = fitted.log_likelihood
        self.n_passes_ = fitted.n_passes
        state = fitted.state
        self.n_iter_ = state.n_iter if state else 1
        self.stop_reason_ = state.stop_reason if state else "closed_form"
        self.history_ = history(state) if state else []

    def _fitted(self) -> tuple[PPCAModel, PPCAParams]:
        """Return the model and its parameters: W = U sqrt(variance - s^2)   (PRML 12.45)."""
        lengths = np.sqrt(np.maximum(self.explained_variance_ - self.noise_variance_, 0.0))
        params = PPCAParams(self.mean_, self.components_.T * lengths, self.noise_variance_)
        return PPCAModel(len(self.components_), self.mean_), params
