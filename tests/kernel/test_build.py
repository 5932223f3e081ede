"""The fast tests compile nothing: Python programs stand in for compilers."""

import os
import platform
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dem.kernel.build import Compiler, build, installed_compilers, library_path, missing, widths, zig
from dem.kernel.library import WIDTHS

ROOT = Path(__file__).parents[2]
FAILS = Compiler("fails", (sys.executable, "-c", "import sys; sys.exit('an error: no')"), ())
WRITES_NOTHING = Compiler("idle", (sys.executable, "-c", ""), ())

needs_platform = pytest.mark.skipif(not widths(), reason="This platform has no native kernel.")
needs_compiler = pytest.mark.skipif(not installed_compilers(), reason="There is no C++ compiler.")


def executables(folder, *names):
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)


def names(environ):
    return [compiler.name for compiler in installed_compilers(environ)]


def test_the_compilers_that_are_tried_and_their_order(tmp_path):
    executables(tmp_path, "c++", "clang++", "mine", "g++")
    path = {"PATH": str(tmp_path)}
    assert names(path) == ["g++", "clang++", "c++"]
    assert names(path | {"CXX": "mine -m64"}) == ["mine -m64", "g++", "clang++", "c++"]
    assert names(path | {"CXX": "absent"}) == ["g++", "clang++", "c++"]
    (tmp_path / "g++").unlink()
    assert names(path) == ["clang++", "c++"]


def test_each_width_that_is_built_can_be_found():
    assert {library_path(width).name for width in widths()} <= {width.file for width in WIDTHS.values()}


def test_flags_of_a_width(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    for machine, expected in {
        "x86_64": ["avx512", "avx2"],
        "arm64": ["neon"],
        "aarch64": ["neon"],
        "s390x": [],
    }.items():
        monkeypatch.setattr(platform, "machine", lambda machine=machine: machine)
        assert list(widths()) == expected
        for flags in widths().values():
            assert "-O3" in flags
            assert any(flag.startswith("-DVECTOR_BYTES=") for flag in flags)
            assert not {"-ffast-math", "-ffinite-math-only"} & set(flags)


def test_zig_has_its_own_names_for_processors():
    assert Compiler("zig", (), ()).flag("-march=x86-64-v4") == "-march=x86_64_v4"
    assert Compiler("g++", (), ()).flag("-march=x86-64-v4") == "-march=x86-64-v4"


@needs_platform
def test_compilers_that_fail_are_named(tmp_path):
    lib = tmp_path / "lib"
    expected = [f"fails, {width}: an error: no" for width in widths()]
    expected += [f"idle, {width}: its library does not load" for width in widths()]
    assert build([FAILS, WRITES_NOTHING], lib) == expected
    assert missing(lib) == list(widths())
    assert not lib.exists()


@needs_platform
def test_files_that_are_no_library_of_these_sources_are_missing(tmp_path):
    width = next(iter(widths()))
    library_path(width, tmp_path).write_bytes(b"no library")
    assert missing(tmp_path) == list(widths())


@pytest.mark.slow
@needs_platform
@needs_compiler
def test_a_compiler_that_fails_leads_to_the_next(tmp_path, monkeypatch):
    failures = build([FAILS, *installed_compilers()], tmp_path)
    assert missing(tmp_path) == []
    assert failures[0].startswith("fails, ")
    before = [library_path(width, tmp_path).stat().st_mtime_ns for width in widths()]
    assert build([FAILS], tmp_path) == []  # all are there: nothing is compiled
    assert [library_path(width, tmp_path).stat().st_mtime_ns for width in widths()] == before
    monkeypatch.setattr("dem.kernel.build.source_digest", lambda: "0123456789abcdef")
    assert missing(tmp_path) == list(widths())
    build(installed_compilers(), tmp_path)
    assert missing(tmp_path) == []


@pytest.mark.slow
@needs_platform
def test_zig_compiles_the_kernel(tmp_path, monkeypatch):
    pip(["install", "--target", str(tmp_path / "packages"), "ziglang"])
    monkeypatch.syspath_prepend(tmp_path / "packages")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"))
    assert build(zig(), tmp_path / "lib") == []
    assert missing(tmp_path / "lib") == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environ", "pure"),
    [({"DEM_KERNEL_BUILD": "0"}, True), pytest.param({"CXX": "false"}, False, marks=[needs_platform, needs_compiler])],
)
def test_wheels(tmp_path, environ, pure):
    """With another $CXX than one that works, the next compiler is used."""
    shutil.copytree(ROOT / "dem", tmp_path / "dem", ignore=shutil.ignore_patterns("lib", "__pycache__"))
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, tmp_path)
    pip(["wheel", "--no-deps", "--wheel-dir", str(tmp_path / "dist"), str(tmp_path)], environ)
    (wheel,) = (tmp_path / "dist").iterdir()
    with zipfile.ZipFile(wheel) as files:
        libraries = [name for name in files.namelist() if name.startswith("dem/kernel/lib/")]
    assert libraries == ([] if pure else sorted(f"dem/kernel/lib/{library_path(width).name}" for width in widths()))
    assert "-py3-none-" in wheel.name
    assert wheel.name.endswith("-any.whl") == pure


def pip(arguments, environ=None):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, env=os.environ | (environ or {}), capture_output=True, text=True)
    if "No module named pip" in done.stderr or "No matching distribution found" in done.stderr:
        pytest.skip("There is no pip, or no package index.")
    assert done.returncode == 0, done.stderr
