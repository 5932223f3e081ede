"""Write a new Zarr array: it appears at its path only when it is complete, and replaces only arrays that dem wrote.

An unfinished array is kept where the same job finds it again. On a local disk it has a hidden name next to the target.
At a URL it is at the target itself, since object stores cannot rename, with the attribute ``complete`` false. In a Zarr
group the array has the group's format (see `dem.results.in_group`), and dem leaves no other files there.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import zarr
from distributed import KilledWorker
from distributed.client import FutureCancelledError
from distributed.comm import CommClosedError
from distributed.scheduler import NoWorkerError
from zarr.core.sync import sync

from dem.results.in_group import fitted_to_group
from dem.results.regions import TakenOverError, check_owner, has_chunks
from dem.source import Source
from dem.source.stores import address, address_location, file_system, is_url, overlap
from dem.storage.files import raise_cannot_write
from dem.storage.hierarchy import check_name, check_outside_arrays, hidden_file_base, update_enclosing_groups
from dem.storage.lock import Interrupted, write_lock

MARK = "dem_output"
"""The attribute of the arrays that dem wrote and may replace."""

CLUSTER_LOST = (KilledWorker, NoWorkerError, FutureCancelledError, CommClosedError)
"""Causes of a failed pass that are not in the data: workers or the scheduler were lost."""


def new_array(
    path: str | os.PathLike[str],
    source: Source,
    layout: dict[str, Any],
    attributes: dict[str, Any],
    *,
    overwrite: bool,
    job: str | None = None,
) -> AbstractContextManager[zarr.Array[Any]]:
    """Return a context that yields an array to write to: a new one, or one that the same job has begun.

    On a local disk the array is written under a hidden name and moved to `path` at the end. At a URL it is written
    in place, with the attribute ``complete`` false until the end. After an error the array is removed, unless
    the job can continue later (see `is_resumable`): then it is kept, and the error message says so.

    Parameters
    ----------
    path : str or Path
        A path, or a URL that zarr can write.
    source : Source
        The data; they are never overwritten.
    layout : dict
        Shape, chunks, dtype, codecs and format, as `zarr.create_array` takes them.
    attributes : dict
        Attributes of the array, including `MARK`.
    overwrite : bool
        Replace an existing array, if it has the attribute `MARK`.
    job : str, optional
        A digest of everything that determines the array, including its layout. Without it an unfinished array is
        never kept.

    Raises
    ------
    FileExistsError
        Immediately, if something else is at `path`.
    BlockingIOError
        Another run is writing to the same path.
    ValueError
        The name has the ending of another file format.
    """
    where = address(path)
    check = partial(check_output_free, path, source, overwrite=overwrite, job=job)
    check()
    layout, attributes = fitted_to_group(where, source, layout, attributes)
    attributes = attributes if job is None else {**attributes, "job": job}
    if is_url(where):
        return _new_at_url(str(path), where, layout, attributes, job)
    target = Path(where).resolve()  # the target of a link, so that the link itself is kept
    return _new_on_disk(str(path), target, layout, attributes, job, check)


def is_resumable(error: BaseException) -> bool:
    """Whether the same job may continue later: not after errors in the data or the settings."""
    outside = not isinstance(error, Exception) or isinstance(error, OSError | MemoryError)
    return outside or isinstance(error.__cause__, CLUSTER_LOST)


def _raise_resumable(error: BaseException, name: str, place: str) -> NoReturn:
    """Raise the error again, with a sentence that the same command continues."""
    kept = f"The finished part of {name} is kept: run the same command again to continue"
    if place != name:
        kept += f" (or remove {place} to start again)"
    if isinstance(error, KeyboardInterrupt):
        raise Interrupted(f"interrupted. {kept}.") from error
    if not isinstance(error, Exception):
        raise error
    kinds: tuple[type[Exception], ...] = (MemoryError, FileExistsError, ConnectionError, OSError, RuntimeError)
    kind = next(kind for kind in kinds if isinstance(error, kind))
    raise kind(f"{str(error).rstrip('.')}. {kept}.") from error


def check_output_free(
    path: str | os.PathLike[str], source: Source, *, overwrite: bool = False, job: str | None = None
) -> None:
    """Refuse a path where data are stored, a path inside an array, and a path where something exists.

    With `overwrite`, an array of row-wise results may exist there.

    Raises
    ------
    FileExistsError, ValueError
        See `new_array`.
    """
    where = address(path)
    if not check_place(path, source):
        return
    unfinished = _unfinished(where)
    if unfinished is not None and unfinished.attrs.get("job") == job is not None:
        return
    if not overwrite:
        what = "exists already" if unfinished is None else "holds the unfinished results of another job"
        raise FileExistsError(f"{path} {what}: choose another name, or allow overwriting.")
    if not _is_output(where):
        raise FileExistsError(f"{path} exists, but only results that dem wrote are overwritten: choose another name.")


def check_place(path: str | os.PathLike[str], source: Source | None = None) -> bool:
    """Refuse paths of the data, paths inside an array, and file names; return whether something exists at the path.

    Raises
    ------
    FileExistsError, ValueError
        See `new_array`.
    """
    where = address(path)
    place = address_location(where)
    if source is not None and any(overlap(place, data) for data in source.stored_at):
        raise FileExistsError(
            f"{path} is the input or contains it ({source.name}, or its weights): choose another name for the output."
        )
    files, root = file_system(where)
    exists = bool(files.exists(root))
    check_outside_arrays(path)
    if not exists:
        check_name(path)
    return exists


def _array_at(where: str | Path) -> zarr.Array[Any] | None:
    """Return the array that dem wrote at this path, complete or not; None if there is none."""
    try:
        with zarr.config.set({"array.write_empty_chunks": True}):  # for later writes to this array
            node = zarr.open(where, mode="r+")
    except Exception:  # stores and codecs may raise any error: dem did not write this
        return None
    return node if isinstance(node, zarr.Array) and MARK in node.attrs else None


def _is_output(where: str) -> bool:
    return _array_at(where) is not None


def _unfinished(where: str) -> zarr.Array[Any] | None:
    """Return the unfinished array of dem at this path; None if there is none."""
    array = _array_at(where)
    return array if array is not None and array.attrs.get("complete") is False else None


def _begin(
    name: str, where: str | Path, layout: dict[str, Any], attributes: dict[str, Any], job: str | None
) -> zarr.Array[Any]:
    """Return the array that the same job has begun, or a new one that replaces whatever is there."""
    begun = None if job is None else _array_at(where)
    if begun is not None and begun.attrs.get("job") == job and begun.attrs.get("complete") is not True:
        begun.update_attributes(attributes)
        return begun
    # Chunks of zeros are written too, so that a missing chunk is always one that was not written.
    try:
        return zarr.create_array(
            where, **layout, attributes=attributes, overwrite=True, config={"write_empty_chunks": True}
        )
    except OSError as error:
        raise_cannot_write(name, error)


@contextmanager
def _new_at_url(
    name: str, url: str, layout: dict[str, Any], attributes: dict[str, Any], job: str | None
) -> Iterator[zarr.Array[Any]]:
    """Yield an array to write to; it replaces whatever is at the URL."""
    held = {"complete": False, "run": uuid.uuid4().hex}
    out = _begin(name, url, layout, {**attributes, **held}, job)
    try:
        yield out
        check_owner(out, name)
        out.attrs["complete"] = True
    except BaseException as error:
        if isinstance(error, TakenOverError):
            raise
        if job is not None and is_resumable(error) and has_chunks(out):
            _raise_resumable(error, name, name)
        with suppress(Exception):  # only the first failure is reported
            check_owner(out, name)
            sync(out.store_path.delete_dir())
            update_enclosing_groups(name)
        raise
    update_enclosing_groups(name)


@contextmanager
def _new_on_disk(
    name: str,
    target: Path,
    layout: dict[str, Any],
    attributes: dict[str, Any],
    job: str | None,
    check_output_free: Callable[[], None],
) -> Iterator[zarr.Array[Any]]:
    """Yield an array to write to; move it to `target` at the end. After an error `target` is unchanged."""
    with write_lock(name):
        check_output_free()  # again, since another run may just have ended
        named = hidden_file_base(target)
        new = named.with_name(f".{named.name}.{(job or uuid.uuid4().hex)[:16]}.partial")
        for other in _partials_of(named):
            if other != new:  # from another job, or from a run that was killed
                _remove_path(other)
        out = None
        try:
            out = _begin(name, new, layout, attributes, job)
            yield out
            check_output_free()  # again, since the pass may have taken long
            _replace(target, new)
            update_enclosing_groups(target)
        except BaseException as error:
            if job is not None and is_resumable(error) and out is not None and new.exists() and has_chunks(out):
                _raise_resumable(error, name, str(new))
            _remove_path(new)
            raise


def _partials_of(target: Path) -> list[Path]:
    """Return the unfinished arrays next to a target."""
    name = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{16}}\.partial")
    return [path for path in target.parent.iterdir() if name.fullmatch(path.name)]


def _replace(target: Path, new: Path) -> None:
    """Move `new` to `target` and remove the old content; folders cannot be exchanged in one step."""
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
        if target.exists():  # otherwise the old array is the only one left
            _remove_path(old)


def _hidden_name(target: Path) -> Path:
    named = hidden_file_base(target)
    return named.with_name(f".{named.name}.{uuid.uuid4().hex[:8]}")


def _remove_path(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
