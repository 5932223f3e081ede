"""The dtypes of rows."""

from __future__ import annotations

from typing import Any

import numpy as np


def float_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the floating dtype for entries of this dtype and NaN, as in xarray.

    Integers beyond 2^53 lose digits. Floats of 32 bits and more keep their dtype.
    """
    if dtype.kind == "f" and dtype.itemsize >= 4:
        return dtype
    return np.dtype(np.float32 if dtype.itemsize <= 2 else np.float64)
