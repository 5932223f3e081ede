"""Opening Zarr arrays by path, URL or handle; what to call them, and whether two places are the same."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import zarr
from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from zarr.storage import FsspecStore, LocalStore, WrapperStore, ZipStore

from dem.source.members import STAMPS, arrays_in, unreadable
from dem.source.retry import check_reached, persist

Node = zarr.Array[Any] | zarr.Group


def address(path: str | os.PathLike[str]) -> str:
    """Return the place that a user names: a URL as it is, all else as an absolute path of this machine.

    Every input and output goes through here. ``~`` is the user's home folder, and a ``file://`` URL is its path.
    Paths are absolute since workers live elsewhere.

    Raises
    ------
    TypeError
        What is given is no path.
    FileNotFoundError
        It is empty.
    ValueError
        A ``file://`` URL without an absolute path.
    """
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str):
        raise TypeError(f"A path or URL must be a str or a Path, got {path!r}.")
    if not text.strip():
        raise FileNotFoundError("The path is empty: give a path or URL.")
    if text.startswith("file://"):
        text = unquote(text.removeprefix("file://").removeprefix("localhost"))
        if not text.startswith("/"):
            raise ValueError(f"{path} names no file of this machine: write file:///folder/name, or the path alone.")
    return text if is_url(text) else os.path.abspath(os.path.expanduser(text))


def is_url(path: str) -> bool:
    """Whether an address is somewhere else than in a folder of this machine."""
    return "://" in path


def local(path: str | os.PathLike[str]) -> Path | None:
    """Return the place that a user names, where it is on this machine; None of a URL."""
    where = address(path)
    return None if is_url(where) else Path(where)


def on_this_machine(path: str | os.PathLike[str], what: str) -> Path:
    """Return the place that a user names.

    Raises
    ------
    ValueError
        A URL: `what`, such as "the scratch folder", must be on a disk.
    """
    found = local(path)
    if found is None:
        raise ValueError(f"{path} is a URL, and {what} must be on a disk of this machine: give a path.")
    return found


def file_system(where: str) -> tuple[AbstractFileSystem, str]:
    """Return the file system of an address, and what the place is called there."""
    return url_to_fs(where) if is_url(where) else (LocalFileSystem(), where)


def open_array(data: str | os.PathLike[str] | Node) -> zarr.Array[Any]:
    """Return the array at a path or URL (``store.zarr/name`` for one inside a group).

    Raises
    ------
    FileNotFoundError
        Nothing is there.
    ValueError
        A group is there, and the message lists the arrays inside; a model or checkpoint of dem's; an array that was
        never completed; or metadata that cannot be read.
    """
    if isinstance(data, zarr.Array | zarr.Group):
        node, where = data, store_name(data)
    else:
        node, where = open_node(data), os.fspath(data)
    if isinstance(node, zarr.Array):
        if node.attrs.get("complete") is False:  # see dem.results.row_outputs
            raise ValueError(f"{where} is not complete: dem is still writing it, or was killed while it did.")
        return node
    for stamp, what in STAMPS.items():
        if stamp in node.attrs:
            raise ValueError(f"{where} is a {what} that dem has saved, not data: name a Zarr array of rows here.")
    inside = sorted(f"{path} {item.shape}" for path, item in arrays_in(node, where, depth=4).items())
    listing = f"with the arrays {', '.join(inside)}" if inside else "without any array inside"
    raise ValueError(f"{where} is a Zarr group, {listing}: name one array, as in {where}/NAME.")


def open_node(path: str | os.PathLike[str]) -> Node:
    """Return the array or group at a path or URL.

    Raises
    ------
    FileNotFoundError
        Nothing is there, or something that is no Zarr store.
    OSError
        The place cannot be reached.
    ValueError
        Its metadata cannot be read.
    """
    where = address(path)
    try:
        return persist(where, lambda: zarr.open(where, mode="r"))
    except FileNotFoundError as error:
        if not is_url(where) and os.path.exists(where):
            raise FileNotFoundError(f"{path} exists, but it is no Zarr array or group.") from error
        raise FileNotFoundError(f"No Zarr store at {path}.") from error
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # zarr raises whatever it likes
        check_reached(path, error)
        raise unreadable(path, error) from error


def store_name(node: Node) -> str:
    """Return a short name for messages: the address from its last ``.zarr`` on."""
    root = getattr(node.store, "path", node.store)  # stores at URLs have a path; others are named by their text
    parts = (PurePosixPath(str(root)) / node.path).parts
    stores = [i for i, part in enumerate(parts) if part.endswith(".zarr")]
    return str(PurePosixPath(*parts[stores[-1] if stores else -1 :]))


def place_of(array: zarr.Array[Any]) -> tuple[str, ...]:
    """Return the place of a stored array; nothing for one that has no address, as in memory."""
    store = array.store_path.store
    while isinstance(store, WrapperStore):
        store = store._store
    if isinstance(store, FsspecStore):
        return (store.fs.unstrip_protocol(f"{store.path}/{array.store_path.path}".rstrip("/")),)
    if isinstance(store, LocalStore):
        return (str((Path(store.root) / array.store_path.path).resolve()),)
    return (str(Path(store.path).resolve()),) if isinstance(store, ZipStore) else ()


def place_at(where: str) -> str:
    """Return the place of an address (see `dem.source.stores.address`)."""
    if not is_url(where):
        return str(Path(where).resolve())
    files, root = file_system(where)
    return str(files.unstrip_protocol(root)).rstrip("/")


def overlap(one: str, other: str) -> bool:
    """Whether two places are the same, or one is inside the other."""
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")
