"""The Zarr arrays and groups that a place lies in: where nothing may be written, and what keeps a group readable."""

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
from dem.source.stores import address, file_system, is_url

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
"""Names that end so are names of files of other formats."""
CHECKS = 10
"""How often consolidated metadata are compared with what is there, while others write."""


@dataclass(frozen=True)
class Node:
    """A Zarr array or group that a place lies in.

    Attributes
    ----------
    where : str
        Its address.
    kind : {"array", "group", "model", "checkpoint"}
        The last two are groups that dem has saved, and belong to it alone.
    zarr_format : {2, 3}
    consolidated : bool
        A group that keeps the metadata of all that is in it in one document of its own.
    """

    where: str
    kind: str
    zarr_format: Literal[2, 3]
    consolidated: bool = False


def nodes_above(path: str | os.PathLike[str]) -> list[Node]:
    """Return the Zarr arrays and groups that a place lies in, the innermost first."""
    where = _resolved(address(path))
    with ThreadPoolExecutor(8) as pool:  # object stores answer many questions in the time of one
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


def _node(where: str) -> Node | None:
    """Return the node at an address, as its documents tell; None where there is none."""
    files, root = file_system(where)
    document = _read(files, f"{root}/zarr.json")
    if document is not None:
        kind = document.get("node_type")
        if kind not in ("array", "group"):
            return None
        attributes = document.get("attributes") or {}
        own = next((what for stamp, what in STAMPS.items() if stamp in attributes), None)
        return Node(where, own or kind, 3, bool(document.get("consolidated_metadata")))
    if _read(files, f"{root}/.zarray") is not None:
        return Node(where, "array", 2)
    if _read(files, f"{root}/.zgroup") is not None:
        return Node(where, "group", 2, _read(files, f"{root}/.zmetadata") is not None)
    return None


def _read(files: AbstractFileSystem, key: str) -> dict[str, Any] | None:
    try:
        document = json.loads(files.cat_file(key))
    except Exception:  # stores raise whatever they like: there is none that anybody could read
        return None
    return document if isinstance(document, dict) else None


def check_outside_arrays(path: str | os.PathLike[str], *, part_of: str | None = None) -> list[Node]:
    """Refuse a place inside a Zarr array, model or checkpoint; return the groups that it lies in.

    The folders of these belong to them alone: what else is in there goes when they are replaced or removed.

    Parameters
    ----------
    path : str or Path
    part_of : {"checkpoint"}, optional
        What the place may be inside of: checkpoints have parts.

    Raises
    ------
    FileExistsError
    """
    above = nodes_above(path)
    for node in above:
        if node.kind not in ("group", part_of):
            kind = "Zarr array" if node.kind == "array" else f"{node.kind} of dem"
            raise FileExistsError(f"{path} lies inside the {kind} {node.where}: choose a place outside of it.")
    return above


def check_outside_zarr(path: str | os.PathLike[str]) -> None:
    """Refuse a place inside a Zarr array or group for what is no Zarr: readers would stumble over it.

    Raises
    ------
    FileExistsError
    """
    if groups := check_outside_arrays(path):
        raise FileExistsError(f"{path} lies inside the Zarr group {groups[0].where}: choose a place outside of it.")


def check_name(path: str | os.PathLike[str]) -> None:
    """Refuse for a Zarr array or group a name that would be taken for a file of another format.

    Raises
    ------
    ValueError
    """
    ending = PurePosixPath(address(path)).suffix
    if ending.lower() in FILE_ENDINGS:
        raise ValueError(
            f"{path} would be a Zarr store, which is a folder, under a name that ends like a file's ({ending}): "
            "let it end with .zarr."
        )


def beside(target: Path) -> Path:
    """Return the place that names hidden files of a target (locks, what is unfinished) are made from.

    That is the target itself; of one inside a Zarr group a place beside the outermost group, so that readers of the
    group do not stumble over them. It stays inside where beside the group nothing can be written, or moved from.
    """
    above = nodes_above(target)
    if not above:
        return target
    outer = Path(above[-1].where)
    outside = os.access(outer.parent, os.W_OK) and outer.parent.stat().st_dev == outer.stat().st_dev
    return outer.with_name(".".join(target.resolve().relative_to(outer.parent).parts)) if outside else target


def dimension_names(array: zarr.Array[Any]) -> tuple[str | None, ...]:
    """Return the names of an array's axes, where it has them: in Zarr v2 as xarray writes them."""
    if array.metadata.zarr_format == 3:
        names: Any = array.metadata.dimension_names
    else:
        names = array.attrs.get("_ARRAY_DIMENSIONS")
    return tuple(names) if names is not None and len(names) == array.ndim else (None,) * array.ndim


def dimension_sizes(above: list[Node], target: str) -> dict[str, set[int]]:
    """Return the sizes that each dimension has in the arrays of the outermost group, but for the array at `target`.

    Raises
    ------
    ValueError
        The metadata of one of them cannot be read.
    """
    sizes: dict[str, set[int]] = {}
    if not above:
        return sizes
    outer = above[-1].where
    group = zarr.open_group(outer, mode="r", zarr_format=above[-1].zarr_format, use_consolidated=False)
    for path, array in arrays_in(group, outer).items():
        if f"{outer.rstrip('/')}/{path}" == _resolved(target):
            continue
        for name, size in zip(dimension_names(array), array.shape, strict=True):
            if name is not None:
                sizes.setdefault(name, set()).add(size)
    return sizes


def adopt(path: str | os.PathLike[str]) -> None:
    """Make what was written, or removed, at a place known to the groups that it lies in.

    Groups between are made, and consolidated metadata are written anew.
    """
    where = _resolved(address(path))
    above = [node for node in nodes_above(path) if node.kind == "group"]
    if not above:
        return
    inner = above[0]
    between = PurePosixPath(where.removeprefix(inner.where).strip("/")).parent
    if str(between) != "." and _exists(where):
        group = zarr.open_group(inner.where, mode="r+", zarr_format=inner.zarr_format, use_consolidated=False)
        group.require_group(str(between))
    for node in above:
        if node.consolidated:
            _consolidate(node)


def _exists(where: str) -> bool:
    files, root = file_system(where)
    return bool(files.exists(root))


def _consolidate(group: Node) -> None:
    """Write a group's consolidated metadata; again while others write to the group at the same time."""
    for _ in range(CHECKS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # version 3 of the specification does not speak of them
            zarr.consolidate_metadata(group.where, zarr_format=group.zarr_format)
        if _told(group.where, use_consolidated=True) == _told(group.where, use_consolidated=False):
            return


def _told(where: str, *, use_consolidated: bool) -> dict[str, Any]:
    """Return attributes and shape of all that is in a group, by its path inside."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of files that are no Zarr
        group = zarr.open_group(where, mode="r", use_consolidated=use_consolidated)
        members = list(group.members(max_depth=None))
    return {path: (node.attrs.asdict(), getattr(node, "shape", None)) for path, node in members}
