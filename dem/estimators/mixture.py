"""Mixtures of any family of distributions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from dem.core.layout import c_ordered
from dem.em.seeding import Seeding
from dem.engine.engine import Engine
from dem.estimators.docstrings import documented
from dem.estimators.earlier import EarlierModel, UnsuitedStartError
from dem.estimators.family_spec import as_family
from dem.estimators.matching import Order
from dem.estimators.mixture_base import MIXTURE_AXES, MixtureEstimator, as_prior
from dem.families import FAMILIES
from dem.families.same_kind import filled, same_kind
from dem.models.mixture.kernel import MixtureParams, MixtureStats
from dem.models.mixture.mixture import MixtureModel
from dem.run.check_data import OutsideSupportError
from dem.run.fit import Fit
from dem.run.fit_settings import FitSettings
from dem.source import Source
from dem.storage.document import GroupContents
from dem.storage.encoding import Arrays, decode, digest, encode


@documented
class Mixture(MixtureEstimator):
    """Mixture of any parametric distribution, fitted by expectation-maximisation to data of any size.

    p(x) = sum over k of w_k p(x | theta_k). The data and the steps of a fit are those of `dem.GaussianMixture`.

    Parameters
    ----------
    n_components : int, default=1
    family : str, family, dict or list, default="gaussian"
        The components' distribution: a name ("gaussian", "gamma", "poisson", "bernoulli", "categorical", ...: see
        `dem.families.FAMILIES`), with or without settings, such as "studentt:diag" or "geometric:first=0"; a family,
        such as ``dem.families.Gaussian("diag")`` or a family that you write; or, for columns of different kinds,
        ``{"rain": "gamma", ("u", "v"): Gaussian()}`` with names or numbers of columns, or a list of such
        pairs. Columns of different blocks are independent given the component.
    {prior}
    {mixture_tol}
    {max_iter}
    {n_init}
    {init_params}
    {random_state}
    {warm_start}
    {verbose}
    {sample_size}
    {missing}
    {missing_value}
    {engine}

    Attributes
    ----------
    weights_ : array of shape (n_components,)
    component_parameters_ : dict
        Arrays by name, with the components along the first axis; for blocks of columns a dict for each block.
    family_ : family
        The family with the values found from the data, such as numbers of categories or `reg_covar`.
    effective_counts_ : array of shape (n_components,)
        The sums of the responsibilities.
    {fit_ended}
    {lower_bound_}
    {fit_passes}
    {training_data}
    """

    _saved = ("weights_", "effective_counts_")
    _by_component = _saved
    _axes = MIXTURE_AXES

    def __init__(
        self,
        n_components: int = 1,
        *,
        family: Any = "gaussian",
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
        self.family = family
        self.prior = prior

    @property
    def component_parameters_(self) -> Any:
        """The components' parameters by name."""
        check_is_fitted(self)
        return c_ordered(self.family_.named_parameters(self._theta))

    def describe(self) -> str:
        """Return a short description of the fitted model."""
        names = dict.fromkeys(type(family).__name__ for family in self.family_.members)
        return self._describe(f"mixture of {' x '.join(names)}")

    def _model(self, d: int) -> MixtureModel:
        """Return the model for data of d columns, not yet bound."""
        family = as_family(self.family, getattr(self, "feature_names_in_", None))
        family.check_columns(d)
        return MixtureModel(self.n_components, family, Seeding(self.init_params), prior=as_prior(self.prior))

    def _keep(self, model: MixtureModel, params: MixtureParams) -> None:
        """Store the parameters."""
        self.family_, self.weights_, self._theta = model.family, params.weights, params.theta
        self._requested_family = self._model(self.family_.centres(self._theta).shape[1]).family

    def _can_warm_start(self, d: int) -> bool:
        """Whether the last fit had the same number of components, and the same families on the same columns."""
        if not hasattr(self, "weights_") or len(self.weights_) != self.n_components:
            return False
        same_columns = self.family_.centres(self._theta).shape[1] == d
        return same_columns and digest(self._model(d).family) in (digest(self._requested_family), digest(self.family_))

    def _fit_source(
        self, source: Source, settings: FitSettings, begun: EarlierModel | None = None
    ) -> Fit[Any, MixtureStats]:
        """Run EM; say so if only the earlier model does not accept a value, such as a new category."""
        try:
            return super()._fit_source(source, settings, begun)
        except OutsideSupportError as error:
            found, column = error.outside, source.columns.in_words([error.outside.column])
            asked = self._model(source.n_columns).family
            if begun is None or asked.wants_in_column(found.column) == found.wants:
                raise
            raise UnsuitedStartError(
                f"{source.name} holds {found.value:g} in {column}, but {begun.where} has only {found.wants}: leave out "
                "the start"
            ) from None

    def _check_start(self, begun: Self, where: str) -> None:
        """Raise ValueError if the earlier model has another family."""
        d = begun.n_features_in_
        asked = as_family(self.family, getattr(begun, "feature_names_in_", None))
        if not same_kind(asked, begun.family_):
            raise ValueError(
                f"the family of {where} is {begun.family_}, but this fit has {asked}: a start needs the same family on "
                f"the same of the {d} columns; set it, or leave out the start"
            )

    def _take_order(self, order: Order) -> None:
        """Put the components into this order."""
        super()._take_order(order)
        self._theta = self.family_.reordered(self._theta, order)

    def _warm_start_model(self, model: MixtureModel) -> MixtureModel:
        """Return the model; what its family leaves open is as in the last fit: categories keep their positions."""
        return replace(model, family=filled(model.family, self.family_))

    def _fitted(self) -> tuple[MixtureModel, MixtureParams]:
        """Return the model and its parameters."""
        return MixtureModel(len(self.weights_), self.family_), MixtureParams(self.weights_, self._theta)

    def _arrays(self) -> Arrays:
        """Return the arrays that make up the fitted model."""
        return {**super()._arrays(), **encode((self.family_, self._theta))[0]}

    def _attributes(self) -> dict[str, Any]:
        """Return everything else, in the form of JSON."""
        return {**super()._attributes(), "mixture": encode((self.family_, self._theta))[1]}

    @classmethod
    def _restore(cls, saved: GroupContents, modules: tuple[str, ...] = ()) -> Self:
        """Return the estimator that `save` wrote."""
        own = {name: array for name, array in saved.arrays.items() if name in cls._saved}
        estimator = super()._restore(GroupContents(saved.model, own, saved.attributes), modules)
        estimator.family_, estimator._theta = decode(saved.arrays, saved.attributes["mixture"], modules)
        estimator.family = estimator._requested_family = estimator.family_
        return estimator


