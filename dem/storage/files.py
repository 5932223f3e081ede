"""Read and write whole files (pictures, reports, records), on this machine or at a URL."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NoReturn

from dem.source.stores import address, file_system, local_path
from dem.storage.hierarchy import check_outside_zarr

DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def reason(error: Exception) -> str:
    """Return in a few words why a read or write failed."""
    if getattr(error, "errno", None) in DISK_FULL:
        return "the disk is full"
    words = (error.strerror or str(error)) if isinstance(error, OSError) else None  # its text is clear without the type
    return str(words or f"{type(error).__name__}: {error}").rstrip(".")


def raise_cannot_write(what: str | os.PathLike[str], error: Exception) -> NoReturn:
    """Raise an OSError that says what could not be written, and why."""
    raise OSError(f"Cannot write {os.fspath(what)}: {reason(error)}.") from error


def read_text(path: str | os.PathLike[str]) -> str:
    """Return the text of a file at a path or URL.

    Raises
    ------
    OSError
        There is no file, or it cannot be read.
    UnicodeDecodeError
        The file is not text.
    """
    where = local_path(path)
    if where is not None:
        return where.read_text(encoding="utf-8")
    files, root = file_system(address(path))
    return bytes(files.cat_file(root)).decode("utf-8")


def check_files_free(paths: Iterable[str | os.PathLike[str]], *, overwrite: bool = False) -> None:
    """Check, before any work is done, that files can be written at these paths.

    Raises
    ------
    FileExistsError
        A file exists and `overwrite` is false; or something that is not a file exists; or the path is inside a Zarr
        array or group.
    FileNotFoundError
        A path is empty.
    """
    for path in paths:
        check_outside_zarr(path)
        files, root = file_system(address(path))
        if files.isdir(root):
            raise FileExistsError(f"{path} is a folder: choose another name.")
        where = local_path(path)
        if where is not None and where.exists() and not where.is_file():  # a write would replace it by a file
            raise FileExistsError(f"{path} is a device, pipe or socket, not a file: choose another name.")
        if not overwrite and files.exists(root):
            raise FileExistsError(f"{path} already exists: choose another name, or replace it (overwrite=True).")


def write_files(contents: Mapping[str, bytes], *, overwrite: bool = False) -> None:
    """Write files atomically. No existing file is changed before all new contents are on the disk.

    On this machine files are first written under hidden names in the same folder, and then renamed. Missing folders
    are made. At a URL each file is sent in one request.

    Parameters
    ----------
    contents : mapping of str to bytes
        Contents by path or URL, in the order in which they replace existing files.
    overwrite : bool
        Replace existing files.

    Raises
    ------
    FileExistsError
        See `check_files_free`.
    OSError
        A file cannot be written. The message says which, and why.
    """
    check_files_free(contents, overwrite=overwrite)
    with ExitStack() as opened:
        moves = {path: _put(path, content, opened) for path, content in contents.items()}
        for path, move in moves.items():
            with _naming(path):
                move()


def _put(path: str, content: bytes, opened: ExitStack) -> Callable[[], object]:
    """Write a hidden file; return a function that renames it to `path`. At a URL this function writes the file."""
    where = local_path(path)
    if where is None:
        files, root = file_system(address(path))
        return partial(files.pipe_file, root, content)
    target = where.resolve()  # replace the target of a link, not the link
    opened.enter_context(parent_folders(target))
    new = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    opened.callback(new.unlink, missing_ok=True)
    with _naming(path), new.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())  # some disks report only now that they are full
    return partial(os.replace, new, target)


@contextmanager
def _naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Convert errors to an OSError that names the path and says why it cannot be written."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # stores raise many kinds of errors
        raise_cannot_write(path, error)


@contextmanager
def parent_folders(target: Path) -> Iterator[None]:
    """Make the parent folders of `target`. New folders that are empty at the end are removed.

    Raises
    ------
    OSError
        A folder cannot be made.
    """
    missing = [folder for folder in target.parents if not folder.exists()]
    try:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            file = next((folder for folder in target.parents if folder.exists() and not folder.is_dir()), None)
            if file is not None:
                raise NotADirectoryError(f"Cannot write {target}: {file} is a file, not a folder.") from error
            raise type(error)(f"Cannot write {target}: {reason(error)} (in the folder {target.parent}).") from error
        yield
    finally:
        with suppress(OSError):  # stops at the first folder that is not empty
            for folder in missing:
                folder.rmdir()
