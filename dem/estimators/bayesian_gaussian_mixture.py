"""Variational Bayesian Gaussian mixtures with scikit-learn's names."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.mixture import BayesianGaussianMixture as SklearnBayesianGaussianMixture
from sklearn.utils.validation import check_is_fitted

from dem.core.block import Float
from dem.em.seeding import Seeding
from dem.engine.engine import Engine
from dem.estimators.checks import check_choice, check_number
from dem.estimators.docstrings import documented
from dem.estimators.gaussian_init import check_array, check_covariances, check_reg_covar, precisions_of
from dem.estimators.matching import Order
from dem.estimators.mixture_base import MIXTURE_AXES, MixtureEstimator
from dem.estimators.scaling import POSITION, ColumnUnit, gaussian_units, refuse_scaled
from dem.families import COVARIANCE_TYPES, GaussianFamily, Gaussians
from dem.models.mixture.bayesian import BayesianMixtureModel, BayesianParams, ComponentPrior
from dem.models.mixture.mixing import Dirichlet, StickBreaking
from dem.models.mixture.mixture import MixtureModel

MIXINGS: dict[str, type[Dirichlet] | type[StickBreaking]] = {
    "dirichlet_process": StickBreaking,
    "dirichlet_distribution": Dirichlet,
}


@documented
class BayesianGaussianMixture(MixtureEstimator):
    """Variational Bayesian Gaussian mixture of data of any size   (PRML 10.2; Blei and Jordan 2006).

    Weights, means and precisions have conjugate prior and posterior distributions. Components that the data do not need
    lose their rows, so `n_components` is an upper limit. Each iteration is one pass, as in `GaussianMixture`.

    Parameters
    ----------
    n_components : int, default=1
        The largest number of components.
    covariance_type : {"full", "tied", "diag", "spherical"}, default="full"
        The shape of the posterior's scale matrices: see `dem.models.mixture.normal_wishart`.
    tol : float, default=1e-3
        Stop when the bound on the log-evidence rises by less, in nats a row (in scikit-learn: in nats).
    reg_covar : float or None, default=None
        Added to the diagonal of the components' empirical covariances. None is 1e-6 times each column's variance in the
        data (spherical: times the mean of them), and 1e-6 for a column that is constant; a number is in the data's
        units squared. It is not a prior, so it can lower the bound. The prior makes it unnecessary: 0 works as well.
    {max_iter}
    n_init : int, default=10
        Number of starts on the sample, which gets the weight of the whole data; they need no pass over the data.
    {init_params}
    weight_concentration_prior_type : {"dirichlet_process", "dirichlet_distribution"}, default="dirichlet_process"
    weight_concentration_prior : float, optional
        gamma of the process, or alpha_0 of the distribution: the smaller, the fewer components. By default
        1 / n_components.
    mean_precision_prior : float, optional
        beta_0: the number of rows that the prior mean counts as. By default 1.
    mean_prior : array of shape (n_features,), optional
        m_0. By default the mean of the data.
    degrees_of_freedom_prior : float, optional
        nu_0, more than n_features - 1. By default n_features.
    covariance_prior : float or array, optional
        inv(W_0): (d, d) full and tied, (d,) diag, a number spherical. By default the unbiased covariance of the data
        (its diagonal, or the mean of that), with weights as numbers of rows; plus `reg_covar` if it is singular.
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
        E[pi].
    means_ : array of shape (n_components, n_features)
        m.
    covariances_, precisions_, precisions_cholesky_ : array
        inv(nu W), the expected precisions nu W and their factors, in the shape of `covariance_type` (spherical: with
        `scale` in units of the scaled columns).
    weight_concentration_ : array of shape (n_components,), or two of them
        alpha of the distribution; a and b of the process's Beta distributions.
    mean_precision_ : array of shape (n_components,)
        beta.
    degrees_of_freedom_ : array of shape (n_components,), or a number (tied)
        nu.
    weight_concentration_prior_, mean_precision_prior_, mean_prior_, degrees_of_freedom_prior_, covariance_prior_
        The priors that the fit used.
    reg_covar_ : float or array of shape (n_features,)
        The number added to the variances.
    effective_counts_ : array of shape (n_components,)
        The sums of the responsibilities.
    n_components_used_ : int
        The number of components whose responsibilities sum to one row or more (`effective_counts_ >= 1`). A component
        with three of a million rows counts too, so this does not estimate the number of clusters; look at `weights_`
        for that.
    lower_bound_ : float
        The bound on the log-evidence of the reported parameters, with all constants, in nats a row. Models can be
        compared by it.
    {fit_passes}
        Its "log_likelihood" is None.
    {fit_ended}
    {scaled}
    {training_data}
    """

    weight_concentration_prior_: float
    objective_name = "bound"
    _saved = (
        "weights_",
        "means_",
        "covariances_",
        "precisions_cholesky_",
        "mean_precision_",
        "degrees_of_freedom_",
        "mean_prior_",
        "covariance_prior_",
        "effective_counts_",
        "reg_covar_",
        "_concentration",
    )
    _axes = (
        *MIXTURE_AXES,
        ("means_", "component column"),
        ("covariances_", "covariance"),
        ("mean_precision_", "component"),
        ("degrees_of_freedom_", "component"),
        ("_concentration", "beta component"),
    )
    _start_settings = ("n_components", "covariance_type", "weight_concentration_prior_type")
    _by_component = (
        *("weights_", "means_", "covariances_", "precisions_cholesky_", "effective_counts_"),
        *("mean_precision_", "degrees_of_freedom_"),
    )
    _shared_if_tied = ("covariances_", "precisions_cholesky_", "degrees_of_freedom_")
    _saved_numbers = (
        "weight_concentration_prior_",
        "mean_precision_prior_",
        "degrees_of_freedom_prior_",
        "_fitted_type",
    )

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
        weight_concentration_prior_type: str = "dirichlet_process",
        weight_concentration_prior: float | None = None,
        mean_precision_prior: float | None = None,
        mean_prior: Any = None,
        degrees_of_freedom_prior: float | None = None,
        covariance_prior: Any = None,
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
        self.weight_concentration_prior_type = weight_concentration_prior_type
        self.weight_concentration_prior = weight_concentration_prior
        self.mean_precision_prior = mean_precision_prior
        self.mean_prior = mean_prior
        self.degrees_of_freedom_prior = degrees_of_freedom_prior
        self.covariance_prior = covariance_prior

    @property
    def weight_concentration_(self) -> Float | tuple[Float, Float]:
        """The parameters of q(pi)."""
        found = self._concentration
        return (found[0], found[1]) if found.ndim == 2 else found

    @property
    def precisions_(self) -> Float:
        """The expected precisions nu W, in the covariances' shape."""
        return precisions_of(self.precisions_cholesky_, self.covariance_type)

    @property
    def n_components_used_(self) -> int:
        """The number of components whose responsibilities sum to one row or more."""
        return int((self.effective_counts_ >= 1).sum())

    def to_sklearn(self) -> SklearnBayesianGaussianMixture:
        """Return the fitted scikit-learn mixture with the same distributions."""
        check_is_fitted(self)
        if self.covariance_type == "spherical":
            refuse_scaled(self, "in the data's units its components are not spherical; use covariance_type='diag'")
        model = SklearnBayesianGaussianMixture(**self._shared_settings(SklearnBayesianGaussianMixture))
        posterior = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")
        scales = ("weight_concentration_", "mean_precision_", "degrees_of_freedom_")
        priors = ("mean_prior_", "covariance_prior_", *(name.removesuffix("_") + "_prior_" for name in scales))
        reached = ("converged_", "n_iter_", "lower_bound_", "lower_bounds_")
        return self._copy_fitted_to(model, (*posterior, *scales, *priors, *reached))

    def describe(self) -> str:
        """Return a short description of the fitted model."""
        used = f"{self.n_components_used_} of them with a row or more"
        return self._describe("variational Gaussian mixture", used, f"{self.covariance_type} covariances")

    @property
    def _depends_on_units(self) -> bool:
        """Whether columns share a variance."""
        return self.covariance_type == "spherical"

    def _column_units(self) -> dict[str, ColumnUnit]:
        """Return the units of the fitted attributes and settings that have those of the columns."""
        covariances = dict.fromkeys(("covariances_", "covariance_prior", "covariance_prior_"), "covariance")
        more = {"precisions_cholesky_": "factor", "reg_covar_": "reg_covar"}
        positions = dict.fromkeys(("means_", "mean_prior", "mean_prior_"), POSITION)
        return {**gaussian_units(self.covariance_type, **covariances, **more), **positions}

    def _model(self, d: int) -> BayesianMixtureModel:
        """Return the model, with the user's priors."""
        k, family = self.n_components, COVARIANCE_TYPES[self.covariance_type](check_reg_covar(self.reg_covar))
        concentration = 1 / k if self.weight_concentration_prior is None else float(self.weight_concentration_prior)
        return BayesianMixtureModel(
            MixtureModel(k, family, Seeding(self.init_params)),
            MIXINGS[self.weight_concentration_prior_type].prior(k, concentration),
            ComponentPrior(
                None if self.mean_prior is None else check_array(self.mean_prior, (d,), "mean_prior"),
                1.0 if self.mean_precision_prior is None else float(self.mean_precision_prior),
                self._degrees_of_freedom(d),
                None if self.covariance_prior is None else self._covariance(family, d),
            ),
        )

    def _degrees_of_freedom(self, d: int) -> float | None:
        """Return nu_0, after a check that such a Wishart distribution exists."""
        nu = self.degrees_of_freedom_prior
        if nu is not None and nu <= d - 1:
            raise ValueError(
                f"degrees_of_freedom_prior should be greater than {d - 1} for {d} columns, but got {nu:.5g}"
            )
        return None if nu is None else float(nu)

    def _covariance(self, family: GaussianFamily, d: int) -> Float:
        """Return the covariance that the user set, after a check of it."""
        name = "covariance_prior"
        if self.covariance_type in ("full", "tied"):
            covariance = check_covariances(self.covariance_prior, "tied", 1, d, name)
        else:
            covariance = check_array(self.covariance_prior, () if family.isotropic else (d,), name)
        try:
            family.factor(covariance)
        except np.linalg.LinAlgError:
            raise ValueError(f"{name} should be positive definite (full, tied) or positive (diag, spherical)") from None
        return covariance

    def _check_settings(self) -> None:
        """Raise ValueError for wrong settings, before any data are read."""
        super()._check_settings()
        check_reg_covar(self.reg_covar)
        check_choice("covariance_type", self.covariance_type, COVARIANCE_TYPES)
        check_choice("weight_concentration_prior_type", self.weight_concentration_prior_type, MIXINGS)
        for name in ("weight_concentration_prior", "mean_precision_prior", "degrees_of_freedom_prior"):
            value = getattr(self, name)
            if value is not None:
                check_number(name, value, float, 0)
                if value == 0:
                    raise ValueError(f"{name} must be a number > 0, or None, got {value!r}")

    def _take_order(self, order: Order) -> None:
        """Put the components into this order.

        The weights of a Dirichlet process depend on the order. They become those of its posterior in the new order,
        which differ by the share of about one row.
        """
        super()._take_order(order)
        mixing, k = MIXINGS[self._fitted_type[1]], len(order)
        prior: Any = mixing.prior(k, self.weight_concentration_prior_)
        posterior = prior.posterior(self.effective_counts_)
        self._concentration, self.weights_ = posterior.concentration, posterior.mean

    def _can_warm_start(self, d: int) -> bool:
        """Whether the parameters of the last fit have the shapes of this fit, so that it can start from them."""
        kind = [self.covariance_type, self.weight_concentration_prior_type]
        return getattr(self, "_fitted_type", None) == kind and self.means_.shape == (self.n_components, d)

    def _keep(self, model: BayesianMixtureModel, params: BayesianParams) -> None:
        """Keep the parameters and the priors as public attributes."""
        theta, prior = params.theta, model.prior
        assert prior is not None
        self._fitted_type = [self.covariance_type, self.weight_concentration_prior_type]
        self.weights_, self.means_ = params.weights, theta.means
        self.covariances_, self.precisions_cholesky_ = theta.covariances, theta.precisions_cholesky
        self._keep_reg_covar(model.family)
        self.mean_precision_, self.degrees_of_freedom_ = params.mean_precision, params.degrees_of_freedom
        self._concentration = params.mixing.concentration
        self.weight_concentration_prior_ = float(model.mixing.concentration.flat[-1])
        self.mean_precision_prior_, self.mean_prior_ = prior.mean_precision, prior.mean
        self.degrees_of_freedom_prior_, self.covariance_prior_ = prior.degrees_of_freedom, prior.covariance

    def _fitted(self) -> tuple[BayesianMixtureModel, BayesianParams]:
        """Return the model and its parameters."""
        covariance_type, mixing = self._fitted_type
        k, distribution = len(self.weights_), MIXINGS[mixing]
        family = COVARIANCE_TYPES[covariance_type](check_reg_covar(self.reg_covar))
        params = BayesianParams(
            self.weights_,
            Gaussians(self.means_, self.covariances_, self.precisions_cholesky_),
            mixing=distribution(self._concentration),
            mean_precision=self.mean_precision_,
            degrees_of_freedom=self.degrees_of_freedom_,
        )
        prior = distribution.prior(k, self.weight_concentration_prior_)
        return BayesianMixtureModel(MixtureModel(k, family, Seeding(self.init_params)), prior), params
