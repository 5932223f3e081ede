"""What stored entries stand for: which of them are missing, and the numbers that packed ones mean."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import zarr

from dem.core.block import Array
from dem.source.cf_attributes import CFAttributes, limits, of_kind
from dem.source.stores import store_name


@dataclass(frozen=True)
class Decoding:
    """How entries of an array become numbers; small and picklable, it travels to the tasks.

    Attributes
    ----------
    dtype : numpy.dtype
        Of the decoded entries: floating, unless integers are only taken with or without a sign.
    missing : tuple of (str, int or float)
        Which entries are missing, each with the name of what says so: ("_FillValue", -999). They become NaN.
    scale, offset : float
        An entry v that is there stands for v * scale + offset (CF 1.11, section 8.1).
    kind : {"i", "u"} or None
        Integers are taken with a sign, or without one; all else here is about what they are then. None: as stored.
    low, high : int, float or None
        Entries below or above are missing, too.
    """

    dtype: np.dtype[Any]
    missing: tuple[tuple[str, int | float], ...] = ()
    scale: float = 1.0
    offset: float = 0.0
    kind: str | None = None
    low: int | float | None = None
    high: int | float | None = None

    def __call__(self, x: Array) -> Array:
        """Return entries decoded: a copy, or `x` itself (or a view of it) where nothing changes."""
        if self.kind is not None:
            x = x.view(of_kind(x.dtype, self.kind))
        gone = np.zeros(x.shape, bool)
        for value in {value for _, value in self.missing}:
            gone |= x == value
        if self.low is not None:
            gone |= x < self.low
        if self.high is not None:
            gone |= x > self.high
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
        more = {"kind": self.kind, "low": self.low, "high": self.high}
        return {
            "dtype": str(self.dtype),
            "missing": missing,
            "scale": self.scale,
            "offset": self.offset,
            **{name: value for name, value in more.items() if value is not None},
        }


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
    entry = _entry(missing_value, dtype)
    return None if entry is None else Decoding(float_dtype(dtype), (("missing_value", entry),))


def stored(array: zarr.Array[Any], missing_value: float | None = None) -> Decoding | None:
    """Return the decoding of a Zarr array by its attributes; None if its entries are what they stand for.

    As in xarray, an attribute that is null says nothing, and `_Unsigned` ("true", "false") tells how integers are
    taken. Integers that the attributes name may then be written with a sign or without.

    Parameters
    ----------
    array : zarr.Array
    missing_value : number, optional
        In place of the missing values that the attributes name, and of the range of valid ones, as it is stored. Packed
        data are unpacked all the same.

    Raises
    ------
    ValueError
        `missing_value`, or an attribute of the CF conventions, is no such number.
    """
    dtype, name = np.dtype(array.dtype), store_name(array)
    said = CFAttributes(array.attrs, dtype, name)
    kind, taken, (scale, offset) = said.kind, said.taken, said.packing
    if missing_value is None:
        markers, (low, high) = list(said.markers(_fill_value(array))), said.valid
    else:
        given(missing_value, taken)  # refuses what is no number
        markers, low, high = [("missing_value", missing_value)], None, None
    entries = [(key, _entry(said.as_taken(value), taken)) for key, value in markers]
    missing = tuple((key, entry) for key, entry in entries if entry is not None)
    if (scale, offset) != (1, 0):  # float64, as in xarray from JSON's numbers
        return Decoding(np.dtype(np.float64), missing, scale, offset, kind, low, high)
    if missing or (low, high) != (None, None):
        return Decoding(float_dtype(dtype), missing, kind=kind, low=low, high=high)
    return None if kind is None else Decoding(taken, kind=kind)


def _fill_value(array: zarr.Array[Any]) -> int | float | None:
    """Return the fill value of an array of Zarr v2 where it means what `_FillValue` means.

    There xarray keeps `_FillValue` so, and marks its arrays by `_ARRAY_DIMENSIONS` (so do NCZarr and GDAL); in v3 the
    fill value is only what absent chunks hold.
    """
    if array.metadata.zarr_format == 2 and "_ARRAY_DIMENSIONS" in array.attrs and array.fill_value is not None:
        return array.fill_value.item()
    return None


def _entry(value: Any, dtype: np.dtype[Any]) -> int | float | None:
    """Return the entry of this dtype that a number is; None if none is, or if it is NaN (or infinite) anyway."""
    if not np.isfinite(float(value)):
        return None
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            entry = float(dtype.type(value))
        return entry if np.isfinite(entry) else None
    low, high = limits(dtype)
    whole = int(value)
    return whole if whole == value and low <= whole <= high else None
