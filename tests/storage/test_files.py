"""Files are written completely or not at all, on a disk and at a URL."""

import errno
import os

import fsspec
import numpy as np
import pytest
import zarr

from dem.storage.files import check_files_free, read_text, write_files


@pytest.fixture(params=["disk", "url"])
def folder(request, tmp_path):
    return str(tmp_path) if request.param == "disk" else f"memory://{tmp_path.name}"


def test_files_come_back(folder):
    write_files({f"{folder}/a/b.json": b"{}", f"{folder}/a/c.txt": "\u00e9".encode()})
    assert read_text(f"{folder}/a/b.json") == "{}"
    assert read_text(f"{folder}/a/c.txt") == "\u00e9"


def test_files_are_replaced_only_with_overwrite(folder):
    write_files({f"{folder}/a": b"1"})
    with pytest.raises(FileExistsError, match=r"exists: choose another name, or replace it \(overwrite=True\)"):
        write_files({f"{folder}/b": b"2", f"{folder}/a": b"2"})
    files, root = fsspec.core.url_to_fs(folder)
    assert not files.exists(f"{root}/b")
    write_files({f"{folder}/a": b"2"}, overwrite=True)
    assert read_text(f"{folder}/a") == "2"


def test_folders_are_never_replaced(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(FileExistsError, match="is a folder"):
        check_files_free([tmp_path / "a"], overwrite=True)


def test_devices_and_pipes_are_never_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    os.symlink(tmp_path / "pipe", tmp_path / "a.png")
    with pytest.raises(FileExistsError, match=r"a\.png is a device, pipe or socket, not a file"):
        write_files({f"{tmp_path}/a.png": b"1"}, overwrite=True)
    assert (tmp_path / "pipe").is_fifo()


def test_a_full_disk_leaves_everything_as_it_was(tmp_path, monkeypatch):
    (tmp_path / "old").write_text("old")
    calls = []

    def full(number):
        calls.append(number)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"^Cannot write .*new/b: the disk is full\.$"):
        write_files({f"{tmp_path}/old": b"new", f"{tmp_path}/new/b": b"new"}, overwrite=True)
    assert os.listdir(tmp_path) == ["old"]
    assert (tmp_path / "old").read_text() == "old"


def test_write_errors_name_the_path(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for place in ("file/a", "file/a/b"):
        with pytest.raises(OSError, match=rf"^Cannot write .*{place}: .*/file is a file, not a folder\.$"):
            write_files({f"{tmp_path}/{place}": b""})
    sealed = "/proc" if os.access("/", os.W_OK) else "/"
    with pytest.raises(OSError, match=rf"^Cannot write {sealed}/?a\.json: [A-Z]"):
        write_files({f"{sealed.rstrip('/')}/a.json": b""})

    def refuses(*words, **more):
        raise ValueError("no such bucket")

    monkeypatch.setattr(fsspec.get_filesystem_class("memory"), "pipe_file", refuses)
    with pytest.raises(OSError, match=r"^Cannot write memory://x/a: ValueError: no such bucket\.$"):
        write_files({"memory://x/a": b""})


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    os.symlink(tmp_path / "real" / "a", tmp_path / "a")
    write_files({str(tmp_path / "a"): b"1"})
    assert (tmp_path / "a").is_symlink()
    assert os.listdir(tmp_path / "real") == ["a"]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_nothing_is_written_inside_zarr(folder, zarr_format):
    group = zarr.create_group(f"{folder}/g.zarr", zarr_format=zarr_format)
    group.create_array("x", data=np.ones(3))
    for place, kind in (("g.zarr/a.png", "group"), ("g.zarr/x/a.png", "array"), ("g.zarr/x/deep/a.png", "array")):
        with pytest.raises(FileExistsError, match=rf"is inside the Zarr {kind} .*g\.zarr"):
            write_files({f"{folder}/{place}": b""})
