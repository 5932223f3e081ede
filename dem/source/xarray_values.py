"""The values of xarray objects: which Zarr array they are read from, and which of them are valid.

It looks at private objects of xarray and Dask. Where these are different from what is expected, the values are read
through xarray.
"""

from __future__ import annotations

import operator
from functools import reduce
from typing import Any

import dask.array as da
import numpy as np
import zarr

from dem.source.cf_attributes import CFAttributes
from dem.source.decode import decoding_of_array

VALID = ("valid_range", "valid_min", "valid_max")
"""The attributes that say which values are valid. xarray keeps them, but does not apply them."""
PACKING = ("scale_factor", "add_offset", "_Unsigned")
"""Encodings of xarray that say how entries are unpacked."""
WRAPPERS = ("ImplicitToExplicitIndexingAdapter", "MemoryCachedArray", "CopyOnWriteArray")
"""Private classes of xarray whose entries are those of the array inside."""


def stored_array(array: Any, missing_value: float | None = None) -> zarr.Array[Any] | None:
    """Return the Zarr array that a DataArray reads, whole and as it is stored or decoded by CF; None for all others."""
    data, decoded = _behind_dask(array.variable._data), False
    for _ in range(20):
        kind = type(data).__name__
        if kind == "ZarrArrayWrapper":
            found = getattr(data, "_array", None)
            whole = isinstance(found, zarr.Array) and _same_entries(found, array, decoded, missing_value)
            return found if whole else None
        if kind == "LazilyIndexedArray":
            key = getattr(getattr(data, "key", None), "tuple", (None,))
            if any(not isinstance(part, slice) or part != slice(None) for part in key):
                return None
        elif kind == "_ElementwiseFunctionArray":
            decoded = True
        elif kind not in WRAPPERS:
            return None
        data = getattr(data, "array", None)
    return None


def _behind_dask(data: Any) -> Any:
    """Return what a Dask array cuts into chunks, if its graph does nothing else; other data unchanged.

    So it is with the arrays of `xarray.open_zarr`: their graph has two layers, the lazy array and its chunks.
    """
    layers = getattr(getattr(data, "dask", None), "layers", {})
    original = f"original-{getattr(data, 'name', '')}"
    if not isinstance(data, da.Array) or set(layers) != {original, data.name}:
        return data
    inside = dict(layers[original]).get(original)
    found = getattr(inside, "value", inside)  # some versions of Dask keep it in a DataNode
    return found if getattr(found, "shape", None) == data.shape else data


def _same_entries(found: zarr.Array[Any], array: Any, decoded: bool, missing_value: float | None) -> bool:
    """Whether dem reads the same entries from the store as through xarray; `missing_value` is used by dem alone."""
    if found.shape != array.shape or missing_value is not None:
        return False
    stored = dict(found.attrs)
    if any(_plain(array.attrs.get(key)) != _plain(stored.get(key)) for key in VALID):  # the user has changed them
        return False
    decoding = decoding_of_array(found)
    if decoding is None or not (decoding.missing or decoding.kind or (decoding.scale, decoding.offset) != (1, 0)):
        return array.dtype == found.dtype
    return decoded


def only_valid(array: Any) -> Any:
    """Return a DataArray whose values outside its valid range are NaN, if its values are as they were read.

    xarray keeps `encoding` as long as values are those of a file. Of computed values, such as anomalies, nobody knows
    whether the attributes still hold, so these are not used.
    """
    low, high = _valid_bounds(array)
    tests = [array >= low] if low is not None else []
    if high is not None:
        tests.append(array <= high)
    return array.where(reduce(operator.and_, tests)) if tests else array


def _valid_bounds(array: Any) -> tuple[float | None, float | None]:
    """Return the smallest and the largest valid value, in the units of the values; None where there is no bound.

    The attributes are in the units of the packed entries (see `CFAttributes.valid`).
    """
    stored, attributes = array.encoding.get("dtype"), {key: array.attrs[key] for key in VALID if key in array.attrs}
    if stored is None or not attributes or any(key in array.attrs for key in PACKING):  # not of a file, or not decoded
        return None, None
    stored = np.dtype(stored)
    if stored.kind not in "biuf":
        return None, None
    packing = {key: array.encoding[key] for key in PACKING if key in array.encoding}
    plain = {key: _plain(value) for key, value in {**attributes, **packing}.items()}
    about = CFAttributes(plain, stored, repr(array.name))
    low, high = about.valid
    scale, offset = about.packing
    if (scale, offset) == (1, 0):
        return low, high
    slack = abs(scale) / 2 if stored.kind != "f" else 0.0  # entries are whole numbers: a bound lies between two
    ends = [None if end is None else end * scale + offset for end in ((low, high) if scale > 0 else (high, low))]
    return (None if ends[0] is None else ends[0] - slack), (None if ends[1] is None else ends[1] + slack)


def _plain(value: Any) -> Any:
    """Return an attribute as a value of JSON: NetCDF has arrays of NumPy."""
    return np.asarray(value).tolist() if isinstance(value, np.ndarray | np.generic | list | tuple) else value
