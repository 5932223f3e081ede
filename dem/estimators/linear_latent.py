"""What the estimators of linear latent models share: PCA's methods, and the choice between moments and passes."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from dem.core.block import Float
from dem.core.layout import c_ordered
from dem.estimators.checks import check_choice
from dem.estimators.density import DensityEstimator
from dem.models.latent.algebra import covariance, least_squares_matrix, posterior_covariance, precision
from dem.models.latent.model import LatentModel
from dem.models.latent.rows import latent_outputs
from dem.run.fit import scan_moments
from dem.run.fit_settings import FitSettings
from dem.run.latent import LatentFit, fit_wide, moments_fit
from dem.scan.scanner import Scan
from dem.source import Source

TOO_WIDE = "the covariance matrix of {} columns ({:.1f} GB, needed several times) does not fit in memory"
INCOMPLETE = "with missing values (NaN) the covariance matrix is not enough for a fit in one pass"


class LinearLatent(ClassNamePrefixFeaturesOutMixin, TransformerMixin, DensityEstimator):
    """Base of the models x | z ~ N(W z + mu, Psi), z ~ N(0, I)   (PRML 12.2)."""

    outputs = latent_outputs(1, 1)
    _lower_bound = "log_likelihood"
    n_components_: int
    mean_: Float

    def __init__(self, *, n_components: Any, **iterations_and_data: Any) -> None:
        super().__init__(**iterations_and_data)
        self.n_components = n_components

    @abstractmethod
    def _fit_moments(self, scan: Scan, settings: FitSettings) -> LatentFit:
        """Return the fit to data whose moments, the whole scatter among them, are known."""

    @abstractmethod
    def _wide_model(self, d: int, scan: Scan | None) -> LatentModel[Any]:
        """Return the model for EM with a pass per iteration; see `wide_size`.

        Raises
        ------
        ValueError
        """

    def _fit_source(self, source: Source, settings: FitSettings) -> LatentFit:
        """Fit to the moments where they fit in memory and no value is missing; else by a pass per iteration."""
        engine, scan = settings.engine, None
        if moments_fit(source.n_columns, None if engine is None else engine.memory_bytes):
            scan = scan_moments(source, settings)
            self._check_size(scan.rows_with_value, source.n_columns)
        if scan is None or scan.incomplete.rows > 0:  # rows of weight 0 may lack what they will
            return fit_wide(self._wide_model(source.n_columns, scan), source, settings, found=scan)
        return self._fit_moments(scan, settings)

    def __sklearn_tags__(self) -> Tags:
        """Return what scikit-learn is to know: NaN are taken where EM is to find a given number of components."""
        tags: Tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = is_whole(self.n_components)
        return tags

    def transform(self, X: Any) -> Any:
        """Return the posterior means E[z | x] = inv(I + W' inv(Psi) W) W' inv(Psi) (x - mu), (n, q)   (PRML 12.48).

        A NumPy array for data in memory, a lazy Dask array otherwise. Beside the projections of
        scikit-learn's PCA these are scaled to unit prior variance and shrunk towards 0. Their posterior
        covariance, the same for every row without missing values, is `posterior_covariance_`.
        """
        return self._rows(X, "latent")

    def inverse_transform(self, X: Any, reconstruct: str = "mean") -> Any:
        """Return rows of the data's space for latents from `transform`.

        Parameters
        ----------
        X : array of shape (n, q)
            NumPy or Dask.
        reconstruct : {"mean", "least_squares"}, default="mean"
            "mean": W z + mu, the mean of x given z. "least_squares": the point W z + mu nearest to the original
            row, which undoes the shrinking of `transform` (Tipping and Bishop 1999, section 3.3); nearest in units
            of the noise, so that with equal noise it is the orthogonal projection.

        Returns
        -------
        array of shape (n, d)
        """
        check_is_fitted(self)
        check_choice("reconstruct", reconstruct, ("mean", "least_squares"))
        latents = X if hasattr(X, "ndim") else np.asarray(X, dtype=np.float64)
        if latents.ndim != 2 or latents.shape[1] != self.n_components_:
            raise ValueError(
                f"inverse_transform needs an array of {self.n_components_} columns, as transform returns it, "
                f"but got the shape {latents.shape}"
            )
        params = self._fitted()[1]
        back = params.loadings.T if reconstruct == "mean" else least_squares_matrix(params)
        return latents @ back + self.mean_

    def sample(self, n_samples: int = 1, chunks: Any = None) -> Any:
        """Return n rows W z + mu + noise, of shape (n, d).

        The same rows in each call, unless `random_state` is a generator. With `chunks`, a number of rows or "auto", a
        lazy Dask array of any size, of the same rows for any chunks.
        """
        return self._draw(n_samples, chunks)[0]

    def get_covariance(self) -> Float:
        """Return C = W W' + Psi, of shape (d, d)   (PRML 12.36)."""
        check_is_fitted(self)
        return covariance(self._fitted()[1])

    def get_precision(self) -> Float:
        """Return inv(C), of shape (d, d), by the inverse of a (q, q) matrix   (PRML 12.42)."""
        check_is_fitted(self)
        return precision(self._fitted()[1])

    @property
    def posterior_covariance_(self) -> Float:
        """Covariance of z given x, inv(I + W' inv(Psi) W), (q, q): the same for every row   (PRML 12.42)."""
        check_is_fitted(self)
        return posterior_covariance(self._fitted()[1])

    @property
    def _n_features_out(self) -> int:
        """Number of columns that `transform` gives, for scikit-learn's names of them."""
        return self.n_components_

    def _check_size(self, n: int, d: int) -> None:
        """Refuse more latent dimensions than the data can show."""
        if n < 2:
            raise ValueError(f"n_samples={n}: one row has no variance; give at least 2 rows")
        q = self.n_components
        if isinstance(q, int | np.integer) and q > min(n, d):
            raise ValueError(
                f"n_components={q} must be between 1 and min(n_samples, n_features)={min(n, d)}: use fewer"
            )

    def _keep_fit(self, fitted: LatentFit, source: Source) -> None:
        """Keep what all these models have as public attributes."""
        self.components_, self.mean_ = c_ordered((fitted.components, fitted.params.mean))
        self.n_components_, self.n_samples_ = len(fitted.components), fitted.scan.rows_with_value
        self.noise_variance_ = c_ordered(fitted.params.noise_variance)
        self.lower_bounds_ = self.lower_bounds_ or [fitted.log_likelihood]  # a closed form has no history


def is_whole(value: Any, least: int = 1) -> bool:
    """Whether a setting is an integer, and not too small."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= least)


def wide_size(n_components: Any, d: int, scan: Scan | None) -> int:
    """Return q for EM with a pass per iteration.

    Parameters
    ----------
    n_components
    d : int
    scan : Scan or None
        Of rows with missing values; None where there was none, for the covariance does not fit in memory.

    Raises
    ------
    ValueError
        If it is no integer, or not less than d.
    """
    if not is_whole(n_components):
        why = TOO_WIDE.format(d, 8 * d * d / 1e9) if scan is None else INCOMPLETE
        raise ValueError(f"{why}: give an integer n_components (-q), and leave solver at 'auto' or set it to 'em'")
    if n_components >= d:
        raise ValueError(f"n_components={n_components} must be less than the {d} columns for EM: use fewer components")
    return int(n_components)
