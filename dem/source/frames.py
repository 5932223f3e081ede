"""Data frames of pandas, polars and Dask as arrays with names of columns; their libraries are not imported here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dask.array as da
import numpy as np
from dask.base import is_dask_collection

from dem.core.columns import Columns
from dem.source.checks import check_names


def is_frame(data: Any) -> bool:
    """Whether the data are a data frame in memory: of pandas, polars or another library with the same attributes."""
    named = hasattr(type(data), "to_numpy") and hasattr(data, "columns") and not is_dask_collection(data)
    return named and len(getattr(data, "shape", ())) == 2


def is_pandas(frame: Any) -> bool:
    """Whether a data frame in memory has an index, as those of pandas."""
    return hasattr(frame, "index")


def is_lazy_frame(data: Any) -> bool:
    """Whether the data are a Dask DataFrame."""
    return is_dask_collection(data) and hasattr(type(data), "to_dask_array") and getattr(data, "ndim", 0) == 2


def frame_columns(frame: Any) -> Columns | None:
    """Return the columns of a data frame; None if their names are not all text, as in scikit-learn.

    Raises
    ------
    ValueError
        Several columns have the same name.
    """
    names = list(frame.columns)
    check_names(names, "the data frame")
    return Columns.of_names(names) if names and all(isinstance(name, str) for name in names) else None


def check_frame_weights(frame: Any, weights: Any) -> None:
    """Raise TypeError if weights are the name of a column: text is the path of stored weights."""
    if isinstance(weights, str) and weights in list(frame.columns):
        raise TypeError(
            f"sample_weight={weights!r} is read as a path: pass the column, as in X[{weights!r}], and choose the "
            "columns of the model by columns=[...]."
        )


def column_without_numbers(frame: Any) -> Any:
    """Return the name of the first column of a data frame in memory that is not of numbers; None if all are."""
    return next((name for name in frame.columns if not _holds_numbers(frame_array(frame[[name]]))), None)


def _holds_numbers(values: Any) -> bool:
    if values.dtype.kind != "O":
        return values.dtype.kind in "biuf"
    try:
        values.astype(np.float64)
    except (TypeError, ValueError):
        return False
    return True


def choose_of_frame(frame: Any, columns: Sequence[str | int]) -> Any:
    """Return a data frame (or a lazy one) with only these columns, given by name or number."""
    every = frame_columns(frame) or Columns.numbered(len(frame.columns))
    names = [list(frame.columns)[j] for j in every.numbers_of(columns)]
    return frame[names]


def frame_array(frame: Any) -> Any:
    """Return a data frame in memory as an array; nulls are NaN."""
    x = np.asarray(frame)
    if x.dtype != object or not is_pandas(frame):
        return x
    try:
        return frame.to_numpy("float64", na_value=np.nan)  # pandas's own dtypes have nulls that are no numbers
    except (TypeError, ValueError):
        return x


def lazy_array(frame: Any) -> da.Array:
    """Return a Dask DataFrame as a Dask array with unknown numbers of rows; nothing is computed.

    Raises
    ------
    ValueError
        A column is not of numbers.
    """
    dtypes = dict(frame.dtypes)
    for name, dtype in dtypes.items():
        if getattr(dtype, "kind", "O") not in "biuf":
            raise ValueError(
                f"column {name!r} of the Dask DataFrame has the dtype {dtype}, which does not hold numbers: choose "
                "other columns (columns=[...]), or convert it"
            )
    plain = all(isinstance(dtype, np.dtype) for dtype in dtypes.values())  # nulls of pandas's own dtypes are not NaN
    common = np.result_type(*dtypes.values()) if plain else np.dtype(np.float64)
    if any(dtype != common for dtype in dtypes.values()):
        frame = frame.astype(common)
    array: da.Array = frame.to_dask_array()
    return array


def like_frame(values: Any, frame: Any, columns: Columns) -> Any:
    """Return rows (n, d) of these columns of a data frame as a data frame of the same kind, with the same index."""
    names = list(columns.names) if columns.named else list(frame.columns)
    if is_pandas(frame):
        return type(frame)(values, columns=names, index=frame.index)
    return type(frame)(values, schema=names)