def BernoulliMixture(n_components: int = 1, **settings: Any) -> Mixture:  # noqa: N802
    """Return a `Mixture` of Bernoulli columns, of 0 and 1   (PRML 9.3.3)."""
    return Mixture(n_components, family="bernoulli", **settings)


def CategoricalMixture(n_components: int = 1, n_categories: Any = None, **settings: Any) -> Mixture:  # noqa: N802
    """Return a `Mixture` of categorical columns, of codes from 0: latent class analysis.

    Parameters
    ----------
    n_components : int
    n_categories : int, sequence of int or None
        The number of each column, or of all columns; None takes it from the largest code in the data.
    **settings
        See `Mixture`.
    """
    categories = tuple(n_categories) if isinstance(n_categories, list | tuple | np.ndarray) else n_categories
    return Mixture(n_components, family=FAMILIES["categorical"](categories), **settings)


def PoissonMixture(n_components: int = 1, **settings: Any) -> Mixture:  # noqa: N802
    """Return a `Mixture` of Poisson columns, of counts."""
    return Mixture(n_components, family="poisson", **settings)


def ExponentialMixture(n_components: int = 1, **settings: Any) -> Mixture:  # noqa: N802
    """Return a `Mixture` of exponential columns, of waiting times."""
    return Mixture(n_components, family="exponential", **settings)
