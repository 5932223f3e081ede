"""Open Zarr arrays by path, URL or handle; name them in messages; compare the locations of two arrays."""

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

from dem.source.members import STAMPS, arrays_in, unreadable_error
from dem.source.other_formats import how_to_convert
from dem.source.retry import check_reached, read_with_retries

ZarrNode = zarr.Array[Any] | zarr.Group
SPARSE = ("csr_matrix", "csc_matrix")
"""The values of the attribute `encoding-type` by which AnnData marks groups that hold a sparse matrix."""


def address(path: str | os.PathLike[str]) -> str:
    """Return the address for a user's path or URL: URLs are unchanged, other paths become absolute.

    All inputs and outputs use this function. ``~`` is the user's home folder, and a ``file://`` URL becomes its path.
    Paths must be absolute because workers run in other folders.

    Raises
    ------
    TypeError
        `path` is neither a str nor a Path.
    FileNotFoundError
        `path` is empty.
    ValueError
        `path` is a ``file://`` URL without an absolute path.
    """
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str):
        raise TypeError(f"A path or URL must be a str or a Path, got {path!r}.")
    if not text.strip():
        raise FileNotFoundError("The path is empty: give a path or URL.")
    if text.startswith("file://"):
        text = unquote(text.removeprefix("file://").removeprefix("localhost"))
        if not text.startswith("/"):
            raise ValueError(f"{path} is not a file on this machine: write file:///folder/name, or only the path.")
    return text if is_url(text) else os.path.abspath(os.path.expanduser(text))


def is_url(path: str) -> bool:
    """Whether an address is a URL, not a path on this machine."""
    return "://" in path


def local_path(path: str | os.PathLike[str]) -> Path | None:
    """Return the absolute path for a user's path on this machine; None for a URL."""
    where = address(path)
    return None if is_url(where) else Path(where)


def require_local_path(path: str | os.PathLike[str], what: str) -> Path:
    """Return the absolute path for a user's path on this machine.

    Raises
    ------
    ValueError
        `path` is a URL. `what` names it in the message: "the scratch folder".
    """
    found = local_path(path)
    if found is None:
        raise ValueError(f"{path} is a URL, but {what} must be on a disk of this machine: pass a path.")
    return found


def file_system(where: str) -> tuple[AbstractFileSystem, str]:
    """Return the file system of an address, and the path in this file system."""
    return url_to_fs(where) if is_url(where) else (LocalFileSystem(), where)


def open_array(data: str | os.PathLike[str] | ZarrNode) -> zarr.Array[Any]:
    """Return the array at a path or URL (``store.zarr/name`` for one inside a group).

    Raises
    ------
    FileNotFoundError
        Nothing is there.
    ValueError
        It is a group (the message lists the arrays inside), a sparse matrix, a model or checkpoint saved by dem, or an
        array that is not complete; or its metadata cannot be read.
    """
    if isinstance(data, zarr.Array | zarr.Group):
        node, where = data, store_name(data)
    else:
        node, where = open_node(data), os.fspath(data)
    if isinstance(node, zarr.Array):
        check_whole(node, where)
        return node
    check_data_group(node, where)
    inside = arrays_in(node, where, depth=4)
    if not inside:
        raise ValueError(f"{where} is a Zarr group without any arrays: pass a Zarr array of rows.")
    listed = ", ".join(sorted(f"{path} {_sizes_in_words(item)}" for path, item in inside.items()))
    dims = [dim for item in inside.values() if item.ndim > 1 for dim in dimension_names(item) if dim is not None]
    rows = (
        f", or say which dimensions of the group make rows, as in sample_dims={dims[0]!r} (--sample-dims {dims[0]})"
        if dims
        else ""
    )
    raise ValueError(f"{where} is a Zarr group with the arrays {listed}: pass one array, as in {where}/NAME{rows}.")


def _sizes_in_words(array: zarr.Array[Any]) -> str:
    """Return the shape of an array as text, with the names of its dimensions: "(profile 1,437, depth 42)"."""
    names = dimension_names(array)
    if None in names or not names:
        return str(array.shape)
    return f"({', '.join(f'{name} {n:,}' for name, n in zip(names, array.shape, strict=True))})"


