"""The sample dimensions and variables of a fit, which later calls use for other data with names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dem.estimators.columns import columns_to_read
from dem.source import Source, is_source, open_source
from dem.source.containers import is_dataset, is_xarray
from dem.source.group import is_stored, stored_choice
from dem.source.parquet_files import is_parquet_path


def named_dims(source: Source) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    """Return the sample dimensions and the variables of a source with named dimensions; else None twice."""
    if source.rows is None or source.rows.dims is None or not source.columns.named:
        return None, None
    return source.rows.dims, source.columns.variables


def dims_for(X: Any, sample_dims: tuple[str, ...] | None, variables: tuple[str, ...] | None) -> dict[str, Any]:
    """Return the arguments of `dem.open_source` for data to which a model is applied.

    Parameters
    ----------
    X : any
        xarray objects and Zarr groups have named dimensions; all other data are opened without names.
    sample_dims, variables : tuple of str, or None
        Those of the fit.
    """
    if is_parquet_path(X):
        return {}
    if sample_dims is None:
        return {"sample_dims": _first_dim(X)} if is_xarray(X) else {}
    if is_xarray(X):
        return {"sample_dims": sample_dims, "variables": variables if is_dataset(X) else None}
    return stored_choice(X, sample_dims, variables) if is_stored(X) else {}


def _first_dim(X: Any) -> str | None:
    """Return the dimension of the rows of an xarray object that is read as a matrix, for a model of matrices.

    Raises
    ------
    ValueError
        It is no matrix.
    """
    if len(X.dims) < 2:
        return None
    if is_dataset(X) or len(X.dims) > 2:
        raise ValueError(
            "The model was fitted to rows without named dimensions, so it is applied to a matrix: give a DataArray "
            "with two dimensions, of which the first are the rows."
        )
    return str(X.dims[0])


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
        missing_value=None if is_source(data) else estimator.missing_value,
        columns=columns_to_read(estimator, data, columns),
        **dims_for(data, estimator.sample_dims_, estimator.variables_),
    )
