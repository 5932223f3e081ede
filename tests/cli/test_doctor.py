"""dem doctor: the facts that a bug report needs, also where some cannot be had."""

import io
import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from rich.console import Console

import dem
from command_line import done, run
from dem.cli.commands import doctor, doctor_facts, speed_test
from dem.core.blas import blas_libraries, processor
from dem.kernel.choice import chosen_kernel
from dem.kernel.kernel_id import KernelId

NATIVE = SimpleNamespace(vectors="AVX2", path=Path("lib/estep_avx2.so"), digest="0123456789abcdef")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """A speed test without its second, on few rows and small matrices; no scheduler or kernel of the caller's."""
    monkeypatch.setattr(speed_test, "SECONDS", 0)
    monkeypatch.setattr(speed_test, "ROWS", 200)
    monkeypatch.setattr(speed_test, "SIDE", 32)
    monkeypatch.delenv("DEM_KERNEL", raising=False)
    monkeypatch.setattr(doctor_facts, "configured_address", lambda: None)


def broken():
    raise OSError("no such file")


def replace_group(monkeypatch, name, gather):
    title, _, words = doctor.GROUPS[name]
    monkeypatch.setitem(doctor.GROUPS, name, (title, gather, words))


def words_of(name, record):
    """Return the words for a record, as they are shown, in one line."""
    stream = io.StringIO()
    title, _, words = doctor.GROUPS[name]
    Console(file=stream, width=80).print(doctor._in_words(title, words, record))
    return " ".join(stream.getvalue().split())


def test_the_facts_are_those_of_this_machine():
    result = run("doctor", "--json")
    record = json.loads(result.stdout)
    assert result.exit_code == 0, result.output
    assert list(record) == ["event", *doctor.GROUPS, "problems"]
    assert not [name for name in doctor.GROUPS if "not_known" in record[name]]
    assert record["versions"]["dem"] == dem.__version__
    assert record["versions"]["numpy"] == np.__version__
    assert record["versions"]["python"] == platform.python_version()
    assert record["machine"]["processor"] == processor()
    assert record["machine"]["cores"] == dem.Engine().n_workers
    assert record["memory"]["bytes"] == psutil.virtual_memory().total >= record["memory"]["limit_bytes"]
    assert {its["path"] for its in record["blas"]["libraries"]} == {its["filepath"] for its in blas_libraries()}
    assert record["kernel"]["name"] == chosen_kernel().name
    assert record["kernel"]["why"]
    assert record["problems"] == []


def test_all_groups_are_shown_in_words():
    shown = done("doctor").splitlines()
    titles = [title for title, _, _ in doctor.GROUPS.values()]
    assert [line.rstrip() for line in shown if not line.startswith(" ")] == titles
    assert f"dem {dem.__version__}" in " ".join(" ".join(shown).split())


