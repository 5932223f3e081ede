"""Fingerprint of the contents of a Zarr store, from its metadata and a listing. No chunk is read.

It shows whether a store has changed since the last fit. The fingerprint includes the contents of metadata; and the
names, sizes, and times (on a disk) or ETags (in an object store) of chunks. So on a disk, a chunk that is written
again counts as changed even if its bytes are the same. In an Icechunk store the ID of the snapshot is used, and
nothing is listed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import zarr
from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import FsspecStore, LocalStore, MemoryStore, WrapperStore, ZipStore

from dem.source.reader import n_units
from dem.source.stores import ZarrNode, open_node, store_name

MOST_LISTED = 100_000
"""Most chunks of a store that are listed to identify it; the listing takes some seconds."""

METADATA_NAMES = frozenset({"zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"})
MARKS = ("ETag", "etag", "e_tag", "md5Hash", "md5", "content_md5", "mtime", "LastModified", "last_modified", "created")
"""Keys under which file systems give an ETag, a hash or a time of an object; the most reliable comes first."""
TIMES = ("LastModified", "last_modified", "updated", "mtime", "created")


class Object(NamedTuple):
    """One object of a store.

    Attributes
    ----------
    key : str
        Relative to the array or group.
    size : int
        In bytes.
    mark : str
        ETag, hash or time. It changes if the object is replaced by one of the same name and size.
    time : float or None
        Time of writing in seconds since 1970, if known.
    """

    key: str
    size: int
    mark: str
    time: float | None


@dataclass(frozen=True)
class Listing:
    """The objects of a store, and a function that reads them.

    Attributes
    ----------
    objects : list of Object
    read : callable
        Returns the contents of a key.
    """

    objects: list[Object]
    read: Callable[[str], bytes]


def fingerprint(path: str | os.PathLike[str] | ZarrNode) -> dict[str, Any]:
    """Return the fingerprint of an array, or of a group and everything in it.

    Parameters
    ----------
    path : str, Path, zarr.Array or zarr.Group
        A path or URL (``store.zarr/name`` for an array inside a group), or an open array or group.

    Returns
    -------
    dict
        `sha256` is the fingerprint. `objects` (number), `bytes` and `newest` (seconds since 1970, or None) describe the
        listing. `snapshot` is the ID of an Icechunk snapshot; then there is no listing, and these three are None.

    Raises
    ------
    FileNotFoundError
        There is no Zarr store at the path.
    ValueError
        The store cannot be listed, gives neither ETags nor times, or is an Icechunk session with uncommitted changes.
    """
    node = path if isinstance(path, zarr.Array | zarr.Group) else open_node(path)
    store = node.store
    while isinstance(store, WrapperStore):
        store = store._store
    session = getattr(store, "session", None)
    if hasattr(session, "snapshot_id"):
        return _of_snapshot(session, node)
    return _of_listing(_list(store, node))


def listed_sha256(array: zarr.Array[Any]) -> str | None:
    """Return the fingerprint of an array's contents, which shows that rows were rewritten in place.

    None for arrays of more than `MOST_LISTED` chunks, and for stores that cannot be listed.
    """
    if n_units(array) > MOST_LISTED:
        return None
    try:
        found: str = fingerprint(array)["sha256"]
    except (ValueError, NotImplementedError):
        return None
    return found


def key_of(*parts: Any) -> str:
    """Return the SHA-256 of fingerprints, settings and other JSON values: a key for a result that depends on them."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _of_snapshot(session: Any, node: ZarrNode) -> dict[str, Any]:
    if getattr(session, "has_uncommitted_changes", False):
        raise ValueError(f"{store_name(node)} has uncommitted changes, so it has no snapshot: commit them first.")
    sha256 = key_of("icechunk", session.snapshot_id, node.path)
    return {"sha256": sha256, "objects": None, "bytes": None, "newest": None, "snapshot": session.snapshot_id}


def _of_listing(listing: Listing) -> dict[str, Any]:
    digest = hashlib.sha256()
    for found in sorted(listing.objects):
        is_metadata = found.key.rpartition("/")[2] in METADATA_NAMES
        mark = hashlib.sha256(listing.read(found.key)).hexdigest() if is_metadata else found.mark
        digest.update(json.dumps([found.key, found.size, mark]).encode() + b"\n")
    times = [found.time for found in listing.objects if found.time is not None]
    return {
        "sha256": digest.hexdigest(),
        "objects": len(listing.objects),
        "bytes": sum(found.size for found in listing.objects),
        "newest": max(times, default=None),
        "snapshot": None,
    }


