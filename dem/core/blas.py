"""BLAS: which one it is; and on one thread, since tasks are the parallelism and bits must not depend on threads."""

from __future__ import annotations

import functools
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy  # noqa: F401  (threadpoolctl sees only libraries that are loaded)
import scipy.linalg  # noqa: F401
from threadpoolctl import ThreadpoolController, threadpool_limits

_lock = threading.Lock()
_users = 0
_limits: threadpool_limits | None = None


@functools.cache
def _controller() -> ThreadpoolController:
    """Return the loaded libraries; finding them takes milliseconds, so once per process."""
    return ThreadpoolController()


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Keep BLAS on one thread in this process while any sweep runs.

    The limit belongs to the process. The first sweep in sets it and the last one out lifts it, so
    that sweeps in several threads do not undo each other's.
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
    """Put BLAS on one thread for the rest of this process's life, unless a sweep here does so now.

    For the worker processes of a cluster, whose tasks are all there is. A task that runs in the
    process of its own sweep (threads, a cluster in this process) finds the limit set already.
    """
    if _users == 0:
        _limit_for_good()


@functools.cache
def _limit_for_good() -> None:
    _controller().limit(limits=1, user_api="blas")


def single_threaded_openmp() -> None:
    """Keep OpenMP regions that this thread opens on one thread, for the rest of the thread's life.

    scikit-learn's K-means adds up what its threads give in the order in which they end. It may not have been loaded
    when this process first looked for its libraries.
    """
    import sklearn.cluster  # noqa: F401

    ThreadpoolController().limit(limits=1, user_api="openmp")


@functools.cache
def machine_kind() -> str:
    """Return what the last bits of this process's results depend on, beside the program: processor, BLAS, kernels.

    Processes with the same words are taken to compute the same bits. NumPy and SciPy may have a BLAS each:
    "AMD EPYC 7B13 (openblas 0.3.30 Haswell, openblas 0.3.31 Haswell)".
    """
    libraries = [info for info in _controller().info() if info["user_api"] == "blas" and _ours(Path(info["filepath"]))]
    facts = [[info["internal_api"], info["version"], info.get("architecture")] for info in libraries]
    blas = ", ".join(sorted({" ".join(filter(None, fact)) for fact in facts}))
    return f"{_processor()} ({blas})" if blas else _processor()


def _ours(library: Path) -> bool:
    """Whether NumPy or SciPy may call a library: other packages bring BLAS of their own, in folders that say so."""
    folder = library.parent.name
    return not folder.endswith(".libs") or folder in ("numpy.libs", "scipy.libs")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return (models or [platform.processor() or platform.machine()])[0]
