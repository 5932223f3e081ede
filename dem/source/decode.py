"""Decode stored entries: replace missing values by NaN, and unpack packed numbers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from numbers import Real
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from dem.core.block import Array
from dem.core.dtypes import float_dtype
from dem.source.cf_attributes import CFAttributes, limits, of_kind
from dem.source.stores import store_name

PIECE = 2**16
"""Entries that are decoded in one step: they stay in the second-level cache of a core."""


@dataclass(frozen=True)
class Decoding:
    """How stored entries are decoded. It is small and picklable, because it is sent to the tasks.

    Attributes
    ----------
    dtype : numpy.dtype
        The dtype of decoded entries. It is floating, unless only the sign of integers changes.
    missing : tuple of (str, int or float)
        Entries that mean "missing", each with the name of its attribute: ("_FillValue", -999). They become NaN.
    scale, offset : float
        An entry v that is not missing is decoded to v * scale + offset (CF 1.11, section 8.1).
    kind : {"i", "u"} or None
        Read integers as signed ("i") or unsigned ("u") first; None: as stored. The other attributes apply after this.
    low, high : int, float or None
        Entries below `low` or above `high` are missing, too.
    """

    dtype: np.dtype[Any]
    missing: tuple[tuple[str, int | float], ...] = ()
    scale: float = 1.0
    offset: float = 0.0
    kind: str | None = None
    low: int | float | None = None
    high: int | float | None = None

    def __call__(self, x: Array) -> Array:
        """Return the decoded entries: a copy, or `x` itself (or a view of it) if nothing changes.

        It works on pieces that stay in the cache of a core, so that memory is read once and written once.
        """
        if self.kind is not None:
            x = x.view(of_kind(x.dtype, self.kind))
        as_stored = x.dtype == self.dtype and self.scale == 1 and self.offset == 0
        decoded = x if as_stored else np.empty(x.shape, self.dtype)
        step = max(1, PIECE // max(1, x[:1].size))
        for start in range(0, len(x), step):
            piece = slice(start, start + step)
            missing = self._missing(x[piece])
            if missing.any() and decoded is x:
                decoded = np.empty(x.shape, self.dtype)
                decoded[:start] = x[:start]
            if decoded is not x:
                self._decode(x[piece], missing, decoded[piece])
        return decoded

    def _decode(self, x: Array, missing: NDArray[np.bool_], out: Array) -> None:
        """Write the decoded entries of `x` into `out`."""
        out[...] = x
        if self.scale != 1:
            out *= self.scale
        if self.offset != 0:
            out += self.offset
        if missing.any():
            out[missing] = np.nan

    def _missing(self, x: Array) -> NDArray[np.bool_]:
        """Return which entries are missing."""
        tests = [x == value for value in {value for _, value in self.missing}]
        if self.low is not None:
            tests.append(x < self.low)
        if self.high is not None:
            tests.append(x > self.high)
        return reduce(np.logical_or, tests) if tests else np.zeros(x.shape, bool)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """All attributes as JSON values."""
        missing = [list(pair) for pair in self.missing]
        more = {"kind": self.kind, "low": self.low, "high": self.high}
        return {
            "dtype": str(self.dtype),
            "missing": missing,
            "scale": self.scale,
            "offset": self.offset,
            **{name: value for name, value in more.items() if value is not None},
        }


def decoding_of_value(missing_value: float, dtype: np.dtype[Any]) -> Decoding | None:
    """Return the decoding that makes `missing_value` NaN; None if no entry of this dtype can equal it.

    Raises
    ------
    ValueError
        `missing_value` is not a number, or is infinite.
    """
    if not isinstance(missing_value, Real) or isinstance(missing_value, bool) or np.isinf(float(missing_value)):
        raise ValueError(f"missing_value must be a finite number, NaN or None, got {missing_value!r}")
    entry = _entry(missing_value, dtype)
    return None if entry is None else Decoding(float_dtype(dtype), (("missing_value", entry),))


def decoding_of_array(array: zarr.Array[Any], missing_value: float | None = None) -> Decoding | None:
    """Return the decoding of a Zarr array, given by its attributes; None if its entries need no decoding.

    As in xarray, attributes with the value null are ignored, and `_Unsigned` ("true", "false") says whether integers
    are read as unsigned. Integers in the other attributes may be written with or without a sign.

    Parameters
    ----------
    array : zarr.Array
    missing_value : number, optional
        A stored value. It replaces the missing values and the valid range given by the attributes. Packed data are
        still unpacked.

    Raises
    ------
    ValueError
        `missing_value` or a CF attribute is invalid.
    """
    dtype, name = np.dtype(array.dtype), store_name(array)
    attributes = CFAttributes(array.attrs, dtype, name)
    kind, read_dtype, (scale, offset) = attributes.kind, attributes.read_dtype, attributes.packing
    if missing_value is None:
        markers, (low, high) = list(attributes.markers(_fill_value(array))), attributes.valid
    else:
        decoding_of_value(missing_value, read_dtype)  # raises ValueError if it is not a number
        markers, low, high = [("missing_value", missing_value)], None, None
    entries = [(key, _entry(attributes.as_read(value), read_dtype)) for key, value in markers]
    missing = tuple((key, entry) for key, entry in entries if entry is not None)
    if (scale, offset) != (1, 0):  # float64, as in xarray for numbers from JSON
        return Decoding(np.dtype(np.float64), missing, scale, offset, kind, low, high)
    if missing or (low, high) != (None, None):
        return Decoding(float_dtype(dtype), missing, kind=kind, low=low, high=high)
    return None if kind is None else Decoding(read_dtype, kind=kind)


def _fill_value(array: zarr.Array[Any]) -> int | float | None:
    """Return the fill value of a Zarr v2 array if it has the meaning of `_FillValue`; else None.

    In v2, xarray, NCZarr and GDAL store `_FillValue` as the fill value of arrays that have `_ARRAY_DIMENSIONS`. In v3
    the fill value is only the value of missing chunks.
    """
    if array.metadata.zarr_format == 2 and "_ARRAY_DIMENSIONS" in array.attrs and array.fill_value is not None:
        return array.fill_value.item()
    return None


def _entry(value: Any, dtype: np.dtype[Any]) -> int | float | None:
    """Return a number as an entry of this dtype; None if no entry equals it, or if it is NaN or infinite."""
    if not np.isfinite(float(value)):
        return None
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            entry = float(dtype.type(value))
        return entry if np.isfinite(entry) else None
    low, high = limits(dtype)
    whole = int(value)
    return whole if whole == value and low <= whole <= high else None
