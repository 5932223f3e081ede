"""The check that a pass has summed every row of its source exactly once."""

from __future__ import annotations

from dem.core.stats import S
from dem.source import Source


def check_no_row_lost(total: S, source: Source) -> S:
    """Return `total` if it counts every row of the source exactly once.

    Raises
    ------
    RuntimeError
        Rows were lost or counted twice.
    """
    if source.n_rows is not None and total.rows != source.n_rows:
        raise RuntimeError(
            f"A pass over {source.name} summed {total.rows:,} rows, but it has {source.n_rows:,}: "
            "the data changed during the pass, or dem has an error. Run again; if it happens again, please report it."
        )
    return total
