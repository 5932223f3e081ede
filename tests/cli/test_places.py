"""Where commands read and write: never inside an array, at home, at URLs, under names that tell what is there."""

import errno
import json
import os
import re

import fsspec
import numpy as np
import pytest
import zarr

import dem
from command_line import done, failed, run
from crosses import cross
from dem.cli.options import error_message
from dem.source.listing import fingerprint

X = np.random.default_rng(0).normal(size=(90, 2))


@pytest.fixture
def folder(tmp_path):
    """A store, weights for it, another array, and a model."""
    zarr.create_array(tmp_path / "x.zarr", data=X, chunks=(40, 2))
    zarr.create_array(tmp_path / "w.zarr", data=np.ones(90))
    zarr.create_group(tmp_path / "g.zarr", zarr_format=2).create_array("other", data=np.ones(3))
    dem.GaussianMixture(1).fit(X).save(tmp_path / "m.zarr")
    return tmp_path


WRITERS = {
    "fit": ("fit", "gmm", "x.zarr", "-k", "1", "--weights", "w.zarr", "-o"),
    "checkpoint": ("fit", "gmm", "x.zarr", "-k", "1", "-o", "new.zarr", "--checkpoint"),
    "predict": ("predict", "m.zarr", "x.zarr", "-o"),
    "impute": ("impute", "m.zarr", "x.zarr", "--std", "-o"),
    "sample": ("sample", "m.zarr", "-n", "9", "-o"),
    "plot": ("plot", "m.zarr", "-o"),
    "report": ("report", "m.zarr", "-o"),
}


@cross("command, inside", list(WRITERS), ["x.zarr", "w.zarr", "g.zarr/other"])
def test_nothing_is_written_inside_an_array(command, inside, folder, monkeypatch):
    monkeypatch.chdir(folder)
    before = fingerprint(folder / inside)["sha256"]
    place = {"plot": f"{inside}/a.png", "report": f"{inside}/a.html"}.get(command, f"{inside}/deep/a")
    said = failed(*WRITERS[command], place)
    assert re.search(r"is inside the Zarr array .*: choose a path outside of it|is the input or contains it", said)
    assert fingerprint(folder / inside)["sha256"] == before
    assert not (folder / "new.zarr").exists()


@pytest.mark.parametrize("command", ["fit", "checkpoint", "predict", "impute", "sample"])
def test_zarr_is_not_written_under_the_name_of_a_file(command, folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert "out.csv would be a Zarr store (a folder)" in failed(*WRITERS[command], "out.csv")
    assert not (folder / "out.csv").exists()


def test_home(folder, monkeypatch, tmp_path_factory):
    """What a shell leaves of ~, as within quotes, is the home folder for all inputs and outputs."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("HOME", str(folder))
    stored = ["--weights", "~/w.zarr", "--checkpoint", "~/c.zarr", "--max-passes", 1]
    assert run("fit", "gmm", "~/x.zarr", "-k", 1, "-o", "~/new.zarr", "--tol", 0, *stored).exit_code == 75
    assert (folder / "c.zarr").is_dir()
    done("fit", "gmm", "~/x.zarr", "-k", 1, "-o", "~/new.zarr", "--tol", 0, *stored[:4])
    done("predict", "~/m.zarr", "~/x.zarr", "-o", "~/l.zarr")
    done("sample", "~/m.zarr", "-n", 5, "-o", "~/s.zarr")
    done("plot", "~/m.zarr", "-o", "~/p.png")
    done("report", "~/m.zarr", "~/x.zarr", "-o", "~/r.json")
    assert {"new.zarr", "l.zarr", "s.zarr", "p.png", "r.json"} < set(os.listdir(folder))
    done("info", "~/x.zarr")
    done("fingerprint", "~/x.zarr")
    (folder / "c.yaml").write_text("version: 2")
    (folder / "s.json").write_text("{}")
    score = ("score", "~/m.zarr", "~/x.zarr")
    assert "'version' must be 1" in failed(*score, "--cluster", "~/c.yaml")
    assert "is not a scheduler file: give the file that" in failed(*score, "--scheduler-file", "~/s.json")
    assert os.listdir(elsewhere) == []


def test_pictures_and_reports_at_urls(folder, monkeypatch):
    monkeypatch.chdir(folder)
    before = sorted(os.listdir(folder))
    root = f"memory://{folder.name}"
    for _ in range(2):
        done("plot", "m.zarr", "-o", f"{root}/p.svg", "--overwrite")
        done("report", "m.zarr", "x.zarr", "-o", f"{root}/r.json", "--overwrite")
    assert "already exists: choose another name, or use --overwrite" in failed("plot", "m.zarr", "-o", f"{root}/p.svg")
    assert "r.json already exists" in failed("report", "m.zarr", "x.zarr", "-o", f"{root}/r.json")
    files = fsspec.filesystem("memory")
    assert b"<svg" in files.cat_file(f"/{folder.name}/p.svg")
    assert json.loads(files.cat_file(f"/{folder.name}/r.json"))["rows"] == 90
    assert sorted(os.listdir(folder)) == before
    assert "the scratch folder must be on a disk" in failed("demo", "--scratch", f"{root}/scratch")


@pytest.mark.parametrize("old", [False, True])
def test_a_full_disk_leaves_no_half_of_a_report(folder, monkeypatch, old):
    monkeypatch.chdir(folder)
    words = ("report", "m.zarr", "x.zarr", "-o", "r/report.json", *(["--overwrite"] if old else []))
    if old:
        done(*words)
    before = {path.name: path.read_bytes() for path in (folder / "r").glob("*")}

    def full(number):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert failed(*words) == "dem: Cannot write r/report.json: the disk is full."
    assert failed("plot", "m.zarr", "-o", "p.png") == "dem: Cannot write p.png: the disk is full."
    assert {path.name: path.read_bytes() for path in (folder / "r").glob("*")} == before
    assert not (folder / "p.png").exists()
    assert (folder / "r").exists() == old


def test_folders_are_made(folder, monkeypatch):
    monkeypatch.chdir(folder)
    done("plot", "m.zarr", "-o", "new/deep/p.png")
    assert (folder / "new" / "deep" / "p.png").stat().st_size > 0
    assert failed("plot", "m.zarr", "-o", "new/deep/p.png/q.png").startswith("dem: Cannot write ")


def test_a_bare_error_of_the_system_names_its_file():
    assert error_message(OSError(5, "Input/output error", "a.dat")) == "a.dat: Input/output error"
    assert error_message(OSError(5, "Input/output error")) == "Input/output error"
    assert error_message(ValueError("[Errno 5]")) == "[Errno 5]"
