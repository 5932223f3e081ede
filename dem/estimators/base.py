"""The base class of all estimators: `fit`, reading data, row-wise outputs, and saving models."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

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
from dem.estimators import earlier, scaling
from dem.estimators.checks import integer_seed
from dem.estimators.columns import keep_columns, open_in_memory, with_model_columns
from dem.estimators.dataset import HasDataset
from dem.estimators.iterations import check_iterations, engine_with_progress, recorded_run, warn_at_max_iter
from dem.estimators.labelled import label_rows
from dem.estimators.named_dims import named_dims, open_for
from dem.estimators.notebook import ShownInNotebooks
from dem.estimators.problem import HasProblem
from dem.estimators.records import CONVERGED_REASONS, history_records, source_record, start_records
from dem.estimators.saving import Saveable
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
from dem.storage.checkpoint import Checkpoint


class RowwiseEstimator(HasProblem, scaling.Scalable, HasDataset, Saveable, ShownInNotebooks, BaseEstimator):
    """Base of the estimators.

    Rows without any value (all NaN or masked) are left out of fits, scores and criteria. Their outputs are missing: the
    label is -1, all other outputs are NaN.

    A subclass keeps the parameters of the model in public attributes, as scikit-learn does; `_fitted` builds the model
    and its parameters from them. `fit` is written once, here. It calls the methods that differ between estimators:
    `_check_settings`, `_check_size`, `_fit_source`, which runs the fit, and `_keep_fit`.
    """

    by_name_: bool = False
    """The columns were chosen in the fit, or are those of a store: they are taken by name from data frames too."""
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
    def _fit_source(
        self, source: Source, settings: FitSettings, begun: earlier.EarlierModel | None = None
    ) -> Fit[Any, Any] | LatentFit:
        """Run the fit, from an earlier model if there is one."""

    @abstractmethod
    def _keep_fit(self, fitted: Any, source: Source) -> None:
        """Store the result of `_fit_source` in the attributes that only this estimator has."""

    @property
    def _n_starts(self) -> int:
        """The number of starts on the sample."""
        return 1

    @default_error_state()
    @recorded_run
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
        start: Any = None,
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
            columns alone; of tables (data frames, Parquet files) they take the columns of the fit by name.
        start : fitted estimator of the same kind, str or Path, optional
            A fitted or saved model to start from, such as that of yesterday's rows. Components keep their order, a
            scaling is kept, and one pass less is made: the first one also makes the E-step. See docs/refit.md.

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
        begun = None if start is None else earlier.EarlierModel.of(self, start)
        source = self._open(X, sample_weight, reset=True, columns=columns, sample_dims=sample_dims, variables=variables)
        if source.n_rows is not None:
            self._check_size(source.n_rows, source.n_columns)
        if begun is not None:
            begun.check_columns(source)
        settings = self._fit_settings(callback, checkpoint)
        if self.scale is None:
            self._fit_opened(source, settings, begun)
            scaling.forget_scaling(self)
        else:
            scaling.fit_scaled(self, source, settings, begun)
        warn_at_max_iter(self)
        return self

    def _fit_opened(self, source: Source, settings: FitSettings, begun: earlier.EarlierModel | None = None) -> None:
        """Fit the model to the rows of a source, as they are."""
        self._keep_result(self._fit_source(source, settings, begun), source)

    def _keep_result(self, fitted: Any, source: Source) -> None:
        """Store the result of a fit to the rows of a source."""
        self.__dict__.pop("selection_", None)
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
        if not reset:
            return with_model_columns(self, open_for(self, X, sample_weight, columns=columns))
        missing_value = None if is_source(X) else self.missing_value
        source = open_source(X, sample_weight, missing_value=missing_value, columns=columns, **named)
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
        return label_rows(values, request.output, X, rows.dims, request.source.columns)

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
            results = [like_frame(values, X, self.columns_) for values in results]
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
