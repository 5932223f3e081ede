"""Dask clients: of a scheduler elsewhere, or the active one."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from distributed import Client, Security
from distributed.comm.core import connect as comm_connect

from dem.storage.files import read_text


def connect(scheduler: str, timeout: float = 10) -> Client:
    """Return a client of the scheduler at this address, such as ``tcp://10.0.0.1:8786``.

    Raises
    ------
    ConnectionError
        Nothing answers within `timeout` seconds.
    """
    try:
        with ThreadPoolExecutor(1) as thread:  # this thread may have a loop of its own, as in a notebook
            thread.submit(asyncio.run, _try_connection(scheduler, timeout)).result()
    except TypeError as error:  # of tls:// without certificates
        raise ConnectionError(
            f"The Dask scheduler at {scheduler} wants TLS: give the certificates in Dask's configuration, under "
            "distributed.comm.tls."
        ) from error
    except (OSError, ValueError) as error:
        raise ConnectionError(f"No Dask scheduler answers at {scheduler} within {timeout:g} s.") from error
    return Client(scheduler, timeout=timeout, set_as_default=False)


def address_in(scheduler_file: str | Path) -> str:
    """Return the address that a scheduler has written to a file (``dask scheduler --scheduler-file``).

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is not a scheduler's.
    """
    try:
        return str(json.loads(read_text(scheduler_file))["address"])
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no scheduler file at {scheduler_file}: is the scheduler up?") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(
            f"{scheduler_file} is no scheduler file, such as 'dask scheduler --scheduler-file' writes."
        ) from None


async def _try_connection(address: str, timeout: float) -> None:
    """Connect and hang up: a Client that cannot connect does not clean up after itself."""
    comm = await comm_connect(address, timeout, **Security().get_connection_args("client"))
    await comm.close()


def active_client() -> Client | None:
    """Return the `distributed.Client` that is current, or None."""
    try:
        client: Client = Client.current(allow_global=True)
    except ValueError:
        return None
    return client
