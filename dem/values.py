"""The check of what the first pass found: values that no model, or not this one, can use."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dem import human
from dem.scan import Scan
from dem.source import Source


def check_values(found: Scan, source: Source, missing: str = "marginalize") -> None:
    """Refuse infinite values, with `missing` "error" missing ones, and weights that are all zero.

    Raises
    ------
    ValueError
        Saying how many, in which columns, and where the first one is.
    """
    if found.rows == 0:
        raise ValueError(f"{source.name} has no rows: there is nothing to fit")
    if not found.moments.weight > 0 and not (found.infinite.any() or found.missing.any()):
        raise ValueError(f"the weights of {source.name} are all zero: give some rows a positive sample_weight")
    bad = (
        (
            found.infinite,
            found.first_infinite,
            "infinite",
            "inf",
            "no model can use them: remove or replace these rows",
        ),
        (
            found.missing,
            found.first_missing,
            "missing",
            "NaN",
            "remove or fill in these rows, or set missing='marginalize'",
        ),
    )
    for counts, first, kind, sign, advice in bad:
        if counts.any() and (kind, missing) != ("missing", "marginalize"):
            raise ValueError(
                f"{source.name} holds {human.plural(int(counts.sum()), f'{kind} value')} ({sign}), in "
                f"{columns_in_words(counts)}; the first is in {source.locate(*first)}; {advice}"
            )
    if (outside := found.measured.outside) is not None:
        place = source.locate(outside.row, outside.column)
        row = "" if source.n_rows is None else f"row {outside.row}, in "
        raise ValueError(
            f"{source.name} {outside}: the first such value is in {row}{place}; leave such rows out, or take another "
            "family"
        )
    squares = found.moments.scatter
    if not np.isfinite(squares).all():
        columns = ", ".join(str(j) for j in np.flatnonzero(~np.isfinite(found.moments.variances))[:20])
        raise ValueError(f"{source.name} holds values too large to square, in columns {columns}: rescale them")


def columns_in_words(counts: NDArray[np.int64]) -> str:
    """Return which columns (d,) are counted, and how often: "columns 0 (1), 2 (14)"."""
    hit = np.flatnonzero(counts)
    if len(hit) == 1:
        return f"column {hit[0]}"
    if len(hit) > 20:
        return f"{len(hit)} of {len(counts)} columns"
    return "columns " + ", ".join(f"{j} ({counts[j]:,})" for j in hit)
