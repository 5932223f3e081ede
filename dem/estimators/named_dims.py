"""The sample dimensions and variables of a fit, which later calls use for other data with names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dem.estimators.columns import columns_to_read
from dem.source import Source, open_source
from dem.source.group import dims_for


def named_dims(source: Source) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    """Return the sample dimensions and the variables of a source with named dimensions; else None twice."""
    if source.rows is None or source.rows.dims is None or not source.columns.named:
        return None, None
    return source.rows.dims, source.columns.variables


def open_for(
    estimator: Any,
    data: Any,
    weights: Any = None,
    *,
    columns: Sequence[str | int] | None = None,
    missing_chunks: str = "fill",
) -> Source:
    """Return data opened for a fitted estimator: with its missing value, columns, sample dimensions and variables."""
    return open_source(
        data,
        weights,
        missing_chunks=missing_chunks,
        missing_value=estimator.missing_value,
        columns=columns_to_read(estimator, data, columns),
        **dims_for(data, estimator.sample_dims_, estimator.variables_),
    )
