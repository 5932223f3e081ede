"""Data frames of pandas, polars and Dask as arrays with names of columns; their libraries are not imported here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dask.array as da
import numpy as np
from dask.base import is_dask_collection

from dem.core.columns import Columns


def is_frame(data: Any) -> bool:
    """Whether the data are a data frame in memory: of pandas, polars or another library with the same attributes."""
    named = hasattr(type(data), "to_numpy") and hasattr(data, "columns") and not is_dask_collection(data)
    return named and len(getattr(data, "shape", ())) == 2


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
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise ValueError(f"the data frame has several columns with the name {twice!r}: give each a name of its own")
    return Columns.of_names(names) if names and all(isinstance(name, str) for name in names) else None


def choose_of_frame(frame: Any, columns: Sequence[str | int]) -> Any:
    """Return a data frame (or a lazy one) with only these columns, given by name or number."""
    every = frame_columns(frame) or Columns.numbered(len(frame.columns))
    names = [list(frame.columns)[j] for j in every.numbers_of(columns)]
    return frame[names]


def frame_array(frame: Any) -> Any:
    """Return a data frame in memory as an array; nulls are NaN."""
    x = np.asarray(frame)
    if x.dtype != object or not hasattr(frame, "index"):
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
    plain = all(isinstance(dtype, np.dtype) for dtype in dtypes.values())  # the nulls of pandas's own dtypes are no NaN
    common = np.result_type(*dtypes.values()) if plain else np.dtype(np.float64)
    if any(dtype != common for dtype in dtypes.values()):
        frame = frame.astype(common)
    array: da.Array = frame.to_dask_array()
    return array


def like_frame(values: Any, frame: Any) -> Any:
    """Return rows (n, d) as a data frame like the one that they were made from: same kind, names and index."""
    if hasattr(frame, "index"):
        return type(frame)(values, columns=frame.columns, index=frame.index)
    return type(frame)(values, schema=list(frame.columns))
