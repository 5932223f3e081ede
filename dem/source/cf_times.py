"""Decode the times of a coordinate, which CF stores as numbers since a reference time, as xarray does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from dem.core.block import Array

CLOCK = r"(?:[T ]+(\d{1,2}):(\d{2})(?::(\d{2})(?:\.0*)?)?)?\s*(?:Z|UTC)?"
SINCE = re.compile(rf"\s*(\w+)\s+since\s+(\d{{4}})-(\d{{1,2}})-(\d{{1,2}}){CLOCK}\s*")
"""Units of times: "days since 2000-01-01 00:00:00"."""
NANOSECONDS = {
    "day": 86_400 * 10**9,
    "hour": 3600 * 10**9,
    "minute": 60 * 10**9,
    "second": 10**9,
    "millisecond": 10**6,
    "microsecond": 10**3,
    "nanosecond": 1,
}
CALENDARS = ("standard", "gregorian", "proleptic_gregorian")
FIRST, LAST = (int(np.datetime64(year, "s").astype(np.int64)) * 10**9 for year in ("1678", "2262"))
"""Times of NumPy in nanoseconds lie between these years; in earlier ones the standard calendar was another."""


def decoded_times(values: Array, attributes: Mapping[str, Any]) -> Array | None:
    """Return times as those of NumPy; None for values that are no times, or times of another calendar or age."""
    units = attributes.get("units")
    found = SINCE.fullmatch(units) if isinstance(units, str) and values.dtype.kind in "iuf" else None
    if found is None or attributes.get("calendar", "standard") not in CALENDARS:
        return None
    word, year, month, day, hour, minute, second = found.groups()
    unit = NANOSECONDS.get(word.lower().removesuffix("s"))
    text = f"{year}-{int(month):02}-{int(day):02}T{int(hour or 0):02}:{minute or '00'}:{second or '00'}"
    try:
        begin = int(np.datetime64(text, "s").astype(np.int64)) * 10**9
    except ValueError:  # such as month 13
        return None
    known = np.isfinite(values)
    numbers = np.where(known, values, 0)
    if unit is None or not all(FIRST <= begin + float(end) * unit < LAST for end in (0, numbers.min(), numbers.max())):
        return None
    since = numbers.astype(np.int64) * unit if values.dtype.kind != "f" else np.round(numbers * float(unit))
    times = (begin + since.astype(np.int64)).astype("datetime64[ns]")
    return np.where(known, times, np.datetime64("NaT", "ns"))
