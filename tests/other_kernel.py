"""Another kernel of BLAS than the one that runs here. As a program it prints its name, for `make test-kernels`."""

import platform
import sys

import numpy  # noqa: F401  (threadpoolctl sees only libraries that are loaded)
import scipy.linalg  # noqa: F401
from threadpoolctl import threadpool_info

WIDE = {"SkylakeX", "Cooperlake", "SapphireRapids"}
"""Kernels with vectors of 512 bits. Those of Haswell have 256, those of Nehalem and Prescott 128."""


def other_kernel():
    """Return an OPENBLAS_CORETYPE that this processor runs and that differs from the kernel here; else None."""
    kernels = {info["architecture"] for info in threadpool_info() if info["internal_api"] == "openblas"}
    if not kernels or platform.machine() not in ("x86_64", "AMD64"):
        return None
    if kernels & WIDE:
        return "Haswell"
    return "Prescott" if "Nehalem" in kernels else "Nehalem"


if __name__ == "__main__":
    kernel = other_kernel()
    if kernel is None:
        print("This machine has no second BLAS kernel: that takes OpenBLAS on x86-64.", file=sys.stderr)
    else:
        print(kernel)
