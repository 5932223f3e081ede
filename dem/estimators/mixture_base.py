"""The base class of all mixture estimators: the fit, row-wise outputs, sampling, criteria."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, ClassVar, Self

import numpy as np

from dem.core.block import Float
from dem.core.human import plural
from dem.core.layout import c_ordered
from dem.em.row_output import RowOutputs
from dem.em.seeding import METHODS
from dem.estimators.checks import check_choice, check_number
from dem.estimators.criteria import with_criteria
from dem.estimators.density import DensityEstimator
from dem.estimators.earlier import EarlierModel
from dem.estimators.matching import Matchable
from dem.families.reg_covar import reg_covar_values
from dem.kernel.choice import with_chosen_kernel
from dem.models.mixture.kernel import MixtureStats
from dem.models.mixture.prior import WEAK, Prior
from dem.models.mixture.rows import mixture_outputs
from dem.models.row_checks import check_enough_rows
from dem.run.fit import Fit, fit_model
from dem.run.fit_settings import FitSettings
from dem.source import Source
from dem.storage.document import GroupContents

MIXTURE_AXES = (("weights_", "component"), ("effective_counts_", "component"))
"""The axes of the parameters of every mixture; see `HasDataset`."""


@with_criteria("complete")
class MixtureEstimator(Matchable, DensityEstimator):
    """Base of the mixtures' estimators.

    A subclass builds the model in `_model`, and stores its parameters in `_keep`.
    """

    outputs: ClassVar[RowOutputs] = mixture_outputs(1, 1)
    _start_settings: ClassVar[tuple[str, ...]] = ("n_components",)
    weights_: Float
    effective_counts_: Float
    icl: Callable[[Any], float]

    def __init__(
        self, *, n_components: int, n_init: int, init_params: str, warm_start: bool, **iterations_and_data: Any
    ) -> None:
        super().__init__(**iterations_and_data)
        self.n_components = n_components
        self.n_init = n_init
        self.init_params = init_params
        self.warm_start = warm_start

    @abstractmethod
    def _model(self, d: int) -> Any:
        """Return the model for data of d columns, not yet bound, from the settings."""

    @abstractmethod
    def _keep(self, model: Any, params: Any) -> None:
        """Store the parameters of a bound model in public attributes."""

    @abstractmethod
    def _can_warm_start(self, d: int) -> bool:
        """Whether a fit with these settings can start from the parameters of the last fit: same kind, same shapes."""

    def _keep_reg_covar(self, family: Any) -> None:
        """Store the number added to the variances, if it is known; the default depends on the data."""
        if family.reg_covar is not None:
            self.reg_covar_ = reg_covar_values(family.reg_covar)

    def _warm_start_model(self, model: Any) -> Any:
        """Return the model for a fit that starts from the parameters of the last fit."""
        return model

    def _scans_scatter(self, d: int) -> bool:
        """Whether the model needs the whole scatter."""
        return bool(self._model(d).needs_scatter)

    def _check_parameters(self, d: int) -> None:
        """Raise ValueError for wrong first parameters and priors."""
        self._model(d)

    @property
    def _n_starts(self) -> int:
        """The number of starts on the sample."""
        return self.n_init

    def _check_size(self, n: int, d: int) -> None:
        """Raise ValueError if there are fewer rows than components."""
        check_enough_rows(n, self.n_components)

    def _fit_source(
        self, source: Source, settings: FitSettings, begun: EarlierModel | None = None
    ) -> Fit[Any, MixtureStats]:
        """Run EM, from the parameters of the user, of an earlier model or of the last fit, if there are any."""
        model = with_chosen_kernel(self._model(source.n_columns))
        if begun is not None:
            model = begun.own._warm_start_model(model)
            params = begun.own._fitted()[1]
            return fit_model(model, source, settings, params=params, guess=begun.guess(model, params, source))
        params = model.known()
        if self.warm_start and self._own is self and self._can_warm_start(source.n_columns):
            model, params = self._warm_start_model(model), self._fitted()[1]
        return fit_model(model, source, settings, params=params)

    def _keep_fit(self, fitted: Fit[Any, MixtureStats], source: Source) -> None:
        """Store the parameters, and the sums of the responsibilities."""
        self._keep(fitted.model, c_ordered(fitted.state.params))
        self.effective_counts_ = fitted.state.stats.sums[0]

    def _rows_of_components(self, n: int, rng: np.random.Generator) -> Float:
        """Return random rows, about n of each component."""
        model, params = self._model_of_rows()
        k = len(self.weights_)
        rows: Float = model.draw(replace(params, weights=np.full(k, 1 / k)), n * k, rng)[0]
        return rows

    def _describe(self, kind: str, *more: str) -> str:
        """Return the kind of mixture, its number of components, more words, and its number of columns."""
        components, columns = plural(len(self.weights_), "component"), plural(self.n_features_in_, "column")
        return ", ".join([kind, components, *more, columns])

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Fit, and return the label of each row."""
        return self.fit(X, y, sample_weight).predict(X)

    def predict(self, X: Any) -> Any:
        """Return the most probable component of each row, of shape (n,); -1 for rows without any value.

        A NumPy array (int64) for data in memory, a lazy Dask array (of the smallest signed type)
        otherwise; so in all row-wise methods.
        """
        labels = self._rows(X, "label")
        return labels.astype(np.int64) if isinstance(labels, np.ndarray) else labels

    def predict_proba(self, X: Any) -> Any:
        """Return the responsibilities (also called participation weights), (n, n_components)   (PRML 9.13)."""
        return self._rows(X, "proba")

    def responsibilities(self, X: Any) -> Any:
        """Return the responsibilities: another name of `predict_proba`."""
        return self.predict_proba(X)

    def top_components(self, X: Any, k: int | None = None) -> tuple[Any, Any]:
        """Return the k most probable components of each row, and their responsibilities, each of shape (n, k).

        By default k is 3, or the number of components if that is less.

        The most probable component is first. The components have the smallest signed type, so the results need much
        less memory than `predict_proba`.
        """
        most = len(self.weights_)
        k = min(3, most) if k is None else k
        check_number("k", k, int, 1)
        if k > most:
            raise ValueError(f"k={k} is more than the {most} components of the model: give at most {most}")
        return self._rows(X, f"top-index:{k}"), self._rows(X, f"top-weight:{k}")

    def entropy(self, X: Any) -> Any:
        """Return the entropy of each row's responsibilities, in nats, (n,): 0 where the component is certain."""
        return self._rows(X, "entropy")

    def sample(self, n_samples: int = 1, chunks: Any = None) -> tuple[Any, Any]:
        """Return n rows drawn from the mixture (n, d), and their components (n,).

        Parameters
        ----------
        n_samples : int
        chunks : int or "auto", optional
            Return lazy Dask arrays of any size, with this many rows per chunk.

        Each call returns the same rows, for any chunks, unless `random_state` is a generator.
        """
        return self._draw(n_samples, chunks)

    def _attributes(self) -> dict[str, Any]:
        """Return everything but the arrays, in the form of JSON."""
        attributes = super()._attributes()
        if isinstance(prior := getattr(self, "prior", None), Prior):
            attributes["settings"]["prior"] = asdict(prior)
        return attributes

    @classmethod
    def _restore(cls, saved: GroupContents, modules: tuple[str, ...] = ()) -> Self:
        """Return the estimator that `save` wrote."""
        estimator = super()._restore(saved, modules)
        if isinstance(prior := getattr(estimator, "prior", None), dict):
            estimator.prior = Prior(**prior)
        return estimator

    def _check_settings(self) -> None:
        """Raise ValueError for wrong settings, before any data are read."""
        check_number("n_components", self.n_components, int, 1)
        check_number("n_init", self.n_init, int, 1)
        check_choice("init_params", self.init_params, METHODS)
        as_prior(getattr(self, "prior", None))


def as_prior(prior: Any) -> Prior | None:
    """Return the prior that a setting stands for: None, "weak" or a `Prior`.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    if prior is None or isinstance(prior, Prior):
        return prior
    if isinstance(prior, str) and prior == "weak":
        return WEAK
    raise ValueError(f"prior must be None, 'weak' or a dem.Prior, got {prior!r}")
