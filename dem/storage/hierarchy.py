"""The Zarr arrays and groups around a path: where writing is not allowed, and which metadata must be updated."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import zarr
from fsspec import AbstractFileSystem

from dem.source.members import STAMPS, arrays_in
from dem.source.stores import address, dimension_names, file_system, is_url

FILE_ENDINGS = frozenset(
    f".{word}"
    for words in (
        "csv tsv txt json jsonl yaml yml xml html md xls xlsx ods",
        "npy npz parquet feather arrow h5 hdf5 he5 nc nc4 cdf grib grb fits mat pkl pickle joblib pt onnx",
        "zip gz bz2 xz zst tar tgz 7z",
        "png jpg jpeg tif tiff svg pdf eps ps gif webp",
    )
    for word in words.split()
)
"""Suffixes of other file formats. A Zarr store may not have such a name."""
CHECKS = 10
"""Largest number of times consolidated metadata are written again because others write at the same time."""


@dataclass(frozen=True)
class EnclosingNode:
    """A Zarr array or group that contains a path.

    Attributes
    ----------
    where : str
        Its address.
    kind : {"array", "group", "model", "checkpoint"}
        The last two are groups saved by dem; nothing else may be written into them.
    zarr_format : {2, 3}
    consolidated : bool
        The group has consolidated metadata: one document with the metadata of all its members.
    """

    where: str
    kind: str
    zarr_format: Literal[2, 3]
    consolidated: bool = False


def enclosing_nodes(path: str | os.PathLike[str]) -> list[EnclosingNode]:
    """Return the Zarr arrays and groups that contain a path, the innermost first."""
    where = _resolved(address(path))
    with ThreadPoolExecutor(8) as pool:  # object stores answer parallel requests in the time of one
        found = list(pool.map(_node, _parents(where)))
    return [node for node in found if node is not None]


def _resolved(where: str) -> str:
    return where if is_url(where) else str(Path(where).resolve())


def _parents(where: str) -> Iterator[str]:
    if not is_url(where):
        yield from map(str, Path(where).parents)
        return
    scheme, _, rest = where.rpartition("://")
    yield from (f"{scheme}://{parent}" for parent in PurePosixPath(rest.rstrip("/")).parents if str(parent) != ".")


def _node(where: str) -> EnclosingNode | None:
    """Return the node at an address, according to its metadata; None if there is none."""
    files, root = file_system(where)
    document = _read(files, f"{root}/zarr.json")
    if document is not None:
        kind = document.get("node_type")
        if kind not in ("array", "group"):
            return None
        attributes = document.get("attributes") or {}
        own = next((what for stamp, what in STAMPS.items() if stamp in attributes), None)
        return EnclosingNode(where, own or kind, 3, bool(document.get("consolidated_metadata")))
    if _read(files, f"{root}/.zarray") is not None:
        return EnclosingNode(where, "array", 2)
    if _read(files, f"{root}/.zgroup") is not None:
        return EnclosingNode(where, "group", 2, _read(files, f"{root}/.zmetadata") is not None)
    return None


def _read(files: AbstractFileSystem, key: str) -> dict[str, Any] | None:
    try:
        document = json.loads(files.cat_file(key))
    except Exception:  # stores raise many kinds of errors; all mean: no readable document
        return None
    return document if isinstance(document, dict) else None


def check_outside_arrays(path: str | os.PathLike[str], *, part_of: str | None = None) -> list[EnclosingNode]:
    """Check that a path is not inside a Zarr array, model or checkpoint; return the groups that contain it.

    Anything else inside an array, model or checkpoint would be lost when that is replaced or removed.

    Parameters
    ----------
    path : str or Path
    part_of : {"checkpoint"}, optional
        The kind that may contain the path. Checkpoints have parts.

    Raises
    ------
    FileExistsError
    """
    above = enclosing_nodes(path)
    for node in above:
        if node.kind not in ("group", part_of):
            kind = "Zarr array" if node.kind == "array" else f"{node.kind} of dem"
            raise FileExistsError(f"{path} is inside the {kind} {node.where}: choose a path outside of it.")
    return above


def check_outside_zarr(path: str | os.PathLike[str]) -> None:
    """Check that a path is not inside a Zarr array or group. Other files in a group would disturb its readers.

    Raises
    ------
    FileExistsError
    """
    if groups := check_outside_arrays(path):
        raise FileExistsError(f"{path} is inside the Zarr group {groups[0].where}: choose a path outside of it.")


def check_name(path: str | os.PathLike[str]) -> None:
    """Check that the name of a Zarr array or group does not have the suffix of another file format.

    Raises
    ------
    ValueError
    """
    ending = PurePosixPath(address(path)).suffix
    if ending.lower() in FILE_ENDINGS:
        raise ValueError(
            f"{path} would be a Zarr store (a folder), but its name has the suffix of a file ({ending}): "
            "use the suffix .zarr."
        )


def hidden_file_base(target: Path) -> Path:
    """Return the path from which the names of hidden files of a target (lock, unfinished output) are made.

    This is the target itself. For a target inside a Zarr group, it is a path next to the outermost group, so that
    readers of the group do not find the hidden files. If files cannot be written there, or cannot be moved from there
    into the group, it is the target.
    """
    above = enclosing_nodes(target)
    if not above:
        return target
    outer = Path(above[-1].where)
    outside = os.access(outer.parent, os.W_OK) and outer.parent.stat().st_dev == outer.stat().st_dev
    return outer.with_name(".".join(target.resolve().relative_to(outer.parent).parts)) if outside else target


def dimension_sizes(above: list[EnclosingNode], target: str) -> dict[str, set[int]]:
    """Return the sizes of each dimension in all arrays of the outermost group, except those at or in `target`.

    Raises
    ------
    ValueError
        The metadata of an array cannot be read.
    """
    sizes: dict[str, set[int]] = {}
    if not above:
        return sizes
    outer = above[-1].where
    group = zarr.open_group(outer, mode="r", zarr_format=above[-1].zarr_format, use_consolidated=False)
    for path, array in arrays_in(group, outer).items():
        if f"{outer.rstrip('/')}/{path}/".startswith(f"{_resolved(target).rstrip('/')}/"):
            continue
        for name, size in zip(dimension_names(array), array.shape, strict=True):
            if name is not None:
                sizes.setdefault(name, set()).add(size)
    return sizes


def update_enclosing_groups(path: str | os.PathLike[str]) -> None:
    """Update the groups that contain a path, after an array or group was written or removed there.

    Missing groups in between are made, and consolidated metadata are written again.
    """
    where = _resolved(address(path))
    above = [node for node in enclosing_nodes(path) if node.kind == "group"]
    if not above:
        return
    inner = above[0]
    between = PurePosixPath(where.removeprefix(inner.where).strip("/")).parent
    if str(between) != "." and _exists(where):
        group = zarr.open_group(inner.where, mode="r+", zarr_format=inner.zarr_format, use_consolidated=False)
        group.require_group(str(between))
    for node in above:
        if node.consolidated:
            consolidate(node.where, node.zarr_format)


def _exists(where: str) -> bool:
    files, root = file_system(where)
    return bool(files.exists(root))


def consolidate(where: str, zarr_format: Literal[2, 3]) -> None:
    """Write the consolidated metadata of a group, again if others change the group at the same time."""
    for _ in range(CHECKS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # version 3 of the specification does not define them
            zarr.consolidate_metadata(where, zarr_format=zarr_format)
        if _metadata(where, use_consolidated=True) == _metadata(where, use_consolidated=False):
            return


def _metadata(where: str, *, use_consolidated: bool) -> dict[str, Any]:
    """Return the attributes and shapes of all members of a group, by their paths inside it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about files that are not Zarr
        group = zarr.open_group(where, mode="r", use_consolidated=use_consolidated)
        members = list(group.members(max_depth=None))
    return {path: (node.attrs.asdict(), getattr(node, "shape", None)) for path, node in members}