def test_long_values_are_folded_in_a_narrow_terminal(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr("dem.cli.commands.session.console_for_results", lambda: Console(file=stream, width=80))
    long = "/".join("[folder]" for _ in range(20))
    monkeypatch.setenv("DEM_FOLDER", long)
    done("doctor")
    assert max(map(len, stream.getvalue().splitlines())) <= 80
    assert f"DEM_FOLDER={long}" in "".join(stream.getvalue().split())


@pytest.mark.parametrize("name", list(doctor.GROUPS))
def test_a_fact_that_cannot_be_had_is_said_in_words(monkeypatch, name):
    replace_group(monkeypatch, name, broken)
    assert "not known: OSError: no such file" in " ".join(done("doctor").split())
    record = json.loads(done("doctor", "--json"))
    assert record[name] == {"not_known": "OSError: no such file"}
    assert list(record) == ["event", *doctor.GROUPS, "problems"]


def test_the_speed_is_counted_in_operations(monkeypatch):
    seconds = iter([0.5, 0.25])
    monkeypatch.setattr(speed_test, "_best_seconds", lambda works, budget: [next(seconds) for _ in works])
    found = speed_test.measure_speed()
    assert found["rows_per_second"] == 200 / 0.5
    features = len([(i, j) for i in range(17) for j in range(i + 1)])  # products of 1, x_1, ..., x_16
    assert found["gflops"] == pytest.approx(2 * 2 * features * 16 * 400 / 1e9)
    assert found["product_gflops"] == pytest.approx(2 * 32**3 / 0.25 / 1e9)
    assert found["share_of_product"] == pytest.approx(found["gflops"] / found["product_gflops"])


def test_the_best_of_the_times_counts(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(speed_test.time, "perf_counter", lambda: now[0])

    def work(lengths):
        lengths = iter(lengths)
        return lambda: now.__setitem__(0, now[0] + next(lengths))

    assert speed_test._best_seconds([work([9, 3, 1]), work([9, 2, 4])], 6) == [1, 2]


@pytest.mark.parametrize(
    ("variable", "native", "reason", "why"),
    [
        ("", NATIVE, "", "AVX2 is the widest that the processor and this installation have"),
        ("native", NATIVE, "", "DEM_KERNEL is native"),
        ("numpy", NATIVE, "", "DEM_KERNEL is numpy"),
        ("", None, "It was not built.", "It was not built."),
    ],
)
def test_the_kernel_and_why(monkeypatch, tmp_path, variable, native, reason, why):
    name = "native" if native and variable != "numpy" else "numpy"
    monkeypatch.setenv("DEM_KERNEL", variable)
    monkeypatch.setattr(doctor_facts, "FOLDER", tmp_path)
    monkeypatch.setattr(doctor_facts, "library", lambda: native)
    monkeypatch.setattr(doctor_facts, "reason", lambda: reason)
    chosen = KernelId(name, NATIVE.digest if name == "native" else "")
    monkeypatch.setattr(doctor_facts, "chosen_kernel", lambda: chosen)
    found = doctor_facts.kernel()
    assert (found["name"], found["why"], found["problem"]) == (name, why, None)
    assert found["vectors"] == ("AVX2" if name == "native" else None)
    assert ("native, AVX2" if name == "native" else "in use numpy") in words_of("kernel", found)


def test_a_library_that_is_not_used_is_to_be_mended(monkeypatch, tmp_path):
    """As one of other sources. A library for another processor is not."""
    width = SimpleNamespace(file="estep.so", needs=frozenset({"VECTORS"}))
    (tmp_path / width.file).touch()
    monkeypatch.setattr(doctor_facts, "FOLDER", tmp_path)
    monkeypatch.setattr(doctor_facts, "WIDTHS", {"wide": width})
    monkeypatch.setattr(doctor_facts, "library", lambda: None)
    monkeypatch.setattr(doctor_facts, "reason", lambda: "It is of other sources: install dem again.")
    monkeypatch.setattr(doctor_facts, "chosen_kernel", lambda: KernelId("numpy", ""))
    monkeypatch.setattr(doctor_facts, "cpu_features", frozenset)
    assert doctor_facts.kernel()["problem"] is None
    monkeypatch.setattr(doctor_facts, "cpu_features", lambda: width.needs)
    result = run("doctor")
    assert result.exit_code == 1
    assert result.stderr == "dem: It is of other sources: install dem again.\n"


def test_a_wrong_word_in_the_environment_is_to_be_mended(monkeypatch):
    monkeypatch.setenv("DEM_KERNEL", "abacus")
    result = run("doctor")
    assert result.exit_code == 1
    assert "Versions" in result.stdout
    assert result.stderr.startswith("dem: ")
    assert "DEM_KERNEL" in result.stderr
    assert "abacus" in result.stderr
    assert "Traceback" not in result.output
    shown = run("doctor", "--json")
    assert shown.exit_code == 1
    (problem,) = json.loads(shown.stdout)["problems"]
    assert shown.stderr.strip() == f"dem: {problem}"


def test_the_scheduler_of_dask_s_configuration(monkeypatch):
    assert "this machine" in words_of("scheduler", doctor_facts.scheduler())
    monkeypatch.setattr(doctor_facts, "configured_address", lambda: "tls://anna:geheim@host:8786")
    found = doctor_facts.scheduler()
    assert found["address"] == "tls://...@host:8786"
    assert "the scheduler at tls://...@host:8786" in words_of("scheduler", found)
    monkeypatch.setattr(doctor_facts, "configured_address", broken)
    result = run("doctor")
    assert result.exit_code == 1
    assert result.stderr.startswith("dem: no such file (The path is from Dask's configuration")


def test_no_secret_is_shown(monkeypatch):
    shown = {
        "DEM_KERNEL": "numpy",
        "OMP_NUM_THREADS": "2",
        "OPENBLAS_CORETYPE": "Haswell",
        "DASK_SCHEDULER_ADDRESS": "tcp://host:8786",
        "DASK_DISTRIBUTED__WORKER__MEMORY__SPILL": "0.7",
    }
    partly = {
        "DASK_SCHEDULER_ADDRESS": ("tcp://anna:ge/heim@host:8786/?geheim=1", "tcp://...@host:8786/?..."),
        "DEM_STORE": ("see s3://host/x.zarr?signature=geheim now", "see s3://host/x.zarr?... now"),
    }
    hidden = {
        "DASK_GATEWAY__AUTH__KWARGS__PASSWORD": "geheim",
        "DASK_GATEWAY__PUBLIC": "geheim",
        "DASK_INTERNAL_INHERIT_CONFIG": "geheim",
        "DASK_DISTRIBUTED__SCHEDULER__PRELOAD_ARGV": "--password geheim",
        "DEM_TOKEN": "geheim",
    }
    assert doctor_facts.environment({**shown, "HOME": "/home/anna", "AWS_SECRET_ACCESS_KEY": "geheim"}) == shown
    assert doctor_facts.environment({name: value for name, (value, _) in partly.items()}) == {
        name: expected for name, (_, expected) in partly.items()
    }
    assert doctor_facts.environment(hidden) == dict.fromkeys(hidden, doctor_facts.HIDDEN)
    for name, value in hidden.items():
        monkeypatch.setenv(name, value)
    assert "geheim" not in done("doctor") + done("doctor", "--json")


def test_extras_are_found_with_fitting_versions(monkeypatch):
    lines = [
        "numpy>=1",
        'one>=2; extra == "a"',
        'two<3; extra == "a"',
        'three[x]; extra == "b"',
        'tzdata; os_name != ""',
    ]
    fields = {"Requires-Dist": lines, "Provides-Extra": ["a", "b"]}
    monkeypatch.setattr(doctor_facts, "metadata", lambda name: SimpleNamespace(get_all=fields.get))

    def installed(**versions):
        monkeypatch.setattr(doctor_facts, "version_of", versions.get)
        found = doctor_facts.extras()
        return {name: extra["found"] for name, extra in found.items()}, words_of("extras", found)

    assert installed(one="2.1", two="2.9") == (
        {"a": True, "b": False},
        "Extras a one 2.1, two 2.9 b three not installed",
    )
    assert installed(one="1.9", two="2.9", three="1") == (
        {"a": False, "b": True},
        "Extras a one 1.9 (dem needs >=2), two 2.9 b three 1",
    )


def test_extras_are_those_of_the_package():
    try:
        version(doctor_facts.PACKAGE)
    except PackageNotFoundError:
        pytest.skip("dem runs from a folder without being installed")
    assert "dask-jobqueue" in doctor_facts.extras()["slurm"]["packages"]


def test_limits_of_a_container_are_shown():
    machine = {"platform": "Linux", "processor": "Abacus", "cores": 8, "cores_of_machine": 16, "core_limit": 8}
    memory = {"bytes": 16 * 10**9, "available_bytes": 10**9, "limit_bytes": 16 * 10**9}
    assert "8 of 16" in words_of("machine", machine)
    assert "container" not in words_of("machine", machine)
    assert "the container allows 2: use --workers 2" in words_of("machine", machine | {"core_limit": 2})
    assert "limit none below" in words_of("memory", memory)
    assert "limit 4 GB" in words_of("memory", memory | {"limit_bytes": 4 * 10**9})


def test_a_machine_without_a_known_blas():
    assert "none that threadpoolctl knows" in words_of("blas", {"libraries": []})
    library = {"name": "mkl", "version": None, "kernel": None, "threads": 1, "path": "/opt/lib/libmkl_rt.so"}
    assert "mkl (version not known) in lib, kernel not known, 1 thread" in words_of("blas", {"libraries": [library]})
