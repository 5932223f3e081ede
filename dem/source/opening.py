"""Open data given by a user (a path, a URL or an array) as a source of rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import dask.array as da
from dask.delayed import Delayed
from zarr import Array as ZarrArray  # in this package `zarr` would be the submodule

from dem.source.chosen import choose_columns
from dem.source.containers import check_container, is_xarray
from dem.source.dask_array import open_dask
from dem.source.dimensions import SampleDims, check_unnamed
from dem.source.frames import (
    check_frame_weights,
    choose_of_frame,
    frame_array,
    frame_columns,
    is_frame,
    is_lazy_frame,
    lazy_array,
)
from dem.source.group import group_source, is_stored, open_variables
from dem.source.in_memory import as_numeric, open_memory
from dem.source.parquet import open_parquet
from dem.source.parquet_files import is_parquet_path
from dem.source.read_options import ReadOptions
from dem.source.source import Partition, Source
from dem.source.stores import open_array
from dem.source.weights import as_weights
from dem.source.xarray_data import xarray_source
from dem.source.zarr import open_zarr

MISSING_CHUNKS = ("fill", "error")


def open_source(
    data: Any,
    weights: Any = None,
    *,
    partition_bytes: int | None = None,
    missing_chunks: str = "fill",
    missing_value: float | None = None,
    columns: Sequence[str | int] | None = None,
    sample_dims: SampleDims = None,
    variables: str | Sequence[str] | None = None,
) -> Source:
    """Open data as a source of rows.

    Parameters
    ----------
    data : str, Path, zarr.Array, dask.array.Array, data frame, xarray object or array-like of shape (n, d), or Source
        A path or URL of a Zarr array (``store.zarr/name`` for an array inside a group) or of Parquet files (a file, a
        folder of files, or a glob such as ``folder/*.parquet``); an open Zarr array, a Dask array with any chunks, a
        Dask DataFrame, a data frame of pandas or polars, or anything that NumPy can convert to an array; or an xarray
        Dataset or DataArray, or the path of a Zarr group with named dimensions (see `sample_dims`). Several Parquet
        files are read in the order of their names, with numbers in names compared as numbers. An open source is
        returned unchanged, apart from `columns`.
    weights : array-like, str, Path, zarr.Array, dask.array.Array of shape (n,), DataArray, or None
        The weights of the rows, finite and not negative, with any chunks. A DataArray is broadcast by the names of its
        dimensions. With several sample dimensions, other weights have the shape of the rows.
    partition_bytes : int, optional
        Target size in bytes, decoded, of a partition of a Zarr array or an array in memory. A Dask array is read by
        its own chunks.
    missing_chunks : {"fill", "error"}
        How to treat chunks of the data or the weights that are missing from a Zarr store. Writers omit chunks that
        contain only the fill value. So by default ("fill") missing chunks are read as the fill value, and fits, scores
        and row-wise outputs warn about them. With "error" they raise an error; use it for stores that should have
        every chunk. For sharded arrays this applies to whole shards. Missing chunks of Dask arrays cannot be detected.
    missing_value : number, optional
        Entries equal to it are missing, in addition to NaN and masked entries. They are replaced by NaN, so rows get a
        floating dtype: float32 for integers and floats of up to 16 bits, the same dtype for other floats, and float64
        for other integers (those beyond 2^53 lose digits).
        By default the CF attributes `_FillValue` and `missing_value` of a Zarr array give the missing values (in Zarr
        v2 also the fill value of arrays that have `_ARRAY_DIMENSIONS`, as in xarray), and entries outside
        `valid_range`, `valid_min` and `valid_max` are missing too. The parameter `missing_value` replaces all of these,
        and is compared with the stored entries. Packed data (`scale_factor`, `add_offset`) are always unpacked to
        float64, and `_Unsigned` is always used. In tables nulls are missing values, too.
    columns : sequence of str or int, optional
        The columns to use, in this order, by their names, where the data have names, or by their numbers from 0. Of
        Parquet files and Dask DataFrames only these are read.
    sample_dims : str or sequence of str, optional
        The dimensions that make rows, of an xarray object or of variables of a Zarr group; the other dimensions make
        columns. The rows are in C order over these dimensions, in the order given. It may be left out if there is
        only one dimension.
    variables : str or sequence of str, optional
        The variables of a Dataset or of a Zarr group whose columns are used, side by side. By default all except
        results of dem (arrays with the attribute `dem_output`), or these if there is nothing else.

    Raises
    ------
    FileNotFoundError
        There is no Zarr store at the path.
    TypeError
        Sparse data, objects that are not numbers, or a container of a lazy array, such as a LazyFrame of polars.
    ValueError
        A group without `sample_dims` or `variables`, data that are not two-dimensional, no rows, no columns, a dtype
        that is not real, invalid weights (shape, dtype, negative or not finite), a `missing_value` that is not a
        number, a column that does not exist or is not of numbers, or a file of a format that is not read.
    """
    if missing_chunks not in MISSING_CHUNKS:
        raise ValueError(f"missing_chunks must be one of {', '.join(MISSING_CHUNKS)}, got {missing_chunks!r}")
    if is_source(data):
        if weights is not None:
            raise ValueError(
                "Weights cannot be added to an open source: pass them to dem.open_source(data, weights) instead."
            )
        if missing_value is not None:
            raise ValueError(
                "missing_value cannot be changed for an open source: pass it to "
                "dem.open_source(data, missing_value=...) instead."
            )
        return _only_columns(data, columns)
    options = ReadOptions(partition_bytes, missing_chunks == "error", missing_value)
    if is_xarray(data):
        return _only_columns(xarray_source(data, weights, sample_dims, variables, options), columns)
    if is_stored(data) and (sample_dims is not None or variables is not None) and not is_parquet_path(data):
        group = open_variables(data, variables)
        return _only_columns(group_source(group, sample_dims, weights, options), columns)
    check_unnamed(data, sample_dims, variables)
    if is_parquet_path(data):
        return cast("Source", open_parquet(data, weights, options, columns))
    if is_frame(data) or is_lazy_frame(data):
        return _open_frame(data if columns is None else choose_of_frame(data, columns), weights, options)
    return _only_columns(_open_array(data, weights, options), columns)


def _only_columns(source: Any, columns: Sequence[str | int] | None) -> Source:
    """Return the source with the columns that a user chooses; None: all."""
    chosen: Source = source
    return chosen if columns is None else choose_columns(chosen, chosen.columns.numbers_of(columns))


def _open_frame(frame: Any, weights: Any, options: ReadOptions) -> Source:
    """Return the source of a data frame, with its names."""
    check_frame_weights(frame, weights)
    array = lazy_array(frame) if is_lazy_frame(frame) else frame_array(frame)
    source: Source = replace(_open_array(array, weights, options), given_columns=frame_columns(frame))
    return source


def _open_array(data: Any, weights: Any, options: ReadOptions) -> Any:
    """Return the source of an array; see `open_source`."""
    check_container(data, "data")
    rows: int | None
    if is_stored(data):
        data = open_array(data)
        rows = data.shape[0] if data.shape else 0
    elif isinstance(data, da.Array):
        rows = data.shape[0] if data.ndim > 0 and not math.isnan(data.shape[0]) else None
    else:
        data = as_numeric(data)
        rows = len(data)
    weights = as_weights(weights, rows, require_chunks=options.require_chunks)
    if isinstance(data, ZarrArray):
        return open_zarr(data, weights, options)
    if isinstance(data, da.Array):
        return open_dask(data, weights, options)
    return open_memory(data, weights, options)


def evaluate(partition: Partition | Delayed) -> Partition:
    """Return the partition; if it is Delayed, compute it in this thread."""
    return partition.compute(scheduler="synchronous") if isinstance(partition, Delayed) else partition


def is_source(data: Any) -> bool:
    """Whether the data are an open source."""
    return all(hasattr(type(data), name) for name in ("partitions", "row_chunks", "locate"))


def is_lazy(data: Any) -> bool:
    """Whether the data are a store, a Dask array or frame, an xarray object or an open source, not in memory."""
    return is_stored(data) or isinstance(data, da.Array) or is_source(data) or is_xarray(data) or is_lazy_frame(data)
