"""Write a new output: it appears at its path only when it is complete, and replaces only outputs that dem wrote.

An output is a Zarr array, or a group (see `dem.results.nodes`). An unfinished output is kept where the same job finds
it again. On a local disk it has a hidden name next to the target. At a URL it is at the target itself, since object
stores cannot rename, with the attribute ``complete`` false. In a Zarr group dem leaves no other files.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
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

from dem.results.nodes import MEMBERS, NodeLayout, Target, layout_at, open_to_write
from dem.results.output_plan import OutputPlan
from dem.results.regions import TakenOverError, check_owner, has_chunks
from dem.source import Source
from dem.source.stores import ZarrNode, address, address_location, file_system, is_url, overlap
from dem.source.variables import RESULT_MARK
from dem.storage.files import raise_cannot_write
from dem.storage.hierarchy import check_name, check_outside_arrays, hidden_file_base, update_enclosing_groups
from dem.storage.lock import Interrupted, write_lock

CLUSTER_LOST = (KilledWorker, NoWorkerError, FutureCancelledError, CommClosedError)
"""Causes of a failed pass that are not in the data: workers or the scheduler were lost."""


def new_output(
    path: str | os.PathLike[str],
    source: Source,
    plan: OutputPlan,
    attributes: dict[str, Any],
    *,
    overwrite: bool,
    job: str | None = None,
) -> AbstractContextManager[tuple[Target, ...]]:
    """Return a context that yields the arrays to write to: new ones, or those that the same job has begun.

    On a local disk the output is written under a hidden name and moved to `path` at the end. At a URL it is written
    in place, with the attribute ``complete`` false until the end. After an error the output is removed, unless
    the job can continue later (see `is_resumable`): then it is kept, and the error message says so.

    Parameters
    ----------
    path : str or Path
        A path, or a URL that zarr can write.
    source : Source
        The data; they are never overwritten.
    plan : OutputPlan
        The arrays.
    attributes : dict
        Attributes of the output, including `RESULT_MARK`.
    overwrite : bool
        Replace an existing output, if it has the attribute `RESULT_MARK`.
    job : str, optional
        A digest of everything that determines the output, including its plan. Without it an unfinished output is
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
    layout = layout_at(where, plan)
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

    With `overwrite`, an output that dem wrote may exist there.

    Raises
    ------
    FileExistsError, ValueError
        See `new_output`.
    """
    where = address(path)
    if not check_place(path, source):
        return
    unfinished = _unfinished(where)
    if unfinished is not None and unfinished.attrs.get("job") == job is not None:
        return
    if not overwrite:
        what = "exists already" if unfinished is None else "holds the unfinished results of another job"
        raise FileExistsError(f"{path} {what}: choose another name, or replace it (overwrite=True).")
    if not _is_output(where):
        raise FileExistsError(f"{path} exists, but only results that dem wrote are overwritten: choose another name.")


def check_place(path: str | os.PathLike[str], source: Source | None = None) -> bool:
    """Refuse paths of the data, paths inside an array, and file names; return whether something exists at the path.

    Raises
    ------
    FileExistsError, ValueError
        See `new_output`.
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


def _output_at(where: str | Path) -> ZarrNode | None:
    """Return the output that dem wrote at this path, complete or not; None if there is none.

    A group in which others have written too is not an output.
    """
    try:
        node: ZarrNode = open_to_write(where)
        if isinstance(node, zarr.Group):
            members: Any = node.attrs.get(MEMBERS)
            if not isinstance(members, list) or not set(node.keys()) <= set(members):
                return None
    except Exception:  # stores and codecs may raise any error: dem did not write this
        return None
    return node if RESULT_MARK in node.attrs else None


def _is_output(where: str) -> bool:
    return _output_at(where) is not None


def _unfinished(where: str) -> ZarrNode | None:
    """Return the unfinished output of dem at this path; None if there is none."""
    node = _output_at(where)
    return node if node is not None and node.attrs.get("complete") is False else None


def _begin(where: str | Path, name: str, layout: NodeLayout, attributes: dict[str, Any], marks: dict[str, Any]) -> Any:
    """Return the output that the same job has begun, or a new one that replaces whatever is there."""
    job = attributes.get("job")
    begun = None if job is None else _output_at(where)
    resume = begun is not None and begun.attrs.get("job") == job and begun.attrs.get("complete") is not True
    try:
        return layout.begin(where, attributes, marks, resume=resume)
    except OSError as error:
        raise_cannot_write(name, error)


@contextmanager
def _new_at_url(
    name: str, url: str, layout: NodeLayout, attributes: dict[str, Any], job: str | None
) -> Iterator[tuple[Target, ...]]:
    """Yield the arrays to write to; they replace whatever is at the URL."""
    marks = {"complete": False, "run": uuid.uuid4().hex}
    out = _begin(url, name, layout, attributes, marks)
    targets = layout.targets(out)
    try:
        yield targets
        for target in targets:
            check_owner(target.array, name)
            target.array.attrs["complete"] = True
        out.attrs["complete"] = True
        layout.finish(url)
    except BaseException as error:
        if isinstance(error, TakenOverError):
            raise
        if job is not None and is_resumable(error) and _has_chunks(targets):
            _raise_resumable(error, name, name)
        with suppress(Exception):  # only the first failure is reported
            check_owner(targets[0].array, name)
            sync(out.store_path.delete_dir())
            update_enclosing_groups(name)
        raise
    update_enclosing_groups(name)


@contextmanager
def _new_on_disk(
    name: str,
    target: Path,
    layout: NodeLayout,
    attributes: dict[str, Any],
    job: str | None,
    check_output_free: Callable[[], None],
) -> Iterator[tuple[Target, ...]]:
    """Yield the arrays to write to; move the output to `target` at the end. After an error `target` is unchanged."""
    with write_lock(name):
        check_output_free()  # again, since another run may just have ended
        named = hidden_file_base(target)
        new = named.with_name(f".{named.name}.{(job or uuid.uuid4().hex)[:16]}.partial")
        for other in _partials_of(named):
            if other != new:  # from another job, or from a run that was killed
                _remove_path(other)
        targets: tuple[Target, ...] = ()
        try:
            targets = layout.targets(_begin(new, name, layout, attributes, {}))
            yield targets
            layout.finish(new)
            check_output_free()  # again, since the pass may have taken long
            _replace(target, new)
            update_enclosing_groups(target)
        except BaseException as error:
            if job is not None and is_resumable(error) and new.exists() and _has_chunks(targets):
                _raise_resumable(error, name, str(new))
            _remove_path(new)
            raise


def _has_chunks(targets: Sequence[Target]) -> bool:
    return any(has_chunks(target.array) for target in targets)


def _partials_of(target: Path) -> list[Path]:
    """Return the unfinished outputs next to a target."""
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
