"""Weights in memory for rows with named dimensions: a DataArray is broadcast by the names of its dimensions."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from dem.core.block import Float
from dem.core.rows import Rows
from dem.source.checks import check_weight_values, distinct
from dem.source.containers import is_dataset, is_xarray

SMALL_PART = 1e-3
"""Labels are the same if they differ by less than this part of the smallest step between labels."""


def check_labels(weights: Any, labels: Mapping[str, Any]) -> None:
    """Raise ValueError if weights have other coordinates than the rows: they would belong to other rows.

    Parameters
    ----------
    weights : any
        Only those of a DataArray have coordinates.
    labels : mapping of str to array
        The coordinate along each sample dimension that has one.
    """
    if not is_xarray(weights) or is_dataset(weights):
        return
    for dim in weights.dims:
        if dim not in labels or dim not in weights.coords or weights.sizes[dim] != len(labels[dim]):
            continue
        own, theirs = weights[dim].values, np.asarray(labels[dim])
        if {own.dtype.kind, theirs.dtype.kind} & set("Mm") and own.dtype.kind != theirs.dtype.kind:
            continue  # times that only one of them has decoded
        same = _same_labels(own, theirs)
        if not np.all(same):
            at = int(np.argmin(same))
            raise ValueError(
                f"sample_weight has other coordinates along {dim!r} than the rows: at index {at} it has {own[at]}, but "
                f"the rows have {theirs[at]}. Put it in the order of the rows, as in sample_weight.sel({dim}=ds.{dim})."
            )


def _same_labels(own: Any, theirs: Any) -> Any:
    """Return which labels are the same. Those that are floats may differ by a small part of their smallest step."""
    kinds = own.dtype.kind + theirs.dtype.kind
    if kinds in ("MM", "mm"):
        return (own == theirs) | (np.isnat(own) & np.isnat(theirs))
    if not set(kinds) <= set("biuf") or "f" not in kinds:
        return np.broadcast_to(own == theirs, own.shape)
    own, theirs = own.astype(np.float64), theirs.astype(np.float64)
    steps = np.diff(np.unique(theirs[np.isfinite(theirs)]))
    relative, absolute = (0.0, steps.min() * SMALL_PART) if len(steps) else (SMALL_PART, 0.0)
    return np.isclose(own, theirs, rtol=relative, atol=absolute, equal_nan=True)


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
    if is_dataset(weights):
        raise ValueError("sample_weight is a Dataset: pass one of its variables.")
    wrong = [dim for dim in weights.dims if extent.get(dim) != weights.sizes[dim]]
    if wrong:
        raise ValueError(
            f"sample_weight has the dimension {wrong[0]!r} ({weights.sizes[wrong[0]]:,}), but the rows have "
            f"{', '.join(f'{dim} ({n:,})' for dim, n in extent.items())}."
        )
    values = np.asarray(weights.transpose(*(dim for dim in dims if dim in weights.dims)).values, np.float64)
    check_weight_values(values.reshape(-1), "sample_weight")
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
    check_weight_values(distinct(values).reshape(-1), "sample_weight")
    return values
