import ctypes
import dataclasses
import logging
import shutil
import subprocess
import sys

import pytest

from dem.kernel import library as module
from dem.kernel.digest import SOURCE, source_digest
from dem.kernel.library import WIDTHS, Library, cpu_features, library, limit_vectors, reason

NEEDS_LIBRARY = pytest.mark.skipif(library() is None, reason=f"There is no native kernel. {reason()}")
BUILT = module.FOLDER
RUNS = [name for name, width in WIDTHS.items() if width.needs <= cpu_features()]


@pytest.fixture(autouse=True)
def fresh():
    """What was found before a test is not used in it, nor the other way round."""
    module._find.cache_clear()
    yield
    limit_vectors(None)
    module._find.cache_clear()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    return tmp_path


@NEEDS_LIBRARY
def test_the_library_is_of_these_sources():
    found = library()
    assert found.digest == source_digest()
    assert found.functions.dem_digest() == found.digest.encode()
    assert isinstance(found.functions, ctypes.CDLL)
    assert not isinstance(found.functions, ctypes.PyDLL)
    assert reason() == ""
    assert library() is found


@NEEDS_LIBRARY
def test_the_widest_vectors_are_used():
    built = [name for name in RUNS if (module.FOLDER / WIDTHS[name].file).exists()]
    assert library().vectors == built[0]


@pytest.mark.parametrize("name", WIDTHS)
def test_no_wider_vectors_than_the_limit(name):
    limit_vectors(name)
    order = list(WIDTHS)
    found = library()
    assert (found is None) == (reason() != "")
    assert found is None or order.index(found.vectors) >= order.index(name)


@NEEDS_LIBRARY
def test_where_the_widest_library_was_not_built_a_narrower_one_is_used(folder):
    built = [path for name in RUNS if (path := BUILT / WIDTHS[name].file).exists()]
    if len(built) < 2:
        pytest.skip("A single width was built that this processor runs.")
    shutil.copy(built[1], folder)
    assert library().path.name == built[1].name


def test_unknown_vectors():
    with pytest.raises(ValueError, match=r"^Vectors are 'SSE': give one of AVX-512, AVX2, NEON, or None\.$"):
        limit_vectors("SSE")


def test_no_library_was_built(folder):
    if not RUNS:
        pytest.skip("This processor has no vectors for the native kernel.")
    assert library() is None
    assert reason() == "The native kernel was not built: install dem again, with a C++ compiler."


def test_a_processor_without_the_vectors(folder, monkeypatch):
    monkeypatch.setattr(module, "cpu_features", lambda: frozenset({"SSE2", "AVX2"}))
    assert library() is None
    assert reason() == "This processor has no vectors that the native kernel can use (AVX2, AVX-512 or NEON)."


@NEEDS_LIBRARY
def test_a_library_of_other_sources_is_not_used(monkeypatch, caplog):
    monkeypatch.setattr(module, "source_digest", lambda: "0123456789abcdef")
    with caplog.at_level(logging.WARNING, logger="dem"):
        assert library() is None
        assert library() is None
    assert reason() == "The native kernel was built from other sources: install dem again."
    assert [record.getMessage() for record in caplog.records] == [f"{reason()} NumPy is used."]


@NEEDS_LIBRARY
def test_a_truncated_library_is_not_loaded(folder, caplog):
    """Loading it would end the process."""
    name = next(WIDTHS[name].file for name in RUNS if (BUILT / WIDTHS[name].file).exists())
    whole = (BUILT / name).read_bytes()
    for size in (0, 100, 4096, len(whole) // 2, len(whole) - 1):
        (folder / name).write_bytes(whole[:size])
        module._find.cache_clear()
        assert library() is None
        assert reason() == "The native kernel is damaged: install dem again."
        assert f"{reason()} NumPy is used." in caplog.text


@NEEDS_LIBRARY
def test_a_narrower_library_beside_a_damaged_one(folder, caplog):
    names = [name for name in RUNS if (BUILT / WIDTHS[name].file).exists()]
    if len(names) < 2:
        pytest.skip("This machine has one library.")
    (folder / WIDTHS[names[0]].file).write_bytes(b"no library")
    shutil.copy(BUILT / WIDTHS[names[1]].file, folder)
    assert library().vectors == names[1]
    said = f"The native kernel is damaged: install dem again. {names[1]} is used instead of wider vectors."
    assert [record.getMessage() for record in caplog.records] == [said]


def test_a_file_that_is_no_library_is_not_used(folder, caplog):
    if not RUNS:
        pytest.skip("This processor has no vectors for the native kernel.")
    (folder / WIDTHS[RUNS[0]].file).write_bytes(b"no library")
    assert library() is None
    assert reason() == "The native kernel is damaged: install dem again."
    assert "NumPy is used." in caplog.text


def test_the_digest_depends_on_names_and_bytes(tmp_path):
    def digest(**files):
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
        for name, content in files.items():
            (tmp_path / name).write_text(content)
        return source_digest(tmp_path)

    a, b, c = "a.cpp", "b.h", "c.toml"
    files = [{a: "1", b: "2"}, {a: "2", b: "1"}, {a: "1", c: "2"}, {a: "12", b: ""}, {a: "1"}]
    different = [digest(**some) for some in files]
    assert len(set(different)) == len(different)
    assert digest(**{b: "2", a: "1"}) == different[0]
    assert digest(**{a: "1", b: "2", ".DS_Store": "3", "a.cpp.orig": "4"}) == different[0]
    assert all(len(found) == 16 for found in different)


def test_what_was_found_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Library("AVX2", SOURCE, "", ctypes.CDLL(None)).digest = "other"


def test_importing_dem_loads_no_library():
    code = """
        import sys, dem, dem.kernel
        assert "dem.kernel.library" not in sys.modules and "ctypes" not in sys.modules
        import dem.kernel.library
        assert dem.kernel.library._find.cache_info().currsize == 0 and "numpy" not in sys.modules
    """
    code = "\n".join(line.strip() for line in code.splitlines())
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
