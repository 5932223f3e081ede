"""What every estimator does: take data in, give row-wise outputs back, go to disk."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from dem import run_rows, store
from dem.engine import Engine
from dem.model import Rowwise
from dem.run_rows import MISSING
from dem.source import Source, is_lazy, is_source, open_source
from dem.source.decode import float_dtype
from dem.source.memory import as_numeric, open_memory

FILLING = ("filled", "deviation")
"""The row-wise outputs of the shape of the rows: what `impute` returns."""


class RowwiseEstimator(BaseEstimator):
    """Base of the estimators.

    A subclass keeps the model's parameters in public attributes, as scikit-learn's do, and says in
    `_fitted` how a model and its parameters are made of them.
    """

    engine: Engine | None
    missing: str
    missing_value: float | None
    outputs: ClassVar[tuple[str, ...]]
    """The row-wise outputs that the command line offers."""
    objective_name: ClassVar[str] = "log_likelihood"
    """What `lower_bound_` is, priors aside: "log_likelihood", "bound" or "inertia"."""
    _saved: ClassVar[tuple[str, ...]]
    """Names of the fitted arrays that go to disk."""
    _saved_numbers: ClassVar[tuple[str, ...]]
    """Names of fitted numbers and words, beside those that all estimators have."""

    @abstractmethod
    def describe(self) -> str:
        """Return in a few words what the fitted model is."""

    @abstractmethod
    def _fitted(self) -> tuple[Rowwise[Any], Any]:
        """Return the model and its parameters, from the public attributes."""

    def _open(self, X: Any, sample_weight: Any = None, *, reset: bool = False) -> Source:
        """Return the source of rows that X is, and check its columns against the model's.

        Raises
        ------
        ValueError
            If the data are unusable, or their columns are not the model's.
        """
        if not isinstance(self.engine, Engine | None):
            raise ValueError(f"engine must be a dem.Engine or None, got {self.engine!r}")
        if self.missing not in MISSING:
            raise ValueError(f"missing must be one of {', '.join(MISSING)}, got {self.missing!r}")
        if not is_lazy(X):
            if np.ma.isMaskedArray(X):
                X = as_numeric(X)  # scikit-learn would drop the mask
            X = validate_data(self, X, reset=reset, dtype="numeric", ensure_all_finite=False)
            names = tuple(self.feature_names_in_) if hasattr(self, "feature_names_in_") else None
            return replace(open_memory(X, sample_weight, missing_value=self.missing_value), columns=names)
        if is_source(X) and self.missing_value is not None and X.decoding is None:
            raise ValueError(
                f"{X.name} is open already, and was not told that {self.missing_value:g} is missing: give "
                "missing_value to dem.open_source, too"
            )
        source = open_source(X, sample_weight, missing_value=None if is_source(X) else self.missing_value)
        if reset:
            self.n_features_in_ = source.n_columns
            self.__dict__.pop("feature_names_in_", None)
        elif source.n_columns != self.n_features_in_:
            raise ValueError(
                f"{source.name} has {source.n_columns} columns, but {type(self).__name__} was fitted on "
                f"{self.n_features_in_}: give it data with the same columns in the same order"
            )
        return source

    def _rows(self, X: Any, what: str) -> Any:
        """Return a row-wise output: a NumPy array for data in memory, a lazy Dask array otherwise."""
        check_is_fitted(self)
        source = self._open(X)
        return run_rows.rows(*self._fitted(), source, _typed(what, source), self.engine, self.missing)

    def _mean(self, X: Any, what: str, sample_weight: Any = None) -> run_rows.Mean:
        """Return the weighted mean of a row-wise output, from one pass."""
        check_is_fitted(self)
        return run_rows.mean(*self._fitted(), self._open(X, sample_weight), what, self.engine, self.missing)

    def write(self, X: Any, path: str | Path, what: str, *, overwrite: bool = False) -> None:
        """Write a row-wise output of X as a Zarr array, region by region.

        Parameters
        ----------
        X : str, Path or zarr.Array of shape (n, d)
        path : str or Path
            Of the array to write; chunked like X's rows.
        what : str
            Which output: see the class. "filled" and "deviation" are those of `impute`.
        overwrite : bool
            Replace what stands at `path`, once the new array is whole.

        Raises
        ------
        FileExistsError
            If something stands at `path` and `overwrite` is not set.
        ValueError
            If there is no such output, or X does not suit the model.
        """
        check_is_fitted(self)
        source = self._open(X)
        run_rows.write(
            *self._fitted(),
            source,
            _typed(what, source),
            path,
            engine=self.engine,
            overwrite=overwrite,
            missing=self.missing,
        )

    def impute(self, X: Any, return_std: bool = False) -> Any:
        """Return the rows with their missing values filled in: E[x_missing | x_observed] under the model.

        Parameters
        ----------
        X : str, Path, zarr.Array, dask.array.Array or array-like of shape (n, d)
        return_std : bool, default=False
            Return the conditional standard deviations too.

        Returns
        -------
        array of shape (n, d), or two of them
            The rows in X's floating dtype (of integers float32 up to 16 bits, else float64), observed values bit for
            bit; and the deviations, 0 where X is observed. NumPy arrays for data in memory, lazy Dask arrays otherwise;
            `write` writes them by the names "filled" and "deviation".

        Raises
        ------
        ValueError
            X does not suit the model; or values are missing and `missing` is "error".
        """
        filled = self._rows(X, "filled")
        return (filled, self._rows(X, "deviation")) if return_std else filled

    def __sklearn_tags__(self) -> Tags:
        """Return what scikit-learn is to know: NaN are taken."""
        tags: Tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _hand_over(self, model: Any, names: Iterable[str]) -> Any:
        """Return a scikit-learn model with these fitted attributes, and those that say of which columns it is."""
        for name in (*names, "n_features_in_", "feature_names_in_"):
            if hasattr(self, name):
                setattr(model, name, getattr(self, name))
        return model

    def _shared_settings(self, kind: type[BaseEstimator]) -> dict[str, Any]:
        """Return the settings that a class of scikit-learn's has too."""
        names = set(kind().get_params())
        return {name: value for name, value in self.get_params(deep=False).items() if name in names}

    def save(self, path: str | Path) -> None:
        """Write the fitted model as a Zarr group, whole or not at all; `dem.load` reads it.

        Parameters
        ----------
        path : str or Path
            A path or URL. A model that stands there is replaced.
        """
        check_is_fitted(self)
        store.save(path, store.Saved(type(self).__name__, self._arrays(), self._attributes()))

    def _arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that make up the fitted model."""
        return {name: np.asarray(getattr(self, name)) for name in self._saved if hasattr(self, name)}

    def _attributes(self) -> dict[str, Any]:
        """Return everything else, as JSON has it."""
        names = ("n_features_in_", "n_iter_", "n_passes_", "stop_reason_", "converged_", "history_", "source_")
        fitted = {name: getattr(self, name) for name in (*names, *self._saved_numbers) if hasattr(self, name)}
        if hasattr(self, "feature_names_in_"):
            fitted["feature_names_in_"] = [str(name) for name in self.feature_names_in_]
        return {"settings": plain_settings(self.get_params(deep=False)), "fitted": fitted}

    @classmethod
    def _restore(cls, saved: store.Saved) -> Self:
        """Return the estimator that `save` wrote."""
        estimator = cls(**saved.attributes["settings"])
        for name, value in {**saved.attributes["fitted"], **saved.arrays}.items():
            setattr(estimator, name, value)
        if hasattr(estimator, "feature_names_in_"):
            estimator.feature_names_in_ = np.asarray(estimator.feature_names_in_, dtype=object)
        return estimator


def _typed(what: str, source: Source) -> str:
    """Return the output's name, with the rows' floating dtype where it is made of them: "filled:float32"."""
    if what not in FILLING:
        return what
    dtype = float_dtype(source.dtype)
    return f"{what}:{dtype.name if dtype.itemsize <= 8 else 'float64'}"


def plain_settings(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the constructor's arguments that JSON can hold; arrays of first parameters are left out."""
    return {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in params.items()
        if value is None or isinstance(value, bool | int | float | str | np.generic)
    }