def check_whole(array: zarr.Array[Any], name: str | None = None) -> None:
    """Raise ValueError if dem has not completed this array."""
    if array.attrs.get("complete") is False:  # see dem.results.row_outputs
        name = store_name(array) if name is None else name
        raise ValueError(f"{name} is not complete: dem is still writing it, or was killed before it finished.")


def check_data_group(group: zarr.Group, name: str) -> None:
    """Raise ValueError if a group is a sparse matrix, or a model or checkpoint that dem saved."""
    kind = group.attrs.get("encoding-type")
    if kind in SPARSE:
        raise ValueError(
            f"{name} is a sparse matrix ({kind}), and dem reads dense arrays: pass a dense array of the same rows, "
            "such as obsm/X_pca, or write the matrix as a dense Zarr array first."
        )
    for stamp, what in STAMPS.items():
        if stamp in group.attrs:
            raise ValueError(f"{name} is a {what} saved by dem, not data: pass a Zarr array of rows.")


def open_node(path: str | os.PathLike[str]) -> ZarrNode:
    """Return the array or group at a path or URL.

    Raises
    ------
    FileNotFoundError
        Nothing is there, or something that is not a Zarr store.
    OSError
        The path or URL cannot be reached.
    ValueError
        The metadata cannot be read, or it is a file of another format: the message says how to convert it.
    """
    where = address(path)
    try:
        return read_with_retries(where, lambda: zarr.open(where, mode="r"))
    except FileNotFoundError as error:
        if (is_url(where) or os.path.isfile(where)) and (advice := how_to_convert(os.fspath(path))):
            raise ValueError(advice) from error
        if not is_url(where) and os.path.exists(where):
            raise FileNotFoundError(f"{path} exists, but it is not a Zarr array or group.") from error
        raise FileNotFoundError(f"No Zarr store at {path}: check the path.") from error
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # zarr raises many kinds of errors
        check_reached(path, error)
        raise unreadable_error(path, error) from error


def store_name(node: ZarrNode) -> str:
    """Return a short name for messages: the part of the address that begins at the last ``.zarr``."""
    root = getattr(node.store, "path", node.store)  # stores at URLs have a path; other stores are converted to text
    parts = (PurePosixPath(str(root)) / node.path).parts
    stores = [i for i, part in enumerate(parts) if part.endswith(".zarr")]
    return str(PurePosixPath(*parts[stores[-1] if stores else -1 :]))


def dimension_names(array: zarr.Array[Any]) -> tuple[str | None, ...]:
    """Return the names of the axes of an array; None for axes without a name. In Zarr v2, as written by xarray."""
    if array.metadata.zarr_format == 3:
        names: Any = array.metadata.dimension_names
    else:
        names = array.attrs.get("_ARRAY_DIMENSIONS")
    return tuple(names) if names is not None and len(names) == array.ndim else (None,) * array.ndim


def array_location(array: zarr.Array[Any]) -> tuple[str, ...]:
    """Return the location of an array, as a tuple of one; an empty tuple if it has none (for example in memory)."""
    store = array.store_path.store
    while isinstance(store, WrapperStore):
        store = store._store
    if isinstance(store, FsspecStore):
        return (store.fs.unstrip_protocol(f"{store.path}/{array.store_path.path}".rstrip("/")),)
    if isinstance(store, LocalStore):
        return (str((Path(store.root) / array.store_path.path).resolve()),)
    return (str(Path(store.path).resolve()),) if isinstance(store, ZipStore) else ()


def address_location(where: str) -> str:
    """Return the location of an address in the form of `array_location`, so that both can be compared."""
    if not is_url(where):
        return str(Path(where).resolve())
    files, root = file_system(where)
    return str(files.unstrip_protocol(root)).rstrip("/")


def overlap(one: str, other: str) -> bool:
    """Whether two locations are the same, or one is inside the other."""
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")
