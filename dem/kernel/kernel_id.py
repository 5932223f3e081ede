"""The name of a kernel: what a client tells its workers to use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class KernelId:
    """An implementation of the E-step and of the first pass.

    Parameters
    ----------
    name : "native" or "numpy"
        "native" is the library in C++, "numpy" is Python with NumPy.
    digest : str
        The digest of the sources of the native kernel; "" for NumPy.
    """

    name: Literal["native", "numpy"]
    digest: str = ""

    def __str__(self) -> str:
        return f"native kernel {self.digest}" if self.name == "native" else "NumPy"


NUMPY = KernelId("numpy")


def kernel_of(model: object) -> KernelId:
    """Return the kernel that a model uses: NumPy for models that have no other."""
    found: KernelId = getattr(model, "kernel_id", NUMPY)
    return found