def _list(store: Store, node: ZarrNode) -> Listing:
    """Return the objects of a node and of all nodes below it."""
    if isinstance(store, LocalStore):
        return _on_disk(Path(store.root) / node.path)
    if isinstance(store, ZipStore):
        return _zip_file(Path(store.path), node)
    if isinstance(store, FsspecStore):
        return _at_url(store, node.path)
    if isinstance(store, MemoryStore):
        return _in_memory(store, node.path)
    if hasattr(getattr(store, "store", None), "list"):  # zarr.storage.ObjectStore, over obstore
        return _in_object_store(store, node.path)
    raise ValueError(
        f"{store_name(node)} is in a {type(store).__name__}, which dem cannot list: pass its path or URL instead."
    )


def _on_disk(root: Path) -> Listing:
    return Listing(list(_files(root)), lambda key: (root / key).read_bytes())


def _files(root: Path) -> Iterator[Object]:
    folders = [""]
    while folders:
        folder = folders.pop()
        with os.scandir(root / folder) as entries:
            for entry in entries:
                key = f"{folder}{entry.name}"
                if entry.is_dir():
                    folders.append(f"{key}/")
                    continue
                try:
                    stat = entry.stat()
                except FileNotFoundError:  # just being replaced: the next fingerprint will differ
                    continue
                yield Object(key, stat.st_size, str(stat.st_mtime_ns), stat.st_mtime)


def _zip_file(path: Path, node: ZarrNode) -> Listing:
    """Return the ZIP file as one object. Its key is the path of the node inside the file."""
    stat = path.stat()
    return Listing([Object(f"{node.path}!", stat.st_size, str(stat.st_mtime_ns), stat.st_mtime)], lambda key: b"")


def _at_url(store: FsspecStore, path: str) -> Listing:
    """Return the listing of a store at a URL. Its file system is asynchronous, so `sync` runs the calls."""
    root = f"{store.path}/{path}".rstrip("/")
    store.fs.invalidate_cache()  # others may have written since
    infos: Mapping[str, Any] = sync(store.fs._find(root, detail=True))
    return Listing(
        [_object(name.removeprefix(root).lstrip("/"), info) for name, info in infos.items()],
        lambda key: bytes(sync(store.fs._cat_file(f"{root}/{key}"))),
    )


def _in_object_store(store: Any, path: str) -> Listing:
    infos: Iterable[Mapping[str, Any]] = [info for batch in store.store.list(path or None) for info in batch]
    return Listing(
        [_object(info["path"].removeprefix(path).lstrip("/"), info) for info in infos],
        lambda key: bytes(store.store.get(f"{path}/{key}".lstrip("/")).bytes()),
    )


def _object(key: str, info: Mapping[str, Any]) -> Object:
    """Return an object, given the information of its file system."""
    known = [info[name] for name in MARKS if info.get(name) is not None]
    if not known:
        raise ValueError(
            f"Changes of the store cannot be detected: it gives no ETags or times (for {key}, for example)."
        )
    times = [info[name] for name in TIMES if info.get(name) is not None]
    return Object(key, int(info.get("size") or 0), str(known[0]), _seconds(times[0]) if times else None)


def _seconds(time: Any) -> float | None:
    """Return a time (number, datetime or ISO text) in seconds since 1970."""
    if isinstance(time, str):
        time = datetime.fromisoformat(time)
    return time.timestamp() if isinstance(time, datetime) else float(time)


def _in_memory(store: MemoryStore, path: str) -> Listing:
    """Return the listing of a store in memory. It has no times, so the mark of an object is its hash."""
    prefix = f"{path}/" if path else ""

    async def contents() -> dict[str, bytes]:
        keys = [key async for key in store.list_prefix(prefix)]
        found = {key: await store.get(key, default_buffer_prototype()) for key in keys}
        return {key.removeprefix(prefix): value.to_bytes() for key, value in found.items() if value is not None}

    held = sync(contents())
    objects = [Object(key, len(value), hashlib.sha256(value).hexdigest(), None) for key, value in held.items()]
    return Listing(objects, held.__getitem__)
