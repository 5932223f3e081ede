"""A new Zarr array that takes its place only when it is whole, and never the place of what is not dem's."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import zarr
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from zarr.core.sync import sync

from dem.source import Source
from dem.source.places import overlap, place_at
from dem.source.stores import address, is_url

MARK = "dem_output"
"""The attribute that tells an array which dem wrote, and may replace, from any other."""


def new_array(
    path: str | os.PathLike[str],
    source: Source,
    layout: dict[str, Any],
    attributes: dict[str, Any],
    *,
    overwrite: bool,
) -> AbstractContextManager[zarr.Array[Any]]:
    """Return a context that gives an array to write to.

    On a local disk it is written under a hidden name and moved to `path` at the end. At a URL it is written in
    place, with the attribute ``complete`` false until it is whole. After an error nothing of it is left.

    Parameters
    ----------
    path : str or Path
        A path, or a URL that zarr can write.
    source : Source
        The data, whose place is never taken.
    layout : dict
        Shape, chunks, dtype and format, as `zarr.create_array` takes them.
    attributes : dict
        `MARK` among them.
    overwrite : bool
        Replace what is there, if it carries `MARK`.

    Raises
    ------
    FileExistsError
        At once, if the place is taken.
    """
    where = address(path)
    check = partial(check_free, path, where, source, overwrite)
    check()
    return _new_at_url(where, layout, attributes) if is_url(where) else _new_on_disk(where, layout, attributes, check)


def check_free(path: str | os.PathLike[str], where: str, source: Source, overwrite: bool) -> None:
    """Refuse the places of the data, and what exists; with `overwrite`, all that is no array of row-wise results."""
    place = place_at(where)
    if any(overlap(place, data) for data in source.stored_at):
        raise FileExistsError(f"{path} is where {source.name} (or its weights) is stored: choose another name.")
    files, root = url_to_fs(where) if is_url(where) else (LocalFileSystem(), where)
    if not files.exists(root):
        return
    if not overwrite:
        raise FileExistsError(f"{path} exists already: choose another name, or allow overwriting.")
    if not _is_output(where):
        raise FileExistsError(f"{path} exists, and only results that dem wrote are overwritten: choose another name.")


def _is_output(where: str) -> bool:
    """Whether an array with dem's mark is there, whole or not."""
    try:
        node = zarr.open(where, mode="r")
    except Exception:  # stores and codecs raise whatever they like: then it is none of dem's
        return False
    return isinstance(node, zarr.Array) and MARK in node.attrs


@contextmanager
def _new_at_url(url: str, layout: dict[str, Any], attributes: dict[str, Any]) -> Iterator[zarr.Array[Any]]:
    """Give a new array to write to, in place of what is at the URL; after an error nothing is there."""
    out = zarr.create_array(url, **layout, overwrite=True, attributes={**attributes, "complete": False})
    try:
        yield out
        out.attrs["complete"] = True
    except BaseException:
        with suppress(Exception):  # the failure itself is what to report
            sync(out.store_path.delete_dir())
        raise


@contextmanager
def _new_on_disk(
    path: str, layout: dict[str, Any], attributes: dict[str, Any], check_free: Callable[[], None]
) -> Iterator[zarr.Array[Any]]:
    """Give a new array to write to; at the end it stands at `path`, and after an error what stood there before."""
    target = Path(path)
    with _folders_of(target), _hidden_beside(target) as new:
        yield zarr.create_array(new, **layout, attributes=attributes)
        check_free()  # again: much may have happened meanwhile
        _replace(target, new)


def _replace(target: Path, new: Path) -> None:
    """Put `new` in the place of `target`, whose old content is removed: a folder cannot be swapped at once."""
    old = _hidden_name(target)
    try:
        if target.exists():
            target.rename(old)
        new.rename(target)
    except BaseException:
        if old.exists() and not target.exists():
            old.rename(target)
        raise
    finally:
        if target.exists():  # else the old one is all there is
            _remove(old)


@contextmanager
def _folders_of(target: Path) -> Iterator[None]:
    """Make the folders that `target` is in; those made here and empty at the end are removed."""
    missing = [folder for folder in target.parents if not folder.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        with suppress(OSError):  # from the first that is not empty on
            for folder in missing:
                folder.rmdir()


@contextmanager
def _hidden_beside(target: Path) -> Iterator[Path]:
    """Give a hidden name in the same folder; whatever stands there at the end is removed."""
    path = _hidden_name(target)
    try:
        yield path
    finally:
        _remove(path)


def _hidden_name(target: Path) -> Path:
    return target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
