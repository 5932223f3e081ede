"""Format numbers, sizes and times as text for people."""

from __future__ import annotations

import math

NEAR = 10.0
"""A time left that is shorter than this, in seconds, is not shown."""
NEARLY = 1.1
"""Times that differ by less than this factor are shown as one."""
MOST_PLACES, LARGE = 6, 1e7
"""Numbers with more decimal places, or above the second number, have an exponent."""


def count(value: float) -> str:
    """Return a number with the letter of its unit, k, M, G or T: 62.5 M."""
    return _scaled(value, ("", " k", " M", " G", " T"))


def size(nbytes: float) -> str:
    """Return a number of bytes in decimal units: 4 GB."""
    return _scaled(nbytes, (" B", " kB", " MB", " GB", " TB", " PB"))


def seconds(value: float) -> str:
    """Return a time: 4 ms, 0.42 s, 12.3 s, 2 min 05 s, 1 h 02 min."""
    if value < 0.1:
        return f"{1000 * value:.0f} ms"
    if value < 10:
        return f"{value:.2f} s"
    if value < 59.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def time_range(low: float, high: float) -> str:
    """Return a range of times, in whole numbers rounded outwards: 10 to 40 minutes, 40 seconds to 5 minutes.

    Two numbers that are nearly the same become one: 70 seconds.
    """
    (size, unit), (last_size, last_unit) = _large_unit(low), _large_unit(high)
    first, last = max(1, math.floor(low / size)), max(1, math.ceil(high / last_size))
    if last * last_size <= NEARLY * first * size:
        return plural(max(1, round((low + high) / 2 / last_size)), last_unit)
    if unit != last_unit:
        return f"{plural(first, unit)} to {plural(last, last_unit)}"
    return f"{first} to {plural(last, last_unit)}"


def time_left(low: float, high: float) -> str:
    """Return a range of times left: about 10 to 40 minutes left; nothing if it is less than `NEAR`."""
    return f"about {time_range(low, high)} left" if high >= NEAR else ""


def plural(n: int, noun: str) -> str:
    """Return a number and its noun: 1 pass, 3 passes, 1,000 iterations."""
    ending = "" if n == 1 else "es" if noun.endswith("s") else "s"
    return f"{n:,} {noun}{ending}"


def passes(n: int) -> str:
    """Return text for n passes of which the first is the scan: "the first scan and 2 passes"."""
    return "the first scan" + (f" and {plural(n - 1, 'pass')}" if n > 1 else "")


def share(n: int, whole: int) -> str:
    """Return a count and its percentage of the whole: 12,345 (3.1 %)."""
    if n == 0:
        return "0"
    percent = 100 * n / whole
    return f"{n:,} ({'< 0.1' if percent < 0.05 else f'{percent:.1f}'} %)"


def number(value: float) -> str:
    """Return a number to 6 significant digits."""
    return f"{value:.6g}"


def with_deviation(value: float, deviation: float) -> str:
    """Return a value and its deviation, both to the second digit of the deviation, or to the unit: "1013.20 ± 0.12"."""
    if not (math.isfinite(value) and math.isfinite(deviation)) or deviation <= 0:
        return f"{value:.4g} ± {deviation:.2g}"
    last = _exponent(deviation) - 1
    if last >= -MOST_PLACES and max(abs(value), deviation) < LARGE:
        return f"{value:z.{max(0, -last)}f} ± {deviation:.{max(0, -last)}f}"
    digits = 1 + _exponent(max(abs(value), deviation)) - last
    return f"{value:.{min(digits, 15)}g} ± {deviation:.2g}"


def _exponent(value: float) -> int:
    """Return the power of ten of the first digit of a number that is rounded to two digits."""
    return int(f"{value:.1e}".partition("e")[2])


def _large_unit(seconds: float) -> tuple[int, str]:
    """Return the seconds and the name of the largest unit in which a time is at least 2, or else of seconds."""
    for size, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 2 * size:
            return size, unit
    return 1, "second"


def _scaled(value: float, units: tuple[str, ...]) -> str:
    """Return the value to 3 significant digits, in the largest unit in which it is at least 1."""
    for i, unit in enumerate(units):
        scaled = value / 1000**i
        if abs(scaled) < 999.5 or i == len(units) - 1:
            return (f"{scaled:.0f}" if i == 0 and value == int(value) else f"{scaled:.3g}") + unit
    raise AssertionError("units are never empty")
