"""Find and load the library of the native kernel."""

from __future__ import annotations

import ctypes
import functools
import logging
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal

from dem.kernel.digest import SOURCE, is_whole, source_digest

Vectors = Literal["AVX-512", "AVX2", "NEON"]

FOLDER = Path(__file__).parent / "lib"
log = logging.getLogger("dem")


@dataclass(frozen=True)
class Width:
    """A width of vectors: the file of its library, and what the processor must have, by NumPy's names."""

    file: str
    needs: frozenset[str]


WIDTHS: dict[Vectors, Width] = {  # the widest first
    "AVX-512": Width("estep_avx512.so", frozenset({"AVX512_SKX"})),
    "AVX2": Width("estep_avx2.so", frozenset({"AVX2", "FMA3", "F16C"})),
    "NEON": Width("estep_neon.so", frozenset({"ASIMD"})),
}


@dataclass(frozen=True)
class Library:
    """A loaded library of the native kernel.

    Parameters
    ----------
    vectors : "AVX-512", "AVX2" or "NEON"
        The vectors that it computes with.
    path : Path
        Its file.
    digest : str
        The digest of the sources that it was built from.
    functions : ctypes.CDLL
        Its functions. They are called without the interpreter lock.
    """

    vectors: Vectors
    path: Path
    digest: str
    functions: ctypes.CDLL


def library() -> Library | None:
    """Return the library with the widest vectors of this processor, or None: `reason` says why."""
    found = _find(FOLDER, _limit)
    return found if isinstance(found, Library) else None


def reason() -> str:
    """Return one sentence that says why there is no native kernel; "" where there is one."""
    found = _find(FOLDER, _limit)
    return found if isinstance(found, str) else ""


def limit_vectors(name: Vectors | None) -> None:
    """Use no wider vectors than these from now on, in this process; None: the widest. For tests and benchmarks.

    Parameters
    ----------
    name : "AVX-512", "AVX2", "NEON" or None
        Where the processor lacks these vectors, `library` returns None or narrower ones.
    """
    global _limit
    if name is not None and name not in WIDTHS:
        raise ValueError(f"Vectors are {name!r}: give one of {', '.join(WIDTHS)}, or None.")
    _limit = name


_limit: Vectors | None = None


@functools.cache
def _find(folder: Path, limit: Vectors | None) -> Library | str:
    """Return the library, or the sentence that says why there is none."""
    names = list(WIDTHS)
    features = cpu_features()
    allowed = names[names.index(limit) if limit else 0 :]
    runs = [name for name in allowed if WIDTHS[name].needs <= features]
    if not runs:
        return "This processor has no vectors that the native kernel can use (AVX2, AVX-512 or NEON)."
    built = [name for name in runs if (folder / WIDTHS[name].file).exists()]
    if not built:
        return "The native kernel was not built: install dem again, with a C++ compiler."
    if not SOURCE.is_dir():
        return "The sources of the native kernel are not there to compare with: install dem again."
    expected, why = source_digest(), ""
    for name in built:
        found = _load(name, folder / WIDTHS[name].file)
        if isinstance(found, Library) and found.digest == expected:
            if why:
                log.warning("%s %s is used instead of wider vectors.", why, name)
            return found
        why = found if isinstance(found, str) else "The native kernel was built from other sources: install dem again."
    log.warning("%s NumPy is used.", why)
    return why


def _load(name: Vectors, path: Path) -> Library | str:
    try:
        if not is_whole(path.read_bytes()):
            return "The native kernel is damaged: install dem again."
        functions = ctypes.CDLL(str(path))
        functions.dem_digest.restype = ctypes.c_char_p
        return Library(name, path, functions.dem_digest().decode(), functions)
    except (OSError, AttributeError) as error:
        return f"The native kernel cannot be loaded ({error}): install dem again."


def cpu_features() -> frozenset[str]:
    """Return NumPy's names of what this processor has: AVX2, FMA3, ..."""
    try:
        module = import_module("numpy._core._multiarray_umath")
    except ModuleNotFoundError:  # NumPy 1.26
        module = import_module("numpy.core._multiarray_umath")
    return frozenset(name for name, has in module.__cpu_features__.items() if has)
