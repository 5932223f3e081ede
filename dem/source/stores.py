"""Opening Zarr arrays by path, URL or handle, and what to call them."""

from __future__ import annotations

import os
from pathlib import PurePosixPath
from typing import Any

import zarr


def open_array(data: str | os.PathLike[str] | zarr.Array[Any] | zarr.Group) -> zarr.Array[Any]:
    """Return the array at a path or URL (``store.zarr/name`` for one inside a group).

    Raises
    ------
    FileNotFoundError
        Nothing is there.
    ValueError
        A group is there; the message lists the arrays inside.
    """
    if isinstance(data, zarr.Array | zarr.Group):
        node, where = data, store_name(data)
    else:
        where = os.fspath(data)
        node = _open(where)
    if isinstance(node, zarr.Array):
        return node
    members = node.members(max_depth=3)
    inside = sorted(f"{path} {item.shape}" for path, item in members if isinstance(item, zarr.Array))
    listing = f"with the arrays {', '.join(inside)}" if inside else "without any array inside"
    raise ValueError(f"{where} is a Zarr group, {listing}: name one array, as in {where}/NAME.")


def _open(path: str) -> zarr.Array[Any] | zarr.Group:
    local = "://" not in path
    try:
        return zarr.open(os.path.abspath(path) if local else path, mode="r")  # workers live elsewhere
    except FileNotFoundError as error:
        if local and os.path.exists(path):
            raise FileNotFoundError(f"{path} exists, but it is no Zarr array or group.") from error
        raise FileNotFoundError(f"No Zarr store at {path}.") from error


def store_name(node: zarr.Array[Any] | zarr.Group) -> str:
    """Return a short name for messages: the address from its last ``.zarr`` on."""
    parts = PurePosixPath(str(node.store_path)).parts
    stores = [i for i, part in enumerate(parts) if part.endswith(".zarr")]
    return str(PurePosixPath(*parts[stores[-1] if stores else -1 :]))
