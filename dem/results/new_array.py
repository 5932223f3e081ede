"""A new Zarr array that takes its place only when it is whole, and never the place of what is not dem's.

What a run could not finish stays where the same job finds it: on a local disk under a hidden name beside the target,
at a URL (object stores cannot rename) in place, with the attribute ``complete`` false. An array inside a Zarr group is
of the group's own kind (see `dem.results.in_group`), and nothing else of dem's is left in there.
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
from dem.results.regions import TakenOverError, begun, check_held
from dem.source import Source
from dem.source.stores import address, file_system, is_url, overlap, place_at
from dem.storage.files import cannot_write
from dem.storage.hierarchy import adopt, beside, check_name, check_outside_arrays
from dem.storage.lock import Interrupted, claim

MARK = "dem_output"
"""The attribute that tells an array which dem wrote, and may replace, from any other."""

CLUSTER_LOST = (KilledWorker, NoWorkerError, FutureCancelledError, CommClosedError)
"""What the error of a pass was caused by, where not by the pass itself."""


def new_array(
    path: str | os.PathLike[str],
    source: Source,
    layout: dict[str, Any],
    attributes: dict[str, Any],
    *,
    overwrite: bool,
    job: str | None = None,
) -> AbstractContextManager[zarr.Array[Any]]:
    """Return a context that gives an array to write to, perhaps one that the same job has begun.

    On a local disk it is written under a hidden name and moved to `path` at the end. At a URL it is written in
    place, with the attribute ``complete`` false until it is whole. After an error nothing of it is left, unless
    it is of a job that was broken off (see `broken_off`): then it is kept, and the error says so.

    Parameters
    ----------
    path : str or Path
        A path, or a URL that zarr can write.
    source : Source
        The data, whose place is never taken.
    layout : dict
        Shape, chunks, dtype, codecs and format, as `zarr.create_array` takes them.
    attributes : dict
        `MARK` among them.
    overwrite : bool
        Replace what is there, if it carries `MARK`.
    job : str, optional
        A digest of all that determines the array, its layout included. Without one, nothing is ever kept.

    Raises
    ------
    FileExistsError
        At once, if the place is taken.
    BlockingIOError
        Another run writes to the same path.
    ValueError
        The name is that of a file of another format.
    """
    where = address(path)
    check = partial(check_free, path, source, overwrite=overwrite, job=job)
    check()
    layout, attributes = fitted_to_group(where, source, layout, attributes)
    attributes = attributes if job is None else {**attributes, "job": job}
    if is_url(where):
        return _new_at_url(str(path), where, layout, attributes, job)
    target = Path(where).resolve()  # of a link, what it points to: the link itself would be lost
    return _new_on_disk(str(path), target, layout, attributes, job, check)


def broken_off(error: BaseException) -> bool:
    """Whether the job may go on later as it is: not after errors of the data or of the settings."""
    outside = not isinstance(error, Exception) or isinstance(error, OSError | MemoryError)
    return outside or isinstance(error.__cause__, CLUSTER_LOST)


def _kept(error: BaseException, name: str, place: str) -> NoReturn:
    """Raise the error, with the sentence that says that the job goes on."""
    kept = f"What is written of {name} is kept, and the same command goes on from there"
    if place != name:
        kept += f" (remove {place} to start anew)"
    if isinstance(error, KeyboardInterrupt):
        raise Interrupted(f"interrupted. {kept}.") from error
    if not isinstance(error, Exception):
        raise error
    kinds: tuple[type[Exception], ...] = (MemoryError, FileExistsError, ConnectionError, OSError, RuntimeError)
    kind = next(kind for kind in kinds if isinstance(error, kind))
    raise kind(f"{str(error).rstrip('.')}. {kept}.") from error


def check_free(
    path: str | os.PathLike[str], source: Source, *, overwrite: bool = False, job: str | None = None
) -> None:
    """Refuse the places of the data, the inside of any array, and what exists.

    With `overwrite`, of what exists all that is no array of row-wise results.

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
        what = "exists already" if unfinished is None else "holds what another job has not finished"
        raise FileExistsError(f"{path} {what}: choose another name, or allow overwriting.")
    if not _is_output(where):
        raise FileExistsError(f"{path} exists, and only results that dem wrote are overwritten: choose another name.")


