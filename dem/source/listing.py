"""A fingerprint of what a Zarr store holds, by its metadata and a listing: no chunk is read.

It answers "has anything changed since?" for those who fit the same store again and again. Metadata count
by their contents; chunks by their names, sizes, and times (on a disk) or ETags (in an object store). So on
a disk a chunk that is written anew counts as changed, even where its bytes are the same. In an Icechunk
store the snapshot says all of this, and nothing is listed.
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

from dem.source.stores import ZarrNode, open_node, store_name

METADATA = frozenset({"zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"})
MARKS = ("ETag", "etag", "e_tag", "md5Hash", "md5", "content_md5", "mtime", "LastModified", "last_modified", "created")
"""What file systems call that which tells an object from its successor, the most telling first."""
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
        Tells it from another object of this name and size.
    time : float or None
        When it was written, in seconds since 1970, where that is known.
    """

    key: str
    size: int
    mark: str
    time: float | None


@dataclass(frozen=True)
class Listing:
    """What a store holds.

    Attributes
    ----------
    objects : list of Object
    read : callable
        Returns the contents of a key.
    """

    objects: list[Object]
    read: Callable[[str], bytes]


def fingerprint(path: str | os.PathLike[str] | ZarrNode) -> dict[str, Any]:
    """Return the fingerprint of an array, or of a group with all that is in it.

    Parameters
    ----------
    path : str, Path, zarr.Array or zarr.Group
        A path or URL (``store.zarr/name`` for an array inside a group), or what `zarr.open` returned.

    Returns
    -------
    dict
        `sha256` over all that counts; `objects`, `bytes` and `newest` (seconds since 1970, or None) of the listing,
        and `snapshot`: that of an Icechunk store, where there is no listing and the others are None.

    Raises
    ------
    FileNotFoundError
        No Zarr store is there.
    ValueError
        The store cannot be listed, tells neither ETags nor times, or is an Icechunk session with changes that are
        not committed.
    """
    node = path if isinstance(path, zarr.Array | zarr.Group) else open_node(path)
    store = node.store
    while isinstance(store, WrapperStore):
        store = store._store
    session = getattr(store, "session", None)
    if hasattr(session, "snapshot_id"):
        return _of_snapshot(session, node)
    return _of_listing(_list(store, node))


def key_of(*parts: Any) -> str:
    """Return one SHA-256 over fingerprints, settings and other JSON: the key of a result that depends on them."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _of_snapshot(session: Any, node: ZarrNode) -> dict[str, Any]:
    if getattr(session, "has_uncommitted_changes", False):
        raise ValueError(f"{store_name(node)} has changes that are not committed: commit them, then it has a snapshot.")
    sha256 = key_of("icechunk", session.snapshot_id, node.path)
    return {"sha256": sha256, "objects": None, "bytes": None, "newest": None, "snapshot": session.snapshot_id}


def _of_listing(listing: Listing) -> dict[str, Any]:
    digest = hashlib.sha256()
    for found in sorted(listing.objects):
        is_metadata = found.key.rpartition("/")[2] in METADATA
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
    """List what is at and below a node."""
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
        f"{store_name(node)} is in a {type(store).__name__}, which dem cannot list: name it by path or URL."
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
                except FileNotFoundError:  # replaced at this moment: the next fingerprint will differ
                    continue
                yield Object(key, stat.st_size, str(stat.st_mtime_ns), stat.st_mtime)


def _zip_file(path: Path, node: ZarrNode) -> Listing:
    """A ZIP file counts as a whole; which part of it is meant counts as its name."""
    stat = path.stat()
    return Listing([Object(f"{node.path}!", stat.st_size, str(stat.st_mtime_ns), stat.st_mtime)], lambda key: b"")


def _at_url(store: FsspecStore, path: str) -> Listing:
    """Ask the file system; its asynchronous face is the one that zarr has opened."""
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
    """Return an object from what a file system says of it."""
    known = [info[name] for name in MARKS if info.get(name) is not None]
    if not known:
        raise ValueError(f"The store tells neither ETags nor times ({key} has none): its changes cannot be told.")
    times = [info[name] for name in TIMES if info.get(name) is not None]
    return Object(key, int(info.get("size") or 0), str(known[0]), _seconds(times[0]) if times else None)


def _seconds(time: Any) -> float | None:
    """Return a time as seconds since 1970, however a file system has it."""
    if isinstance(time, str):
        time = datetime.fromisoformat(time)
    return time.timestamp() if isinstance(time, datetime) else float(time)


def _in_memory(store: MemoryStore, path: str) -> Listing:
    """There is no time in memory: the contents count."""
    prefix = f"{path}/" if path else ""

    async def contents() -> dict[str, bytes]:
        keys = [key async for key in store.list_prefix(prefix)]
        found = {key: await store.get(key, default_buffer_prototype()) for key in keys}
        return {key.removeprefix(prefix): value.to_bytes() for key, value in found.items() if value is not None}

    held = sync(contents())
    objects = [Object(key, len(value), hashlib.sha256(value).hexdigest(), None) for key, value in held.items()]
    return Listing(objects, held.__getitem__)
