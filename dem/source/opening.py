"""Open data given by a user (a path, a URL or an array) as a source of rows."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import dask.array as da
from dask.delayed import Delayed
from zarr import Array as ZarrArray  # in this package `zarr` would be the submodule

from dem.source.chosen import choose_columns
from dem.source.containers import check_container, is_xarray
from dem.source.dask_array import open_dask
from dem.source.dimensions import SampleDims, check_unnamed
from dem.source.frames import choose_of_frame, frame_array, frame_columns, is_frame, is_lazy_frame, lazy_array
from dem.source.group import group_source, is_stored, open_variables
from dem.source.in_memory import as_numeric, open_memory
from dem.source.parquet import open_parquet
from dem.source.parquet_files import is_parquet
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
        The variables of a Dataset or of a Zarr group whose columns are used, side by side. By default all.

    Raises
    ------
    FileNotFoundError
        There is no Zarr store at the path.
    TypeError
        Sparse data, objects that are not numbers, or a container of a lazy array, such as xarray's.
    ValueError
        A group instead of an array, data that are not two-dimensional, no rows, no columns, a dtype that is not real,
        invalid weights (shape, dtype, negative or not finite), a `missing_value` that is not a number, a column that
        does not exist or is not of numbers, or a file of a format that is not read.
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
        opened: Source = data
        return opened if columns is None else choose_columns(opened, opened.columns.numbers_of(columns))
    require_chunks = missing_chunks == "error"
    options = ReadOptions(partition_bytes, require_chunks, missing_value)
    found = _open_named(data, weights, columns, options, sample_dims=sample_dims, variables=variables)
    if found is not None:
        return found
    source = _open_array(data, weights, options)
    return source if columns is None else choose_columns(source, source.columns.numbers_of(columns))


def _open_named(
    data: Any,
    weights: Any,
    columns: Sequence[str | int] | None,
    options: ReadOptions,
    *,
    sample_dims: SampleDims,
    variables: str | Sequence[str] | None,
) -> Any:
    """Return the source of data that have names: xarray objects, Zarr groups and tables; None for arrays."""
    if is_xarray(data) or (is_stored(data) and (sample_dims is not None or variables is not None)):
        if is_xarray(data):
            source = xarray_source(data, weights, sample_dims, variables, options)
        else:
            source = group_source(open_variables(data, variables), sample_dims, weights, options)
        return source if columns is None else choose_columns(source, source.columns.numbers_of(columns))
    check_unnamed(data, sample_dims, variables)
    if isinstance(data, str | os.PathLike) and is_parquet(data):
        return open_parquet(
            data,
            weights,
            options.partition_bytes,
            columns=columns,
            missing_value=options.missing_value,
            require_chunks=options.require_chunks,
        )
    if is_frame(data) or is_lazy_frame(data):
        data = data if columns is None else choose_of_frame(data, columns)
        array = lazy_array(data) if is_lazy_frame(data) else frame_array(data)
        return replace(_open_array(array, weights, options), given_columns=frame_columns(data))
    return None


def _open_array(data: Any, weights: Any, options: ReadOptions) -> Any:
    """Return the source of an array; see `open_source`."""
    partition_bytes, require_chunks = options.partition_bytes, options.require_chunks
    missing_value = options.missing_value
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
    weights = as_weights(weights, rows, require_chunks=require_chunks)
    if isinstance(data, ZarrArray):
        return open_zarr(data, weights, partition_bytes, require_chunks=require_chunks, missing_value=missing_value)
    if isinstance(data, da.Array):
        return open_dask(data, weights, missing_value=missing_value)
    return open_memory(data, weights, partition_bytes, missing_value=missing_value)


def evaluate(partition: Partition | Delayed) -> Partition:
    """Return the partition; if it is Delayed, compute it in this thread."""
    return partition.compute(scheduler="synchronous") if isinstance(partition, Delayed) else partition


def is_source(data: Any) -> bool:
    """Whether the data are an open source."""
    return all(hasattr(type(data), name) for name in ("partitions", "row_chunks", "locate"))


def is_lazy(data: Any) -> bool:
    """Whether the data are a store, a Dask array or frame, an xarray object or an open source, not in memory."""
    return is_stored(data) or isinstance(data, da.Array) or is_source(data) or is_xarray(data) or is_lazy_frame(data)
