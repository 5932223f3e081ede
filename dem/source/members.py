"""What is in a Zarr group, as its store has it now; and the words for metadata that cannot be read."""

from __future__ import annotations

import warnings
from typing import Any

import zarr
from zarr.core.sync import sync

from dem.source.retry import check_reached

STAMPS = {"dem_model": "model", "dem_run": "checkpoint", "dem_scan": "checkpoint", "dem_state": "checkpoint"}
"""The attributes by which dem tells its own groups (see `dem.storage`), and what these are."""


def unreadable(path: Any, error: Exception) -> ValueError:
    """Return the refusal of metadata that zarr cannot make an array or a group of."""
    return ValueError(
        f"The metadata of {path} (its zarr.json, or .zarray and .zgroup) cannot be read: they are damaged, or zarr "
        f"{zarr.__version__} does not know what they ask for ({type(error).__name__}: {error}). Restore or write them "
        "anew, or install what reads them."
    )


def arrays_in(group: zarr.Group, name: str, depth: int | None = None) -> dict[str, zarr.Array[Any]]:
    """Return the arrays in a group, at most so many levels below it, by their path inside.

    They are those that the store has: consolidated metadata may be older, and are gone by only where the store cannot
    list, as over HTTP. What is inside a model or a checkpoint of dem's is no data, and left out.

    Parameters
    ----------
    group : zarr.Group
    name : str
        What to call it in messages.
    depth : int, optional

    Raises
    ------
    ValueError
        The metadata of one cannot be read.
    """
    found = {}
    for key, item in _members(group, name):
        if isinstance(item, zarr.Array):
            found[key] = item
        elif STAMPS.keys().isdisjoint(item.attrs) and (depth is None or depth > 1):
            inner = arrays_in(item, f"{name}/{key}", None if depth is None else depth - 1)
            found.update({f"{key}/{path}": array for path, array in inner.items()})
    return found


def _members(group: zarr.Group, name: str) -> list[tuple[str, zarr.Array[Any] | zarr.Group]]:
    """Return what is directly in a group, by name."""
    if group.metadata.consolidated_metadata is not None and _can_list(group):
        version = group.metadata.zarr_format
        group = zarr.open_group(group.store_path, mode="r", zarr_format=version, use_consolidated=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)  # of files that are no part of it
        try:
            return sorted(group.members())
        except Exception as error:  # zarr raises whatever it likes, and does not say which one it was
            check_reached(name, error)
            raise unreadable(f"an array or group in {name}", error) from error


def _can_list(group: zarr.Group) -> bool:
    """Whether a store tells what is in a group; there is at least the group's own document."""
    store = group.store_path.store
    if not store.supports_listing:
        return False
    forget = getattr(getattr(store, "fs", None), "invalidate_cache", None)
    if forget is not None:  # fsspec keeps listings, and others may have written since
        forget()

    async def any_key() -> bool:
        return any([True async for _ in store.list_dir(group.path)])

    try:
        return sync(any_key())
    except Exception:  # stores raise whatever they like
        return False
