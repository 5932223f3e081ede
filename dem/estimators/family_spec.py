"""From what users write for `family` to a family: a word, a family, or several of them for blocks of columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from dem.families import FAMILIES
from dem.families.product import product

METHODS = ("linear", "log_density", "estimate", "draw")
"""What tells a family from anything else."""


def as_family(spec: Any, names: Sequence[str] | None = None) -> Any:
    """Return the family that a setting stands for.

    Parameters
    ----------
    spec : str, family, mapping or list of pairs
        A name of `dem.families.FAMILIES`; a family; or families for blocks of columns, as {columns: family} or
        [(columns, family), ...], where columns are a number, a name, or several of these.
    names : sequence of str, optional
        What the columns are called.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    if isinstance(spec, str):
        if spec not in FAMILIES:
            raise ValueError(f"family must be one of {', '.join(FAMILIES)}, or a family, got {spec!r}")
        return FAMILIES[spec]()
    if isinstance(spec, Mapping | list | tuple):
        pairs = spec.items() if isinstance(spec, Mapping) else spec
        return product([_block(pair, names) for pair in pairs])
    if isinstance(spec, type) or not all(hasattr(spec, name) for name in METHODS):
        raise ValueError(
            f"family must be a name such as 'poisson', a family such as dem.families.Gamma(), or families for columns, "
            f"got {spec!r}"
        )
    return spec


def _block(pair: Any, names: Sequence[str] | None) -> tuple[str, list[int], Any]:
    """Return name, columns and family of a block."""
    try:
        columns, family = pair
    except (TypeError, ValueError):
        raise ValueError(f"each part of family must be a pair (columns, family), got {pair!r}") from None
    several = isinstance(columns, Iterable) and not isinstance(columns, str)
    found = [_column(column, names) for column in (columns if several else [columns])]
    if not found:
        raise ValueError("a part of family has no columns")
    return ", ".join(f"column {c}" if names is None else str(names[c]) for c in found), found, as_family(family)


def _column(column: Any, names: Sequence[str] | None) -> int:
    """Return the number of a column."""
    if isinstance(column, int | np.integer) and not isinstance(column, bool) and column >= 0:
        return int(column)
    known = [] if names is None else [str(name) for name in names]
    if column in known:
        return known.index(column)
    have = f"the columns are {', '.join(known)}" if known else "these data have no names of columns: give numbers"
    raise ValueError(f"family names the column {column!r}, but {have}")
