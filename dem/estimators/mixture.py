"""Mixtures of any family of distributions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from dem.core.layout import c_ordered
from dem.em.seeding import Seeding
from dem.engine.engine import Engine
from dem.estimators.family_spec import as_family
from dem.estimators.mixture_base import MixtureEstimator, as_prior
from dem.families import FAMILIES
from dem.models.mixture.kernel import MixtureParams
from dem.models.mixture.mixture import MixtureModel
from dem.storage.document import GroupContents
from dem.storage.encoding import Arrays, decode, digest, encode


class Mixture(MixtureEstimator):
    """Mixture of any parametric distribution, fitted by expectation-maximisation to data of any size.

    p(x) = sum over k of w_k p(x | theta_k). The data are what `dem.GaussianMixture` takes, and so is the way of a fit.

    Parameters
    ----------
    n_components : int, default=1
    family : str, family, dict or list, default="gaussian"
        The components' distribution: a name ("gaussian", "gamma", "poisson", "bernoulli", "categorical", ...: see
        `dem.families.FAMILIES`); a family, such as ``dem.families.Gaussian("diag")`` or one of your own; or, for
        columns of different kinds, ``{"rain": Gamma(), ("u", "v"): Gaussian()}`` with names or numbers of columns, or
        the same as a list of pairs. Columns of different parts are independent given the component.
    prior : None, "weak" or dem.Prior, default=None
        None for maximum likelihood; else MAP with conjugate priors (see `dem.models.mixture.prior`).
    tol : float, default=1e-3
        Stop when the mean log-likelihood rises by less, in nats a row.
    max_iter : int, default=100
        Most M-steps on the whole data. One more pass scores the last one; with 0 it scores the start.
    n_init : int, default=10
        Starts tried on the sample; the best goes on to the whole data.
    init_params : {"k-means++", "kmeans", "random", "random_from_data"}, default="k-means++"
        How responsibilities are first made on the sample.
    random_state : int, RandomState, Generator or None, default=None
        Seed of the sample and the starts. None is the seed 0: a fit never depends on luck.
    warm_start : bool, default=False
        Start from the last fit's parameters.
    verbose : int, default=0
        1 or more prints a line for the first scan, the start, every `verbose_interval`-th pass and the last one.
    verbose_interval : int, default=1
    sample_size : int, default=30000
        Rows in the sample (fewer where they would take more than 64 MiB).
    missing : {"marginalize", "error"}, default="marginalize"
        What becomes of missing values, in a fit and in all that is told of rows: they are marginalised exactly, as
        values missing at random, or refused.
    missing_value : number, optional
        Entries equal to it are missing, besides NaN and masked ones, in place of what a store's CF attributes say: see
        `dem.open_source`. A source that is open already has been told.
    engine : dem.Engine, optional
        Memory limit, scheduler and number of workers; by default this machine.

    Attributes
    ----------
    weights_ : array of shape (n_components,)
    component_parameters_ : dict
        Arrays by name, the first axis that of the components; for families of several kinds a dict for each part.
    family_ : family
        With what it has learnt of the data, such as numbers of categories, or its `reg_covar`.
    effective_counts_ : array of shape (n_components,)
        The sums of the responsibilities.
    converged_, stop_reason_, n_iter_, n_passes_, lower_bound_, lower_bounds_, history_, n_features_in_, source_
        As those of `dem.GaussianMixture`.
    """

    _saved = ("weights_", "effective_counts_")
    _saved_numbers = ("lower_bound_", "lower_bounds_")

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
        self.n_components = n_components
        self.family = family
        self.prior = prior
        self.tol = tol
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.sample_size = sample_size
        self.missing = missing
        self.missing_value = missing_value
        self.engine = engine

    @property
    def component_parameters_(self) -> Any:
        """The components' parameters by name."""
        check_is_fitted(self)
        return c_ordered(self.family_.named(self._theta))

    def describe(self) -> str:
        """Return in a few words what the fitted model is."""
        parts = [part.family for part in getattr(self.family_, "parts", ())] or [self.family_]
        names = dict.fromkeys(type(family).__name__ for family in parts)
        return self._describe(f"mixture of {' x '.join(names)}")

    def _model(self, d: int) -> MixtureModel:
        """Return the model for data of d columns, not yet bound."""
        family = as_family(self.family, getattr(self, "feature_names_in_", None))
        family.check_columns(d)
        return MixtureModel(self.n_components, family, Seeding(self.init_params), prior=as_prior(self.prior))

    def _keep(self, model: MixtureModel, params: MixtureParams) -> None:
        """Keep the parameters."""
        self.family_, self.weights_, self._theta = model.family, params.weights, params.theta
        self._asked = self._model(self.family_.centres(self._theta).shape[1]).family

    def _fits(self, d: int) -> bool:
        """Whether the last fit had as many components, of the same families on the same columns."""
        if not hasattr(self, "weights_") or len(self.weights_) != self.n_components:
            return False
        same_columns = self.family_.centres(self._theta).shape[1] == d
        return same_columns and digest(self._model(d).family) in (digest(self._asked), digest(self.family_))

    def _again(self, model: MixtureModel) -> MixtureModel:
        """Return the model with what the family had learnt: the same categories have the same places."""
        return replace(model, family=self.family_)

    def _fitted(self) -> tuple[MixtureModel, MixtureParams]:
        """Return the model and its parameters."""
        return MixtureModel(len(self.weights_), self.family_), MixtureParams(self.weights_, self._theta)

    def _arrays(self) -> Arrays:
        """Return the arrays that make up the fitted model."""
        return {**super()._arrays(), **encode((self.family_, self._theta))[0]}

    def _attributes(self) -> dict[str, Any]:
        """Return everything else, as JSON has it."""
        return {**super()._attributes(), "mixture": encode((self.family_, self._theta))[1]}

    @classmethod
    def _restore(cls, saved: GroupContents, modules: tuple[str, ...] = ()) -> Self:
        """Return the estimator that `save` wrote."""
        own = {name: array for name, array in saved.arrays.items() if name in cls._saved}
        estimator = super()._restore(GroupContents(saved.model, own, saved.attributes))
        estimator.family_, estimator._theta = decode(saved.arrays, saved.attributes["mixture"], modules)
        estimator.family = estimator._asked = estimator.family_
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
        Of each column, or of all; None counts the codes up to the largest one in the data.
    **settings
        See `Mixture`.
    """
    given = tuple(n_categories) if isinstance(n_categories, list | tuple | np.ndarray) else n_categories
    return Mixture(n_components, family=FAMILIES["categorical"](given), **settings)


def PoissonMixture(n_components: int = 1, **settings: Any) -> Mixture:  # noqa: N802
    """Return a `Mixture` of Poisson columns, of counts."""
    return Mixture(n_components, family="poisson", **settings)


def ExponentialMixture(n_components: int = 1, **settings: Any) -> Mixture:  # noqa: N802
    """Return a `Mixture` of exponential columns, of waiting times."""
    return Mixture(n_components, family="exponential", **settings)
