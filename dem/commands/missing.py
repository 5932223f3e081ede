"""What is missing, in numbers and in words: of a store that was scanned, and of the data that a model was fitted to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dem import human

WORST = 30
"""Columns that a report lists at most."""


def meaning(decoding: Mapping[str, Any] | None) -> dict[str, str | None]:
    """Return as facts what is taken as missing, and how packed entries are unpacked.

    Parameters
    ----------
    decoding : mapping or None
        The fingerprint of a `dem.source.decode.Decoding`.
    """
    markers = [] if decoding is None else [f"{name}={value:.10g}" for name, value in decoding["missing"]]
    packed = decoding is not None and (decoding["scale"], decoding["offset"]) != (1, 0)
    return {
        "taken as missing": ", ".join(["NaN", *markers]),
        "unpacked": f"{decoding['scale']:.10g} v + {decoding['offset']:.10g}" if decoding and packed else None,
    }


def summary(shape: Sequence[int], counts: Sequence[int], incomplete: int, empty: int) -> str:
    """Return in words how much is missing: of all values, and in how many rows."""
    rows, columns = shape
    if not any(counts):
        return "nothing"
    lacking = sum(count > 0 for count in counts)
    return (
        f"{human.share(sum(counts), rows * columns)} of the values, in {human.plural(lacking, 'column')}; "
        f"{human.share(incomplete, rows)} of the rows lack some, {human.share(empty, rows)} lack all"
    )


def of_training(source: Mapping[str, Any] | None) -> str | None:
    """Return the same of what an estimator's `source_` remembers; None where it does not tell."""
    if not source or "missing" not in source:
        return None
    return summary(source["shape"], source["missing"], source["incomplete_rows"], source["empty_rows"])


def worst_columns(source: Mapping[str, Any] | None, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the columns of the training data that lack most, with their names, at most `WORST` of them."""
    counts = source.get("missing", []) if source else []
    worst = sorted((j for j, count in enumerate(counts) if count), key=lambda j: -counts[j])[:WORST]
    rows = source["shape"][0] if source else 0
    return [{"column": names[j], "missing": counts[j], "share": counts[j] / rows} for j in worst]
