"""Mixtures of probabilistic PCAs and of factor analysers."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin

from dem.core.block import Float
from dem.core.human import plural
from dem.core.layout import c_ordered
from dem.em.row_output import RowOutputs
from dem.em.seeding import Seeding
from dem.engine.engine import Engine
from dem.estimators.checks import check_number
from dem.estimators.dataset import AxesOf
from dem.estimators.docstrings import documented
from dem.estimators.gaussian_init import check_reg_covar
from dem.estimators.mixture_base import MIXTURE_AXES, MixtureEstimator, as_prior
from dem.estimators.scaling import LOADINGS, POSITION, VARIANCE, ColumnUnit
from dem.families import NOISE, FactorAnalysers, FactorFamily
from dem.families.factors.algebra import canonical_rotation
from dem.models.mixture.factors import FactorMixtureModel, factor_outputs
from dem.models.mixture.kernel import MixtureParams


@documented
class MixtureFactorAnalysis(ClassNamePrefixFeaturesOutMixin, TransformerMixin, MixtureEstimator):
    """Mixture of factor analysers, fitted by expectation-maximisation to data of any size, and of many columns.

    p(x) = sum over k of w_k N(x | mu_k, W_k W_k' + Psi_k), with a few factors each and diagonal noise (Ghahramani and
    Hinton 1996). It finds clusters with correlations when covariances of size (d, d) do not fit in memory. The data and
    the steps of a fit are those of `dem.GaussianMixture`. A pass takes about 4 n d K q operations, and the sums have
    the size K d q.

    Parameters
    ----------
    n_components : int, default=1
        K.
    n_factors : int, default=1
        q, the number of factors of each component; less than the number of columns.
    reg_covar : float or None, default=None
        The smallest noise variance. It is a lower limit and is not added, so it never lowers the log-likelihood. None
        means 1e-6 times each column's variance in the data, and 1e-6 for a column that is constant; for isotropic noise
        1e-6 times the mean variance, without the `n_factors` columns of largest variance, which factors can explain. A
        number is in the data's units squared.
    prior : None, "weak" or dem.Prior, default=None
        None for maximum likelihood; else MAP: each component gets additional pseudo-rows, distributed as the whole data
        (see `dem.models.mixture.prior`).
    {mixture_tol}
    {max_iter}
    {n_init}
    {init_params}
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
    loadings_ : array of shape (n_components, n_features, n_factors)
        W_k. EM determines it up to a rotation. The reported one makes W' inv(Psi) W diagonal, with the largest entry
        first, and the entry of largest magnitude in each column positive. With isotropic noise the columns are the
        principal directions.
    noise_variance_ : array of shape (n_components, n_features)
        The diagonal of Psi_k; of shape (n_components,) for `MixturePPCA`, with `scale` in units of the scaled columns.
    effective_counts_ : array of shape (n_components,)
        The sums of the responsibilities.
    reg_covar_ : float or array of shape (n_features,)
        The smallest noise variance that the fit allowed.
    {fit_ended}
    {lower_bound_}
    {fit_passes}
    {scaled}
    {training_data}
    """

    noise: ClassVar[str] = "diagonal"
    outputs: ClassVar[RowOutputs] = {**MixtureEstimator.outputs, **factor_outputs(1, 1)}
    _kind: ClassVar[str] = "mixture of factor analysers"
    _saved = ("weights_", "means_", "loadings_", "noise_variance_", "effective_counts_", "reg_covar_")
    _start_settings = ("n_components", "n_factors")
    _by_component = ("weights_", "means_", "loadings_", "noise_variance_", "effective_counts_")
    _axes: ClassVar[AxesOf] = (
        *MIXTURE_AXES,
        ("means_", "component column"),
        ("loadings_", "component column latent"),
        ("noise_variance_", "component column"),
    )

    def __init__(
        self,
        n_components: int = 1,
        *,
        n_factors: int = 1,
        reg_covar: float | None = None,
        prior: Any = None,
        tol: float = 1e-3,
        max_iter: int = 100,
        n_init: int = 10,
        init_params: str = "k-means++",
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
        self.n_factors = n_factors
        self.reg_covar = reg_covar
        self.prior = prior

    @property
    def _n_features_out(self) -> int:
        """The number of columns that `transform` gives."""
        return int(self.loadings_.shape[2])

    @property
    def explained_variance_(self) -> Float:
        """The variance that each factor explains, summed over the (scaled) columns, (n_components, n_factors)."""
        return np.asarray((self._own.loadings_**2).sum(axis=1))

    def transform(self, X: Any) -> Any:
        """Return each row's latents, E[z | x] under its most probable component (see `predict`), (n, n_factors).

        ``write(X, path, "latents")`` writes those of all components side by side, (n, n_components * n_factors).
        """
        return self._rows(X, "latent")

    def describe(self) -> str:
        """Return a short description of the fitted model."""
        return self._describe(self._kind, f"{plural(self.loadings_.shape[2], 'factor')} each")

    @property
    def _depends_on_units(self) -> bool:
        """Whether columns share a noise variance."""
        return self.noise == "isotropic"

    def _column_units(self) -> dict[str, ColumnUnit]:
        """Return the units of the fitted attributes that have those of the columns."""
        own = {} if self.noise == "isotropic" else {"noise_variance_": VARIANCE, "reg_covar_": VARIANCE}
        return {"means_": POSITION, "loadings_": LOADINGS, **own}

    def _check_settings(self) -> None:
        """Raise ValueError for wrong settings, before any data are read."""
        super()._check_settings()
        check_number("n_factors", self.n_factors, int, 1)
        check_reg_covar(self.reg_covar)

    def _family(self, n_factors: int) -> FactorFamily:
        """Return the family of this kind of noise."""
        return NOISE[self.noise](n_factors, check_reg_covar(self.reg_covar))

    def _model(self, d: int) -> FactorMixtureModel:
        """Return the model for data of d columns, not yet bound."""
        family = self._family(int(self.n_factors))
        family.check_columns(d)
        return FactorMixtureModel(self.n_components, family, Seeding(self.init_params), prior=as_prior(self.prior))

    def _keep(self, model: FactorMixtureModel, params: MixtureParams) -> None:
        """Store the parameters in public attributes."""
        theta = c_ordered(canonical_rotation(params.theta))
        self.weights_, self.means_, self.loadings_ = params.weights, theta.means, theta.loadings
        self.noise_variance_ = theta.noise_variances[:, 0] if self.noise == "isotropic" else theta.noise_variances
        self._keep_reg_covar(model.family)

    def _can_warm_start(self, d: int) -> bool:
        """Whether the parameters of the last fit have the shapes of this fit, so that it can start from them."""
        return hasattr(self, "loadings_") and self.loadings_.shape == (self.n_components, d, self.n_factors)

    def _fitted(self) -> tuple[FactorMixtureModel, MixtureParams]:
        """Return the model and its parameters."""
        k, _, q = self.loadings_.shape
        theta = FactorAnalysers(self.means_, self.loadings_, self.noise_variance_.reshape(k, -1))
        return FactorMixtureModel(k, self._family(q)), MixtureParams(self.weights_, theta)


class MixturePPCA(MixtureFactorAnalysis):
    """Mixture of probabilistic PCAs: of factor analysers with isotropic noise (Tipping and Bishop 1999).

    p(x) = sum over k of w_k N(x | mu_k, W_k W_k' + s_k^2 I). Parameters and attributes are those of
    `MixtureFactorAnalysis`, except that `noise_variance_` has the shape (n_components,).
    """

    noise: ClassVar[str] = "isotropic"
    _kind = "mixture of probabilistic PCAs"
    _axes = (*MixtureFactorAnalysis._axes, ("noise_variance_", "component"))

    @property
    def explained_variance_(self) -> Float:
        """The variance along each principal direction, with the noise as in `dem.PPCA`, (n_components, n_factors)."""
        return np.asarray((self._own.loadings_**2).sum(axis=1) + self.noise_variance_[:, None])
