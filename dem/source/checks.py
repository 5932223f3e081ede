"""Checks of shape, dtype and weights before any work starts. Errors say what is wrong, where, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def check_shape(shape: tuple[Any, ...], name: str) -> None:
    """Raise ValueError unless `shape` is two-dimensional with at least one row and one column.

    An unknown number of rows (NaN) is allowed. The messages use the words of scikit-learn.
    """
    if len(shape) != 2:
        what = "scalar" if not shape else f"{len(shape)}D"
        raise ValueError(
            f"Expected 2D array, got {what} array instead: {name} has shape {shape}, but a model needs "
            "rows and columns. Reshape your data: array.reshape(-1, 1) makes one column of all values, "
            "array.reshape(1, -1) one row."
        )
    for size, what in zip(shape, ("sample", "feature"), strict=True):
        if size == 0:
            raise ValueError(
                f"Found array with 0 {what}(s) (shape={tuple(shape)}) while a minimum of 1 is required: "
                f"{name} has no {'rows' if what == 'sample' else 'columns'}."
            )


def check_dtype(dtype: np.dtype[Any], name: str) -> None:
    """Raise ValueError unless `dtype` holds real numbers or booleans."""
    if dtype.kind == "c":
        raise ValueError(
            f"Complex data not supported: {name} has dtype {dtype}; pass real and imaginary parts as columns."
        )
    if dtype.kind not in "biuf":
        raise ValueError(f"Expected real numbers, but {name} has dtype {dtype}: convert it to a float dtype.")


def check_names(names: Sequence[Any], name: str) -> None:
    """Raise ValueError if several columns have the same name."""
    if len(set(names)) < len(names):
        twice = next(column for i, column in enumerate(names) if column in names[:i])
        raise ValueError(f"{name} has several columns with the name {twice!r}: give each column a name of its own")


def check_weight_array(shape: tuple[Any, ...], dtype: np.dtype[Any], n_rows: int | None, name: str) -> None:
    """Raise ValueError unless the shape and dtype are right for weights of `n_rows` rows (None: unknown)."""
    if len(shape) != 1:
        raise ValueError(f"Sample weights must be 1D array or scalar: {name} has shape {shape}.")
    if n_rows is not None and shape[0] == shape[0] and shape[0] != n_rows:
        raise ValueError(
            f"The weights have the wrong length: {name} has {shape[0]:,} for {n_rows:,} rows. Give one for each row."
        )
    check_dtype(dtype, name)


def distinct(values: NDArray[Any]) -> NDArray[Any]:
    """Return the entries of an array without those that broadcasting repeats."""
    return values[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in values.strides)]


def check_weight_values(weight: NDArray[np.float64], name: str, first: int | None = None) -> None:
    """Raise ValueError unless all weights are finite and not negative.

    `first` is the number of the first of these rows; None if the message cannot name a row.
    """
    good = (weight >= 0) & (weight < np.inf)
    if not good.all():
        at, bad = int(np.argmin(good)), int(good.size - np.count_nonzero(good))
        row = "" if first is None else f" for row {first + at:,}"
        more = "" if bad == 1 else f" ({bad:,} of these {good.size:,} weights are wrong)"
        raise ValueError(
            f"Weights must be finite and not negative, but {name} has {weight[at]}{row}{more}: give such rows the "
            "weight 0, as in weights.fillna(0) of xarray and pandas."
        )
