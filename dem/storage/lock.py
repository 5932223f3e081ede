"""Lock files, so that only one run at a time writes an output. A lock is released when its process ends."""

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
    """A run was interrupted; the same command, run again, continues from what is already written.

    Attributes
    ----------
    resumable : str
        The message that says this.
    """

    def __init__(self, resumable: str) -> None:
        super().__init__(resumable)
        self.resumable = resumable


@contextmanager
def write_lock(path: str | os.PathLike[str]) -> Iterator[None]:
    """Prevent other runs from writing to the same path, on all hosts that share the file system.

    The parent folders of `path` are made; new folders that are empty at the end are removed. Use the lock only after
    the engine has started: with some runners, all ranks of a job execute the code before that. URLs cannot be locked.

    Parameters
    ----------
    path : str or Path
        The output.

    Raises
    ------
    BlockingIOError
        Another run has the lock. The message names its process and host.
    OSError
        The lock file cannot be written.
    """
    target = local_path(path)
    if target is None:
        yield
        return
    target = target.resolve()  # a link and its target have the same lock
    with parent_folders(target):
        named = hidden_file_base(target)
        file = named.parent.resolve() / f".{named.name}.lock"
        owner = _owner(file)  # read first, because some versions of filelock empty the file even if they fail
        lock = FileLock(file)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise BlockingIOError(
                f"Another run ({owner}) is writing {path}: wait until it ends, or choose another name."
            ) from None
        except OSError as error:
            raise type(error)(f"Cannot write {path}: {reason(error)} (in the folder {target.parent}).") from error
        try:
            if not isinstance(lock, SoftFileLock):  # used on file systems without locks; it writes the file itself
                with suppress(OSError):  # the disk may be full, but the lock is held
                    file.write_text(json.dumps({"process": os.getpid(), "host": socket.gethostname()}))
            yield
        finally:
            if not isinstance(lock, SoftFileLock):
                with suppress(OSError):  # before the release, so that others who have it open notice
                    file.unlink()
            lock.release()


def _owner(file: Path) -> str:
    """Return text for the run that holds a lock file."""
    try:
        owner = json.loads(file.read_text())
        return f"process {owner['process']} on {owner['host']}"
    except (OSError, ValueError, LookupError, TypeError):
        return "it has just started"
