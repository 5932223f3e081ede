"""Reads that fail now and then: tried again, a few times, with longer and longer pauses."""

from __future__ import annotations

import asyncio
import atexit
import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from zarr.core import sync as zarr_sync

T = TypeVar("T")

ATTEMPTS = 6
FIRST_PAUSE = 0.2
"""Seconds. Each pause is about twice the one before: some six seconds for all of them."""

END_SECONDS = 5.0
"""How long the end of the process may wait for reads that are cancelled."""

PERMANENT = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, FileExistsError)
"""Errors of the system that no second attempt will mend."""

CLIENTS = ("aiohttp", "aiobotocore", "azure", "botocore", "gcsfs", "google", "httpx", "obstore", "requests", "urllib3")
"""Packages that talk to stores elsewhere, and have errors of their own."""


class StoreReadError(OSError):
    """A key that could not be read, however often it was tried.

    Attributes
    ----------
    key : str
    attempts : int
    """

    def __init__(self, key: str, attempts: int, cause: str) -> None:
        super().__init__(f"Cannot read {key} after {attempts} attempts: {cause}")
        self.key, self.attempts, self.cause = key, attempts, cause

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.key, self.attempts, self.cause)


class Attempts:
    """The attempts at reading one key.

    Pauses vary at random, so that reads that failed together do not come again together; the key is the seed.
    """

    def __init__(self, key: str) -> None:
        self.key, self.made = key, 0

    def pause(self, error: Exception) -> float:
        """Return how many seconds to wait after this failure.

        Raises
        ------
        Exception
            The failure itself, where another attempt would not help.
        StoreReadError
            There have been attempts enough.
        """
        if not is_transient(error):
            raise error
        self.made += 1
        if self.made == ATTEMPTS:
            raise StoreReadError(self.key, self.made, f"{type(error).__name__}: {error}") from error
        return FIRST_PAUSE * 2 ** (self.made - 1) * random.Random(f"{self.key} {self.made}").uniform(0.5, 1.5)


def read_with_retries(key: str, read: Callable[[], T]) -> T:
    """Return what `read` returns, calling it again where it fails in passing; see `Attempts.pause`."""
    attempts = Attempts(key)
    while True:
        try:
            return read()
        except Exception as error:  # stores raise whatever they like
            pause = attempts.pause(error)
        time.sleep(pause)


def is_transient(error: BaseException) -> bool:
    """Whether an error of a store may pass: the network's, a timeout, a server that is busy or broken."""
    if isinstance(error, (*PERMANENT, StoreReadError)):
        return False
    status = http_status(error)
    if status is not None:
        return status in (408, 425, 429) or status >= 500
    return isinstance(error, OSError) or type(error).__module__.split(".")[0] in CLIENTS


def http_status(error: BaseException) -> int | None:
    """Return the status that a server answered, where an error or its cause has one."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore's
        found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        names = ("status", "status_code", "code")
        holders = (error, response)
        found = next((n for o in holders for name in names if isinstance(n := getattr(o, name, None), int)), None)
    if isinstance(found, int) and 400 <= found < 600:
        return found
    return None if error.__cause__ is None else http_status(error.__cause__)


def check_reached(path: Any, error: Exception) -> None:
    """Raise an error of the place, which says nothing of what is there.

    Raises
    ------
    OSError
    """
    if isinstance(error, StoreReadError | PermissionError) or is_transient(error):
        cause = error.cause if isinstance(error, StoreReadError) else f"{type(error).__name__}: {error}"
        raise OSError(f"Cannot reach {path}: {cause}") from error


def end_unfinished_reads() -> None:
    """Cancel what runs on zarr's event loop, and wait until it has ended: for the end of the process.

    Zarr asks for several keys at a time and gives up at the first that fails. The reads of the others go on, and where
    the process ends first, the clients of object stores complain of every one with a traceback.
    """
    if zarr_sync.loop[0] is not None:
        with suppress(Exception):  # the loop may be closed
            zarr_sync.sync(_cancel_all(), timeout=END_SECONDS)


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


atexit.register(end_unfinished_reads)  # the last one registered is called first: before zarr's, which ends the loop
