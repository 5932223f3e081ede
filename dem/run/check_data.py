"""Check the values found by the first pass: refuse those that no model, or this model, can use."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from dem.core import human
from dem.core.block import Float
from dem.core.columns import MOST_LISTED, Columns
from dem.models.row_checks import LARGEST_MAGNITUDE
from dem.scan.scanner import Scan
from dem.scan.support import Measure, Outside
from dem.scan.values import Position
from dem.source import Source

MOST_UNLIKE = 1e3
"""Standard deviations of columns that differ by a larger factor are reported for models that depend on units."""
LEAST = 1e-280
"""Smaller variances (of columns that are not constant) have lost precision, or their inverses overflow."""


class OutsideSupportError(ValueError):
    """A value is outside the support of a model.

    Attributes
    ----------
    outside : Outside
    """

    def __init__(self, message: str, outside: Outside) -> None:
        super().__init__(message)
        self.outside = outside


Squared = Callable[[Float], Float]
"""Selects the variances of the columns that a model squares: see `dem.em.model.Model.squared`."""


def check_values(found: Scan, source: Source, missing: str = "marginalize", squared: Squared = np.asarray) -> None:
    """Refuse data that a model cannot be fitted to.

    These are: no rows, infinite values, missing values if ``missing="error"``, columns without values, weights that are
    all zero, values outside the support, and values whose squares overflow or underflow if the model squares them.

    Parameters
    ----------
    found : Scan
    source : Source
    missing : {"marginalize", "error"}
        Whether values may be missing.
    squared : callable
        Selects the columns whose squares the model uses; by default all.

    Raises
    ------
    ValueError
        The message says how many values are refused, in which columns, and where the first one is.
    """
    if found.rows == 0:
        raise ValueError(f"{source.name} has no rows: give data with at least one row")
    if found.infinite.any():
        advice = "no model can use infinite values: remove or replace these rows"
        _refuse(source, found.infinite, found.first_infinite, "infinite", "inf", advice)
    if found.missing.any() and missing == "error":
        advice = "missing='error' refuses missing values: remove these rows, fill them in, or set missing='marginalize'"
        _refuse(source, found.missing, found.first_missing, "missing", "NaN", advice)
    if not found.rows_with_value:
        raise ValueError(f"{source.name} has no value at all: all its entries are missing (NaN)")
    observed = found.observed
    if not observed.rows > 0:
        which = "the weights" if not found.empty_rows else "the weights of the rows that have a value"
        raise ValueError(f"{which} of {source.name} are all zero: give some rows a positive sample_weight")
    if not (observed.weight > 0).all():
        lacking = np.flatnonzero(~(observed.weight > 0)).tolist()
        one, listed = len(lacking) == 1, source.columns.in_words(lacking)
        raise ValueError(
            f"{source.name} has no value at all in {listed} (NaN in every "
            f"row of positive weight): leave {'this column' if one else 'these columns'} out"
        )
    if (outside := found.measured.outside) is not None:
        place = source.locate(outside.row, outside.column)
        row = "" if source.n_rows is None or place.startswith("row ") else f"row {outside.row}, in "
        told = outside.in_words(source.columns.in_words([outside.column]))
        where = f"the first such value is in {row}{place}"
        raise OutsideSupportError(f"{source.name} {told}; {where}. Leave such rows out, or use another family", outside)
    _check_squares(found, source, squared)


def _check_squares(found: Scan, source: Source, squared: Squared) -> None:
    """Refuse values whose squares are too large or too small for float64, in columns that the model squares.

    Raises
    ------
    ValueError
    """
    largest, observed = np.maximum(-found.low, found.high), found.observed
    sums = np.where(largest > LARGEST_MAGNITUDE, np.inf, observed.scatter)
    with np.errstate(over="ignore", invalid="ignore"):
        for size, bad in (
            ("large", ~np.isfinite(sums) & ~np.isfinite(squared(sums))),
            ("small", (squared(observed.variances) < LEAST) & (found.low < found.high)),
        ):
            if bad.any():
                if size == "large":
                    _refuse_large_weights(found, source, largest[bad])
                at = np.flatnonzero(bad).tolist()
                rescale = f"rescale {'this column' if len(at) == 1 else 'these columns'}"
                raise ValueError(
                    f"{source.name} has values too {size} to square in {source.columns.in_words(at)}: {rescale}"
                )


def _refuse_large_weights(found: Scan, source: Source, largest: Float) -> None:
    """Refuse weights if the sums of squares overflow only because of them; `largest`: largest magnitudes of columns."""
    if (largest > LARGEST_MAGNITUDE).any():  # these values are too large even without weights
        return
    with np.errstate(over="ignore"):
        plain = found.rows_with_value * largest**2
    if np.isfinite(plain).all():
        raise ValueError(
            f"the weights of {source.name} are too large (their sum is {float(found.observed.rows):.3g}): divide "
            "them all by the same number"
        )


def doubts(found: Scan, source: Source, measure: Measure | None) -> Iterator[str]:
    """Yield a warning for columns that the model accepts but that probably have the wrong unit or family.

    Parameters
    ----------
    found : Scan
    source : Source
    measure : Measure or None
        Its `range_warnings` gives the warnings, from the ranges of the columns; None gives no warnings.
    """
    warnings = {} if measure is None else measure.range_warnings(found.low, found.high)
    for words in dict.fromkeys(warnings.values()):
        columns = [j for j, of_column in warnings.items() if of_column == words]
        low, high = found.low[columns].min(), found.high[columns].max()
        listed = source.columns.in_words(columns)
        yield f"{source.name} has values from {low:g} to {high:g} in {listed}, {words}"


def unlike_spreads(found: Scan, source: Source) -> Iterator[str]:
    """Yield a warning if the spreads of the columns differ by more than `MOST_UNLIKE`, for models that compare them."""
    spread = np.where(found.constant, np.nan, np.sqrt(found.observed.variances))
    if np.isnan(spread).all():
        return
    least, most = int(np.nanargmin(spread)), int(np.nanargmax(spread))
    if (ratio := spread[most] / spread[least]) > MOST_UNLIKE:
        low, high = (f"{spread[j]:.4g} in {source.columns.in_words([j])}" for j in (least, most))
        yield (
            f"{source.name} has columns that differ in spread by a factor of {ratio:.0e} (from {low} to {high}), and "
            "this model depends on units; scale='standard' gives each column the same spread"
        )


def _refuse(source: Source, counts: NDArray[np.int64], first: Position, kind: str, sign: str, advice: str) -> None:
    """Raise the error about values of one kind; `counts` (d,) is their number in each column."""
    raise ValueError(
        f"{source.name} has {human.plural(int(counts.sum()), f'{kind} value')} ({sign}), in "
        f"{columns_in_words(counts, source.columns)}; the first is in {source.locate(*first)}; {advice}"
    )


def columns_in_words(counts: NDArray[np.int64], columns: Columns) -> str:
    """Return the columns whose count (d,) is not 0, with the counts: "columns 0 (1), 2 (14)"."""
    hit = np.flatnonzero(counts).tolist()
    if len(hit) == 1:
        return columns.in_words(hit)
    if len(hit) > MOST_LISTED:
        return f"{len(hit)} of {len(counts)} columns"
    return "columns " + ", ".join(f"{columns.listed([j])} ({counts[j]:,})" for j in hit)
