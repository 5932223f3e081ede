"""One run at a time writes an output: a lock file beside it, which ends with the process that holds it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, SoftFileLock, Timeout

from dem.source.stores import local_path
from dem.storage.files import parent_folders, reason
from dem.storage.hierarchy import hidden_file_base


class Interrupted(KeyboardInterrupt):
    """A run was interrupted, and the same command goes on from what it has written.

    Attributes
    ----------
    resumable : str
        The sentence that says so.
    """

    def __init__(self, resumable: str) -> None:
        super().__init__(resumable)
        self.resumable = resumable


@contextmanager
def write_lock(path: str | os.PathLike[str]) -> Iterator[None]:
    """Refuse a second run that writes to the same path, on any host that sees the same file system.

    The folders that `path` is in are made; those made here and empty at the end are removed. Claim an output once
    the engine has started: with some runners every rank of a job gets as far as that. URLs cannot be
    locked, and are not claimed.

    Parameters
    ----------
    path : str or Path
        What will be written.

    Raises
    ------
    BlockingIOError
        Another run has it: the message tells the process and its host.
    OSError
        The folder cannot be written to.
    """
    target = local_path(path)
    if target is None:
        yield
        return
    target = target.resolve()  # of a link, what it points to: one place has one lock
    with parent_folders(target):
        named = hidden_file_base(target)
        file = named.parent.resolve() / f".{named.name}.lock"
        owner = _owner(file)  # read first: some versions of the library empty the file even when they fail
        lock = FileLock(file)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise BlockingIOError(
                f"{path} is being written by another run ({owner}): wait for it, or choose another name."
            ) from None
        except OSError as error:
            raise type(error)(f"Cannot write {path}: {reason(error)} (in the folder {target.parent}).") from error
        try:
            if not isinstance(lock, SoftFileLock):  # which it becomes on file systems without locks: see its own marker
                with suppress(OSError):  # a full disk; what counts is the lock
                    file.write_text(json.dumps({"process": os.getpid(), "host": socket.gethostname()}))
            yield
        finally:
            if not isinstance(lock, SoftFileLock):
                with suppress(OSError):  # while it is held: who opened it just now sees that it has gone
                    file.unlink()
            lock.release()


def _owner(file: Path) -> str:
    """Return what a lock file tells of the run that holds it."""
    try:
        owner = json.loads(file.read_text())
        return f"process {owner['process']} on {owner['host']}"
    except (OSError, ValueError, LookupError, TypeError):
        return "one that has only just begun"
