"""What `dem doctor` finds out about this machine and this installation. Each function returns a record for JSON."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, metadata, version
from operator import itemgetter
from typing import Any

import psutil
from dask.system import CPU_COUNT
from distributed.system import MEMORY_LIMIT
from packaging.requirements import Requirement

from dem.core.blas import blas_libraries, processor
from dem.core.version import __version__
from dem.engine.cluster.choose import configured_address
from dem.engine.engine import Engine
from dem.kernel.choice import chosen_kernel
from dem.kernel.library import FOLDER, WIDTHS, cpu_features, library, reason

PACKAGE = "distributed-em"
VERSIONS = ("numpy", "scipy", "dask", "distributed", "zarr", "scikit-learn")
READERS = ("h5py", "icechunk", "s3fs", "gcsfs", "adlfs")

ENVIRONMENT = ("DEM_", "DASK_", "OPENBLAS_", "OMP_", "MKL_", "GOTO_", "BLIS_", "VECLIB_")
"""Beginnings of the names of variables that change what dem does or how fast it is."""
HIDDEN = "(set, not shown)"
SECRET = re.compile("pass|token|secret|key|auth|credential", re.IGNORECASE)
OPEN_DASK = re.compile("DASK_(SCHEDULER|DISTRIBUTED_|TEMPORARY|NUM_WORKERS|ARRAY_|LOGGING|CONFIG$)")
"""Only these variables of Dask are shown: others may contain a whole configuration, with its passwords."""


def find(gather: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return a record, or why it cannot be had, under the key "not_known"."""
    try:
        return gather()
    except Exception as error:  # a broken machine is what people look into with this command
        return {"not_known": " ".join(f"{type(error).__name__}: {error}".split())}


def versions() -> dict[str, str | None]:
    """Return the versions of dem, Python and the packages that dem computes with."""
    packages = {name: version_of(name) for name in VERSIONS}
    return {"dem": __version__, "python": platform.python_version(), **packages}


def version_of(package: str) -> str | None:
    """Return the version of an installed package, which is not imported; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def machine() -> dict[str, Any]:
    """Return the platform, the processor and its cores: those that dem uses, all, and those that a container allows."""
    return {
        "platform": platform.platform(),
        "processor": processor(),
        "cores": Engine().n_workers,
        "cores_of_machine": os.cpu_count(),
        "core_limit": CPU_COUNT,
    }


def memory() -> dict[str, int]:
    """Return the memory of the machine in bytes, what is free of it, and the limit of a container or of `ulimit`."""
    found = psutil.virtual_memory()
    return {"bytes": found.total, "available_bytes": found.available, "limit_bytes": MEMORY_LIMIT}


def blas() -> dict[str, Any]:
    """Return the BLAS libraries of NumPy and SciPy, with their kernels and threads."""
    return {
        "libraries": [
            {
                "name": info["internal_api"],
                "version": info["version"],
                "kernel": info.get("architecture"),
                "threads": info["num_threads"],
                "path": info["filepath"],
            }
            for info in sorted(blas_libraries(), key=itemgetter("filepath"))
        ]
    }


def kernel() -> dict[str, Any]:
    """Return the kernel that fits use, why it is used, and what the user must mend."""
    wanted = os.environ.get("DEM_KERNEL")
    native, why_not = library(), reason()
    record: dict[str, Any] = dict.fromkeys(("name", "digest", "vectors", "library", "why", "problem"))
    try:
        chosen = chosen_kernel()
    except ValueError as error:
        return {**record, "why": str(error), "problem": str(error)}
    record.update(name=chosen.name, digest=chosen.digest or None)
    if chosen.name == "native" and native is not None:
        record.update(vectors=native.vectors, library=str(native.path))
    if wanted:
        return {**record, "why": f"DEM_KERNEL is {wanted}"}
    if native is not None:
        widest = next(iter(_with_files()), native.vectors)
        if widest != native.vectors:
            problem = f"The native kernel for {widest} is damaged or of other sources: install dem again."
            return {**record, "why": f"{native.vectors} is the widest that can be used", "problem": problem}
        return {**record, "why": f"{native.vectors} is the widest that the processor and this installation have"}
    return {**record, "why": why_not, "problem": why_not if _with_files() else None}


def _with_files() -> list[str]:
    """Return the widths of this processor that have a file. One that is not used is damaged or of other sources."""
    features = cpu_features()
    return [name for name, width in WIDTHS.items() if width.needs <= features and (FOLDER / width.file).exists()]


def scheduler() -> dict[str, Any]:
    """Return where passes run if the command names no cluster. A scheduler is not contacted."""
    try:
        address, problem = configured_address(), None
    except (OSError, ValueError) as error:
        address, problem = None, f"{error} (The path is from Dask's configuration, or from DASK_SCHEDULER_FILE.)"
    return {
        "address": without_secrets(str(address)) if address else None,
        "most_workers": Engine().n_workers,
        "problem": problem,
    }


def extras() -> dict[str, dict[str, Any]]:
    """Return, for each extra of the package, whether it is installed, and the versions of its packages."""
    needed = [Requirement(line) for line in metadata(PACKAGE).get_all("Requires-Dist") or []]
    names = metadata(PACKAGE).get_all("Provides-Extra") or []
    return {name: _extra([r for r in needed if _only_in(r, name)]) for name in names}


def _only_in(requirement: Requirement, extra: str) -> bool:
    marker = requirement.marker
    return marker is not None and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""})


def _extra(needed: list[Requirement]) -> dict[str, Any]:
    packages = {requirement.name: _package(requirement) for requirement in needed}
    return {"found": all(package["fits"] for package in packages.values()), "packages": packages}


def _package(requirement: Requirement) -> dict[str, Any]:
    its, needed = version_of(requirement.name), requirement.specifier
    return {"version": its, "needed": str(needed), "fits": its is not None and needed.contains(its, prereleases=True)}


def readers() -> dict[str, str | None]:
    """Return the versions of packages that read other files or object stores."""
    return {name: version_of(name) for name in READERS}


def environment(variables: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables that matter to dem. Values that may be secrets are replaced."""
    return {name: _shown(name, variables[name]) for name in sorted(variables) if name.startswith(ENVIRONMENT)}


def _shown(name: str, value: str) -> str:
    if SECRET.search(f"{name} {value}") or (name.startswith("DASK_") and not OPEN_DASK.match(name)):
        return HIDDEN
    return without_secrets(value)


def without_secrets(text: str) -> str:
    """Return a text without the user, the password and the query of the URLs in it."""
    return re.sub(r"(://\S*?)\?\S*", r"\1?...", re.sub(r"://\S*@", "://...@", text))
