"""Check containers such as data frames, without importing their libraries.

NumPy would compute a lazy container as a whole. So containers of Dask arrays are refused: the Dask array itself can be
read in chunks.
"""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
from dask.base import is_dask_collection


def is_xarray(data: Any) -> bool:
    """Whether the data are a Dataset or DataArray of xarray; xarray is not imported."""
    kind = type(data)
    return kind.__module__.partition(".")[0] == "xarray" and hasattr(kind, "coords") and hasattr(kind, "dims")


def is_dataset(data: Any) -> bool:
    """Whether an object of xarray is a Dataset, not a DataArray."""
    return hasattr(data, "data_vars")


def check_container(data: Any, name: str) -> None:
    """Raise TypeError if `data` is a container of a lazy array. Objects of xarray have names, and are read lazily.

    Parameters
    ----------
    data : any
    name : str
        The name of the data in messages: "X", "sample_weight".

    Raises
    ------
    TypeError
        The data are such a container. The message says what to pass instead.
    """
    if is_xarray(data):
        return
    kind = f"{name} is of the type {type(data).__module__.partition('.')[0]}.{type(data).__name__}"
    if hasattr(type(data), "collect_schema") and hasattr(type(data), "sink_parquet"):  # a LazyFrame of polars
        raise TypeError(f"{kind}, which is lazy: pass {name}.collect(), or write it by sink_parquet and pass the path")
    if not is_dask_collection(data) or isinstance(data, da.Array):
        return
    if hasattr(type(data), "to_dask_array"):
        instead = f"{name}.to_dask_array(lengths=True)"
    else:
        instead = f"{name}.data" if isinstance(getattr(data, "data", None), da.Array) else "made from it"
    raise TypeError(f"{kind}, which would be loaded as a whole: pass a Dask array, {instead}, to read it in chunks")


def bytes_to_load(data: Any) -> int:
    """Return the number of bytes that NumPy must read to make an array of `data`; 0 if the data are in memory.

    Such data are array-likes on disk, such as h5py's, and lazily indexed arrays of xarray.
    """
    if isinstance(data, np.ndarray) or not hasattr(data, "chunks") or not hasattr(data, "nbytes"):
        return 0
    if getattr(getattr(data, "variable", None), "_in_memory", False):  # an array of xarray that is already loaded
        return 0
    return int(data.nbytes)
