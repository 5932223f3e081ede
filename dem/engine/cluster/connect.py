"""Connect to a running Dask scheduler, or find the active client."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from distributed import Client, Security
from distributed.comm.core import connect as comm_connect

from dem.storage.files import read_text


def connect(scheduler: str, timeout: float = 10) -> Client:
    """Return a client of the scheduler at an address such as ``tcp://10.0.0.1:8786``.

    Raises
    ------
    ConnectionError
        No scheduler answers within `timeout` seconds.
    """
    try:
        with ThreadPoolExecutor(1) as thread:  # this thread may already run an event loop, as in a notebook
            thread.submit(asyncio.run, _try_connection(scheduler, timeout)).result()
    except TypeError as error:  # raised for tls:// without certificates
        raise ConnectionError(
            f"The Dask scheduler at {scheduler} requires TLS: name the certificates in Dask's configuration, under "
            "distributed.comm.tls."
        ) from error
    except (OSError, ValueError) as error:
        raise ConnectionError(
            f"No Dask scheduler answers at {scheduler} within {timeout:g} s: check the address, and that the "
            "scheduler is running."
        ) from error
    return Client(scheduler, timeout=timeout, set_as_default=False)


def address_in(scheduler_file: str | Path) -> str:
    """Return the address in a scheduler file, which ``dask scheduler --scheduler-file`` writes.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is not a scheduler file.
    """
    try:
        return str(json.loads(read_text(scheduler_file))["address"])
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no scheduler file at {scheduler_file}: is the scheduler running?") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(
            f"{scheduler_file} is not a scheduler file: give the file that 'dask scheduler --scheduler-file' writes."
        ) from None


async def _try_connection(address: str, timeout: float) -> None:
    """Connect and disconnect, since a Client that cannot connect leaves threads behind."""
    comm = await comm_connect(address, timeout, **Security().get_connection_args("client"))
    await comm.close()


def active_client() -> Client | None:
    """Return the current `distributed.Client`, or None."""
    try:
        client: Client = Client.current(allow_global=True)
    except ValueError:
        return None
    return client
