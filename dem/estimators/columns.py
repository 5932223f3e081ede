"""The columns that an estimator was fitted to, and the same columns in other data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.utils.validation import _check_n_features, check_array, validate_data

from dem.core import human
from dem.core.block import Array
from dem.core.columns import Columns
from dem.core.warn import warn
from dem.source import Source, open_source
from dem.source.chosen import choose_columns
from dem.source.dimensions import in_words
from dem.source.frames import (
    check_frame_weights,
    choose_of_frame,
    column_without_numbers,
    frame_array,
    frame_columns,
    is_frame,
    is_lazy_frame,
    is_pandas,
)
from dem.source.in_memory import as_numeric
from dem.source.parquet_files import is_parquet_path

MOST_NAMES = 5
"""Most names that a message of scikit-learn lists."""


def keep_columns(estimator: Any, columns: Columns) -> None:
    """Store the columns of the training data: `n_features_in_`, `columns_`, and `feature_names_in_` if named."""
    estimator.n_features_in_, estimator.columns_, estimator.by_name_ = len(columns), columns, columns.named
    if columns.named:
        estimator.feature_names_in_ = np.asarray(columns.names, dtype=object)
    else:
        estimator.__dict__.pop("feature_names_in_", None)


def columns_to_read(estimator: Any, data: Any, columns: Sequence[str | int] | None = None) -> Any:
    """Return the columns to choose when data are opened for a fitted estimator; None for all.

    They are those that a user chooses. Of stored tables (Parquet and Dask DataFrames) they are the estimator's columns,
    by name: other columns are not read, whatever they hold.
    """
    names = getattr(estimator, "feature_names_in_", None)
    if columns is not None or names is None:
        return columns
    return [str(name) for name in names] if is_table(data) else None


def is_table(data: Any) -> bool:
    """Whether the data are a stored table: Parquet files or a Dask DataFrame."""
    return is_parquet_path(data) or is_lazy_frame(data)


def open_in_memory(
    estimator: Any, X: Any, sample_weight: Any, *, reset: bool, columns: Sequence[str | int] | None
) -> Source:
    """Return the source of data in memory, after scikit-learn's checks; see `RowwiseEstimator._open`."""
    if np.ma.isMaskedArray(X):
        X = as_numeric(X)  # scikit-learn would drop the mask
    if is_frame(X):
        check_frame_weights(X, sample_weight)
        columns = _of_model(estimator, X) if columns is None and not reset else columns
    X = X if columns is None else _choose(X, columns)
    X = _checked_frame(estimator, X, reset=reset) if is_frame(X) else _checked(estimator, X, reset=reset)
    names = getattr(estimator, "feature_names_in_", None)
    named = None if names is None else Columns.of_names(tuple(names))
    opened: Any = open_source(X, sample_weight, missing_value=estimator.missing_value)
    source: Source = replace(opened, given_columns=named)
    if reset:
        estimator.columns_, estimator.by_name_ = source.columns, columns is not None
        estimator.sample_dims_ = estimator.variables_ = None
    return source


def _choose(X: Any, columns: Sequence[str | int]) -> Any:
    """Return data in memory with only these columns; a data frame stays one."""
    if is_frame(X):
        return choose_of_frame(X, columns)
    x = as_numeric(X)
    return x[:, list(Columns.numbered(x.shape[1]).numbers_of(columns))]


def _of_model(estimator: Any, frame: Any) -> list[str] | None:
    """Return the columns of the model, to be taken by name from a data frame; None to take the frame as it is.

    After a fit to a data frame the columns must be those of the fit, in their order, as in scikit-learn, unless they
    were chosen in the fit, or are those of a store.
    """
    names = list(getattr(estimator, "feature_names_in_", ()))
    return names if names and estimator.by_name_ and set(names) <= set(frame.columns) else None


def _checked(estimator: Any, X: Any, *, reset: bool) -> Array:
    """Return data in memory as an array, after the checks of scikit-learn."""
    x: Array = validate_data(estimator, X, reset=reset, dtype="numeric", ensure_all_finite=False)
    return x


def _checked_frame(estimator: Any, X: Any, *, reset: bool) -> Array:
    """Return a data frame as an array, after the checks of scikit-learn.

    Raises
    ------
    ValueError
        A column is not of numbers, or the columns are not those of the model.
    """
    try:
        return _checked(estimator, X, reset=reset) if is_pandas(X) else _checked_other(estimator, X, reset=reset)
    except (TypeError, ValueError) as error:
        name = column_without_numbers(X)
        if name is None or not (reset or name in getattr(estimator, "feature_names_in_", [])):
            raise
        raise ValueError(
            f"column {name!r} of the data frame does not hold numbers: choose other columns (columns=[...]), or "
            "convert it"
        ) from error


