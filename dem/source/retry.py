"""Retry failed reads a few times, with increasing pauses."""

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
"""Seconds. Each pause is about twice as long as the last; all pauses together take about six seconds."""

CANCEL_SECONDS = 5.0
"""Longest time that the end of the process waits for cancelled reads."""

PERMANENT = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, FileExistsError)
"""Errors of the operating system for which another attempt is useless."""

CLIENTS = ("aiohttp", "aiobotocore", "azure", "botocore", "gcsfs", "google", "httpx", "obstore", "requests", "urllib3")
"""Packages for remote stores that define their own errors."""


class StoreReadError(OSError):
    """A key could not be read in several attempts.

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

    Pauses are random, so that reads that failed together are not repeated together. The key is the seed.
    """

    def __init__(self, key: str) -> None:
        self.key, self.made = key, 0

    def pause(self, error: Exception) -> float:
        """Return how many seconds to wait after this failure.

        Raises
        ------
        Exception
            The error itself, if another attempt is useless.
        StoreReadError
            All attempts have failed.
        """
        if not is_transient(error):
            raise error
        self.made += 1
        if self.made == ATTEMPTS:
            raise StoreReadError(self.key, self.made, f"{type(error).__name__}: {error}") from error
        return FIRST_PAUSE * 2 ** (self.made - 1) * random.Random(f"{self.key} {self.made}").uniform(0.5, 1.5)


def read_with_retries(key: str, read: Callable[[], T]) -> T:
    """Return the result of `read`. Temporary errors are retried; see `Attempts.pause` for the errors raised."""
    attempts = Attempts(key)
    while True:
        try:
            return read()
        except Exception as error:  # stores raise many kinds of errors
            pause = attempts.pause(error)
        time.sleep(pause)


def is_transient(error: BaseException) -> bool:
    """Whether an error may be temporary: a network error, a timeout, or a server that is busy or broken."""
    if isinstance(error, (*PERMANENT, StoreReadError)):
        return False
    status = http_status(error)
    if status is not None:
        return status in (408, 425, 429) or status >= 500
    return isinstance(error, OSError) or type(error).__module__.split(".")[0] in CLIENTS


def http_status(error: BaseException) -> int | None:
    """Return the HTTP status (400 to 599) of an error or its cause; None if there is none."""
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
    """Raise OSError if the error means that the path cannot be reached, so its contents are unknown.

    Raises
    ------
    OSError
    """
    if isinstance(error, StoreReadError | PermissionError) or is_transient(error):
        cause = error.cause if isinstance(error, StoreReadError) else f"{type(error).__name__}: {error}"
        raise OSError(f"Cannot reach {path}: {cause}") from error


def end_unfinished_reads() -> None:
    """Cancel all tasks on zarr's event loop and wait for them; called at the end of the process.

    Zarr reads several keys at a time and stops at the first error, but the other reads continue. If the process ends
    before they do, the clients of object stores print a traceback for each.
    """
    if zarr_sync.loop[0] is not None:
        with suppress(Exception):  # the loop may be closed
            zarr_sync.sync(_cancel_all(), timeout=CANCEL_SECONDS)


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


atexit.register(end_unfinished_reads)  # called before zarr's own function (registered earlier), which ends the loop
