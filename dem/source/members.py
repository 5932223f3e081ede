"""List the arrays that are currently in a Zarr group; and the error for metadata that cannot be read."""

from __future__ import annotations

import warnings
from typing import Any

import zarr
from zarr.core.sync import sync

from dem.source.retry import check_reached

STAMPS = {"dem_model": "model", "dem_run": "checkpoint", "dem_scan": "checkpoint", "dem_state": "checkpoint"}
"""The attributes that mark groups saved by dem (see `dem.storage`), and what these groups are."""


def unreadable_error(path: Any, error: Exception) -> ValueError:
    """Return the error for metadata from which zarr cannot open an array or a group."""
    return ValueError(
        f"Cannot read the metadata of {path} (its zarr.json, or .zarray and .zgroup): they are damaged, or need a "
        f"feature that zarr {zarr.__version__} does not have ({type(error).__name__}: {error}). Restore or rewrite "
        "the metadata, or install the missing feature."
    )


def arrays_in(group: zarr.Group, name: str, depth: int | None = None) -> dict[str, zarr.Array]:
    """Return the arrays in a group, by their path inside it, down to `depth` levels.

    They are listed from the store. Consolidated metadata may be out of date, so they are used only if the store cannot
    list (for example over HTTP). Arrays inside a model or checkpoint saved by dem are left out, as they are not data.

    Parameters
    ----------
    group : zarr.Group
    name : str
        The name of the group in messages.
    depth : int, optional

    Raises
    ------
    ValueError
        The metadata of an array or group cannot be read.
    """
    found = {}
    for key, item in _members(group, name):
        if isinstance(item, zarr.Array):
            found[key] = item
        elif STAMPS.keys().isdisjoint(item.attrs) and (depth is None or depth > 1):
            inner = arrays_in(item, f"{name}/{key}", None if depth is None else depth - 1)
            found.update({f"{key}/{path}": array for path, array in inner.items()})
    return found


def _members(group: zarr.Group, name: str) -> list[tuple[str, zarr.Array | zarr.Group]]:
    """Return the names and nodes directly in a group, sorted by name."""
    if group.metadata.consolidated_metadata is not None and _can_list(group):
        version = group.metadata.zarr_format
        group = zarr.open_group(group.store_path, mode="r", zarr_format=version, use_consolidated=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)  # about files that do not belong to the group
        try:
            return sorted(group.members())
        except Exception as error:  # zarr raises many kinds of errors, and does not name the member
            check_reached(name, error)
            raise unreadable_error(f"an array or group in {name}", error) from error


def _can_list(group: zarr.Group) -> bool:
    """Whether the store can list the keys of a group. The group has at least the key of its metadata."""
    store = group.store_path.store
    if not store.supports_listing:
        return False
    forget = getattr(getattr(store, "fs", None), "invalidate_cache", None)
    if forget is not None:  # fsspec caches listings, and others may have written since
        forget()

    async def any_key() -> bool:
        return any([True async for _ in store.list_dir(group.path)])

    try:
        return sync(any_key())
    except Exception:  # stores raise many kinds of errors
        return False
