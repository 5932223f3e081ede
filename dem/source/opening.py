"""From what a user gives as data, a path or an array, to the source of its rows."""

from __future__ import annotations

import math
import os
from typing import Any

import dask.array as da
from dask.delayed import Delayed
from zarr import Array as ZarrArray  # the name zarr is the submodule's here
from zarr import Group as ZarrGroup

from dem.source.containers import check_container
from dem.source.dask_array import open_dask
from dem.source.in_memory import open_memory
from dem.source.source import Partition, Source
from dem.source.stores import open_array
from dem.source.weights import as_weights
from dem.source.zarr import open_zarr

MISSING_CHUNKS = ("fill", "error")


def open_source(
    data: Any,
    weights: Any = None,
    *,
    partition_bytes: int | None = None,
    missing_chunks: str = "fill",
    missing_value: float | None = None,
) -> Source:
    """Return the source of rows that `data` is.

    Parameters
    ----------
    data : str, Path, zarr.Array, dask.array.Array or array-like of shape (n, d), or Source
        A path or URL of a Zarr array (``store.zarr/name`` for one inside a group), an open one, a
        Dask array of any chunking, or whatever NumPy makes an array of. A source is returned as it is.
    weights : array-like, str, Path, zarr.Array, dask.array.Array of shape (n,), or None
        The rows' weights, finite and not negative, in any form and chunking.
    partition_bytes : int, optional
        The decoded size to aim at for a partition of a store or an array in memory; a Dask array
        is swept by its own chunks.
    missing_chunks : {"fill", "error"}
        What to make of chunks that a Zarr array's store does not hold, of the data or of the weights. Writers
        leave out chunks that have nothing but the fill value, so by default they read as that, and fits, scores and
        row-wise outputs warn of them; "error" is for stores that should hold every chunk: whatever is made of the
        source refuses then to go on. Of a sharded array, the shard counts. A Dask array made of a store keeps this to
        itself.
    missing_value : number, optional
        Entries equal to it are missing, besides NaN and what is masked: rows have NaN there, in float32 (integers and
        floats of up to 16 bits), in the data's own floating dtype, or else in float64, where integers beyond 2^53 lose
        digits. By
        default a Zarr array's CF attributes `_FillValue` and `missing_value` say what is missing (in Zarr v2 also the
        fill value of arrays that have `_ARRAY_DIMENSIONS`, as xarray takes it), and what is outside of `valid_range`,
        `valid_min` and `valid_max` is missing too. Packed data, with `scale_factor` or `add_offset`, are unpacked to
        float64, and `_Unsigned` is heard, in any case; `missing_value` is compared with what is stored.

    Raises
    ------
    FileNotFoundError
        Nothing is stored at the path.
    TypeError
        Sparse data, objects that are no numbers, or a container of a lazy array, such as xarray's and a Dask DataFrame.
    ValueError
        A group instead of an array, not two-dimensional, no rows, no columns, a dtype that does
        not hold real numbers, weights that do not fit, or a `missing_value` that is no number.
    """
    if missing_chunks not in MISSING_CHUNKS:
        raise ValueError(f"missing_chunks must be one of {', '.join(MISSING_CHUNKS)}, got {missing_chunks!r}")
    if is_source(data):
        if weights is not None:
            raise ValueError("Weights are given where a source is opened: dem.open_source(data, weights).")
        if missing_value is not None:
            raise ValueError(
                "missing_value is given where a source is opened: dem.open_source(data, missing_value=...)."
            )
        opened: Source = data
        return opened
    require_chunks = missing_chunks == "error"
    check_container(data, "data")
    if isinstance(data, str | os.PathLike | ZarrArray | ZarrGroup):
        array = open_array(data)
        weights = as_weights(weights, array.shape[0] if array.shape else 0, require_chunks=require_chunks)
        return open_zarr(array, weights, partition_bytes, require_chunks=require_chunks, missing_value=missing_value)
    if isinstance(data, da.Array):
        known = data.ndim > 0 and not math.isnan(data.shape[0])
        rows = data.shape[0] if known else None
        return open_dask(data, as_weights(weights, rows, require_chunks=require_chunks), missing_value=missing_value)
    return open_memory(data, weights, partition_bytes, require_chunks=require_chunks, missing_value=missing_value)


def evaluate(partition: Partition | Delayed) -> Partition:
    """Return the partition itself, computing it in this thread if it is Delayed."""
    return partition.compute(scheduler="synchronous") if isinstance(partition, Delayed) else partition


def is_source(data: Any) -> bool:
    """Whether the data are an open source already."""
    return all(hasattr(type(data), name) for name in ("partitions", "row_chunks", "locate"))


def is_lazy(data: Any) -> bool:
    """Whether the data are a store, a Dask array or an open source, not an array in memory."""
    return is_source(data) or isinstance(data, str | os.PathLike | ZarrArray | ZarrGroup | da.Array)
