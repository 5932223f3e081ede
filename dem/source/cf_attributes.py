"""What the attributes of an array say of its entries by the CF conventions: missing, valid, packed, unsigned.

As in xarray, an attribute that is null says nothing.
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
"""The attributes that name missing values in the CF conventions (1.11, section 2.5.1)."""
SLACK = 0.01
"""How much of a step of packed integers a bound in unpacked units may be off: what is left of rounding it."""

REMEDY = "give missing_value instead"
"""What to do about attributes that make no sense."""

Number = int | float


@dataclass(frozen=True)
class CFAttributes:
    """The attributes of an array.

    Attributes
    ----------
    given : mapping of str to JSON
    dtype : numpy.dtype
        Of what is stored.
    name : str
        What to call the array in messages.
    """

    given: Mapping[str, Any]
    dtype: np.dtype[Any]
    name: str

    @property
    def kind(self) -> str | None:
        """What stored integers are taken as by `_Unsigned`, where that is not what they are: "u" or "i"."""
        said = self.given.get("_Unsigned")
        if self.dtype.kind not in "iu" or said is None:
            return None
        if str(said).lower() not in ("true", "false"):
            raise ValueError(
                f"The attribute _Unsigned of {self.name} is {said!r}, which is neither 'true' nor 'false'."
            )
        kind = "u" if str(said).lower() == "true" else "i"
        return None if kind == self.dtype.kind else kind

    @property
    def taken(self) -> np.dtype[Any]:
        """The dtype of the entries as they are taken, before they are unpacked."""
        return self.dtype if self.kind is None else of_kind(self.dtype, self.kind)

    @property
    def packing(self) -> tuple[float, float]:
        """The numbers that packed data are scaled and shifted by; 1 and 0 where they are not packed."""
        return self._factor("scale_factor", 1.0), self._factor("add_offset", 0.0)

    def markers(self, fill_value: Number | None = None) -> Iterator[tuple[str, Number]]:
        """Yield the numbers that are called missing, a `fill_value` first, each with the name of what says so."""
        if fill_value is not None:
            yield "fill_value", fill_value
        for key in MARKERS:
            values = self.given.get(key)
            for value in values if isinstance(values, list) else [values]:
                if value is not None:
                    yield key, self._parsed(key, value)

    @property
    def valid(self) -> tuple[Number | None, Number | None]:
        """The smallest and the largest valid entry, before it is unpacked; None where no entry is below, or above.

        `valid_range`, `valid_min` and `valid_max` are in the units of what is stored (CF 1.11, section 2.5.1). But
        where packed integers have bounds that are floats, these are of the unpacked values' type, and so in their units
        (NetCDF Users' Guide, appendix A). In JSON the decimal point tells: 350.0 is a float.
        """
        first, last = self._span()
        lows = self._bounds(("valid_min", self.given.get("valid_min")), ("valid_range", first))
        highs = self._bounds(("valid_max", self.given.get("valid_max")), ("valid_range", last))
        scale, offset = self.packing
        whole, packed = self.dtype.kind != "f", (scale, offset) != (1, 0)
        if whole and packed and any(isinstance(bound, float) for bound in (*lows, *highs)):
            lows, highs = ([(bound - offset) / scale for bound in side] for side in (lows, highs))
            lows, highs = (lows, highs) if scale > 0 else (highs, lows)
            lows, highs = [bound - SLACK for bound in lows], [bound + SLACK for bound in highs]
        least, most = limits(self.taken)
        low = max([least, *map(self.as_taken, lows)])
        high = min([most, *map(self.as_taken, highs)])
        if whole:
            low, high = math.ceil(low), math.floor(high)
        if low > high:
            raise ValueError(
                f"By valid_range, valid_min and valid_max of {self.name} no value is valid: correct these attributes, "
                "or give missing_value, which takes their place."
            )
        return None if low == least else low, None if high == most else high

    def as_taken(self, value: Number) -> Number:
        """Return a number as the entries are taken: of integers with another sign than stored, it may have either.

        Where -1 is taken as 255, -1 may be written for 255, and the other way round.
        """
        if self.kind is None:
            return value
        (low, high), span = limits(self.taken), 2 ** (8 * self.dtype.itemsize)
        if low - span // 2 <= value < low:
            return value + span
        return value - span if high < value <= high + span // 2 else value

    def _span(self) -> tuple[Any, Any]:
        """Return both ends of `valid_range`."""
        span = self.given.get("valid_range")
        if span is None:
            return None, None
        if not isinstance(span, list) or len(span) != 2:
            raise ValueError(
                f"The attribute valid_range of {self.name} is {span!r}, which is no pair of numbers: {REMEDY}."
            )
        return span[0], span[1]

    def _bounds(self, *written: tuple[str, Any]) -> list[Number]:
        """Return those of the bounds that there are, as numbers."""
        numbers = [self._parsed(key, _single(value)) for key, value in written if value is not None]
        return [number for number in numbers if np.isfinite(number)]

    def _parsed(self, key: str, value: Any) -> Number:
        """Return a number of the attributes, in any of its spellings.

        For Zarr v3, `FillValueCoder` of xarray writes floats as the base64 of a little-endian double.
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
        raise ValueError(f"The attribute {key} of {self.name} is {value!r}, which is no number: {REMEDY}.")

    def _factor(self, key: str, default: float) -> float:
        """Return the number that packed data are scaled or shifted by."""
        value = _single(self.given.get(key))
        if value is None:
            return default
        if not isinstance(value, int | float) or not np.isfinite(value) or (key == "scale_factor" and value == 0):
            raise ValueError(
                f"The attribute {key} of {self.name} is {value!r}, which packed data cannot be unpacked by."
            )
        return float(value)


def of_kind(dtype: np.dtype[Any], kind: str) -> np.dtype[Any]:
    """Return the dtype of integers of the same size and byte order, with a sign ("i") or without one ("u")."""
    return np.dtype(f"{dtype.byteorder}{kind}{dtype.itemsize}")


def limits(dtype: np.dtype[Any]) -> tuple[Number, Number]:
    """Return the smallest and the largest finite entry of a dtype."""
    if dtype.kind == "b":
        return 0, 1
    if dtype.kind == "f":
        return float(np.finfo(dtype).min), float(np.finfo(dtype).max)
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)


def _single(value: Any) -> Any:
    """Return the entry of a list of one: NetCDF's attributes are all arrays."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value
