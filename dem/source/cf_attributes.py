"""Read the CF attributes of an array: which entries are missing or valid, and how they are packed or signed.

As in xarray, attributes with the value null are ignored.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

MARKERS = ("_FillValue", "missing_value")
"""The attributes that give missing values in the CF conventions (1.11, section 2.5.1)."""
ROUNDING_SLACK = 0.01
"""Tolerance for the rounding of bounds in unpacked units, as a fraction of one step of the packed integers."""

REMEDY = "correct it, or give missing_value (--missing-value), which replaces it"
"""What a user can do about an invalid attribute."""

Number = int | float


@dataclass(frozen=True)
class CFAttributes:
    """The attributes of an array.

    Attributes
    ----------
    attributes : mapping of str to JSON
    dtype : numpy.dtype
        The dtype of the stored entries.
    name : str
        The name of the array in messages.
    """

    attributes: Mapping[str, Any]
    dtype: np.dtype[Any]
    name: str

    @property
    def kind(self) -> str | None:
        """The dtype kind ("u" or "i") in which `_Unsigned` says to read integers; None if it is the stored kind."""
        unsigned = self.attributes.get("_Unsigned")
        if self.dtype.kind not in "iu" or unsigned is None:
            return None
        if str(unsigned).lower() not in ("true", "false"):
            raise ValueError(
                f"The attribute _Unsigned of {self.name} must be 'true' or 'false', got {unsigned!r}: correct it."
            )
        kind = "u" if str(unsigned).lower() == "true" else "i"
        return None if kind == self.dtype.kind else kind

    @property
    def read_dtype(self) -> np.dtype[Any]:
        """The dtype in which entries are read, with or without a sign, before they are unpacked."""
        return self.dtype if self.kind is None else of_kind(self.dtype, self.kind)

    @property
    def packing(self) -> tuple[float, float]:
        """The scale factor and offset of packed data; 1 and 0 if they are not packed."""
        return self._factor("scale_factor", 1.0), self._factor("add_offset", 0.0)

    def markers(self, fill_value: Number | None = None) -> Iterator[tuple[str, Number]]:
        """Yield the name and the value of each attribute that gives a missing value; `fill_value` comes first."""
        if fill_value is not None:
            yield "fill_value", fill_value
        for key in MARKERS:
            values = self.attributes.get(key)
            for value in values if isinstance(values, list) else [values]:
                if value is not None:
                    yield key, self._parsed(key, value)

    @property
    def valid(self) -> tuple[Number | None, Number | None]:
        """The smallest and the largest valid packed entry; None if no entry can be smaller, or larger.

        `valid_range`, `valid_min` and `valid_max` are in the units of the stored entries (CF 1.11, section 2.5.1).
        But float bounds of packed integers have the type of the unpacked values, and so are in unpacked units
        (NetCDF Users' Guide, appendix A). In JSON a float has a decimal point: 350.0.
        """
        first, last = self._span()
        lows = self._bounds(("valid_min", self.attributes.get("valid_min")), ("valid_range", first))
        highs = self._bounds(("valid_max", self.attributes.get("valid_max")), ("valid_range", last))
        scale, offset = self.packing
        whole, packed = self.dtype.kind != "f", (scale, offset) != (1, 0)
        if whole and packed and any(isinstance(bound, float) for bound in (*lows, *highs)):
            lows, highs = ([(bound - offset) / scale for bound in side] for side in (lows, highs))
            lows, highs = (lows, highs) if scale > 0 else (highs, lows)
            lows, highs = [bound - ROUNDING_SLACK for bound in lows], [bound + ROUNDING_SLACK for bound in highs]
        least, most = limits(self.read_dtype)
        low = max([least, *map(self.as_read, lows)])
        high = min([most, *map(self.as_read, highs)])
        if whole:
            low, high = math.ceil(low), math.floor(high)
        if low > high:
            raise ValueError(
                f"The attributes valid_range, valid_min and valid_max of {self.name} leave no valid value: correct "
                "them, or give missing_value (--missing-value), which replaces them."
            )
        return None if low == least else low, None if high == most else high

    def as_read(self, value: Number) -> Number:
        """Return an attribute's number as an entry of `read_dtype`. It may be written with or without a sign.

        If the stored entry -1 is read as 255, an attribute may say -1 or 255.
        """
        if self.kind is None:
            return value
        (low, high), span = limits(self.read_dtype), 2 ** (8 * self.dtype.itemsize)
        if low - span // 2 <= value < low:
            return value + span
        return value - span if high < value <= high + span // 2 else value

    def _span(self) -> tuple[Any, Any]:
        """Return both ends of `valid_range`."""
        span = self.attributes.get("valid_range")
        if span is None:
            return None, None
        if not isinstance(span, list) or len(span) != 2:
            raise ValueError(
                f"The attribute valid_range of {self.name} must be a pair of numbers, got {span!r}: {REMEDY}."
            )
        return span[0], span[1]

    def _bounds(self, *written: tuple[str, Any]) -> list[Number]:
        """Return the given bounds as numbers; those that are None or not finite are left out."""
        numbers = [self._parsed(key, _single(value)) for key, value in written if value is not None]
        return [number for number in numbers if np.isfinite(number)]

    def _parsed(self, key: str, value: Any) -> Number:
        """Return the number in an attribute: a JSON number, its text, or base64.

        In Zarr v3, xarray's `FillValueCoder` writes floats as the base64 text of a little-endian double.
        """
        if isinstance(value, int | float):
            return value
        if isinstance(value, str):
            try:
                return float(value) if self.dtype.kind == "f" else int(value)
            except ValueError:
                pass
            try:
                return float(struct.unpack("<d", base64.b64decode(value, validate=True))[0])
            except (binascii.Error, struct.error):
                pass
        raise ValueError(f"The attribute {key} of {self.name} must be a number, got {value!r}: {REMEDY}.")

    def _factor(self, key: str, default: float) -> float:
        """Return the scale factor or offset of packed data."""
        value = _single(self.attributes.get(key))
        if value is None:
            return default
        if not isinstance(value, int | float) or not np.isfinite(value) or (key == "scale_factor" and value == 0):
            raise ValueError(
                f"The attribute {key} of {self.name} is {value!r}, which is not a valid {key}: correct it."
            )
        return float(value)


def of_kind(dtype: np.dtype[Any], kind: str) -> np.dtype[Any]:
    """Return the dtype of integers of the same size and byte order, signed ("i") or unsigned ("u")."""
    return np.dtype(f"{dtype.byteorder}{kind}{dtype.itemsize}")


def limits(dtype: np.dtype[Any]) -> tuple[Number, Number]:
    """Return the smallest and the largest finite entry of a dtype."""
    if dtype.kind == "b":
        return 0, 1
    if dtype.kind == "f":
        return float(np.finfo(dtype).min), float(np.finfo(dtype).max)
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)


def _single(value: Any) -> Any:
    """Return the entry of a list of length 1. All NetCDF attributes are arrays."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value