def _checked_other(estimator: Any, X: Any, *, reset: bool) -> Array:
    """Return a data frame as an array, as scikit-learn's `validate_data` does, with the names kept or checked.

    It is for data frames of which not every version of scikit-learn sees the names, such as those of polars.
    """
    columns = frame_columns(X) or Columns.numbered(X.shape[1])
    if not reset:
        _check_names(estimator, columns)
    x: Array = check_array(frame_array(X), dtype="numeric", ensure_all_finite=False, estimator=estimator)
    _check_n_features(estimator, x, reset=reset)
    if reset:
        keep_columns(estimator, columns)
    return x


def with_model_columns(estimator: Any, source: Source) -> Source:
    """Return the source with the columns of the estimator, by name if both have names.

    Raises
    ------
    ValueError
        Columns are missing, or have another number.
    """
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None and source.columns.named and set(names) <= set(source.columns.names):
        source = choose_columns(source, source.columns.numbers_of(list(names)))
    _check_coordinates(estimator, source)
    _check_names(estimator, source.columns)
    if source.n_columns != estimator.n_features_in_:
        raise ValueError(
            f"{source.name} has {source.n_columns} columns, but {type(estimator).__name__} was fitted on "
            f"{estimator.n_features_in_}: give it data with the same columns in the same order"
        )
    return source


def _check_coordinates(estimator: Any, source: Source) -> None:
    """Raise ValueError if the model has columns at coordinates that the data do not have, such as other depths."""
    model = getattr(estimator, "columns_", None)
    if model is None or source.columns.variables != model.variables:
        return
    own, wanted = (coordinates_of(columns) for columns in (source.columns, model))
    for (variable, dim), values in wanted.items():
        given = own.get((variable, dim), [])
        if given and (lacking := [value for value in values if value not in given]):
            raise ValueError(
                f"{dim!r} of {variable!r} has {human.plural(len(given), 'value')} in {source.name}, and the model has "
                f"{len(values):,}: {_few(lacking)} {'is' if len(lacking) == 1 else 'are'} missing. Give data with the "
                f"{dim!r} of the fit."
            )


def coordinates_of(columns: Columns) -> dict[tuple[str, str], list[Any]]:
    """Return the coordinates of columns, each once, by variable and dimension."""
    found: dict[tuple[str, str], dict[Any, None]] = {}
    for column in columns:
        for dim, value in column.at:
            found.setdefault((column.variable, dim), {})[value] = None
    return {place: list(values) for place, values in found.items()}


def _few(values: Sequence[Any]) -> str:
    more = f" and {len(values) - MOST_NAMES} more" if len(values) > MOST_NAMES else ""
    return ", ".join(map(in_words, values[:MOST_NAMES])) + more


def _check_names(estimator: Any, columns: Columns) -> None:
    """Check names as scikit-learn does, with its words; its own function needs a data frame."""
    kind, names = type(estimator).__name__, getattr(estimator, "feature_names_in_", None)
    if names is None and not columns.named:
        return
    if names is None:
        warn(f"X has feature names, but {kind} was fitted without feature names")
        return
    if not columns.named:
        warn(f"X does not have valid feature names, but {kind} was fitted with feature names")
        return
    given, fitted = columns.names, tuple(names)
    if given == fitted:
        return
    message = "The feature names should match those that were passed during fit.\n"
    unexpected, missing = sorted(set(given) - set(fitted)), sorted(set(fitted) - set(given))
    if unexpected:
        message += "Feature names unseen at fit time:\n" + _listed(unexpected)
    if missing:
        message += "Feature names seen at fit time, yet now missing:\n" + _listed(missing)
    if not unexpected and not missing:
        message += "Feature names must be in the same order as they were in fit.\n"
    raise ValueError(message)


def _listed(names: Sequence[str]) -> str:
    return "".join(f"- {name}\n" for name in names[:MOST_NAMES]) + ("- ...\n" if len(names) > MOST_NAMES else "")


def names_as_json(estimator: Any) -> dict[str, Any]:
    """Return the attributes of a fitted estimator that name its rows and columns, valid in JSON."""
    found: dict[str, Any] = {}
    if hasattr(estimator, "feature_names_in_"):
        found["feature_names_in_"] = [str(name) for name in estimator.feature_names_in_]
    if estimator.by_name_:
        found["by_name_"] = True
    if estimator.sample_dims_ is not None and estimator.variables_ is not None:
        found |= {"sample_dims_": list(estimator.sample_dims_), "variables_": list(estimator.variables_)}
    if hasattr(estimator, "columns_") and estimator.columns_.named:
        found["columns_"] = estimator.columns_.as_json()
    return found


def restore_names(estimator: Any) -> None:
    """Give the attributes of `names_as_json`, as they were read, their own types again."""
    if hasattr(estimator, "feature_names_in_"):
        estimator.feature_names_in_ = np.asarray(estimator.feature_names_in_, dtype=object)
    if estimator.sample_dims_ is not None and estimator.variables_ is not None:
        estimator.sample_dims_, estimator.variables_ = tuple(estimator.sample_dims_), tuple(estimator.variables_)
    if isinstance(saved := getattr(estimator, "columns_", None), dict):
        estimator.columns_ = Columns.of_json(saved)
