"""Compile the native kernel. `hatch_build.py` does so when dem is built or installed; nothing at run time needs it.

It needs the standard library alone, since neither NumPy nor anything else is installed then.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dem.kernel.digest import SOURCE, is_whole, sealed, source_digest
from dem.kernel.library import FOLDER

LONGEST = 600  # seconds
PLATFORMS = ("linux", "darwin")


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler: its name for people, the command with which all calls begin, and what they end with."""

    name: str
    command: tuple[str, ...]
    linking: tuple[str, ...]

    def flag(self, flag: str) -> str:
        """Return a flag of GCC in the spelling of this compiler: zig writes x86_64_v3 for x86-64-v3."""
        return flag.replace("x86-64-", "x86_64_") if self.name == "zig" else flag


# The library of C++ is left out: the kernel needs none of it, nor has every machine one. GCC 12 has no -nostdlib++.
_LINKING = ("-nostdlib++",) if sys.platform == "darwin" else ("-nodefaultlibs", "-Wl,-s", "-lc")


def installed_compilers(environ: Mapping[str, str] = os.environ) -> list[Compiler]:
    """Return the compilers of this machine, the first choice first: $CXX, g++, clang++, c++."""
    commands = [_words(environ.get("CXX", "")), ["g++"], ["clang++"], ["c++"]]
    found = [command for command in commands if command and shutil.which(command[0], path=environ.get("PATH"))]
    return [Compiler(shlex.join(command), tuple(command), _LINKING) for command in found]


def _words(command: str) -> list[str]:
    """Return the words of a command; none if a quotation in it has no end."""
    try:
        return shlex.split(command)
    except ValueError:
        return []


def zig() -> list[Compiler]:
    """Return the compiler of the package ziglang, if this environment has it."""
    command = (sys.executable, "-m", "ziglang", "c++", "-fno-sanitize=all")
    return [Compiler("zig", command, ("-nostdlib++", "-Wl,-s"))] if find_spec("ziglang") else []


def widths() -> dict[str, list[str]]:
    """Return the flags for each width of vectors of this platform, by its name; empty where there is none."""
    machine = {"arm64": "aarch64"}.get(platform.machine(), platform.machine())
    if sys.platform not in PLATFORMS or sys.maxsize < 2**32:
        return {}
    flags = tomllib.loads((SOURCE / "flags.toml").read_text())
    return {width: flags["common"] + own for width, own in flags.get(machine, {}).items()}


def library_path(width: str, folder: Path = FOLDER) -> Path:
    """Return the file of the library with this width of vectors."""
    return folder / f"estep_{width}.so"


def missing(folder: Path = FOLDER) -> list[str]:
    """Return the widths whose library is not there, is damaged or was built from other sources."""
    digest = source_digest().encode()  # read from the files: a process that has loaded one would see no newer one

    def is_current(path: Path) -> bool:
        content = path.read_bytes() if path.exists() else b""
        return digest in content and is_whole(content)

    return [width for width in widths() if not is_current(library_path(width, folder))]


def build(compilers: Iterable[Compiler], folder: Path = FOLDER) -> list[str]:
    """Compile what is missing. A width at which a compiler fails is left to the next compiler.

    Parameters
    ----------
    compilers : iterable of Compiler
        They are tried in this order.
    folder : Path
        Where the libraries are written.

    Returns
    -------
    list of str
        What failed: a line for each compiler and width. (`missing` says whether a later compiler made up for it.)
    """
    failures = []
    with tempfile.TemporaryDirectory() as scratch:
        for compiler in compilers:
            for width in missing(folder):
                try:
                    built = _compile(compiler, width, Path(scratch))
                    folder.mkdir(exist_ok=True)
                    _move(built, library_path(width, folder))
                except (OSError, subprocess.SubprocessError) as error:
                    failures.append(f"{compiler.name}, {width}: {_first_line(error)}")
    return failures


def _compile(compiler: Compiler, width: str, scratch: Path) -> Path:
    """Return a library that has been loaded once, in a folder for temporary files."""
    path = scratch / f"{compiler.name.replace('/', '-')}-{width}.so"
    flags = [*map(compiler.flag, widths()[width]), f'-DDIGEST="{source_digest()}"']
    sources = map(str, sorted(SOURCE.glob("*.cpp")))
    command = [*compiler.command, *flags, "-o", str(path), *sources, *compiler.linking]
    cache = {name: str(scratch / "zig") for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")}
    options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "errors": "replace"}
    subprocess.run(command, env=os.environ | cache, check=True, timeout=LONGEST, **options)
    if not _loads(path):
        raise OSError("its library does not load")
    return path


def _loads(path: Path) -> bool:
    """Whether a compiled library loads. This calls nothing that needs its vectors."""
    try:
        functions = ctypes.CDLL(str(path))
        functions.dem_digest.restype = ctypes.c_char_p
        return bool(functions.dem_digest().decode() == source_digest())
    except (OSError, AttributeError):
        return False


def _move(source: Path, target: Path) -> None:
    """Move a library to another file system, in one step for those who read it."""
    beside = target.with_name(f"{target.name}.{os.getpid()}")
    try:
        beside.write_bytes(sealed(source.read_bytes()))
        shutil.copymode(source, beside)
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)


def _first_line(error: Exception) -> str:
    """Return the first line about an error in what a compiler printed, or else what Python says."""
    printed = getattr(error, "stderr", None) or ""
    if isinstance(printed, bytes):  # after a time-out
        printed = printed.decode(errors="replace")
    lines = [line for line in printed.splitlines() if "error" in line.lower()]
    return (lines or [str(error)])[0]
