"""The base class of all estimators: `fit`, reading data, row-wise outputs, and saving models."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from dem.core.columns import Columns
from dem.core.error_state import default_error_state
from dem.em import loop
from dem.em.model import Rowwise
from dem.em.progress import Silent
from dem.em.row_output import RowOutputs
from dem.em.starts import Start
from dem.engine.engine import Engine
from dem.estimators import scaling
from dem.estimators.checks import integer_seed
from dem.estimators.columns import (
    columns_to_read,
    keep_columns,
    names_as_json,
    open_in_memory,
    restore_names,
    with_model_columns,
)
from dem.estimators.dataset import HasDataset
from dem.estimators.iterations import check_iterations, engine_with_progress, warn_at_max_iter
from dem.estimators.labelled import label_rows
from dem.estimators.named_dims import dims_for, named_dims
from dem.estimators.records import history_records, plain_settings, source_record, start_records
from dem.estimators.summary import columns_of
from dem.kernel.choice import with_chosen_kernel
from dem.run.check_load import check_load
from dem.run.fit import Fit
from dem.run.fit_settings import FitSettings
from dem.run.latent import LatentFit
from dem.run.rows import MISSING_TREATMENTS, Mean, RowRequest, compute_rows, mean_of_rows, write_rows
from dem.source import Source, is_lazy, is_source, open_source
from dem.source.containers import is_xarray
from dem.source.decode import decoding_of_value
from dem.source.dimensions import SampleDims, check_unnamed
from dem.source.frames import is_frame, like_frame
from dem.storage.atomic import save_model
from dem.storage.checkpoint import Checkpoint
from dem.storage.document import GroupContents

CONVERGED_REASONS = ("converged", "closed_form")
"""The values of `stop_reason_` that mean convergence."""
FIT_ATTRIBUTES = (
    "converged_", "stop_reason_", "n_iter_", "n_passes_", "lower_bound_", "lower_bounds_", "history_", "source_",
)  # fmt: skip
"""Fitted attributes that every estimator has."""


class RowwiseEstimator(scaling.Scalable, HasDataset, BaseEstimator):
    """Base of the estimators.

    Rows without any value (all NaN or masked) are left out of fits, scores and criteria. Their outputs are missing: the
    label is -1, all other outputs are NaN.

    A subclass keeps the parameters of the model in public attributes, as scikit-learn does; `_fitted` builds the model
    and its parameters from them. `fit` is written once, here. It calls the methods that differ between estimators:
    `_check_settings`, `_check_size`, `_fit_source`, which runs the fit, and `_keep_fit`.
    """

    sample_dims_: tuple[str, ...] | None = None
    variables_: tuple[str, ...] | None = None
    starts_: Sequence[dict[str, Any]] = ()
    remaining_gain_: float | None = None
    converged_: bool
    stop_reason_: str
    n_iter_: int
    n_passes_: int
    lower_bound_: float
    lower_bounds_: list[float]
    history_: list[dict[str, Any]]
    source_: dict[str, Any]
    columns_: Columns
    outputs: ClassVar[RowOutputs]
    """The row outputs that `write` can write, by name; the names are the same for models of any size."""
    objective_name: ClassVar[str] = "log_likelihood"
    """The quantity in `lower_bound_`, apart from priors: "log_likelihood", "bound" or "inertia"."""
    _lower_bound: ClassVar[str] = "objective"
    """The key of `history_` from which `lower_bound_` is taken."""
    _saved: ClassVar[tuple[str, ...]]
    """Names of the fitted arrays that are saved."""
    _saved_numbers: ClassVar[tuple[str, ...]] = ()
    """Names of the fitted numbers and strings that are saved, in addition to those of all estimators."""

    @abstractmethod
    def describe(self) -> str:
        """Return a short description of the fitted model."""

    def __init__(
        self,
        *,
        tol: float,
        max_iter: int,
        random_state: Any,
        verbose: int,
        verbose_interval: int,
        sample_size: int,
        missing: str,
        missing_value: float | None,
        engine: Engine | None,
    ) -> None:
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.sample_size = sample_size
        self.missing = missing
        self.missing_value = missing_value
        self.engine = engine

    @abstractmethod
    def _fitted(self) -> tuple[Rowwise[Any], Any]:
        """Return the model and its parameters, from the public attributes."""

    @abstractmethod
    def _check_settings(self) -> None:
        """Raise ValueError for wrong settings, before any data are read; `fit` checks those of the iterations."""

    @abstractmethod
    def _check_size(self, n: int, d: int) -> None:
        """Raise ValueError if n rows of d columns are too few for the settings."""

    @abstractmethod
    def _fit_source(self, source: Source, settings: FitSettings) -> Fit[Any, Any] | LatentFit:
        """Run the fit."""

    @abstractmethod
    def _keep_fit(self, fitted: Any, source: Source) -> None:
        """Store the result of `_fit_source` in the attributes that only this estimator has."""

    @property
    def _n_starts(self) -> int:
        """The number of starts on the sample."""
        return 1

    @default_error_state()
    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        callback: Callable[[loop.State[Any]], object] | None = None,
        checkpoint: str | Path | Checkpoint | None = None,
        columns: Sequence[str | int] | None = None,
        sample_dims: SampleDims = None,
        variables: str | Sequence[str] | None = None,
    ) -> Self:
        """Fit the model to rows.

        Parameters
        ----------
        X : str, Path, zarr.Array, dask.array.Array, data frame, xarray object or array-like of shape (n, d)
            Real numbers of any dtype, in any form that `dem.open_source` opens. Results are float64, also for float32
            data. An xarray Dataset or DataArray, and the path of a Zarr group, need `sample_dims`.
        y : ignored
        sample_weight : array-like, Dask or Zarr array, or path, of shape (n,), or DataArray, optional
            Weights of the rows, finite and not negative. A DataArray is broadcast by the names of its dimensions.
        callback : callable, optional
            Called with the `dem.em.loop.State` after each pass over the data, or each iteration in memory.
        checkpoint : str, Path or dem.Checkpoint, optional
            Where to save the fit after every pass. A fit saved there continues, with the same bits as without a stop.
        sample_dims : str or sequence of str, optional
            The dimensions along which rows lie, of an xarray object or of a Zarr group with named dimensions. The other
            dimensions make columns. Later calls, such as `predict`, use the same.
        variables : str or sequence of str, optional
            The variables of the Dataset or Zarr group to use; by default all.
        columns : sequence of str or int, optional
            The columns of X to use, by name or number: see `dem.open_source`. The other methods take data with these
            columns alone; of Parquet files and Dask DataFrames they take the columns of the fit by name.

        Returns
        -------
        estimator
            The fitted estimator itself.

        Raises
        ------
        dem.Stopped
            A limit of the checkpoint is reached; the same call continues the fit.
        ValueError
            Wrong settings or unusable data; the message says what is wrong, where, and what to do.
        OSError
            A chunk cannot be read.
        MemoryError
            The fit needs more memory than the engine's limit.
        """
        self._check_settings()
        check_iterations(self)
        scaling.check_scale(self.scale)
        source = self._open(X, sample_weight, reset=True, columns=columns, sample_dims=sample_dims, variables=variables)
        if source.n_rows is not None:
            self._check_size(source.n_rows, source.n_columns)
        settings = self._fit_settings(callback, checkpoint)
        if self.scale is None:
            self._fit_opened(source, settings)
            scaling.forget_scaling(self)
        else:
            scaling.fit_scaled(self, source, settings)
        warn_at_max_iter(self)
        return self

    def _fit_opened(self, source: Source, settings: FitSettings) -> None:
        """Fit the model to the rows of a source, as they are."""
        fitted = self._fit_source(source, settings)
        state = fitted.state
        assert state.stop_reason is not None
        self.stop_reason_, self.converged_ = state.stop_reason, state.stop_reason in CONVERGED_REASONS
        self.n_iter_, self.n_passes_ = state.n_iter, fitted.n_passes
        self.history_ = history_records(state)
        self.lower_bounds_, self.remaining_gain_ = self._bounds_of_history(), state.remaining_gain
        self.starts_ = start_records(state.starts)
        self.source_ = source_record(source, fitted.scan)
        self._keep_fit(fitted, source)
        self.lower_bound_ = self.lower_bounds_[-1]

    def _bounds_of_history(self) -> list[float]:
        """Return the values of `lower_bounds_` that `history_` has."""
        return [entry[self._lower_bound] for entry in self.history_]

    def _fit_settings(
        self, callback: Callable[[loop.State[Any]], object] | None, checkpoint: str | Path | Checkpoint | None
    ) -> FitSettings:
        """Return how the fit runs, from the estimator's settings and the arguments of `fit`."""
        engine = engine_with_progress(self)
        return FitSettings(
            tol=self.tol,
            max_iter=self.max_iter,
            start=Start(self._n_starts, self.sample_size, integer_seed(self.random_state)),
            missing=self.missing,
            engine=engine,
            callback=callback,
            checkpoint=Checkpoint(checkpoint) if isinstance(checkpoint, str | Path) else checkpoint,
            progress=(engine.progress if self.verbose else None) or Silent(),
            depends_on_units=self._depends_on_units and self.scale is None,
        )

    def _open(
        self,
        X: Any,
        sample_weight: Any = None,
        *,
        reset: bool = False,
        columns: Sequence[str | int] | None = None,
        **named: Any,
    ) -> Source:
        """Open X as a source of rows, and check that its columns are those of the model, or with `reset` keep them.

        `named` are the sample dimensions and variables of a fit, with `reset`. Other calls use those of the fit.

        Raises
        ------
        TypeError
            If X is a container that holds a lazy array (see `dem.source.containers`).
        ValueError
            If X is unusable, or its columns are not those of the model.
        MemoryError
            If X must be read into memory and does not fit in the engine's limit.
        """
        if not isinstance(self.engine, Engine | None):
            raise ValueError(f"engine must be a dem.Engine or None, got {self.engine!r}")
        if self.missing not in MISSING_TREATMENTS:
            raise ValueError(f"missing must be one of {', '.join(MISSING_TREATMENTS)}, got {self.missing!r}")
        check_load(X, sample_weight, self.engine)
        if not is_lazy(X):
            check_unnamed(X, **named)
            return open_in_memory(self, X, sample_weight, reset=reset, columns=columns)
        not_decoded = is_source(X) and X.decoding is None
        if not_decoded and self.missing_value is not None and decoding_of_value(self.missing_value, X.dtype):
            raise ValueError(
                f"{X.name} was opened without missing_value={self.missing_value:g}: pass missing_value to "
                "dem.open_source"
            )
        missing_value = None if is_source(X) else self.missing_value
        if not reset:
            columns, named = columns_to_read(self, X, columns), dims_for(X, self.sample_dims_, self.variables_)
        source = open_source(X, sample_weight, missing_value=missing_value, columns=columns, **named)
        if not reset:
            return with_model_columns(self, source)
        keep_columns(self, source.columns)
        self.sample_dims_, self.variables_ = named_dims(source)
        return source

    def _rows(self, X: Any, what: str) -> Any:
        """Return a row-wise output: a NumPy array for data in memory, else a lazy Dask array; see `label_rows`."""
        check_is_fitted(self)
        request = self._request(self._open(X), what)
        values, rows = compute_rows(request, self.engine), request.source.rows
        if not is_xarray(X) or rows is None or rows.dims is None:
            return values
        return label_rows(values, request.output, X, rows.dims, request.source.columns.variables)

    def _request(self, source: Source, what: str) -> RowRequest[Any]:
        """Return the request for a row output of the fitted model, with the kernel that is chosen here."""
        model, params = self._model_of_rows()
        return RowRequest.of(with_chosen_kernel(model), params, source, what, self.missing)

    def _mean(self, X: Any, what: str, sample_weight: Any = None) -> Mean:
        """Return the weighted mean of a row-wise output, from one pass."""
        check_is_fitted(self)
        return mean_of_rows(self._request(self._open(X, sample_weight), what), self.engine)

    def mean_score(self, X: Any, sample_weight: Any = None) -> Mean:
        """Return the (weighted) mean score, with the number of rows, the weights and the sum, from one pass."""
        return self._mean(X, "score", sample_weight)

    def write(self, X: Any, path: str | Path, what: str, *, overwrite: bool = False) -> None:
        """Write a row-wise output of X as a Zarr array, region by region; for named dimensions see docs/stores.md.

        Parameters
        ----------
        X : str, Path or zarr.Array of shape (n, d)
        path : str or Path
            Of the array or group to write. Its chunks have as many rows as those of X.
        what : str
            Which output: a name in `outputs`. "top-index:5" and "top-weight:5" give the 5 most probable components
            (without a number: at most 3). "filled" and "deviation" give the results of `impute`, in X's floating dtype;
            "filled:float32" gives another dtype.
        overwrite : bool
            Replace an existing output at `path` when the new one is complete.

        Raises
        ------
        FileExistsError
            If `path` exists and `overwrite` is not set.
        ValueError
            If there is no such output, or X does not suit the model.
        """
        check_is_fitted(self)
        request = self._request(self._open(X), what)
        write_rows(request, path, engine=self.engine, overwrite=overwrite, kind=type(self).__name__)

    def impute(self, X: Any, return_std: bool = False) -> Any:
        """Return the rows with their missing values filled in: E[x_missing | x_observed] under the model.

        Parameters
        ----------
        X : str, Path, zarr.Array, dask.array.Array or array-like of shape (n, d)
        return_std : bool, default=False
            Return the conditional standard deviations too.

        Returns
        -------
        array or data frame of shape (n, d), or two of them
            For a data frame of pandas or polars one of the same kind, with the same names and index. The rows have X's
            floating dtype (for integers: float32 up to 16 bits, else float64); observed values are unchanged. With
            `return_std` also the deviations, 0 for observed values. Both are NaN in rows without any value. NumPy
            arrays for other data in memory, lazy Dask arrays otherwise; `write` writes them as "filled" and
            "deviation".

        Raises
        ------
        ValueError
            X does not suit the model; or values are missing and `missing` is "error".
        """
        results = [self._rows(X, what) for what in (("filled", "deviation") if return_std else ("filled",))]
        if is_frame(X):
            results = [like_frame(values, X) for values in results]
        return tuple(results) if return_std else results[0]

    def __sklearn_tags__(self) -> Tags:
        """Return scikit-learn's tags: NaN are allowed."""
        tags: Tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _copy_fitted_to(self, model: Any, names: Iterable[str]) -> Any:
        """Copy these fitted attributes, and the number and names of the columns, to a scikit-learn model; return it."""
        for name in (*names, "n_features_in_", "feature_names_in_"):
            if hasattr(self, name):
                setattr(model, name, getattr(self, name))
        return model

    def _shared_settings(self, kind: type[BaseEstimator]) -> dict[str, Any]:
        """Return the settings that a scikit-learn class also has, except None: there its defaults apply."""
        names = set(kind().get_params())
        own = self.get_params(deep=False).items()
        return {name: value for name, value in own if name in names and value is not None}

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the fitted model as a Zarr group, whole or not at all; `dem.load` reads it.

        Parameters
        ----------
        path : str or Path
            A path or URL.
        overwrite : bool
            Replace an existing model. Anything else at `path` is never replaced.

        Raises
        ------
        FileExistsError
            If `path` exists and `overwrite` is not set, or `path` is inside a Zarr array.
        ValueError
            The name in `path` is that of a file of another format.
        """
        check_is_fitted(self)
        save_model(path, GroupContents(type(self).__name__, self._arrays(), self._attributes()), overwrite=overwrite)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that make up the fitted model."""
        names = (*self._saved, "scale_", "shift_")
        arrays = {name: np.asarray(getattr(self, name)) for name in names if hasattr(self, name)}
        if self._own is not self:
            arrays.update({scaling.ARRAYS + name: array for name, array in self._own._arrays().items()})
        return arrays

    def _attributes(self) -> dict[str, Any]:
        """Return everything else, in the form of JSON."""
        names = "n_features_in_", *FIT_ATTRIBUTES, "starts_", "remaining_gain_", *self._saved_numbers
        fitted = {name: getattr(self, name) for name in names if hasattr(self, name)}
        return {"settings": plain_settings(self.get_params(deep=False)), "fitted": fitted | names_as_json(self)}

    @classmethod
    def _restore(cls, saved: GroupContents) -> Self:
        """Return the estimator that `save` wrote."""
        estimator = cls(**saved.attributes["settings"])
        inner, arrays = scaling.split_arrays(saved)
        if inner is not None:
            estimator._inner = cls._restore(inner)
        for name, value in {**saved.attributes["fitted"], **arrays}.items():
            number = isinstance(value, np.ndarray) and value.ndim == 0
            setattr(estimator, name, value[()] if number else value)
        restore_names(estimator)
        estimator._derive_missing()
        return estimator

    def _derive_missing(self) -> None:
        """Compute the attributes that models saved by earlier versions do not have."""
        if hasattr(self, "stop_reason_") and not hasattr(self, "converged_"):
            self.converged_ = self.stop_reason_ in CONVERGED_REASONS
        if hasattr(self, "history_") and not hasattr(self, "lower_bounds_"):
            self.lower_bounds_ = self._bounds_of_history() or [self.lower_bound_]
        if hasattr(self, "n_features_in_") and not hasattr(self, "columns_"):
            self.columns_ = columns_of(self, self.n_features_in_)
        if hasattr(self, "lower_bounds_") and not hasattr(self, "lower_bound_"):
            self.lower_bound_ = self.lower_bounds_[-1]
