"""The check, before anything is read, that data loaded into memory fit within the limit."""

from __future__ import annotations

from typing import Any

import numpy as np

from dem.core import human
from dem.engine.engine import Engine
from dem.engine.sweep.process_memory import process_bytes
from dem.source import is_lazy
from dem.source.checks import check_dtype, check_shape
from dem.source.containers import bytes_to_load, check_container, is_xarray
from dem.source.frames import is_lazy_frame


def check_load(X: Any, sample_weight: Any, engine: Engine | None) -> None:
    """Refuse containers that would be computed as a whole, and arrays on a disk that do not fit into the memory limit.

    Raises
    ------
    TypeError
        See `dem.source.containers.check_container`.
    ValueError
        X is on a disk and is not a two-dimensional array of real numbers.
    MemoryError
        The data do not fit; the message has their size and the limit.
    """
    given = {"X": X, "sample_weight": sample_weight}
    for name, data in given.items():
        if name != "X" or not is_lazy_frame(data):
            check_container(data, name)
    sizes = {
        "X": 0 if is_lazy(X) else bytes_to_load(X),
        "sample_weight": 0 if is_lazy(sample_weight) and not is_xarray(sample_weight) else bytes_to_load(sample_weight),
    }
    if sizes["X"]:
        check_shape(X.shape, "X")
        check_dtype(np.dtype(X.dtype), "X")
    size, limit = sum(sizes.values()), None if engine is None else engine.memory_bytes
    if not size or limit is None:
        return
    here = process_bytes()
    if here + size > limit:
        names = " and ".join(name for name, nbytes in sizes.items() if nbytes)
        raise MemoryError(
            f"{names} would be read into memory as a whole: {human.size(size)}, and this process already uses "
            f"{human.size(here)}, but the limit is {human.size(limit)}. Give a Dask array, which is read in chunks, "
            "such as dask.array.from_array(X, chunks=(100_000, -1)), or raise the limit."
        )
