"""Write the coordinates of an axis to a Zarr group, as xarray reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import zarr

from dem.core.block import Array

STEP = "microseconds"
"""The unit in which times and durations are stored."""


def write_labels(group: zarr.Group, name: str, labels: Sequence[Any]) -> None:
    """Write the coordinates of the axis `name`: numbers, texts, times or durations."""
    values, attributes = _encoded(labels)
    named: dict[str, Any] = {"dimension_names": [name]}
    if group.metadata.zarr_format == 2:
        named, attributes = {}, {**attributes, "_ARRAY_DIMENSIONS": [name]}
    dtype = "string" if values.dtype.kind == "O" else values.dtype.str
    array = group.create_array(
        name, shape=values.shape, dtype=dtype, fill_value=None, attributes=attributes, overwrite=True, **named
    )
    array[...] = values


def _encoded(labels: Sequence[Any]) -> tuple[Array, dict[str, Any]]:
    """Return the values that are stored, and the attributes that tell what they are."""
    values = np.array(list(labels))
    if values.dtype.kind == "M":
        attributes = {"units": f"{STEP} since 1970-01-01", "calendar": "proleptic_gregorian"}
        return values.astype("datetime64[us]").astype(np.int64), attributes
    if values.dtype.kind == "m":
        return values.astype("timedelta64[us]").astype(np.int64), {"units": STEP}
    if values.dtype.kind in "biuf":
        return values, {}
    return np.array([str(label) for label in labels], dtype=object), {}
