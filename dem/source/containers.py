"""Containers of arrays, known without their libraries: which are refused, and what must be read to have an array.

Taken by NumPy, a lazy container is computed whole. So one that holds a Dask array is refused: that array is streamed.
"""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
from dask.base import is_dask_collection


def check_container(data: Any, name: str) -> None:
    """Refuse what holds a lazy array, or several arrays.

    Parameters
    ----------
    data : any
    name : str
        What to call it in messages: "X", "sample_weight".

    Raises
    ------
    TypeError
        The message says what to give instead.
    """
    kind = f"{name} is of the type {type(data).__module__.partition('.')[0]}.{type(data).__name__}"
    if hasattr(type(data), "data_vars"):  # xarray's Dataset
        raise TypeError(f"{kind}, which holds several arrays: give one of them, as in {name}['temperature'].data")
    if not is_dask_collection(data) or isinstance(data, da.Array):
        return
    if hasattr(type(data), "to_dask_array"):
        instead = f"{name}.to_dask_array(lengths=True)"
    else:
        instead = f"{name}.data" if isinstance(getattr(data, "data", None), da.Array) else "one made of it"
    raise TypeError(f"{kind}, which would be computed whole: give a Dask array, {instead}, which is read in chunks")


def bytes_to_load(data: Any) -> int:
    """Return what must be read into memory to have an array of `data`; 0 of what is there.

    That is an array-like on a disk, as h5py has it, or a lazily indexed array of xarray's.
    """
    if isinstance(data, np.ndarray) or not hasattr(data, "chunks") or not hasattr(data, "nbytes"):
        return 0
    if getattr(getattr(data, "variable", None), "_in_memory", False):  # an array of xarray's that has been read
        return 0
    return int(data.nbytes)
