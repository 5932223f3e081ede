"""What stored entries stand for: which of them are missing, and the numbers that packed ones mean."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import zarr

from dem.core.block import Array
from dem.source.stores import store_name

MARKERS = ("_FillValue", "missing_value")
"""The attributes that name missing values in the CF conventions (1.11, section 2.5.1)."""


@dataclass(frozen=True)
class Decoding:
    """How entries of an array become numbers; small and picklable, it travels to the tasks.

    Attributes
    ----------
    dtype : numpy.dtype
        Of the decoded entries, floating.
    missing : tuple of (str, int or float)
        Which entries are missing, each with the name of what says so: ("_FillValue", -999). They become NaN.
    scale, offset : float
        An entry v that is there stands for v * scale + offset (CF 1.11, section 8.1).
    """

    dtype: np.dtype[Any]
    missing: tuple[tuple[str, int | float], ...] = ()
    scale: float = 1.0
    offset: float = 0.0

    def __call__(self, x: Array) -> Array:
        """Return entries decoded: a copy, or `x` itself where nothing changes."""
        gone = np.zeros(x.shape, bool)
        for value in {value for _, value in self.missing}:
            gone |= x == value
        if x.dtype == self.dtype and self.scale == 1 and self.offset == 0 and not gone.any():
            return x
        decoded = x.astype(self.dtype)
        if self.scale != 1:
            decoded *= self.scale
        if self.offset != 0:
            decoded += self.offset
        decoded[gone] = np.nan
        return decoded

    @property
    def fingerprint(self) -> dict[str, Any]:
        """Everything, as JSON has it."""
        missing = [list(pair) for pair in self.missing]
        return {"dtype": str(self.dtype), "missing": missing, "scale": self.scale, "offset": self.offset}


def float_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the floating dtype that holds such entries and NaN, as in xarray.

    Integers beyond 2^53 lose digits. Wider floats stay as they are.
    """
    if dtype.kind == "f" and dtype.itemsize >= 4:
        return dtype
    return np.dtype(np.float32 if dtype.itemsize <= 2 else np.float64)


def given(missing_value: float, dtype: np.dtype[Any]) -> Decoding | None:
    """Return the decoding for one value that the user calls missing; None if no entry of this dtype can equal it.

    Raises
    ------
    ValueError
        It is no number, or infinite.
    """
    if not isinstance(missing_value, Real) or isinstance(missing_value, bool) or np.isinf(float(missing_value)):
        raise ValueError(f"missing_value must be a finite number, NaN or None, got {missing_value!r}")
    return _decoding(dtype, [("missing_value", missing_value)], 1.0, 0.0)


def stored(array: zarr.Array[Any], missing_value: float | None = None) -> Decoding | None:
    """Return the decoding of a Zarr array by its attributes; None if its entries are what they stand for.

    Parameters
    ----------
    array : zarr.Array
    missing_value : number, optional
        In place of the missing values that the attributes name, as it is stored. Packed data are unpacked all the same.

    Raises
    ------
    ValueError
        `missing_value`, or an attribute of the CF conventions, is no such number.
    """
    dtype, name = np.dtype(array.dtype), store_name(array)
    scale, offset = (
        _number(array.attrs, key, default, name) for key, default in (("scale_factor", 1.0), ("add_offset", 0.0))
    )
    if missing_value is None:
        return _decoding(dtype, _markers(array, dtype, name), scale, offset)
    plain = given(missing_value, dtype)
    return _decoding(dtype, [] if plain is None else plain.missing, scale, offset)


def _decoding(dtype: np.dtype[Any], markers: Any, scale: float, offset: float) -> Decoding | None:
    """Return the decoding, None if it changes nothing. Packed data become float64, as in xarray from JSON's numbers."""
    missing = tuple((name, entry) for name, value in markers if (entry := _entry(value, dtype)) is not None)
    if (scale, offset) != (1, 0):
        return Decoding(np.dtype(np.float64), missing, scale, offset)
    return Decoding(float_dtype(dtype), missing) if missing else None


def _entry(value: Any, dtype: np.dtype[Any]) -> int | float | None:
    """Return the entry of this dtype that a number is; None if none is, or if it is NaN (or infinite) anyway."""
    if not np.isfinite(float(value)):
        return None
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            entry = float(dtype.type(value))
        return entry if np.isfinite(entry) else None
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    whole = int(value)
    return whole if whole == value and low <= whole <= high else None


def _markers(array: zarr.Array[Any], dtype: np.dtype[Any], name: str) -> Iterator[tuple[str, int | float]]:
    """Yield what the metadata call missing.

    In Zarr v2, xarray keeps `_FillValue` as the array's own fill value, and marks its arrays by `_ARRAY_DIMENSIONS`
    (so do NCZarr and GDAL); in v3 that is only what absent chunks hold.
    """
    if array.metadata.zarr_format == 2 and "_ARRAY_DIMENSIONS" in array.attrs and array.fill_value is not None:
        yield "fill_value", array.fill_value.item()
    for key in MARKERS:
        values = array.attrs.get(key)
        for value in values if isinstance(values, list) else [] if values is None else [values]:
            yield key, _parsed(value, dtype, key, name)


def _parsed(value: Any, dtype: np.dtype[Any], key: str, name: str) -> int | float:
    """Return a number of the attributes, in any of its spellings.

    For Zarr v3, `FillValueCoder` of xarray writes floats as the base64 of a little-endian double.
    """
    if isinstance(value, int | float):
        return value
    if isinstance(value, str):
        try:
            return float(value) if dtype.kind == "f" else int(value)
        except ValueError:
            pass
        try:
            return float(struct.unpack("<d", base64.b64decode(value, validate=True))[0])
        except (binascii.Error, struct.error):
            pass
    raise ValueError(f"The attribute {key} of {name} is {value!r}, which is no number: give missing_value instead.")


def _number(attributes: Mapping[str, Any], key: str, default: float, name: str) -> float:
    """Return the number that packed data are scaled or shifted by."""
    value = attributes.get(key, default)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, int | float) or not np.isfinite(value) or (key == "scale_factor" and value == 0):
        raise ValueError(f"The attribute {key} of {name} is {value!r}, which packed data cannot be unpacked by.")
    return float(value)
