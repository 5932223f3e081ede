"""Choose the kernel of a fit, or of results for rows.

The client alone does so, since it alone reads environment variables.
"""

from __future__ import annotations

import os
from typing import Any, TypeVar

from dem.kernel.kernel_id import NUMPY, KernelId
from dem.kernel.library import library, reason

M = TypeVar("M")


def chosen_kernel() -> KernelId:
    """Return the kernel that the environment variable `DEM_KERNEL` names.

    Without it, or if it is empty: the native kernel where there is one, otherwise NumPy.

    Raises
    ------
    ValueError
        If there is no native kernel and `DEM_KERNEL` is "native", or if it is an unknown word.
    """
    word = os.environ.get("DEM_KERNEL", "")
    if word not in ("", "native", "numpy"):
        raise ValueError(f"DEM_KERNEL is {word!r}: set it to 'native' or 'numpy', or leave it empty.")
    found = None if word == "numpy" else library()
    if found is not None:
        return KernelId("native", found.digest)
    if word == "native":
        why = reason()
        raise ValueError(f"DEM_KERNEL is 'native', but {why[0].lower()}{why[1:]}")
    return NUMPY


def with_chosen_kernel(model: M) -> M:
    """Return a model with the kernel that the environment names; unchanged if the native kernel does not have it."""
    if not getattr(model, "has_native_kernel", False):
        return model
    choosable: Any = model
    chosen: M = choosable.with_kernel(chosen_kernel())
    return chosen
