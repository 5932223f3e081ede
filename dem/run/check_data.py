"""The check of what the first pass found: values that no model, or not this one, can use."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dem.core import human
from dem.scan.scanner import Place, Scan
from dem.source import Source


def check_values(found: Scan, source: Source, missing: str = "marginalize") -> None:
    """Refuse infinite values, missing ones unless they may be, columns without values, weights that are all zero.

    Parameters
    ----------
    found : Scan
    source : Source
    missing : {"marginalize", "error"}
        Whether values may be missing.

    Raises
    ------
    ValueError
        Saying how many, in which columns, and where the first one is.
    """
    if found.rows == 0:
        raise ValueError(f"{source.name} has no rows: there is nothing to fit")
    if found.infinite.any():
        advice = "no model can use them: remove or replace these rows"
        _refuse(source, found.infinite, found.first_infinite, "infinite", "inf", advice)
    if found.missing.any() and missing == "error":
        advice = "missing='error' refuses them: remove these rows, fill them in, or set missing='marginalize'"
        _refuse(source, found.missing, found.first_missing, "missing", "NaN", advice)
    if not found.rows_with_value:
        raise ValueError(f"{source.name} has no value at all: every one of its entries is missing (NaN)")
    observed = found.observed
    if not observed.rows > 0:
        which = "the weights" if not found.empty_rows else "the weights of the rows with some value"
        raise ValueError(f"{which} of {source.name} are all zero: give some rows a positive sample_weight")
    if not (observed.weight > 0).all():
        lacking, columns = np.flatnonzero(~(observed.weight > 0)), source.columns
        names = [str(j) if columns is None else repr(columns[j]) for j in lacking]
        listed = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
        raise ValueError(
            f"{source.name} has no value at all in {'column' if len(names) == 1 else 'columns'} {listed} (NaN in every "
            f"row that counts): leave {'this column' if len(names) == 1 else 'these columns'} out"
        )
    if (outside := found.measured.outside) is not None:
        place = source.locate(outside.row, outside.column)
        row = "" if source.n_rows is None else f"row {outside.row}, in "
        raise ValueError(
            f"{source.name} {outside}: the first such value is in {row}{place}; leave such rows out, or take another "
            "family"
        )
    if not (np.isfinite(found.moments.scatter).all() and np.isfinite(observed.scatter).all()):
        large = ", ".join(str(j) for j in np.flatnonzero(~np.isfinite(observed.variances))[:20])
        raise ValueError(f"{source.name} holds values too large to square, in columns {large}: rescale them")


def _refuse(source: Source, counts: NDArray[np.int64], first: Place, kind: str, sign: str, advice: str) -> None:
    """Refuse values of a kind, of which each column has so many (d,)."""
    raise ValueError(
        f"{source.name} holds {human.plural(int(counts.sum()), f'{kind} value')} ({sign}), in "
        f"{columns_in_words(counts)}; the first is in {source.locate(*first)}; {advice}"
    )


def columns_in_words(counts: NDArray[np.int64]) -> str:
    """Return which columns (d,) are counted, and how often: "columns 0 (1), 2 (14)"."""
    hit = np.flatnonzero(counts)
    if len(hit) == 1:
        return f"column {hit[0]}"
    if len(hit) > 20:
        return f"{len(hit)} of {len(counts)} columns"
    return "columns " + ", ".join(f"{j} ({counts[j]:,})" for j in hit)
