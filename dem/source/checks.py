"""Checks of shape, dtype and weights before any work starts. Errors say what is wrong, where, and what to do."""

from __future__ import annotations

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


def check_weight_array(shape: tuple[Any, ...], dtype: np.dtype[Any], n_rows: int | None, name: str) -> None:
    """Raise ValueError unless the shape and dtype are right for weights of `n_rows` rows (None: unknown)."""
    if len(shape) != 1:
        raise ValueError(f"Sample weights must be 1D array or scalar: {name} has shape {shape}.")
    if n_rows is not None and shape[0] == shape[0] and shape[0] != n_rows:
        raise ValueError(
            f"The weights have the wrong length: {name} has {shape[0]:,} for {n_rows:,} rows. Give one for each row."
        )
    check_dtype(dtype, name)


def check_weight_values(weight: NDArray[np.float64], first: int, name: str) -> None:
    """Raise ValueError unless all weights are finite and not negative. The message names the first bad row."""
    good = (weight >= 0) & (weight < np.inf)
    if not good.all():
        at = int(np.argmin(good))
        raise ValueError(
            f"Weights must be finite and not negative, but {name} has {weight[at]} for row {first + at:,}."
        )
