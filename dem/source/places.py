"""Where arrays are stored, in one spelling, so that two places can be compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import zarr
from fsspec.core import url_to_fs
from zarr.storage import FsspecStore, LocalStore, WrapperStore, ZipStore

from dem.source.stores import is_url


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
    files, root = url_to_fs(where)
    return str(files.unstrip_protocol(root)).rstrip("/")


def overlap(one: str, other: str) -> bool:
    """Whether two places are the same, or one is inside the other."""
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")
