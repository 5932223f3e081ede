"""The base of the estimators of linear latent models: PCA's methods, and the choice to fit on moments or by passes."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from dem.core.block import Float
from dem.core.layout import c_ordered
from dem.em.progress import Silent
from dem.estimators.checks import check_choice
from dem.estimators.dataset import AxesOf
from dem.estimators.density import DensityEstimator
from dem.estimators.earlier import EarlierModel
from dem.estimators.scaling import LENGTH, POSITION, ColumnUnit
from dem.models.latent.algebra import covariance, least_squares_matrix, posterior_covariance, precision
from dem.models.latent.model import LatentModel
from dem.models.latent.rows import latent_outputs
from dem.run.fit import Fit, Problem, ScanSufficesError, scan_of
from dem.run.fit_settings import FitSettings
from dem.run.latent import LatentFit, fit_by_passes, latent_fit, scatter_fits
from dem.scan.scaling import Scaling
from dem.scan.scanner import Scan
from dem.source import Source

TOO_WIDE = "the covariance of {} columns takes {:.1f} GB, and the several copies needed do not fit in memory"
VALUES_MISSING = "values are missing (NaN), so that the covariance is not sufficient"


class LinearLatent(ClassNamePrefixFeaturesOutMixin, TransformerMixin, DensityEstimator):
    """Base of the models x | z ~ N(W z + mu, Psi), z ~ N(0, I)   (PRML 12.2)."""

    outputs = latent_outputs(1, 1)
    _lower_bound = "log_likelihood"
    _axes: ClassVar[AxesOf] = (("mean_", "column"), ("_loadings", "column latent"), ("noise_variance_", "column"))
    n_components_: int
    mean_: Float

    def __init__(self, *, n_components: Any, **iterations_and_data: Any) -> None:
        super().__init__(**iterations_and_data)
        self.n_components = n_components

    @abstractmethod
    def _fit_moments(self, scan: Scan, settings: FitSettings) -> LatentFit:
        """Fit to data with known moments, including the whole (d, d) scatter."""

    @abstractmethod
    def _em_model(self, d: int, scan: Scan | None) -> LatentModel[Any]:
        """Return the model for EM with a pass per iteration; see `n_components_for_em`.

        Raises
        ------
        ValueError
        """

    def _fit_source(self, source: Source, settings: FitSettings, begun: EarlierModel | None = None) -> LatentFit:
        """Fit on the moments if they fit in memory and no value is missing; otherwise with a pass per iteration.

        Without missing values an earlier model is not used then: one pass is enough without it.
        """
        scan, d = settings.scan, source.n_columns
        if begun is not None and getattr(self, "solver", "em") in ("auto", "em"):
            try:
                return fit_by_passes(self._problem(source, settings, begun), source)
            except ScanSufficesError as found:
                scan, settings = found.scan, settings.after_scan(found.scan)
                self._check_size(scan.rows_with_value, d)
        if scan is None and self._scans_scatter(d):
            scan = scan_of(source, settings, scatter=True)
            self._check_size(scan.rows_with_value, d)
            settings = settings.after_scan(scan)
        whole = with_scatter(scan)
        if whole is None or not is_complete(whole):
            return fit_by_passes(self._problem(source, settings), source)
        if begun is not None:
            progress = None if settings.engine is None else settings.engine.progress
            (progress or Silent()).note("nothing is gained by the earlier model: one pass is enough without it")
        return self._fit_moments(whole, settings)

    def _problem(self, source: Source, settings: FitSettings, begun: EarlierModel | None = None) -> Problem[Any, Any]:
        """Return the fit by EM with a pass per iteration, from an earlier model if there is one."""
        if begun is not None:
            params = begun.own._start_params()
            model = begun.own._em_model_of(params)
            enough = is_complete if self._scans_scatter(source.n_columns) else None
            return Problem(model, settings, params, begun.guess(model, params, source), enough)
        return Problem(self._em_model(source.n_columns, with_scatter(settings.scan)), settings)

    def _result(self, fitted: Fit[Any, Any]) -> LatentFit:
        """Return the parameters in their usual rotation."""
        return latent_fit(fitted.model, fitted.scan, fitted.n_passes, fitted.state)

    def _start_params(self) -> Any:
        """Return the parameters with which EM goes on."""
        return self._fitted()[1]

    @abstractmethod
    def _em_model_of(self, params: Any) -> LatentModel[Any]:
        """Return the model for EM with a pass per iteration, with as many latent dimensions as the parameters have."""

    def _check_start(self, begun: Self, where: str) -> None:
        """Raise ValueError if the earlier model has another number of latent dimensions."""
        asked = self.n_components
        if is_positive_integer(asked) and not self._can_have(asked, begun.n_components_):
            raise ValueError(
                f"{where} has n_components_={begun.n_components_}, but this fit has n_components={asked}: a start "
                "needs the same number; set it, or leave out the start"
            )

    def _can_have(self, asked: int, found: int) -> bool:
        """Whether a fit with this setting may start from a model with this number of latent dimensions."""
        return asked == found

    def _scans_scatter(self, d: int) -> bool:
        """Whether the first pass gathers the (d, d) scatter: it does if that fits in memory."""
        return scatter_fits(d, None if self.engine is None else self.engine.memory_bytes)

    def __sklearn_tags__(self) -> Tags:
        """Return scikit-learn's tags: NaN are allowed if `n_components` is an integer."""
        tags: Tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = is_positive_integer(self.n_components)
        return tags

    def transform(self, X: Any) -> Any:
        """Return the posterior means E[z | x] = inv(I + W' inv(Psi) W) W' inv(Psi) (x - mu), (n, q)   (PRML 12.48).

        A NumPy array for data in memory, a lazy Dask array otherwise. Unlike the projections of scikit-learn's PCA they
        are scaled to unit prior variance and shrunk towards 0. Their posterior covariance, `posterior_covariance_`, is
        the same for all rows without missing values.
        """
        return self._rows(X, "latent")

    def inverse_transform(self, X: Any, reconstruct: str = "mean") -> Any:
        """Return rows of the data's space for latents from `transform`.

        Parameters
        ----------
        X : array of shape (n, q)
            NumPy or Dask.
        reconstruct : {"mean", "least_squares"}, default="mean"
            "mean": W z + mu, the mean of x given z. "least_squares": the point W z + mu nearest to the original row,
            which removes the shrinkage of `transform` (Tipping and Bishop 1999, section 3.3). Distances are in units of
            the noise; with equal noise the point is the orthogonal projection.

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
        params = self._own._fitted()[1]
        back = params.loadings.T if reconstruct == "mean" else least_squares_matrix(params)
        rows = latents @ back + self._own.mean_
        return rows if self._own is self else rows * self.scale_ + self.shift_

    def sample(self, n_samples: int = 1, chunks: Any = None) -> Any:
        """Return n rows W z + mu + noise, of shape (n, d).

        Each call returns the same rows, unless `random_state` is a generator. With `chunks`, a number of rows or
        "auto", the result is a lazy Dask array of any size; the rows do not depend on the chunks.
        """
        return self._draw(n_samples, chunks)[0]

    def get_covariance(self) -> Float:
        """Return C = W W' + Psi, of shape (d, d)   (PRML 12.36)."""
        check_is_fitted(self)
        return self._per_pair(covariance(self._own._fitted()[1]), 1)

    def get_precision(self) -> Float:
        """Return inv(C), of shape (d, d), by the inverse of a (q, q) matrix   (PRML 12.42)."""
        check_is_fitted(self)
        return self._per_pair(precision(self._own._fitted()[1]), -1)

    @property
    def _loadings(self) -> Float:
        """W, of shape (d, q)."""
        loadings: Float = self._fitted()[1].loadings
        return loadings

    @property
    def posterior_covariance_(self) -> Float:
        """Covariance of z given x, inv(I + W' inv(Psi) W), (q, q): the same for every row   (PRML 12.42)."""
        check_is_fitted(self)
        return posterior_covariance(self._own._fitted()[1])

    def _per_pair(self, matrix: Float, power: int) -> Float:
        """Return a matrix (d, d) of the model in units of the columns to a power."""
        if self._own is self:
            return matrix
        return ColumnUnit(power, axes=(-1, -2)).in_data_units(matrix, Scaling(self.shift_, self.scale_))

    def _column_units(self) -> dict[str, ColumnUnit]:
        """Return the units of the fitted attributes that have those of the columns."""
        return {"mean_": POSITION, "components_": LENGTH}

    @property
    def _n_features_out(self) -> int:
        """Number of columns that `transform` gives, for scikit-learn's names of them."""
        return self.n_components_

    def _check_size(self, n: int, d: int) -> None:
        """Raise ValueError if rows or columns are too few for the number of latent dimensions."""
        if n < 2:
            raise ValueError(f"n_samples={n}: one row has no variance; give at least 2 rows")
        q = self.n_components
        if isinstance(q, int | np.integer) and q > min(n, d):
            raise ValueError(
                f"n_components={q} must be between 1 and min(n_samples, n_features)={min(n, d)}: use fewer"
            )

    def _keep_fit(self, fitted: LatentFit, source: Source) -> None:
        """Store the public attributes that all these models have."""
        self.components_, self.mean_ = c_ordered((fitted.components, fitted.params.mean))
        self.n_components_, self.n_samples_ = len(fitted.components), fitted.scan.rows_with_value
        self.noise_variance_ = c_ordered(fitted.params.noise_variance)
        self.lower_bounds_ = self.lower_bounds_ or [fitted.log_likelihood]  # a closed form has no history


def with_scatter(scan: Scan | None) -> Scan | None:
    """Return the scan if it has the whole (d, d) scatter."""
    return scan if scan is not None and scan.moments.scatter.ndim == 2 else None


def is_complete(scan: Scan) -> bool:
    """Whether no value is missing in rows of positive weight."""
    return not scan.incomplete.rows > 0


def is_positive_integer(value: Any) -> bool:
    """Whether a setting is an integer of at least 1."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= 1)


def n_components_for_em(n_components: Any, d: int, scan: Scan | None) -> int:
    """Return q for EM with a pass per iteration.

    Parameters
    ----------
    n_components
    d : int
    scan : Scan or None
        The scan that found missing values; None if there was no scan, because the covariance does not fit in memory.

    Raises
    ------
    ValueError
        If it is not an integer, or not less than d.
    """
    if not is_positive_integer(n_components):
        why = TOO_WIDE.format(d, 8 * d * d / 1e9) if scan is None else VALUES_MISSING
        raise ValueError(f"{why}: give an integer n_components, and solver='em' if the model has a solver")
    if n_components >= d:
        raise ValueError(f"n_components={n_components} must be less than the {d} columns for EM: use fewer components")
    return int(n_components)
