"""What the estimators of all mixtures share: the fit, row-wise results, generation, criteria."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from dem.core.block import Float
from dem.core.error_state import own_errors
from dem.core.human import plural
from dem.core.layout import c_ordered
from dem.em import loop
from dem.em.seeding import METHODS
from dem.em.starts import Start
from dem.estimators.base import (
    FILLING,
    Estimator,
    as_checkpoint,
    check_choice,
    check_number,
    history,
    integer_seed,
    source_record,
)
from dem.estimators.iterations import check_iterations, engine_with_progress, warn_at_max_iter
from dem.families.reg_covar import reg_covar_values
from dem.models.criteria import bic
from dem.models.mixture.kernel import MixtureStats
from dem.models.mixture.prior import WEAK, Prior
from dem.models.row_checks import check_enough_rows
from dem.run.fit import Fit, fit_model
from dem.storage.checkpoint import Checkpoint
from dem.storage.document import Saved


class MixtureEstimator(Estimator):
    """Base of the mixtures' estimators.

    A subclass makes the model of the data in `_model`, and keeps its parameters in `_keep`.
    """

    outputs: ClassVar[tuple[str, ...]] = ("label", "proba", "score", "entropy", "top-index", "top-weight", *FILLING)
    weights_: Float
    n_components: int
    tol: float
    max_iter: int
    n_init: int
    init_params: str
    random_state: Any
    warm_start: bool
    verbose: int
    verbose_interval: int
    sample_size: int

    @abstractmethod
    def _model(self, d: int) -> Any:
        """Return the model for data of d columns, not yet bound, from the settings."""

    @abstractmethod
    def _keep(self, model: Any, params: Any) -> None:
        """Keep the parameters of a bound model as public attributes."""

    @abstractmethod
    def _fits(self, d: int) -> bool:
        """Whether the last fit's parameters are of the kind and the shapes that the settings want."""

    def _keep_reg_covar(self, family: Any) -> None:
        """Keep what is added to variances, once it is known: a default is told by data."""
        if family.reg_covar is not None:
            self.reg_covar_ = reg_covar_values(family.reg_covar)

    def _again(self, model: Any) -> Any:
        """Return the model for a fit from the last one's parameters: with what the family had learnt, if anything."""
        return model

    @own_errors()
    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        callback: Callable[[loop.State[Any]], object] | None = None,
        checkpoint: str | Path | Checkpoint | None = None,
    ) -> Self:
        """Fit the mixture.

        Parameters
        ----------
        X : str, Path, zarr.Array, dask.array.Array or array-like of shape (n, d)
            Real numbers of any dtype; the fit of float32 data is float64 in all that it reports.
        y : ignored
        sample_weight : array-like, Dask or Zarr array, or path, of shape (n,), optional
            Weights of the rows, finite and not negative.
        callback : callable, optional
            Called with the `dem.em.loop.State` after each pass.
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
        if source.n_rows is not None:
            check_enough_rows(source.n_rows, self.n_components)
        model = self._model(source.n_columns)
        params = model.known()
        if self.warm_start and self._fits(source.n_columns):
            model, params = self._again(model), self._fitted()[1]
        fitted: Fit[Any, MixtureStats] = fit_model(
            model,
            source,
            start=Start(self.n_init, self.sample_size, integer_seed(self.random_state)),
            params=params,
            tol=self.tol,
            max_iter=self.max_iter,
            engine=engine_with_progress(self),
            callback=callback,
            checkpoint=as_checkpoint(checkpoint),
            missing=self.missing,
        )
        state = fitted.state
        self._keep(fitted.model, c_ordered(state.params))
        self.effective_counts_ = state.stats.sums[0]
        self.stop_reason_ = state.stop_reason
        self.converged_ = state.stop_reason == "converged"
        self.n_iter_, self.n_passes_ = state.n_iter, fitted.n_passes
        self.history_ = history(state)
        self.lower_bound_, self.lower_bounds_ = state.objective, [p.objective for p in state.history]
        self.source_ = source_record(source, fitted.scan)
        warn_at_max_iter(self)
        return self

    def _describe(self, kind: str, *more: str) -> str:
        """Return the kind of mixture, its number of components, more, and its number of columns."""
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

        The components are of the smallest signed type, the likeliest first: small where `predict_proba` is large.
        """
        most = len(self.weights_)
        k = min(3, most) if k is None else k
        check_number("k", k, int, 1)
        if k > most:
            raise ValueError(f"k={k} is more than the {most} components: use {most} or less")
        return self._rows(X, f"top-index:{k}"), self._rows(X, f"top-weight:{k}")

    def entropy(self, X: Any) -> Any:
        """Return the entropy of each row's responsibilities, in nats, (n,): 0 where the component is certain."""
        return self._rows(X, "entropy")

    def icl(self, X: Any) -> float:
        """Return the integrated complete likelihood criterion: the BIC, plus twice the entropy of all rows.

        Lower is better (Biernacki, Celeux and Govaert 2000): it prefers components that keep apart.
        """
        found = self._mean(X, "complete")
        return bic(found.total, self.n_parameters_, found.counted)

    def sample(self, n_samples: int = 1, chunks: Any = None) -> tuple[Any, Any]:
        """Return n rows drawn from the mixture (n, d), and their components (n,).

        Parameters
        ----------
        n_samples : int
        chunks : int or "auto", optional
            Return lazy Dask arrays of any size, with so many rows a chunk.

        The same rows in each call and for any chunks, unless `random_state` is a generator.
        """
        return self._draw(n_samples, chunks)

    def _attributes(self) -> dict[str, Any]:
        """Return everything but the arrays, as JSON has it."""
        attributes = super()._attributes()
        if isinstance(prior := getattr(self, "prior", None), Prior):
            attributes["settings"]["prior"] = asdict(prior)
        return attributes

    @classmethod
    def _restore(cls, saved: Saved) -> Self:
        """Return the estimator that `save` wrote."""
        estimator = super()._restore(saved)
        if isinstance(prior := getattr(estimator, "prior", None), dict):
            estimator.prior = Prior(**prior)
        return estimator

    def _check_settings(self) -> None:
        """Refuse wrong settings, before anything is read."""
        check_number("n_components", self.n_components, int, 1)
        check_iterations(self)
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
