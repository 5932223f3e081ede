"""Limit BLAS to one thread and identify it. Tasks already run in parallel, and results must not depend on threads."""

from __future__ import annotations

import functools
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy  # noqa: F401  (threadpoolctl finds only libraries that are loaded)
import scipy.linalg  # noqa: F401
from threadpoolctl import ThreadpoolController, threadpool_limits

_lock = threading.Lock()
_users = 0
_limits: threadpool_limits | None = None


@functools.cache
def _controller() -> ThreadpoolController:
    """Return the loaded libraries. Cached, because the search takes milliseconds."""
    return ThreadpoolController()


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Keep BLAS on one thread in this process while any sweep runs.

    The limit applies to the whole process. The first sweep sets it and the last one removes it, so sweeps
    in several threads do not disturb each other.
    """
    global _users, _limits
    with _lock:
        if _users == 0:
            _limits = _controller().limit(limits=1, user_api="blas")
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0 and _limits is not None:
                _limits.restore_original_limits()


def limit_blas_in_worker() -> None:
    """Keep BLAS on one thread until this process ends, unless a running sweep has already set the limit.

    For worker processes of a cluster, which run nothing but tasks. If tasks run in the process of their
    sweep (threads, or a cluster in this process), the sweep has already set the limit.
    """
    if _users == 0:
        _limit_permanently()


@functools.cache
def _limit_permanently() -> None:
    _controller().limit(limits=1, user_api="blas")


def single_threaded_openmp() -> None:
    """Keep OpenMP regions that this thread opens on one thread, until the thread ends.

    scikit-learn's K-means adds the results of its threads in the order in which they finish, which changes the
    last bits. Its library may have been loaded after the cached search, so this searches again.
    """
    import sklearn.cluster  # noqa: F401

    ThreadpoolController().limit(limits=1, user_api="openmp")


@functools.cache
def machine_kind() -> str:
    """Return the processor, the BLAS libraries and their kernels: the last bits of results depend on these.

    Processes with the same text are assumed to compute the same bits. NumPy and SciPy may each have a BLAS:
    "AMD EPYC 7B13 (openblas 0.3.30 Haswell, openblas 0.3.31 Haswell)".
    """
    facts = [[info["internal_api"], info["version"], info.get("architecture")] for info in blas_libraries()]
    blas = ", ".join(sorted({" ".join(filter(None, fact)) for fact in facts}))
    return f"{processor()} ({blas})" if blas else processor()


def blas_libraries() -> list[dict[str, Any]]:
    """Return what threadpoolctl knows about each BLAS library that NumPy or SciPy may use."""
    return [info for info in _controller().info() if info["user_api"] == "blas" and _used_here(info)]


def _used_here(info: dict[str, Any]) -> bool:
    """Whether NumPy or SciPy may use this library. Other packages have their own BLAS in folders named after them."""
    folder = Path(info["filepath"]).parent.name
    return not folder.endswith(".libs") or folder in ("numpy.libs", "scipy.libs")


def processor() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return (models or [platform.processor() or platform.machine()])[0]
