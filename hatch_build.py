"""The build hook of hatchling: it compiles the native kernel for wheels and editable installs (`dem/kernel/build.py`).

The machine's own compiler is used if it works, otherwise zig, from the package ziglang. Where neither is to be had, or
if the environment variable DEM_KERNEL_BUILD is 0, dem is installed without a native kernel: then NumPy does its work.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import sys_tags

sys.path.insert(0, str(Path(__file__).parent))  # hatchling loads this file by its path

from dem.kernel.build import build, installed_compilers, library_path, missing, widths, zig
from dem.kernel.library import FOLDER

ZIG = "ziglang"


class KernelHook(BuildHookInterface):
    """Compiles the native kernel, and names the platform in the wheel's tag if there is one."""

    def dependencies(self) -> list[str]:
        """Return ziglang if it is needed. Only compiling shows whether it is, so this compiles already."""
        if not _is_wanted():
            return []
        build(installed_compilers())
        return [ZIG] if missing() and _can_be_had(ZIG) else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile what is not there yet, and add the libraries to the wheel.

        Parameters
        ----------
        version : str
            "standard", or "editable": then the libraries stay in the source tree.
        build_data : dict
            What hatchling wants to know about the wheel.
        """
        if not _is_wanted():
            if version == "editable":
                shutil.rmtree(FOLDER, ignore_errors=True)
            return _say("DEM_KERNEL_BUILD is 0")
        if not widths():
            return _say("there is none for this platform")
        failures = build([*installed_compilers(), *zig()])
        built = [library_path(width).relative_to(self.root).as_posix() for width in widths() if width not in missing()]
        if not built:
            return _say("; ".join(failures) or "no C++ compiler was found, and the package ziglang cannot be had")
        if missing():
            print(f"dem is installed without some kernels: {'; '.join(failures)}", file=sys.stderr)
        build_data.update(pure_python=False, tag=f"py3-none-{_platform()}")
        build_data["artifacts"] += [f"/{path}" for path in built]
        return None


def _is_wanted() -> bool:
    return os.environ.get("DEM_KERNEL_BUILD", "") != "0"


def _say(why: str) -> None:
    print(f"dem is installed without its native kernel ({why}). It works, but E-steps are slower.", file=sys.stderr)


def _platform() -> str:
    """Return the platform in the form of a wheel's tag: linux_x86_64, macosx_14_0_arm64."""
    names = (tag.platform for tag in sys_tags())
    return next(name for name in names if not name.startswith(("manylinux", "musllinux")))


def _can_be_had(package: str) -> bool:
    """Whether pip or uv finds a package for this platform. One that cannot be had would end the installation.

    pip keeps itself from build hooks by two variables. Options of its command line are not seen here,
    those in variables and files are. Where there is neither pip nor uv, the answer is yes.
    """
    environ = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONNOUSERSITE")}

    def succeeds(*command: str) -> bool:
        return subprocess.run(command, env=environ, capture_output=True, stdin=subprocess.DEVNULL).returncode == 0

    if uv := environ.get("UV"):
        return succeeds(uv, "pip", "install", "--dry-run", "--no-deps", "--python", sys.executable, package)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    return not succeeds(*pip, "--version") or succeeds(*pip, "index", "versions", "--retries", "1", package)
