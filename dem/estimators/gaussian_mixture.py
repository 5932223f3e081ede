"""Gaussian mixtures with scikit-learn's names."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture
from sklearn.utils.validation import check_is_fitted

from dem.core.block import Float
from dem.core.layout import c_ordered
from dem.em.seeding import Seeding
from dem.engine.engine import Engine
from dem.estimators.checks import check_choice
from dem.estimators.docstrings import documented
from dem.estimators.from_kmeans import from_kmeans
from dem.estimators.gaussian_init import (
    check_array,
    check_covariances,
    check_initial_parameters,
    check_reg_covar,
    check_weights,
    precisions_of,
)
from dem.estimators.mixture_base import MIXTURE_AXES, MixtureEstimator, as_prior
from dem.estimators.scaling import POSITION, ColumnUnit, gaussian_units, refuse_scaled
from dem.families import COVARIANCE_TYPES, GaussianFamily, Gaussians
from dem.models.mixture.kernel import MixtureParams
from dem.models.mixture.mixture import MixtureModel


@documented
class GaussianMixture(MixtureEstimator):
    """Gaussian mixture, fitted by expectation-maximisation to data of any size.

    p(x) = sum over k of w_k N(x | mu_k, C_k)   (PRML 9.7). The data may be a path or URL of a Zarr array, a zarr.Array,
    a Dask array, or anything that NumPy can convert to an array. The first pass scans the data and draws a sample.
    Several starts are tried on the sample in memory. Then each iteration is one pass.

    Parameters
    ----------
    n_components : int, default=1
    covariance_type : {"full", "tied", "diag", "spherical"}, default="full"
    {mixture_tol}
    reg_covar : float or None, default=None
        Added to the diagonal of the covariances after each M-step. None is 1e-6 times each column's variance in the
        data (spherical: times the mean of them), and 1e-6 for a column that is constant, so that the units of the
        columns do not matter. A number is in the data's units squared, as is scikit-learn's default of 1e-6. It is
        not a prior, so it can lower the log-likelihood; a fit that stops at such a fall has not converged.
    {max_iter}
    n_init : int, default=10
        Number of starts on the sample; the best one continues on the whole data. scikit-learn's default is 1, because
        there each start is a full fit; here starts need no pass over the data.
    init_params : {"k-means++", "kmeans", "random", "random_from_data"}, default="k-means++"
        How the first responsibilities on the sample are chosen, in whitened coordinates. Unlike in scikit-learn,
        "k-means++" and "random_from_data" assign every row to its nearest chosen centre. scikit-learn's default is
        "kmeans": each of its starts is better, but they are more alike, and ten of them missed the best known optimum
        more often (in 3 of 12 simulated data sets, against none).
    weights_init : array of shape (n_components,), optional
    means_init : array of shape (n_components, n_features), optional
    precisions_init : array, optional
        In the shape of `covariances_`. If all three are given, no starts are made on the sample.
    {prior}
    {random_state}
    {warm_start}
    {verbose}
    {sample_size}
    {scale}
    {missing}
    {missing_value}
    {engine}

    Attributes
    ----------
    weights_ : array of shape (n_components,)
    means_ : array of shape (n_components, n_features)
    covariances_, precisions_, precisions_cholesky_ : array
        (K, d, d) full, (d, d) tied, (K, d) diag, (K,) spherical (with `scale` in units of the scaled columns).
    {fit_ended}
    {lower_bound_}
    {fit_passes}
    reg_covar_ : float or array of shape (n_features,)
        The number added to the variances.
    effective_counts_ : array of shape (n_components,)
        The sums of the responsibilities: the weight of the rows that each component has.
    {scaled}
    {training_data}
    """

    _saved = ("weights_", "means_", "covariances_", "precisions_cholesky_", "effective_counts_", "reg_covar_")
    _saved_numbers = ("_fitted_type",)
    _start_settings = ("n_components", "covariance_type")
    _first_parameters = ("weights_init", "means_init", "precisions_init")
    _by_component = ("weights_", "means_", "covariances_", "precisions_cholesky_", "effective_counts_")
    _shared_if_tied = ("covariances_", "precisions_cholesky_")
    _axes = (*MIXTURE_AXES, ("means_", "component column"), ("covariances_", "covariance"))

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        tol: float = 1e-3,
        reg_covar: float | None = None,
        max_iter: int = 100,
        n_init: int = 10,
        init_params: str = "k-means++",
        weights_init: Any = None,
        means_init: Any = None,
        precisions_init: Any = None,
        prior: Any = None,
        random_state: Any = None,
        warm_start: bool = False,
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
            n_init=n_init,
            init_params=init_params,
            random_state=random_state,
            warm_start=warm_start,
            verbose=verbose,
            verbose_interval=verbose_interval,
            sample_size=sample_size,
            missing=missing,
            missing_value=missing_value,
            engine=engine,
        )
        self.scale = scale
        self.covariance_type = covariance_type
        self.reg_covar = reg_covar
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.prior = prior

    from_kmeans: ClassVar[Any] = classmethod(from_kmeans)

    @classmethod
    def from_parameters(
        cls, weights: Any, means: Any, covariances: Any, covariance_type: str = "full"
    ) -> GaussianMixture:
        """Return a mixture with these parameters, as if fitted.

        Parameters
        ----------
        weights : array of shape (K,)
            Positive or 0, summing to 1.
        means : array of shape (K, d)
        covariances : array
            In the shape of `covariance_type`.
        covariance_type : {"full", "tied", "diag", "spherical"}

        Raises
        ------
        ValueError
            If the shapes do not fit together, or a covariance is not positive definite.
        """
        means = np.atleast_2d(np.asarray(means, dtype=np.float64))
        k, d = means.shape
        means = check_array(means, (k, d), "means")
        model = cls(k, covariance_type=covariance_type)
        model._check_settings()
        weights = check_weights(weights, k, "weights")
        covariances = check_covariances(covariances, covariance_type, k, d, "covariances")
        model.n_features_in_ = d
        try:
            theta = model._family().from_covariances(means, covariances)
        except ValueError:
            raise ValueError("covariances should be positive definite, but a matrix is not") from None
        model._keep(model._model(d), c_ordered(MixtureParams(weights, theta)))
        return model

    def describe(self) -> str:
        """Return a short description of the fitted model."""
        return self._describe("Gaussian mixture", f"{self.covariance_type} covariances")

    @property
    def _depends_on_units(self) -> bool:
        """Whether columns share a variance."""
        return self.covariance_type == "spherical"

    def _column_units(self) -> dict[str, ColumnUnit]:
        """Return the units of the fitted attributes and settings that have those of the columns."""
        return {
            **gaussian_units(self.covariance_type, covariances_="covariance", precisions_cholesky_="factor"),
            **gaussian_units(self.covariance_type, precisions_init="precision", reg_covar_="reg_covar"),
            "means_": POSITION,
            "means_init": POSITION,
        }

    def _model(self, d: int) -> MixtureModel:
        """Return the model, with the first parameters that the user has set, if any."""
        k = self.n_components
        given = check_initial_parameters(
            self.weights_init, self.means_init, self.precisions_init, self.covariance_type, k, d
        )
        return MixtureModel(k, self._family(), Seeding(self.init_params), given, as_prior(self.prior))

    def to_sklearn(self) -> SklearnGaussianMixture:
        """Return the fitted scikit-learn mixture with the same parameters."""
        check_is_fitted(self)
        if self.covariance_type == "spherical":
            refuse_scaled(self, "in the data's units its components are not spherical; use covariance_type='diag'")
        model = SklearnGaussianMixture(**self._shared_settings(SklearnGaussianMixture))
        names = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")
        return self._copy_fitted_to(model, (*names, "converged_", "n_iter_", "lower_bound_", "lower_bounds_"))

    @property
    def precisions_(self) -> Float:
        """The inverses of the covariances, in their shape."""
        return precisions_of(self.precisions_cholesky_, self.covariance_type)

    def _check_settings(self) -> None:
        """Raise ValueError for wrong settings, before any data are read."""
        super()._check_settings()
        check_reg_covar(self.reg_covar)
        check_choice("covariance_type", self.covariance_type, COVARIANCE_TYPES)

    def _family(self) -> GaussianFamily:
        """Return the family of this covariance type."""
        return COVARIANCE_TYPES[self.covariance_type](check_reg_covar(self.reg_covar))

    def _can_warm_start(self, d: int) -> bool:
        """Whether the parameters of the last fit have the shapes of this fit, so that it can start from them."""
        kind = getattr(self, "_fitted_type", None)  # shapes alone can agree: tied (d, d) and diag (K, d)
        return kind == self.covariance_type and self.means_.shape == (self.n_components, d)

    def _keep(self, model: MixtureModel, params: MixtureParams) -> None:
        """Store the parameters in public attributes."""
        theta = params.theta
        self._fitted_type = self.covariance_type
        self.weights_, self.means_ = params.weights, theta.means
        self.covariances_, self.precisions_cholesky_ = theta.covariances, theta.precisions_cholesky
        self._keep_reg_covar(model.family)

    def _fitted(self) -> tuple[MixtureModel, MixtureParams]:
        """Return the model and its parameters."""
        theta = Gaussians(self.means_, self.covariances_, self.precisions_cholesky_)
        return MixtureModel(len(self.weights_), self._family()), MixtureParams(self.weights_, theta)
