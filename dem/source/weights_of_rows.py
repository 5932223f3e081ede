"""Weights in memory for rows with named dimensions: a DataArray is broadcast by the names of its dimensions."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from dem.core.block import Float
from dem.core.rows import Rows
from dem.source.checks import check_weight_values
from dem.source.containers import is_xarray


def check_labels(weights: Any, labels: Mapping[str, Any]) -> None:
    """Raise ValueError if weights have other coordinates than the rows: they would belong to other rows.

    Parameters
    ----------
    weights : any
        Only those of a DataArray have coordinates.
    labels : mapping of str to array
        The coordinate along each sample dimension that has one.
    """
    if not is_xarray(weights) or hasattr(weights, "data_vars"):
        return
    for dim in weights.dims:
        if dim not in labels or dim not in weights.coords or weights.sizes[dim] != len(labels[dim]):
            continue
        own, theirs = weights[dim].values, np.asarray(labels[dim])
        numeric = own.dtype.kind in "biuf" and theirs.dtype.kind in "biuf"
        same = np.isclose(own, theirs, equal_nan=True) if numeric else own == theirs
        if not np.all(same):
            at = int(np.argmin(same))
            raise ValueError(
                f"sample_weight has other coordinates along {dim!r} than the rows: at {at} {own[at]}, the rows "
                f"{theirs[at]}. Bring them in the order of the rows, as in sample_weight.sel({dim}=ds.{dim})."
            )


def weights_of_rows(weights: Any, rows: Rows) -> Float | None:
    """Return the weights of rows with named dimensions: an array of the shape of the rows, in memory.

    A DataArray is broadcast along the sample dimensions that it does not have: cos(latitude) weighs all times alike.

    Raises
    ------
    ValueError
        The weights have other dimensions or extents than the rows.
    """
    if weights is None:
        return None
    if not is_xarray(weights):
        return _plain_weights(weights, rows)
    dims = rows.dims or ()
    extent = dict(zip(dims, rows.shape, strict=True))
    if hasattr(weights, "data_vars"):
        raise ValueError("sample_weight is a Dataset: pass one of its variables.")
    wrong = [dim for dim in weights.dims if extent.get(dim) != weights.sizes[dim]]
    if wrong:
        raise ValueError(
            f"sample_weight has the dimension {wrong[0]!r} ({weights.sizes[wrong[0]]:,}), but the rows have "
            f"{', '.join(f'{dim} ({n:,})' for dim, n in extent.items())}."
        )
    values = np.asarray(weights.transpose(*(dim for dim in dims if dim in weights.dims)).values, np.float64)
    check_weight_values(values.reshape(-1), 0, "sample_weight")
    sides = [extent[dim] if dim in weights.dims else 1 for dim in dims]
    broadcast: Float = np.broadcast_to(values.reshape(sides), rows.shape)
    return broadcast


def _plain_weights(weights: Any, rows: Rows) -> Float:
    """Return weights without dimension names: an array of the shape of the rows."""
    if isinstance(weights, str | os.PathLike):
        raise TypeError(
            f"sample_weight is the text {str(weights)!r}: for xarray objects pass a DataArray, as in ds['w']."
        )
    values = np.asarray(weights, np.float64)
    if values.ndim == 0:
        values = np.broadcast_to(values, rows.shape)
    if values.shape != rows.shape:
        raise ValueError(
            f"sample_weight has shape {values.shape}, but the rows have shape {rows.shape} along "
            f"{', '.join(rows.dims or ())}: give one weight for each row, or a DataArray, which is broadcast by its "
            "dimensions."
        )
    check_weight_values(values.reshape(-1)[:1] if 0 in values.strides else values.reshape(-1), 0, "sample_weight")
    return values