def check_place(path: str | os.PathLike[str], source: Source | None = None) -> bool:
    """Refuse the places of the data, the inside of any array, and names of files; return whether something is there.

    Raises
    ------
    FileExistsError, ValueError
        See `new_array`.
    """
    where = address(path)
    place = place_at(where)
    if source is not None and any(overlap(place, data) for data in source.stored_at):
        raise FileExistsError(f"{path} is where {source.name} (or its weights) is stored: choose another name.")
    files, root = file_system(where)
    exists = bool(files.exists(root))
    check_outside_arrays(path)
    if not exists:
        check_name(path)
    return exists


def _array_at(where: str | Path) -> zarr.Array[Any] | None:
    """Return the array with dem's mark that is there, whole or not."""
    try:
        with zarr.config.set({"array.write_empty_chunks": True}):  # for what is written to it
            node = zarr.open(where, mode="r+")
    except Exception:  # stores and codecs raise whatever they like: then it is none of dem's
        return None
    return node if isinstance(node, zarr.Array) and MARK in node.attrs else None


def _is_output(where: str) -> bool:
    return _array_at(where) is not None


def _unfinished(where: str) -> zarr.Array[Any] | None:
    """Return the array there that dem has not finished, if it is one."""
    array = _array_at(where)
    return array if array is not None and array.attrs.get("complete") is False else None


def _begin(
    name: str, where: str | Path, layout: dict[str, Any], attributes: dict[str, Any], job: str | None
) -> zarr.Array[Any]:
    """Return the array that the same job has begun, or a new one in place of whatever is there."""
    begun = None if job is None else _array_at(where)
    if begun is not None and begun.attrs.get("job") == job and begun.attrs.get("complete") is not True:
        begun.update_attributes(attributes)
        return begun
    # What holds zeros alone is written too, so that what is missing is known to be unwritten.
    try:
        return zarr.create_array(
            where, **layout, attributes=attributes, overwrite=True, config={"write_empty_chunks": True}
        )
    except OSError as error:
        cannot_write(name, error)


@contextmanager
def _new_at_url(
    name: str, url: str, layout: dict[str, Any], attributes: dict[str, Any], job: str | None
) -> Iterator[zarr.Array[Any]]:
    """Give an array to write to, in place of what is at the URL."""
    held = {"complete": False, "run": uuid.uuid4().hex}
    out = _begin(name, url, layout, {**attributes, **held}, job)
    try:
        yield out
        check_held(out, name)
        out.attrs["complete"] = True
    except BaseException as error:
        if isinstance(error, TakenOverError):
            raise
        if job is not None and broken_off(error) and begun(out):
            _kept(error, name, name)
        with suppress(Exception):  # the failure itself is what to report
            check_held(out, name)
            sync(out.store_path.delete_dir())
            adopt(name)
        raise
    adopt(name)


@contextmanager
def _new_on_disk(
    name: str,
    target: Path,
    layout: dict[str, Any],
    attributes: dict[str, Any],
    job: str | None,
    check_free: Callable[[], None],
) -> Iterator[zarr.Array[Any]]:
    """Give an array to write to; at the end it stands at `target`, and after an error what stood there before."""
    with claim(name):
        check_free()  # again: another run may just have ended
        named = beside(target)
        new = named.with_name(f".{named.name}.{(job or uuid.uuid4().hex)[:16]}.partial")
        for other in _partials_of(named):
            if other != new:  # of another job, or of a run that was killed
                _remove(other)
        out = None
        try:
            out = _begin(name, new, layout, attributes, job)
            yield out
            check_free()  # again: much may have happened meanwhile
            _replace(target, new)
            adopt(target)
        except BaseException as error:
            if job is not None and broken_off(error) and out is not None and new.exists() and begun(out):
                _kept(error, name, str(new))
            _remove(new)
            raise


def _partials_of(target: Path) -> list[Path]:
    """Return what runs have left unfinished beside a target."""
    name = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{16}}\.partial")
    return [path for path in target.parent.iterdir() if name.fullmatch(path.name)]


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


def _hidden_name(target: Path) -> Path:
    named = beside(target)
    return named.with_name(f".{named.name}.{uuid.uuid4().hex[:8]}")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
